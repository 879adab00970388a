use super::*;

#[test]
fn a_write_goes_to_every_copy_and_is_done_when_all_of_them_are_back() {
    let mut rig = Rig::new(Level::Raid1, 3, OnFailed::Error);
    let write = rig.start(Op::Write, 5, 8);
    assert_eq!(rig.out_to(write), [0, 1, 2]);
    rig.back(write, 2, Ok(()));
    rig.back(write, 0, Ok(()));
    assert_eq!(rig.done[write], None);
    rig.back(write, 1, Ok(()));
    assert_eq!(rig.done[write], Some(Ok(())));
    assert!(rig.channel.is_idle());
}

#[test]
fn a_write_that_misses_a_member_waits_until_the_view_without_it_has_settled() {
    let mut rig = Rig::mirror();
    let write = rig.start(Op::Write, 0, 8);
    rig.back(write, 0, Ok(()));
    rig.back(write, 1, Err(MEDIA));
    assert_eq!(rig.sent(), [report(1, 1, FaultClass::Write, MEDIA)]);
    assert_eq!(rig.done[write], None, "before the Array has said anything");
    rig.view(2, &[1]);
    assert_eq!(rig.done[write], None, "others may still read the member that lacks it");
    rig.settled(2);
    assert_eq!(rig.done[write], Some(Ok(())));
}

#[test]
fn a_write_that_misses_a_member_waits_for_the_newest_view_to_settle() {
    let mut rig = Rig::new(Level::Raid1, 3, OnFailed::Error);
    let write = rig.start(Op::Write, 0, 8);
    rig.back(write, 0, Ok(()));
    rig.back(write, 1, Err(MEDIA));
    rig.back(write, 2, Ok(()));
    rig.view(2, &[1]);
    rig.view(3, &[1, 2]);
    rig.settled(2);
    assert_eq!(rig.done[write], None);
    rig.settled(3);
    assert_eq!(rig.done[write], Some(Ok(())));
}

/// Another Channel may still read the member that is out: it would return what was there before the write.
#[test]
fn a_write_planned_without_a_member_is_answered_only_when_nobody_reads_that_member() {
    for op in [Op::Write, Op::WriteZeroes, Op::Unmap] {
        let mut rig = Rig::mirror();
        rig.view(2, &[1]);
        let write = rig.start(op, 0, 8);
        rig.all_back();
        assert_eq!(rig.done[write], None, "{op:?}");
        let read = rig.start(Op::Read, 0, 8);
        rig.all_back();
        assert_eq!(rig.done[read], Some(Ok(())), "a read waits for nobody");
        rig.settled(2);
        rig.all_back(); // the flush of write-zeroes
        assert_eq!(rig.done[write], Some(Ok(())), "{op:?}");
    }
}

#[test]
fn a_write_that_misses_a_member_that_stays_fails() {
    let mut rig = Rig::mirror();
    let write = rig.start(Op::Write, 0, 8);
    rig.back(write, 1, Err(MEDIA));
    rig.kept(1, 1);
    assert_eq!(rig.done[write], None, "a child is still out");
    rig.back(write, 0, Ok(()));
    assert_eq!(rig.done[write], Some(Err(MEDIA)));
}

/// sim seeds 9749, 33727 (at 4ea8f08): it waited for ever for a verdict on the second one.
#[test]
fn a_write_that_missed_two_members_hears_the_verdict_on_the_first() {
    let mut rig = Rig::new(Level::Raid10 { near: 2 }, 4, OnFailed::Error);
    let write = rig.start(Op::Write, 0, 16);
    assert_eq!(rig.out_to(write), [0, 1, 2, 3]);
    rig.back(write, 0, Err(MEDIA));
    rig.back(write, 2, Err(MEDIA));
    rig.back(write, 1, Ok(()));
    rig.back(write, 3, Ok(()));
    rig.view(2, &[2]);
    rig.settled(2);
    assert_eq!(rig.done[write], None);
    rig.kept(0, 1);
    assert_eq!(rig.done[write], Some(Err(MEDIA)));
}

