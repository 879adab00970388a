use super::*;

/// Two halves of a mirror that were started apart.
fn halves() -> [Found; 2] {
    let before = mirror(2);
    [drive(0, &without(&before, &[1], 2)), drive(1, &without(&before, &[0], 3))]
}

fn resolved(found: &[Found], keep: &str) -> Result<ArrayFound, ResolveError> {
    resolve(found, keep, Generation(77), HERE, NOW_MS)
}

/// Writes the leader's record to the drives that are in sync, as the array does at its start.
fn written(found: &[Found], array: &ArrayFound) -> Vec<Found> {
    let leader = array.leader().expect("led");
    leader.check().expect("a possible record");
    let slot_of = |drive: &str| array.in_sync().iter().find(|slot| array.drive_in(*slot) == Some(drive));
    let write = |found: &Found| match slot_of(&found.drive) {
        Some(slot) => Found { copies: [Ok(leader.on(slot)), found.copies[0].clone()], ..found.clone() },
        None => found.clone(),
    };
    found.iter().map(write).collect()
}

#[test]
fn two_halves_that_went_on_apart_are_a_split_and_no_side_is_taken() {
    let array = array(&halves());
    let Standing::Split(sides) = &array.standing else { panic!("led") };
    let sides: Vec<(u64, &[String])> =
        sides.iter().map(|side| (side.head.generation.0, &side.drives[..])).collect();
    assert_eq!(sides, [(2, &["d0".to_owned()][..]), (3, &["d1".to_owned()][..])]);
    assert_eq!(array.drives[0].verdict, Verdict::Split { generation: Generation(2) });
    assert_eq!(array.in_sync(), SlotSet::EMPTY);
    for asked in [Asked::Policy, Asked::Degraded, Asked::Force] {
        let start = array.start(asked, 0, u64::MAX);
        assert!(matches!(start, Start::Refused(StartRefusal::Split(_))), "{start:?}");
    }
}

#[test]
fn a_side_that_is_kept_leads_and_the_choice_lasts() {
    let halves = halves();
    let kept = resolved(&halves, "d0").unwrap();
    assert_eq!(kept.drives[0].verdict, Verdict::InSync { slot: Slot(0) });
    assert_eq!(kept.drives[1].verdict, Verdict::Diverged { slot: Slot(1) });
    assert_eq!(kept.start(Asked::Policy, 0, 0), Start::Degraded { missing: SlotSet::EMPTY });
    let leader = kept.leader().unwrap();
    assert_eq!((leader.version, leader.generation), (12, Generation(77)));
    assert_eq!(leader.history, [2, 3, 1].map(Generation));

    let again = array(&written(&halves, &kept));
    assert_eq!(again.drives[0].verdict, Verdict::InSync { slot: Slot(0) });
    assert_eq!(again.drives[1].verdict, Verdict::Replaced { slot: Slot(1) }, "never merged by logs");
}

/// The rejected side was started once more, on its own: nobody may think that it is the one that was rejected.
#[test]
fn a_rejected_side_that_goes_on_is_a_split_again() {
    let halves = halves();
    let mut later = written(&halves, &resolved(&halves, "d0").unwrap());
    let alone = array(&later[1..]);
    assert_eq!(alone.start(Asked::Policy, 0, 0), Start::Degraded { missing: SlotSet::EMPTY });
    later[1] = drive(1, &without(alone.leader().unwrap(), &[], 8));
    assert!(matches!(array(&later).standing, Standing::Split(_)));
}

/// d2 was on the other side too, and away when the side was chosen.
#[test]
fn a_member_that_was_away_when_a_side_was_chosen_is_not_brought_up_to_date_by_logs() {
    let before = mirror(3);
    let other = without(&before, &[0], 3);
    let found = [drive(0, &without(&before, &[1, 2], 2)), drive(1, &other), drive(2, &other)];
    let kept = resolved(&found[..2], "d0").unwrap();
    let mut later = written(&found[..2], &kept);
    later.push(found[2].clone());
    let array = array(&later);
    assert_eq!(array.drives[2].verdict, Verdict::Replaced { slot: Slot(2) });
}

#[test]
fn a_stale_member_of_the_kept_side_stays_known() {
    let before = mirror(3);
    let found =
        [drive(0, &without(&before, &[1, 2], 2)), drive(1, &without(&before, &[0], 3)), drive(2, &before)];
    let kept = resolved(&found, "d0").unwrap();
    assert_eq!(kept.drives[2].verdict, Verdict::Stale { slot: Slot(2) });
    assert_eq!(array(&written(&found, &kept)).drives[2].verdict, Verdict::Stale { slot: Slot(2) });
}

/// In d0's table d1 is still in sync: d1's own side says that it went on without d0.
#[test]
fn who_diverged_is_not_in_sync_whatever_the_kept_table_says() {
    let before = mirror(3);
    let found = [drive(0, &without(&before, &[2], 2)), drive(1, &without(&before, &[0], 3))];
    let kept = resolved(&found, "d0").unwrap();
    assert_eq!(kept.drives[1].verdict, Verdict::Diverged { slot: Slot(1) });
    assert_eq!(array(&written(&found, &kept)).drives[1].verdict, Verdict::Replaced { slot: Slot(1) });
}

#[test]
fn what_is_recorded_of_members_that_are_thrown_out_goes_with_them() {
    let before = mirror(2);
    let mut side = without(&before, &[1], 2);
    side.bad_blocks = vec![crate::format::BadBlock { slot: Slot(1), lba: 20_000, blocks: 8 }];
    let found = [drive(0, &side), drive(1, &without(&before, &[0], 3))];
    let kept = resolved(&found, "d0").unwrap();
    assert_eq!(kept.leader().unwrap().check(), Ok(()));
    assert_eq!(kept.leader().unwrap().bad_blocks, []);
}

