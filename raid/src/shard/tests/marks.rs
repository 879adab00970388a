//! A lease is out only while its mark is durable.

use super::*;

const MEDIA: Fault = Fault::of(FaultKind::Media);

#[test]
fn a_lease_is_granted_once_its_mark_is_durable_on_every_member() {
    let mut shard = logged(RegionState::Clean, None);
    shard.on_message(acquire(A), 0);
    let (io, rest) = orders(&mut shard);
    assert_eq!((slots_of(&io), rest), (vec![0, 1], vec![]));
    assert!(io.iter().all(|io| io.flush));
    shard.io_done(io[1].ticket, Ok(()), 0);
    assert_eq!(sent(&mut shard), [], "one member has it");
    shard.io_done(io[0].ticket, Ok(()), 0);
    assert_eq!(sent(&mut shard), [granted(A, 1)]);
    shard.on_message(acquire(B), 0);
    assert_eq!(sent(&mut shard), [granted(B, 2)], "nothing is written for the next one");
}

#[test]
fn marks_that_come_during_a_write_go_with_the_next_one() {
    let mut shard = logged(RegionState::Clean, None);
    shard.on_message(acquire(A), 0);
    let (first, _) = orders(&mut shard);
    let other = RegionId(REGION.0 + 1);
    shard.on_message(ToShard::Acquire { channel: A, region: other }, 0);
    assert_eq!(sent(&mut shard), [], "each member is written to once at a time");
    shard.io_done(first[0].ticket, Ok(()), 0);
    let (second, rest) = orders(&mut shard);
    assert_eq!((slots_of(&second), rest), (vec![0], vec![]));
    shard.io_done(first[1].ticket, Ok(()), 0);
    let (third, rest) = orders(&mut shard);
    assert_eq!(
        (slots_of(&third), rest),
        (vec![1], vec![granted(A, 1)]),
        "the first write had the first mark"
    );
    shard.io_done(second[0].ticket, Ok(()), 0);
    shard.io_done(third[0].ticket, Ok(()), 0);
    let grant = ToChannel::Grant { region: other, lease: LeaseGen(2) };
    assert_eq!(sent(&mut shard), [FromShard::Channel(A, grant)]);
}

#[test]
fn a_member_that_fails_the_mark_is_reported_and_waited_for_until_it_is_out() {
    let mut shard = logged(RegionState::Clean, None);
    shard.on_message(acquire(A), 0);
    let (io, _) = orders(&mut shard);
    shard.io_done(io[0].ticket, Ok(()), 0);
    shard.io_done(io[1].ticket, Err(MEDIA), 0);
    let unrecorded = ToArray::Unrecorded { slot: Slot(1), fault: MEDIA };
    assert_eq!(sent(&mut shard), [FromShard::Array(unrecorded)]);
    view(&mut shard, 2, &[0]);
    assert!(sent(&mut shard).contains(&granted(A, 1)));
}

#[test]
fn a_write_of_the_log_that_was_aborted_is_sent_again() {
    let mut shard = logged(RegionState::Clean, None);
    shard.on_message(acquire(A), 0);
    let (io, _) = orders(&mut shard);
    shard.io_done(io[0].ticket, Err(Fault::of(FaultKind::Aborted)), 0);
    let (again, rest) = orders(&mut shard);
    assert_eq!((slots_of(&again), rest), (vec![0], vec![]));
}

#[test]
fn a_mark_that_nobody_can_record_is_refused() {
    let mut shard = logged(RegionState::Clean, None);
    shard.on_message(acquire(A), 0);
    orders(&mut shard);
    view_unrecordable(&mut shard, 2, &[0, 1], &[1]);
    let denied = FromShard::Channel(A, ToChannel::Denied { region: REGION });
    assert!(sent(&mut shard).contains(&denied));
    assert!(!shard.is_leased(REGION));
}

#[test]
fn a_mark_that_was_refused_counts_for_nobody_who_asks_later() {
    let mut shard = logged(RegionState::Clean, None);
    view_unrecordable(&mut shard, 2, &[0, 1], &[1]);
    for _ in 0..2 {
        shard.on_message(acquire(A), 0);
        let denied = FromShard::Channel(A, ToChannel::Denied { region: REGION });
        assert!(answer_all(&mut shard).contains(&denied), "it is on one of two members");
    }
}

#[test]
fn who_asks_after_a_member_became_unrecordable_is_refused_too() {
    let denied = FromShard::Channel(A, ToChannel::Denied { region: REGION });
    for unrecordable in [[1].as_slice(), &[0, 1]] {
        let mut shard = logged(RegionState::Clean, None);
        shard.on_message(ToShard::Acquire { channel: B, region: RegionId(8) }, 0);
        for io in orders(&mut shard).0 {
            let is_recorded = !unrecordable.contains(&io.slot.0);
            let result = if is_recorded { Ok(()) } else { Err(Fault::of(FaultKind::Media)) };
            shard.io_done(io.ticket, result, 0);
        }
        view_unrecordable(&mut shard, 2, &[0, 1], unrecordable);
        answer_all(&mut shard);
        for _ in 0..2 {
            shard.on_message(acquire(A), 0);
            assert_eq!(answer_all(&mut shard), std::slice::from_ref(&denied));
            assert!(!shard.is_leased(REGION));
        }
    }
}

#[test]
fn drained_waits_for_the_log_writes_of_older_views() {
    let mut shard = logged(RegionState::Clean, None);
    shard.on_message(acquire(A), 0);
    let (io, _) = orders(&mut shard);
    view(&mut shard, 2, &[0]);
    let planner = Planner::Shard(ShardId(0));
    let swapped = FromShard::Array(ToArray::Swapped(planner, Epoch(2)));
    assert_eq!(sent(&mut shard), [swapped]);
    shard.io_done(io[0].ticket, Ok(()), 0);
    assert_eq!(sent(&mut shard), [granted(A, 1)]);
    shard.io_done(io[1].ticket, Ok(()), 0);
    assert_eq!(sent(&mut shard), [FromShard::Array(ToArray::Drained(planner, Epoch(2)))]);
}

#[test]
fn after_a_crash_what_was_dirty_is_read_from_one_member_once_that_is_durable() {
    let mut shard = logged(RegionState::Clean, None);
    let region = RegionId(3);
    let mut pages = BTreeMap::from([(0, LogPage::new())]);
    let page = pages.get_mut(&0).expect("just made");
    (0..16).for_each(|index| page.set(index, RegionState::Clean));
    page.set(3, RegionState::Dirty);
    let log = LogSpec { array: Uuid16([7; 16]), members: 2, pages, crashed: Some(Slot(1)) };
    let spec =
        ShardSpec { id: ShardId(0), geometry: Arc::clone(&shard.geometry), log: Some(log), idle_ms: 9 };
    shard = Shard::new(spec);
    shard.on_message(ToShard::ChannelOpened(A), 0);
    view(&mut shard, 1, &[0, 1]);
    let (io, rest) = orders(&mut shard);
    let is_rules = |message: &FromShard| matches!(message, FromShard::Channel(_, ToChannel::Rules(_)));
    assert!(!rest.iter().any(is_rules));
    io.into_iter().for_each(|io| shard.io_done(io.ticket, Ok(()), 0));
    let (_, rest) = orders(&mut shard);
    let Some(FromShard::Channel(A, ToChannel::Rules(rules))) = rest.iter().find(|m| is_rules(m)) else {
        panic!("no rules in {rest:?}");
    };
    let of_region = rules.regions.iter().find(|(other, _)| *other == region).map(|(_, rule)| *rule);
    assert_eq!(of_region, Some(ReadRule::From(Slot(1))));
}
