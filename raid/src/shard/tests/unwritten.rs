//! The first write into a region that was never written.

use super::*;
use crate::meta::MetaWrite;

fn zeroes(io: &[MetaIo]) -> Vec<(u8, u64, u64)> {
    let zero = |io: &MetaIo| match &io.write {
        Some(MetaWrite::Zeroes { lba, blocks }) if io.flush => Some((io.slot.0, *lba, *blocks)),
        _ => None,
    };
    io.iter().filter_map(zero).collect()
}

fn rule_gone(channel: ChannelId, change: u64) -> FromShard {
    FromShard::Channel(channel, ToChannel::Rule { region: REGION, rule: None, epoch: Epoch(1), change })
}

#[test]
fn the_members_agree_on_zeros_before_the_mark_and_readers_know_before_the_lease() {
    let mut shard = logged(RegionState::Unwritten, None);
    shard.on_message(ToShard::ChannelOpened(A), 0);
    shard.on_message(ToShard::ChannelOpened(B), 0);
    answer_all(&mut shard);
    shard.on_message(acquire(A), 0);
    let (io, rest) = orders(&mut shard);
    let lba = 16_384 + u64::from(REGION.0) * 64;
    assert_eq!((zeroes(&io), rest), (vec![(0, lba, 64), (1, lba, 64)], vec![]));
    shard.io_done(io[0].ticket, Ok(()), 0);
    assert_eq!(sent(&mut shard), []);
    shard.io_done(io[1].ticket, Ok(()), 0);
    let (mark, rest) = orders(&mut shard);
    assert_eq!((slots_of(&mark), rest), (vec![0, 1], vec![]), "now the mark");
    mark.into_iter().for_each(|io| shard.io_done(io.ticket, Ok(()), 0));
    assert_eq!(sent(&mut shard), [rule_gone(A, 1), rule_gone(B, 1)]);
    shard.on_message(ToShard::RuleSeen { channel: A, region: REGION, change: 1 }, 0);
    assert_eq!(sent(&mut shard), [], "B may still answer with zeros");
    shard.on_message(ToShard::RuleSeen { channel: B, region: REGION, change: 1 }, 0);
    assert_eq!(sent(&mut shard), [granted(A, 1)]);
}

#[test]
fn a_closed_channel_is_not_waited_for() {
    let mut shard = logged(RegionState::Unwritten, None);
    shard.on_message(ToShard::ChannelOpened(A), 0);
    shard.on_message(ToShard::ChannelOpened(B), 0);
    answer_all(&mut shard);
    shard.on_message(acquire(A), 0);
    answer_all(&mut shard);
    shard.on_message(ToShard::RuleSeen { channel: A, region: REGION, change: 1 }, 0);
    shard.on_message(ToShard::ChannelClosed(B), 0);
    assert_eq!(sent(&mut shard), [granted(A, 1)]);
}

#[test]
fn zeros_on_their_way_keep_the_region_closed_after_a_refusal() {
    let mut shard = logged(RegionState::Unwritten, None);
    shard.on_message(acquire(A), 0);
    let (io, _) = orders(&mut shard);
    view_unrecordable(&mut shard, 2, &[0, 1], &[1]);
    sent(&mut shard);
    view(&mut shard, 3, &[0, 1]);
    shard.on_message(acquire(A), 0);
    let (more, rest) = orders(&mut shard);
    assert!(more.is_empty() && !rest.contains(&granted(A, 1)), "{more:?} {rest:?}");
    io.into_iter().for_each(|io| shard.io_done(io.ticket, Ok(()), 0));
    assert!(answer_all(&mut shard).contains(&granted(A, 1)));
}

#[test]
fn a_member_that_is_out_is_not_waited_for() {
    let mut shard = logged(RegionState::Unwritten, None);
    shard.on_message(acquire(A), 0);
    let (io, _) = orders(&mut shard);
    shard.io_done(io[0].ticket, Ok(()), 0);
    shard.io_done(io[1].ticket, Err(Fault::of(FaultKind::Media)), 0);
    view(&mut shard, 2, &[0]);
    assert!(answer_all(&mut shard).contains(&granted(A, 1)));
}

/// When it is back it counts again, and holds whatever it held.
#[test]
fn a_region_stays_unwritten_while_a_member_that_counts_is_out_of_reach() {
    for on_failed in [OnFailed::Error, OnFailed::Wait] {
        let mut shard = logged(RegionState::Unwritten, None);
        let before = shard.view().expect("it has one").clone();
        let reachable = SlotSet::first(1);
        let frozen = View { epoch: Epoch(2), reachable, on_failed, ..View::clone(&before) };
        shard.on_message(ToShard::View(Arc::new(frozen)), 0);
        sent(&mut shard);
        shard.on_message(acquire(A), 0);
        let denied = FromShard::Channel(A, ToChannel::Denied { region: REGION });
        let waits = on_failed == OnFailed::Wait;
        assert_eq!(sent(&mut shard), if waits { vec![] } else { vec![denied] });
        assert_eq!(shard.region_state(REGION), Some(RegionState::Unwritten));
    }
}
