use super::*;

#[test]
fn what_could_not_be_read_is_to_be_repaired_region_by_region() {
    let mut rig = Rig::mirror();
    let read = rig.start(Op::Read, REGION - 2, 4);
    let first = rig.out_to(read)[0];
    rig.back(read, first, Err(MEDIA));
    let repair = |lba| FromChannel::Shard(ShardId(0), ToShard::Repair { slot: Slot(first), lba, blocks: 2 });
    assert_eq!(rig.sent()[1..], [repair(REGION - 2), repair(REGION)]);
}

#[test]
fn a_read_that_fails_is_answered_by_another_copy_and_reported() {
    let mut rig = Rig::new(Level::Raid1, 3, OnFailed::Error);
    let read = rig.start(Op::Read, 5, 8);
    let first = rig.out_to(read)[0];
    rig.back(read, first, Err(MEDIA));
    let repair = ToShard::Repair { slot: Slot(first), lba: 5, blocks: 8 };
    let sent = [report(1, first, FaultClass::Read, MEDIA), FromChannel::Shard(ShardId(0), repair)];
    assert_eq!(rig.sent(), sent);
    let second = rig.out_to(read)[0];
    assert_ne!(first, second);
    rig.back(read, second, Ok(()));
    assert_eq!(rig.done[read], Some(Ok(())));
}

#[test]
fn a_read_fails_when_each_copy_has_failed_it_once() {
    let mut rig = Rig::new(Level::Raid1, 3, OnFailed::Wait);
    let read = rig.start(Op::Read, 5, 8);
    let mut tried = Vec::new();
    while rig.done[read].is_none() {
        tried.extend(rig.out_to(read));
        rig.back(read, tried[tried.len() - 1], Err(MEDIA));
    }
    tried.sort_unstable();
    assert_eq!((tried, rig.done[read]), (vec![0, 1, 2], Some(Err(MEDIA))));
}

#[test]
fn reads_are_retried_one_at_a_time_after_the_others_are_back() {
    let mut rig = Rig::new(Level::Raid10 { near: 2 }, 4, OnFailed::Error);
    let read = rig.start(Op::Read, 0, 16);
    let [first, second] = rig.out_to(read)[..] else { panic!("two chunks") };
    rig.back(read, first, Err(MEDIA));
    assert_eq!(rig.out_to(read), [second]);
    rig.back(read, second, Err(MEDIA));
    let [again] = rig.out_to(read)[..] else { panic!("one retry") };
    assert_eq!((again, rig.child(read, again).host_offset_blocks), (first ^ 1, 0));
    rig.back(read, again, Ok(()));
    let [again] = rig.out_to(read)[..] else { panic!("the other retry") };
    assert_eq!((again, rig.child(read, again).host_offset_blocks), (second ^ 1, 8));
    rig.all_back();
    assert_eq!(rig.done[read], Some(Ok(())));
}

/// sim seed 397 (at 4ea8f08).
#[test]
fn a_retried_read_goes_on_before_others_and_does_not_forget_the_copies_that_have_failed_it() {
    let mut rig = Rig::new(Level::Raid10 { near: 2 }, 4, OnFailed::Error);
    // Nine chunks: one more than may be out at once.
    let read = rig.start(Op::Read, 0, 72);
    let bad = rig.out.last().expect("eight children").1;
    rig.back_child(read, bad.index, Err(MEDIA));
    (0..bad.index).for_each(|index| rig.back_child(read, index, Ok(())));
    rig.ask(read);
    let ninth = rig.out.last().expect("the retry, and the ninth chunk").1;
    let other = bad.slot.0 ^ 1;
    assert_eq!((rig.out.len(), rig.out[0].1.slot.0, ninth.index), (2, other, 0));
    rig.back_child(read, bad.index, Err(SHORT));
    rig.back_child(read, ninth.index, Err(SHORT));
    rig.ask(read);
    assert_eq!(rig.out_to(read), [other], "the copy that has failed it is not tried again");
    rig.all_back();
    assert_eq!(rig.done[read], Some(Ok(())));
}

/// sim seeds 22152, 39622 (at 4ea8f08).
#[test]
fn patience_with_aborts_is_renewed_for_the_next_copy() {
    let mut rig = Rig::mirror();
    let read = rig.start(Op::Read, 0, 8);
    let mut aborts = 0;
    while rig.sent().is_empty() {
        let slot = rig.out_to(read)[0];
        rig.back(read, slot, Err(ABORTED));
        aborts += 1;
    }
    assert_eq!(aborts, 16);
    let copy = rig.out_to(read)[0];
    rig.back(read, copy, Err(ABORTED));
    assert_eq!(
        (rig.sent(), rig.out_to(read)),
        (vec![], vec![copy]),
        "one abort says nothing about this copy"
    );
    rig.all_back();
    assert_eq!(rig.done[read], Some(Ok(())));
}

