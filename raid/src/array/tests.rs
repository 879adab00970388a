//! Scenarios of the Array: Channels and Shards are played by the tests, word by word.

mod recorded;

use super::*;
use crate::geometry::{GeometrySpec, Level};

const MEDIA: Fault = Fault::of(FaultKind::Media);
const GONE: Fault = Fault::of(FaultKind::Gone);
const CHANNEL: ChannelId = ChannelId(1);

fn array_of(level: Level, drives: &[Option<&str>]) -> Array {
    let spec = GeometrySpec {
        level,
        block_size: 512,
        member_blocks: drives.iter().map(|drive| drive.map(|_| 1024)).collect(),
        chunk_blocks: 8,
        region_blocks: Some(64),
        data_offset_blocks: 0,
    };
    let spec = ArraySpec {
        geometry: Arc::new(spec.build().expect("a possible shape")),
        drives: drives.iter().map(|drive| drive.map(str::to_owned)).collect(),
        flushes: SlotSet::first(drives.len()),
        on_failed: OnFailed::Wait,
        limits: ErrorLimits { read: 3, write: 1 },
        shards: 1,
        record: None,
    };
    Array::new(spec, 0)
}

fn acks(array: &mut Array, planner: Planner, epoch: u64) {
    array.on_message(ToArray::Swapped(planner, Epoch(epoch)), 0);
    array.on_message(ToArray::Drained(planner, Epoch(epoch)), 0);
}

fn shard_acks(array: &mut Array, epoch: u64) {
    acks(array, Planner::Shard(ShardId(0)), epoch);
}

fn channel_acks(array: &mut Array, epoch: u64) {
    acks(array, Planner::Channel(CHANNEL), epoch);
}

/// An array that has started, with one Channel; its orders were read.
fn started(level: Level, drives: &[Option<&str>]) -> Array {
    let mut array = array_of(level, drives);
    array.on_message(ToArray::ChannelOpened(CHANNEL), 0);
    shard_acks(&mut array, 1);
    channel_acks(&mut array, 1);
    orders(&mut array);
    array
}

fn mirror() -> Array {
    started(Level::Raid1, &[Some("a"), Some("b")])
}

fn orders(array: &mut Array) -> Vec<FromArray> {
    std::iter::from_fn(|| array.take_order()).collect()
}

fn report(array: &mut Array, report: u64, slot: u8, class: FaultClass, fault: Fault) {
    let slot = Slot(slot);
    array.on_message(ToArray::Report { channel: CHANNEL, report, slot, class, fault }, 0);
}

fn told(array: &Array, since: u64) -> Vec<(u64, EventKind)> {
    let events = array.events().since(since);
    events.map(|event| (event.seq.expect("it is recorded"), event.kind.expect("it is of ours"))).collect()
}

fn failed(slot: u8, cause: FailCause) -> EventKind {
    EventKind::MemberFailed { slot: Slot(slot), cause }
}

fn settled(epoch: u64) -> FromArray {
    FromArray::Channel(CHANNEL, ToChannel::Settled(Epoch(epoch)))
}

#[test]
fn an_event_is_told_once_every_planner_has_swapped() {
    let mut array = mirror();
    assert_eq!(told(&array, 0), [(1, EventKind::Started(ArrayState::Active))]);
    let receipt = array.fail_member(Slot(1), 0).unwrap();
    let everybody = vec![Planner::Channel(CHANNEL), Planner::Shard(ShardId(0))];
    assert_eq!(
        receipt,
        Receipt { epoch: Epoch(2), took_effect: false, waiting_on: everybody, recording_on: SlotSet::EMPTY }
    );
    assert_eq!(array.state(), ArrayState::Degraded, "the newest View");
    shard_acks(&mut array, 2);
    assert_eq!(array.receipt(Epoch(2)).waiting_on, [Planner::Channel(CHANNEL)]);
    assert_eq!(told(&array, 1), []);
    orders(&mut array);
    channel_acks(&mut array, 2);
    assert!(array.receipt(Epoch(2)).took_effect);
    assert_eq!(orders(&mut array), [settled(2)]);
    let failed = failed(1, FailCause::Operator);
    assert_eq!(told(&array, 1), [(2, failed), (3, EventKind::StateChanged(ArrayState::Degraded))]);
    let texts: Vec<_> = array.events().since(1).map(|event| event.text.as_str()).collect();
    assert_eq!(texts[0], "b (slot 1) failed: failed by command");
}