#[test]
fn a_view_in_mid_write_makes_the_segment_begin_anew() {
    let mut rig = Rig::new(Level::Raid10 { near: 2 }, 3, OnFailed::Error);
    // Five chunks, two copies each: more children than may be out at once.
    let write = rig.start(Op::Write, 0, 40);
    assert_eq!(rig.out.len(), CHILDREN_MAX);
    rig.view(2, &[2]);
    rig.settled(2);
    rig.sent();
    let before = rig.out.clone();
    for (n, (_, child)) in before.iter().enumerate() {
        assert_eq!(rig.out.len(), CHILDREN_MAX - n, "nothing is sent under the new View before all are back");
        rig.back(write, child.slot.0, Ok(()));
    }
    assert!(rig.sent().contains(&drained(2)));
    assert!(!rig.out_to(write).contains(&2), "{:?}", rig.out_to(write));
    assert_eq!(rig.out[0].1.host_offset_blocks, 0, "from the start of the segment");
    rig.all_back();
    assert_eq!(rig.done[write], Some(Ok(())));
}

#[test]
fn fua_flushes_every_member_after_the_write() {
    for io in [HostIo::new(Op::Write, 0, 8, true), HostIo::new(Op::WriteZeroes, 0, 8, false)] {
        let mut rig = Rig::mirror();
        let op = io.op();
        let write = rig.start_unleased(io);
        rig.grant_all();
        rig.back(write, 0, Ok(()));
        assert_eq!(rig.out_to(write), [1], "{op:?} is still out");
        rig.back(write, 1, Ok(()));
        assert_eq!([0, 1].map(|slot| rig.child(write, slot).op), [Op::Flush; 2], "{op:?}");
        rig.back(write, 1, Ok(()));
        assert_eq!(rig.done[write], None);
        rig.back(write, 0, Ok(()));
        assert_eq!(rig.done[write], Some(Ok(())));
    }
}

#[test]
fn a_flush_that_fails_on_a_member_waits_like_a_write_that_missed_it() {
    let mut rig = Rig::mirror();
    let flush = rig.start(Op::Flush, 0, 0);
    rig.back(flush, 0, Ok(()));
    rig.back(flush, 1, Err(MEDIA));
    assert_eq!(rig.sent(), [report(1, 1, FaultClass::Flush, MEDIA)]);
    rig.view(2, &[1]);
    assert_eq!(rig.done[flush], None);
    rig.settled(2);
    assert_eq!(rig.done[flush], Some(Ok(())));
}

#[test]
fn a_write_across_regions_takes_one_lease_after_the_other() {
    let mut rig = Rig::mirror();
    let write = rig.start_unleased(HostIo::new(Op::Write, REGION - 8, 16, false));
    assert_eq!(rig.sent(), [acquire(0)]);
    assert!(rig.out.is_empty());
    rig.on(ToChannel::Grant { region: RegionId(0), lease: LeaseGen(7) });
    assert_eq!(rig.child(write, 0).blocks, 8, "up to the end of the region");
    rig.on(ToChannel::Revoke { region: RegionId(0), lease: LeaseGen(7) });
    assert_eq!(rig.sent(), [], "a write is in flight there");
    rig.back(write, 0, Ok(()));
    rig.back(write, 1, Ok(()));
    assert_eq!(rig.sent(), [release(0, 7), acquire(1)]);
    rig.on(ToChannel::Grant { region: RegionId(1), lease: LeaseGen(8) });
    assert_eq!((rig.child(write, 1).lba, rig.child(write, 1).host_offset_blocks), (REGION, 8));
    rig.all_back();
    assert_eq!(rig.done[write], Some(Ok(())));
}

#[test]
fn writes_that_wait_for_a_lease_that_goes_back_ask_for_it_again() {
    let mut rig = Rig::mirror();
    let first = rig.start_unleased(HostIo::new(Op::Write, 0, 8, false));
    rig.on(ToChannel::Grant { region: RegionId(0), lease: LeaseGen(1) });
    rig.on(ToChannel::Revoke { region: RegionId(0), lease: LeaseGen(1) });
    let second = rig.start_unleased(HostIo::new(Op::Write, 8, 8, false));
    assert_eq!(rig.out_to(second), Vec::<u8>::new(), "no new write under a lease that is ending");
    rig.sent();
    rig.back(first, 0, Ok(()));
    rig.back(first, 1, Ok(()));
    assert_eq!(rig.sent(), [release(0, 1), acquire(0)]);
    rig.on(ToChannel::Grant { region: RegionId(0), lease: LeaseGen(2) });
    assert_eq!(rig.out_to(second), [0, 1]);
}

