//! Marks are cleared after a flush, and not while a member is missing.

use super::*;

/// A Shard whose `REGION` was leased and came back.
fn with_free_region() -> Shard {
    let mut shard = logged(RegionState::Clean, None);
    shard.on_message(acquire(A), 0);
    assert_eq!(answer_all(&mut shard), [granted(A, 1)]);
    shard.on_message(release(A, 1), 0);
    shard
}

fn is_flush(io: &MetaIo) -> bool {
    io.write.is_none() && io.flush
}

#[test]
fn an_idle_region_is_flushed_and_then_cleared() {
    let mut shard = with_free_region();
    assert_eq!(shard.deadline_ms(), Some(1000));
    shard.on_time(1000);
    let (io, _) = orders(&mut shard);
    assert!(io.iter().all(is_flush) && slots_of(&io) == [0, 1], "{io:?}");
    shard.io_done(io[0].ticket, Ok(()), 1000);
    assert_eq!(shard.region_state(REGION), Some(RegionState::Dirty), "one member has flushed");
    shard.io_done(io[1].ticket, Ok(()), 1000);
    assert_eq!((shard.region_state(REGION), shard.marked_regions()), (Some(RegionState::Clean), 0));
    let (io, _) = orders(&mut shard);
    assert_eq!(slots_of(&io), [0, 1], "the page is written");
}

#[test]
fn what_is_written_to_again_stays_marked() {
    let mut shard = with_free_region();
    shard.on_time(1000);
    let (io, _) = orders(&mut shard);
    shard.on_message(acquire(B), 1000);
    assert_eq!(sent(&mut shard), [granted(B, 2)], "its mark is still there");
    io.into_iter().for_each(|io| shard.io_done(io.ticket, Ok(()), 1000));
    assert_eq!(shard.region_state(REGION), Some(RegionState::Dirty));
}

#[test]
fn a_flush_that_was_begun_for_an_earlier_batch_says_nothing_about_this_one() {
    let mut shard = with_free_region();
    shard.on_time(1000);
    let (first, _) = orders(&mut shard);
    shard.io_done(first[0].ticket, Err(Fault::of(FaultKind::Aborted)), 1000);
    shard.on_message(acquire(A), 1000);
    shard.on_message(release(A, 2), 1000);
    shard.on_time(2000);
    let (second, _) = orders(&mut shard);
    assert_eq!(slots_of(&second), [0, 1]);
    shard.io_done(second[0].ticket, Ok(()), 2000);
    shard.io_done(first[1].ticket, Ok(()), 2000);
    assert_eq!(shard.region_state(REGION), Some(RegionState::Dirty));
    shard.io_done(second[1].ticket, Ok(()), 2000);
    assert_eq!(shard.region_state(REGION), Some(RegionState::Clean));
}

#[test]
fn nothing_is_cleared_while_a_member_is_missing() {
    let mut shard = with_free_region();
    view(&mut shard, 2, &[0]);
    shard.on_time(1000);
    shard.on_time(5000);
    answer_all(&mut shard);
    assert_eq!(shard.region_state(REGION), Some(RegionState::Dirty));
    assert_eq!(shard.deadline_ms(), None, "and nothing is tried");
}

#[test]
fn a_view_that_comes_between_flush_and_clearing_takes_the_clearing_back() {
    let mut shard = with_free_region();
    shard.on_time(1000);
    let (io, _) = orders(&mut shard);
    view(&mut shard, 2, &[0]);
    io.into_iter().for_each(|io| shard.io_done(io.ticket, Ok(()), 1000));
    assert_eq!(shard.region_state(REGION), Some(RegionState::Dirty));
}

#[test]
fn at_the_end_everything_is_flushed_and_said_once() {
    let mut shard = with_free_region();
    shard.on_message(ToShard::Quit, 0);
    let (io, rest) = orders(&mut shard);
    assert!(io.iter().all(is_flush) && io.len() == 2 && rest.is_empty());
    io.into_iter().for_each(|io| shard.io_done(io.ticket, Ok(()), 0));
    let told = answer_all(&mut shard);
    assert_eq!(told, [FromShard::Array(ToArray::ShardFlushed(ShardId(0)))]);
    assert_eq!(shard.marked_regions(), 0);
}

#[test]
fn at_the_end_of_a_degraded_array_marks_stay() {
    let mut shard = with_free_region();
    view(&mut shard, 2, &[0]);
    answer_all(&mut shard);
    shard.on_message(ToShard::Quit, 0);
    let told = answer_all(&mut shard);
    assert_eq!(told, [FromShard::Array(ToArray::ShardFlushed(ShardId(0)))]);
    assert_eq!(shard.marked_regions(), 1);
}

/// Nobody is left to flush, and a region can neither be filled with zeros nor given up.
#[test]
fn the_end_comes_also_when_no_member_is_within_reach() {
    let mut shard = logged(RegionState::Unwritten, None);
    let frozen =
        View { epoch: Epoch(2), reachable: SlotSet::EMPTY, ..View::clone(shard.view().expect("it has one")) };
    shard.on_message(ToShard::View(Arc::new(frozen)), 0);
    shard.on_message(acquire(A), 0);
    shard.on_message(ToShard::ChannelClosed(A), 0);
    sent(&mut shard);
    shard.on_message(ToShard::Quit, 0);
    assert_eq!(sent(&mut shard), [FromShard::Array(ToArray::ShardFlushed(ShardId(0)))]);
}

/// The flush of an earlier batch may be older than the last writes.
#[test]
fn the_end_needs_a_flush_of_its_own() {
    let mut shard = with_free_region();
    let other = RegionId(REGION.0 + 1);
    shard.on_message(ToShard::Acquire { channel: A, region: other }, 0);
    answer_all(&mut shard);
    shard.on_time(1000);
    let (earlier, _) = orders(&mut shard);
    assert!(earlier.iter().all(is_flush) && earlier.len() == 2);
    shard.on_message(ToShard::ChannelClosed(A), 1000);
    shard.on_message(ToShard::Quit, 1000);
    earlier.into_iter().for_each(|io| shard.io_done(io.ticket, Ok(()), 1000));
    assert_eq!(shard.region_state(other), Some(RegionState::Dirty));
    let flushed = FromShard::Array(ToArray::ShardFlushed(ShardId(0)));
    assert_eq!(answer_all(&mut shard), [flushed]);
    assert_eq!(shard.region_state(other), Some(RegionState::Clean));
}