#[test]
fn a_channel_that_closes_counts_as_having_acknowledged() {
    let mut array = mirror();
    array.fail_member(Slot(1), 0).unwrap();
    array.remove_member(Slot(1), 0).unwrap();
    shard_acks(&mut array, 3);
    orders(&mut array);
    array.on_message(ToArray::ChannelClosed(CHANNEL), 0);
    assert!(array.receipt(Epoch(3)).took_effect);
    assert_eq!(orders(&mut array), [FromArray::CloseMember(Slot(1))], "and nobody is left to be told");
    channel_acks(&mut array, 3);
    assert_eq!(orders(&mut array), [], "what it may have sent before is void");
}

#[test]
fn a_channel_that_opens_in_mid_change_gets_the_newest_view_and_is_waited_for_from_then_on() {
    let mut array = started(Level::Raid1, &[Some("a"), Some("b"), Some("c")]);
    array.fail_member(Slot(1), 0).unwrap();
    orders(&mut array);
    let new = ChannelId(2);
    array.on_message(ToArray::ChannelOpened(new), 0);
    let view = FromArray::Channel(new, ToChannel::View(Arc::clone(array.view())));
    assert_eq!(orders(&mut array), [view, FromArray::Channel(new, ToChannel::Settled(Epoch(1)))]);
    shard_acks(&mut array, 2);
    channel_acks(&mut array, 2);
    assert!(array.receipt(Epoch(2)).took_effect, "it never planned with an older View");
    array.fail_member(Slot(2), 0).unwrap();
    shard_acks(&mut array, 3);
    channel_acks(&mut array, 3);
    assert_eq!(array.receipt(Epoch(3)).waiting_on, [Planner::Channel(new)]);
}

#[test]
fn a_drive_is_closed_when_its_view_has_drained_everywhere() {
    let mut array = mirror();
    array.member_gone(Slot(1), 0);
    orders(&mut array);
    shard_acks(&mut array, 2);
    array.on_message(ToArray::Swapped(Planner::Channel(CHANNEL), Epoch(2)), 0);
    assert_eq!(orders(&mut array), [settled(2)]);
    array.on_message(ToArray::Drained(Planner::Channel(CHANNEL), Epoch(2)), 0);
    assert_eq!(orders(&mut array), [FromArray::CloseMember(Slot(1))]);
    channel_acks(&mut array, 2);
    assert_eq!(orders(&mut array), [], "once");
}

#[test]
fn several_changes_settle_together_and_are_told_in_order() {
    let mut array = started(Level::Raid1, &[Some("a"), Some("b"), Some("c")]);
    array.fail_member(Slot(2), 0).unwrap();
    report(&mut array, 1, 0, FaultClass::Write, MEDIA);
    array.remove_member(Slot(2), 0).unwrap();
    assert_eq!(told(&array, 1), []);
    shard_acks(&mut array, 4);
    channel_acks(&mut array, 4);
    let kinds: Vec<_> = told(&array, 1).into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(
        kinds,
        [
            failed(2, FailCause::Operator),
            EventKind::StateChanged(ArrayState::Degraded),
            failed(0, FailCause::WriteError(MEDIA)),
            EventKind::MemberDetached { slot: Slot(2) },
        ]
    );
    let epochs: Vec<_> = array.events().since(1).map(|event| event.epoch.0).collect();
    assert_eq!(epochs, [2, 2, 3, 4]);
}

#[test]
fn events_wait_for_their_own_view() {
    let mut array = started(Level::Raid1, &[Some("a"), Some("b"), Some("c")]);
    array.fail_member(Slot(2), 0).unwrap();
    array.fail_member(Slot(1), 0).unwrap();
    shard_acks(&mut array, 2);
    channel_acks(&mut array, 3);
    assert_eq!(array.events().since(0).last().map(|event| event.epoch), Some(Epoch(2)));
    shard_acks(&mut array, 3);
    assert_eq!(array.events().since(0).last().map(|event| event.epoch), Some(Epoch(3)));
}