#[test]
fn without_redundancy_a_write_takes_no_lease_and_fails_with_its_member() {
    let mut rig = Rig::new(Level::Raid0, 2, OnFailed::Error);
    let write = rig.start_unleased(HostIo::new(Op::Write, 0, 16, false));
    assert_eq!(rig.out_to(write), [0, 1]);
    rig.back(write, 0, Err(MEDIA));
    assert_eq!(rig.done[write], None, "its buffer is still in use");
    rig.back(write, 1, Ok(()));
    assert_eq!(rig.done[write], Some(Err(MEDIA)));
}

#[test]
fn a_write_that_lost_its_member_beyond_tolerance_fails_or_waits_as_it_is_told() {
    for (on_failed, expected) in [(OnFailed::Error, Some(Err(GONE))), (OnFailed::Wait, None)] {
        for (level, members) in [(Level::Raid0, 2), (Level::Raid1, 2)] {
            let mut rig = Rig::new(level, members, on_failed);
            let write = rig.start(Op::Write, 0, 16);
            rig.back(write, 0, Err(GONE));
            rig.back(write, 1, Ok(()));
            assert_eq!(rig.done[write], None, "the View decides");
            rig.view_frozen(2, &[0]);
            rig.settled(2);
            rig.grant_all();
            assert_eq!(rig.done[write], expected, "{level} {on_failed:?}");
            if on_failed == OnFailed::Wait {
                rig.view(3, &[]);
                rig.grant_all();
                assert_eq!(rig.out_to(write), [0, 1], "the members are back: it begins anew");
            }
        }
    }
}

/// sim seed 25044 (at 4ea8f08).
#[test]
fn a_verdict_on_a_member_from_before_it_was_gone_does_not_fail_what_waits_for_it() {
    let mut rig = Rig::new(Level::Raid10 { near: 2 }, 4, OnFailed::Wait);
    let early = rig.start(Op::Write, 0, 16);
    rig.back(early, 2, Err(MEDIA));
    let other = rig.start(Op::Write, 0, 8);
    rig.back(other, 0, Err(MEDIA));
    rig.kept(0, 2);
    rig.back(early, 0, Err(GONE));
    rig.back(early, 1, Ok(()));
    rig.back(early, 3, Ok(()));
    assert_eq!(rig.done[early], None, "the View that freezes m0 in is on its way");
}

#[test]
fn an_aborted_child_is_sent_again_to_its_member_and_not_reported() {
    for op in [Op::Write, Op::WriteZeroes, Op::Flush] {
        let mut rig = Rig::mirror();
        let io = rig.start(op, 0, 8);
        let first = rig.child(io, 1);
        rig.back(io, 1, Err(ABORTED));
        assert_eq!(rig.child(io, 1), first, "{op:?}");
        rig.all_back();
        assert_eq!(rig.done[io], Some(Ok(())));
        assert_eq!(rig.sent(), []);
    }
}

#[test]
fn a_command_that_is_aborted_without_end_is_a_path_error() {
    let mut rig = Rig::mirror();
    let flush = rig.start(Op::Flush, 0, 0);
    (0..15).for_each(|_| rig.back(flush, 1, Err(ABORTED)));
    assert_eq!(rig.sent(), []);
    rig.back(flush, 1, Err(ABORTED));
    assert_eq!(rig.sent(), [report(1, 1, FaultClass::Flush, Fault::of(FaultKind::Path))]);
}

#[test]
fn a_short_resource_is_never_an_error() {
    let mut rig = Rig::mirror();
    let write = rig.start(Op::Write, 0, 8);
    rig.back(write, 0, Ok(()));
    (0..100).for_each(|_| rig.back(write, 1, Err(SHORT)));
    assert_eq!(rig.sent(), []);
    rig.back(write, 1, Ok(()));
    assert_eq!(rig.done[write], Some(Ok(())));
}

/// The Shard does not know yet that a member has missed it, and could clear the region's mark.
#[test]
fn a_write_that_missed_a_member_keeps_its_lease_until_that_has_settled() {
    let mut rig = Rig::mirror();
    let write = rig.start(Op::Write, REGION - 1, 2);
    rig.on(ToChannel::Revoke { region: RegionId(0), lease: LeaseGen(1) });
    rig.back(write, 0, Ok(()));
    rig.back(write, 1, Err(MEDIA));
    assert_eq!(rig.sent(), [report(1, 1, FaultClass::Write, MEDIA)]);
    rig.view(2, &[1]);
    assert_eq!(rig.sent(), [swapped(2), drained(2)]);
    rig.settled(2);
    assert_eq!(rig.sent(), [release(0, 1), acquire(1)]);
}
