//! Regions that are not read from any copy, and leases that are refused.

use super::*;

const FROM_1: ReadRule = ReadRule::From(Slot(1));

fn with_rules(rules: &[(u32, ReadRule)]) -> Rig {
    let mut rig = Rig::unopened(Level::Raid1, 3, OnFailed::Error);
    rig.rules(rules);
    rig.view(1, &[]);
    rig.settled(1);
    rig.sent();
    rig
}

#[test]
fn nothing_is_served_before_every_shard_has_spoken() {
    let mut rig = Rig::unopened(Level::Raid1, 2, OnFailed::Error);
    let opened = FromChannel::Shard(ShardId(0), ToShard::ChannelOpened(ChannelId(1)));
    assert_eq!(rig.sent(), [FromChannel::Array(ToArray::ChannelOpened(ChannelId(1))), opened]);
    rig.view(1, &[]);
    assert_eq!(rig.sent(), [swapped(1), drained(1)], "it plans nothing older");
    let read = rig.start(Op::Read, 0, 1);
    assert_eq!(rig.out_to(read), Vec::<u8>::new());
    rig.rules(&[]);
    assert_eq!(rig.out_to(read).len(), 1);
}

#[test]
fn copies_that_may_differ_are_read_from_their_source() {
    let mut rig = with_rules(&[(0, FROM_1)]);
    for _ in 0..6 {
        let read = rig.start(Op::Read, 3, 2);
        assert_eq!(rig.out_to(read), [1]);
    }
}

#[test]
fn without_the_source_every_channel_takes_the_lowest_slot() {
    let mut rig = with_rules(&[(0, FROM_1)]);
    rig.view(2, &[1]);
    for _ in 0..4 {
        let read = rig.start(Op::Read, 3, 2);
        assert_eq!(rig.out_to(read), [0]);
    }
}

#[test]
fn a_source_that_can_not_read_a_block_is_passed_over() {
    let mut rig = with_rules(&[(0, FROM_1)]);
    let read = rig.start(Op::Read, 3, 2);
    rig.back(read, 1, Err(MEDIA));
    assert_eq!(rig.out_to(read), [0]);
}

#[test]
fn a_read_over_a_border_takes_each_region_by_its_own_rule() {
    let mut rig = with_rules(&[(1, FROM_1)]);
    let read = rig.start(Op::Read, 0, 3 * REGION);
    let first = rig.out[0].1;
    assert_eq!((first.lba, first.blocks), (0, REGION));
    rig.back(read, first.slot.0, Ok(()));
    let second = rig.out[0].1;
    assert_eq!((second.lba, second.blocks, second.slot.0), (REGION, REGION, 1));
    rig.back(read, 1, Ok(()));
    assert_eq!((rig.out[0].1.lba, rig.out[0].1.blocks), (2 * REGION, REGION));
}

#[test]
fn regions_without_a_rule_are_read_in_one_go() {
    let mut rig = with_rules(&[(3, FROM_1)]);
    let read = rig.start(Op::Read, 8, 2 * REGION);
    assert_eq!((rig.out_to(read).len(), rig.out[0].1.blocks), (1, 2 * REGION));
}

#[test]
fn what_was_never_written_is_zeros_and_asks_nobody() {
    let mut rig = with_rules(&[(1, ReadRule::Zeros)]);
    let read = rig.start(Op::Read, REGION - 4, 8);
    assert_eq!(rig.out[0].1.blocks, 4);
    let slot = rig.out[0].1.slot.0;
    rig.back(read, slot, Ok(()));
    assert_eq!((rig.zeroed.as_slice(), rig.done[read]), ([(read, 4, 4)].as_slice(), Some(Ok(()))));
}

#[test]
fn a_rule_that_is_gone_is_answered_and_followed() {
    let mut rig = with_rules(&[(1, ReadRule::Zeros)]);
    rig.on(ToChannel::Rule { region: RegionId(1), rule: None, epoch: Epoch(1), change: 7 });
    let seen = ToShard::RuleSeen { channel: ChannelId(1), region: RegionId(1), change: 7 };
    assert_eq!(rig.sent(), [FromChannel::Shard(ShardId(0), seen)]);
    let read = rig.start(Op::Read, REGION, 1);
    assert_eq!(rig.out_to(read).len(), 1);
}

#[test]
fn a_write_whose_lease_is_refused_fails_and_the_next_view_may_be_better() {
    let mut rig = with_rules(&[]);
    let write = rig.start_unleased(HostIo::new(Op::Write, 3, 2, false));
    assert_eq!(rig.sent(), [acquire(0)]);
    rig.on(ToChannel::Denied { region: RegionId(0) });
    assert_eq!(rig.done[write], Some(Err(Fault::of(FaultKind::ArrayFailed))));
    let next = rig.start_unleased(HostIo::new(Op::Write, 3, 2, false));
    assert!(rig.done[next].is_some_and(|done| done.is_err()), "it is not asked for again and again");
    rig.view(2, &[]);
    rig.sent();
    rig.start_unleased(HostIo::new(Op::Write, 3, 2, false));
    assert_eq!(rig.sent(), [acquire(0)]);
}

#[test]
fn a_lease_that_is_not_used_is_given_back_when_asked_for() {
    let mut rig = with_rules(&[]);
    let write = rig.start(Op::Write, 3, 2);
    let ask = || ToChannel::GiveBackIfIdle { region: RegionId(0), lease: LeaseGen(1) };
    rig.on(ask());
    rig.all_back();
    assert_eq!(rig.done[write], Some(Ok(())));
    assert_eq!(rig.sent(), [], "it was in use");
    rig.on(ask());
    assert_eq!(rig.sent(), [release(0, 1)]);
}

/// The members that its Shard has just filled with zeros are those of View 2: one that was out by then was not.
#[test]
fn a_rule_waits_for_the_view_that_it_is_true_of() {
    let mut rig = with_rules(&[(1, ReadRule::Zeros)]);
    rig.on(ToChannel::Rule { region: RegionId(1), rule: None, epoch: Epoch(2), change: 7 });
    let read = rig.start(Op::Read, REGION, 2);
    assert_eq!((rig.out_to(read), rig.zeroed.len()), (vec![], 1), "still zeros");
    assert_eq!(rig.sent(), []);
    rig.view(2, &[0, 1]);
    let seen = ToShard::RuleSeen { channel: ChannelId(1), region: RegionId(1), change: 7 };
    assert!(rig.sent().contains(&FromChannel::Shard(ShardId(0), seen)));
    let read = rig.start(Op::Read, REGION, 2);
    assert_eq!(rig.out_to(read), [2]);
}

#[test]
fn a_new_channel_waits_for_the_view_that_the_rules_are_true_of() {
    let mut rig = Rig::unopened(Level::Raid1, 2, OnFailed::Error);
    rig.view(1, &[]);
    let rules = crate::msg::Rules { epoch: Epoch(2), regions: Box::default() };
    rig.on(ToChannel::Rules(Arc::new(rules)));
    let read = rig.start(Op::Read, 0, 1);
    assert_eq!(rig.out_to(read), Vec::<u8>::new());
    rig.view(2, &[0]);
    assert_eq!(rig.out_to(read), [1]);
}