#[test]
fn a_write_error_fails_the_member_and_the_last_copy_is_kept() {
    let mut array = mirror();
    report(&mut array, 1, 1, FaultClass::Write, MEDIA);
    assert_eq!((array.member_state(Slot(1)), array.view().epoch), (MemberState::Faulty, Epoch(2)));
    report(&mut array, 2, 1, FaultClass::Flush, MEDIA);
    assert_eq!(array.view().epoch, Epoch(2), "decided already");
    orders(&mut array);
    for (n, class) in (3..).zip([FaultClass::Write, FaultClass::Flush]) {
        report(&mut array, n, 0, class, MEDIA);
        let kept = FromArray::Channel(CHANNEL, ToChannel::Kept { slot: Slot(0), report: n });
        assert_eq!((orders(&mut array), array.view().epoch), (vec![kept], Epoch(2)));
    }
    assert_eq!(array.members()[0].write_errors(), 2);
}

#[test]
fn read_errors_past_the_limit_fail_a_member_that_can_be_done_without() {
    let mut array = mirror();
    (1..=2).for_each(|n| report(&mut array, n, 1, FaultClass::Read, MEDIA));
    assert_eq!(array.member_state(Slot(1)), MemberState::InSync);
    report(&mut array, 3, 1, FaultClass::Read, MEDIA);
    assert_eq!(array.member_state(Slot(1)), MemberState::Faulty);
    (4..=9).for_each(|n| report(&mut array, n, 0, FaultClass::Read, MEDIA));
    assert_eq!((array.member_state(Slot(0)), array.members()[0].read_errors()), (MemberState::InSync, 6));
}

#[test]
fn what_is_lost_beyond_tolerance_freezes_the_membership() {
    let mut array = started(Level::Raid10 { near: 2 }, &[Some("a"), Some("b"), Some("c"), Some("d")]);
    report(&mut array, 1, 0, FaultClass::Write, GONE);
    assert!(!array.view().in_sync.contains(Slot(0)) && array.state() == ArrayState::Degraded);
    let in_sync = array.view().in_sync;
    report(&mut array, 2, 1, FaultClass::Read, GONE);
    assert_eq!((array.view().in_sync, array.view().reachable.contains(Slot(1))), (in_sync, false));
    assert_eq!((array.state(), array.member_state(Slot(1))), (ArrayState::Failed, MemberState::Missing));
    report(&mut array, 3, 2, FaultClass::Write, MEDIA);
    assert!(matches!(array.fail_member(Slot(3), 0), Err(Refusal::LastCopy { .. })));
    array.member_gone(Slot(2), 0);
    assert_eq!(array.view().in_sync, in_sync, "not one member after the other");
}

/// sim seeds 38, 143 (at 4ea8f08).
#[test]
fn a_hot_removal_does_not_empty_the_slot_of_a_member_that_is_frozen_in() {
    let mut array = started(Level::Raid0, &[Some("a"), Some("b")]);
    report(&mut array, 1, 1, FaultClass::Read, GONE);
    array.member_gone(Slot(1), 0);
    shard_acks(&mut array, 3);
    channel_acks(&mut array, 3);
    let failures = [failed(1, FailCause::Gone), EventKind::StateChanged(ArrayState::Failed)];
    let kinds: Vec<_> = told(&array, 1).into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(kinds, failures, "it is told once");
    assert_eq!(array.members()[1].drive(), Some("b"), "so that it is known which drive to wait for");
    assert!(orders(&mut array).contains(&FromArray::CloseMember(Slot(1))));
}

/// sim seed 271 (at 4ea8f08).
#[test]
fn a_member_is_removed_once() {
    let mut array = mirror();
    array.fail_member(Slot(1), 0).unwrap();
    array.remove_member(Slot(1), 0).unwrap();
    assert_eq!(array.remove_member(Slot(1), 0), Err(Refusal::Empty(Slot(1))), "while it is leaving");
    shard_acks(&mut array, 3);
    channel_acks(&mut array, 3);
    assert_eq!(array.remove_member(Slot(1), 0), Err(Refusal::Empty(Slot(1))), "when it has left");
    let detached = array.events().since(0).filter(|event| event.name() == "member_detached");
    assert_eq!(detached.map(|event| event.drive.as_deref()).collect::<Vec<_>>(), [Some("b")]);
    assert_eq!(array.slot_of("b"), None);
}