#[test]
fn a_read_goes_on_under_the_new_view_where_it_was() {
    let mut rig = Rig::new(Level::Raid10 { near: 2 }, 4, OnFailed::Error);
    // Nine chunks: one more than may be out at once.
    let read = rig.start(Op::Read, 0, 72);
    assert_eq!(rig.out.len(), CHILDREN_MAX);
    rig.view(2, &[0, 2]);
    rig.all_back();
    assert_eq!(rig.done[read], Some(Ok(())));
    rig.sent();
    let read = rig.start(Op::Read, 0, 72);
    assert!(rig.out_to(read).iter().all(|slot| [1, 3].contains(slot)));
}

#[test]
fn what_no_member_serves_fails_or_waits_as_it_is_told() {
    for (on_failed, expected) in [(OnFailed::Error, Some(Err(GONE.kind))), (OnFailed::Wait, None)] {
        let mut rig = Rig::new(Level::Raid0, 2, on_failed);
        rig.view_frozen(2, &[1]);
        let served = rig.start(Op::Read, 0, 8);
        rig.all_back();
        assert_eq!(rig.done[served], Some(Ok(())), "a block whose member answers");
        for (op, lba, blocks) in [(Op::Read, 8, 8), (Op::Write, 8, 8), (Op::Unmap, 8, 8), (Op::Flush, 0, 0)] {
            let io = rig.start(op, lba, blocks);
            let got = rig.done[io].map(|result| result.map_err(|fault| fault.kind));
            let expected = expected.map(|_: Result<(), _>| Err(FaultKind::ArrayFailed));
            assert_eq!(got, expected, "{op:?} {on_failed:?}");
        }
    }
}

/// sim seeds 12422, 19856 (at 4ea8f08).
#[test]
fn what_waits_for_members_begins_anew_with_the_next_view_and_not_before() {
    let mut rig = Rig::new(Level::Raid0, 2, OnFailed::Wait);
    rig.view_frozen(2, &[1]);
    let read = rig.start(Op::Read, 0, 16);
    rig.all_back();
    assert_eq!(rig.done[read], None);
    (0..3).for_each(|_| rig.ask(read));
    assert!(rig.out.is_empty(), "asking changes nothing");
    rig.view(3, &[]);
    assert_eq!(rig.out_to(read), [0, 1]);
    rig.all_back();
    assert_eq!(rig.done[read], Some(Ok(())));
}

/// sim seeds 30660, 34734 (at 4ea8f08).
#[test]
fn a_read_that_could_wait_is_not_failed_by_the_error_of_another_child() {
    let mut rig = Rig::new(Level::Raid10 { near: 2 }, 4, OnFailed::Wait);
    rig.view(2, &[2]);
    let read = rig.start(Op::Read, 0, 16);
    let first = rig.out_to(read)[0];
    rig.back(read, first, Err(MEDIA));
    rig.back(read, 3, Err(SHORT));
    assert_eq!(rig.out_to(read), [first ^ 1]);
    rig.view_of(3, slots(&[0, 1, 3]), slots(&[0, 1, 2]));
    rig.back(read, first ^ 1, Ok(()));
    assert_eq!(rig.done[read], None, "m3, which never answered, may come back");
}

/// sim seed 1007135 (at 2dc9237): it waited for a View that it had already.
#[test]
fn a_read_fails_when_one_copy_has_failed_it_and_the_others_are_gone() {
    for view_comes_first in [true, false] {
        let mut rig = Rig::new(Level::Raid1, 2, OnFailed::Wait);
        let read = rig.start(Op::Read, 0, 8);
        let [first] = rig.out_to(read)[..] else { panic!("one copy") };
        let other = first ^ 1;
        rig.back(read, first, Err(MEDIA));
        if view_comes_first {
            rig.view(2, &[other]);
        }
        rig.back(read, other, Err(GONE));
        assert!(matches!(rig.done[read], Some(Err(_))), "the copy that is left has answered");
    }
}

/// sim seed 1009534 (at 2dc9237).
#[test]
fn a_read_that_found_every_copy_gone_waits_for_the_last_view_too() {
    let mut rig = Rig::new(Level::Raid1, 2, OnFailed::Wait);
    let read = rig.start(Op::Read, 0, 8);
    let [first] = rig.out_to(read)[..] else { panic!("one copy") };
    let other = first ^ 1;
    rig.back(read, first, Err(GONE));
    rig.view(2, &[other]);
    rig.back(read, other, Err(GONE));
    assert_eq!(rig.done[read], None, "the View that says that m{first} is gone is on its way");
    rig.view_of(3, slots(&[first]), slots(&[]));
    assert_eq!((rig.done[read], rig.out.len()), (None, 0), "and then for members to come back");
}
