use super::*;

const SEEN_MS: u64 = 500;

fn start(found: &[Found], asked: Asked, now_ms: u64) -> Start {
    array(found).start(asked, SEEN_MS, now_ms)
}

#[test]
fn with_all_members_it_starts_at_once() {
    let record = mirror(2);
    assert_eq!(start(&[drive(0, &record), drive(1, &record)], Asked::Policy, SEEN_MS), Start::Now);
}

#[test]
fn members_that_were_failed_before_are_not_waited_for() {
    let record = without(&mirror(2), &[1], 2);
    let missing = SlotSet::EMPTY;
    assert_eq!(start(&[drive(0, &record)], Asked::Policy, SEEN_MS), Start::Degraded { missing });
}

#[test]
fn with_a_member_missing_it_waits_for_its_time_and_then_starts_degraded() {
    let found = [drive(0, &mirror(2))];
    let missing = slots(&[1]);
    let until_ms = Some(SEEN_MS + 30_000);
    assert_eq!(start(&found, Asked::Policy, SEEN_MS + 29_999), Start::Wait { missing, until_ms });
    assert_eq!(start(&found, Asked::Policy, SEEN_MS + 30_000), Start::Degraded { missing });
}

#[test]
fn never_waits_until_somebody_says_so() {
    let mut record = mirror(2);
    record.policy.start_degraded_after_ms = None;
    let missing = slots(&[1]);
    let found = [drive(0, &record)];
    assert_eq!(start(&found, Asked::Policy, u64::MAX), Start::Wait { missing, until_ms: None });
    assert_eq!(start(&found, Asked::Degraded, SEEN_MS), Start::Degraded { missing });
}

#[test]
fn a_wait_past_the_end_of_time_is_one_that_does_not_end() {
    let mut record = mirror(2);
    record.policy.start_degraded_after_ms = Some(u64::MAX - 1);
    let start = start(&[drive(0, &record)], Asked::Policy, 1 << 50);
    assert_eq!(start, Start::Wait { missing: slots(&[1]), until_ms: Some(u64::MAX) });
}

#[test]
fn without_a_copy_of_every_block_nobody_can_start_it() {
    let before = mirror(3);
    let found = [drive(2, &before), drive(1, &without(&before, &[2], 2))];
    let stale_and_small = [found[0].clone(), Found { blocks: 20_000, ..found[1].clone() }];
    for asked in [Asked::Policy, Asked::Degraded, Asked::Force] {
        assert_eq!(start(&stale_and_small, asked, u64::MAX), Start::NotEnough { missing: slots(&[0, 1]) });
    }
}

#[test]
fn levels_without_redundancy_need_every_member() {
    let mut record = mirror(2);
    record.shape.level = Level::Concat;
    record.shape.num_blocks *= 2;
    record.check().expect("a possible record");
    let missing = slots(&[1]);
    assert_eq!(start(&[drive(0, &record)], Asked::Degraded, u64::MAX), Start::NotEnough { missing });
    assert_eq!(start(&[drive(0, &record), drive(1, &record)], Asked::Policy, 0), Start::Now);
}

#[test]
fn what_may_not_be_written_is_not_started() {
    let mut record = mirror(2);
    record.features.read_only_compatible = 8;
    let start = start(&[drive(0, &record), drive(1, &record)], Asked::Force, 0);
    assert_eq!(start, Start::Refused(StartRefusal::ReadOnly { bits: 8 }));
}

#[test]
fn decisions_are_explained() {
    let array = array(&[drive(0, &mirror(2))]);
    let explained = |asked, now_ms| array.explain(&array.start(asked, SEEN_MS, now_ms));
    assert_eq!(
        explained(Asked::Policy, SEEN_MS),
        "array data: waits for d1 (slot 1, serial S1), and then starts without; \
         to start it at once: basalt array start ARRAY --degraded"
    );
    assert_eq!(explained(Asked::Degraded, SEEN_MS), "array data: starts without d1 (slot 1, serial S1)");
}