#[test]
fn refusals_say_what_to_do_and_change_nothing() {
    let mut array = started(Level::Raid1, &[Some("a"), Some("b"), None]);
    array.fail_member(Slot(1), 0).unwrap();
    orders(&mut array);
    let before = array.clone();
    let refused = |result: Result<Receipt, Refusal>| result.unwrap_err().to_string();
    assert!(refused(array.fail_member(Slot(7), 0)).contains("slots 0 to 2"));
    assert!(refused(array.fail_member(Slot(0), 0)).contains("bring another member in sync first"));
    assert!(refused(array.fail_member(Slot(1), 0)).contains("b is faulty already"));
    assert!(refused(array.fail_member(Slot(2), 0)).contains("slot 2 has no drive"));
    assert!(refused(array.remove_member(Slot(0), 0)).contains("basalt member fail ARRAY a"));
    assert!(refused(array.remove_member(Slot(2), 0)).contains("slot 2 has no drive"));
    assert_eq!(array, before);
}

#[test]
fn a_member_that_does_not_answer_is_failed_and_reset() {
    let mut array = mirror();
    array.on_message(ToArray::TimedOut { slot: Slot(1) }, 0);
    assert_eq!(array.member_state(Slot(1)), MemberState::Faulty);
    shard_acks(&mut array, 2);
    assert!(!orders(&mut array).contains(&FromArray::ResetMember(Slot(1))), "it would be sent to again");
    channel_acks(&mut array, 2);
    assert!(orders(&mut array).contains(&FromArray::ResetMember(Slot(1))));
    array.on_message(ToArray::TimedOut { slot: Slot(1) }, 0);
    assert_eq!(orders(&mut array), [], "decided already");
    array.on_message(ToArray::TimedOut { slot: Slot(0) }, 0);
    assert_eq!((array.state(), array.view().in_sync), (ArrayState::Failed, SlotSet::first(1)), "frozen");
    shard_acks(&mut array, 3);
    channel_acks(&mut array, 3);
    assert!(orders(&mut array).contains(&FromArray::ResetMember(Slot(0))));
}

#[test]
fn an_array_with_an_empty_slot_starts_degraded() {
    let array = started(Level::Raid1, &[Some("a"), None]);
    assert_eq!(told(&array, 0), [(1, EventKind::Started(ArrayState::Degraded))]);
    assert_eq!(array.member_state(Slot(1)), MemberState::Missing);
    assert_eq!(array.slot_of("a"), Some(Slot(0)));
}

#[test]
fn an_array_that_stops_lets_what_waits_for_members_fail() {
    let mut array = mirror();
    assert_eq!(array.view().on_failed, OnFailed::Wait);
    array.stop(0);
    assert_eq!((array.view().on_failed, array.view().epoch), (OnFailed::Error, Epoch(2)));
    shard_acks(&mut array, 2);
    channel_acks(&mut array, 2);
    assert_eq!(told(&array, 1), [(2, EventKind::Stopping)]);
}

#[test]
fn the_log_keeps_the_newest_events_and_says_which_is_the_first() {
    let mut log = EventLog::default();
    for n in 0..EVENTS_KEPT + 10 {
        log.add(EventKind::Stopping, None, Epoch(n), n);
        log.tell_next(Epoch(n), true);
    }
    assert_eq!((log.first_available(), log.last_seq()), (11, EVENTS_KEPT + 10));
    assert_eq!(log.since(0).count() as u64, EVENTS_KEPT);
    assert_eq!(
        log.since(EVENTS_KEPT + 8).map(|event| event.seq).collect::<Vec<_>>(),
        [Some(1033), Some(1034)]
    );
}

const EVENTS_KEPT: u64 = events::EVENTS_MAX as u64;