#[test]
fn three_sides_are_three_sides() {
    let before = mirror(3);
    let side = |slot: u8, others: &[u8]| drive(slot, &without(&before, others, 10 + u64::from(slot)));
    let found = [side(0, &[1, 2]), side(1, &[0, 2]), side(2, &[0, 1])];
    let Standing::Split(sides) = array(&found).standing else { panic!("led") };
    assert_eq!(sides.len(), 3);
    let kept = resolved(&found, "d1").unwrap();
    assert_eq!(kept.in_sync(), slots(&[1]));
    assert!(matches!(array(&written(&found, &kept)).standing, Standing::Led(_)));
}

#[test]
fn a_wish_that_makes_no_sense_is_refused() {
    let before = mirror(3);
    let nothing = resolved(&[drive(0, &before), drive(1, &before)], "d0");
    assert!(matches!(nothing, Err(ResolveError::NothingToResolve { .. })));
    assert_eq!(resolved(&halves(), "d7"), Err(ResolveError::NoSuchDrive("d7".to_owned())));
    let [d0, d1] = [without(&before, &[1], 2), without(&before, &[0], 3)];
    let no_side = resolved(&[drive(0, &d0), drive(1, &d1), drive(2, &before)], "d2");
    let of = "d0, d1".to_owned();
    assert_eq!(no_side, Err(ResolveError::NoSide { drive: "d2".to_owned(), of }));
}

#[test]
fn a_side_that_lacks_members_is_not_chosen_before_they_are_here() {
    let mut before = mirror(2);
    before.shape.level = Level::Raid10 { near: 2 };
    before.shape.chunk_blocks = 128;
    before.members.extend([2, 3].map(|slot| member(0xa0 + slot, RecordState::InSync)));
    before.check().expect("a possible record");
    let [one, two] = [without(&before, &[0], 2), without(&before, &[1], 3)];
    let found = [drive(0, &two), drive(1, &one)];
    let missing = slots(&[2, 3]);
    assert_eq!(resolved(&found, "d1"), Err(ResolveError::NotEnough { drive: "d1".to_owned(), missing }));
    let found = [&found[..], &[drive(2, &one), drive(3, &before)]].concat();
    assert_eq!(resolved(&found, "d1").unwrap().in_sync(), slots(&[1, 2, 3]));
}

#[test]
fn of_duplicates_the_chosen_one_is_used() {
    let record = mirror(2);
    let mut clone = drive(1, &record);
    clone.drive = "copy".to_owned();
    let found = [drive(0, &record), drive(1, &record), clone];
    let kept = resolved(&found, "d1").unwrap();
    assert_eq!(kept.in_sync(), slots(&[0, 1]));
    assert_eq!(kept.leader(), Some(&record), "nothing has to be written for it");
    assert_eq!(kept.drives[0].verdict, Verdict::NotChosen { chosen: "d1".to_owned() });
}

/// A clone of d0 was started elsewhere, without d1.
#[test]
fn a_clone_that_went_on_elsewhere_is_rejected_for_good() {
    let record = mirror(2);
    let mut clone = drive(0, &without(&record, &[1], 5));
    clone.drive = "copy".to_owned();
    let found = [drive(0, &record), drive(1, &record), clone];
    assert_eq!(array(&found).in_sync(), SlotSet::EMPTY, "the clone's table does not trust d1");
    let kept = resolved(&found, "d0").unwrap();
    assert_eq!(kept.in_sync(), slots(&[0, 1]));
    let later = written(&found, &kept);
    assert_eq!(array(&later[..2]).start(Asked::Policy, 0, 0), Start::Now);
    assert_eq!(array(&later).leader().unwrap().generation, Generation(77));
}

#[test]
fn who_was_away_for_longer_than_a_history_is_known_by_those_in_between() {
    let first = mirror(4);
    let chain = |from: &Superblock, generations: std::ops::Range<u64>| {
        generations.fold(from.clone(), |record, generation| without(&record, &[], generation))
    };
    let middle = chain(&first, 2..50);
    let last = without(&chain(&middle, 50..100), &[1, 2], 100);
    assert!(!first.is_ancestor_of(&last));
    let array = array(&[drive(0, &last), drive(1, &middle), drive(2, &first)]);
    assert_eq!(array.leader().unwrap().generation, Generation(100));
    assert_eq!(array.drives[2].verdict, Verdict::Stale { slot: Slot(2) });

    let other = without(&middle, &[0, 1, 2], 500);
    let found = [drive(0, &last), drive(1, &middle), drive(2, &first), drive(3, &other)];
    let kept = resolved(&found, "d0").unwrap();
    assert_eq!(kept.drives[2].verdict, Verdict::Stale { slot: Slot(2) });
    assert_eq!(kept.drives[3].verdict, Verdict::Diverged { slot: Slot(3) });
}

#[test]
fn records_that_claim_to_come_from_one_another_are_a_split() {
    let mut a = mirror(2);
    let mut b = a.clone();
    (a.generation, a.history) = (Generation(2), vec![Generation(3)]);
    (b.generation, b.history) = (Generation(3), vec![Generation(2)]);
    let found = [drive(0, &a), drive(1, &b)];
    assert!(matches!(array(&found).standing, Standing::Split(_)));
    assert!(matches!(resolved(&found, "d0"), Err(ResolveError::NoSide { .. })));
}
