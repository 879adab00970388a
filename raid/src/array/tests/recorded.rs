//! Scenarios of an Array that keeps its membership on its members.

use super::*;
use crate::format::{
    self, Consistency, Features, Generation, MemberRecord, Policy, RecordState, Shape, ShutDown, Superblock,
    Uuid16,
};
use crate::meta::MetaWrite;

const NAMES: [&str; 3] = ["a", "b", "c"];

fn fresh(geometry: &Geometry, drives: &[Option<&str>]) -> Superblock {
    let member = |(slot, drive): (usize, &Option<&str>)| match drive {
        None => MemberRecord::missing(),
        Some(drive) => MemberRecord {
            uuid: Uuid16([slot as u8 + 1; 16]),
            state: RecordState::InSync,
            blocks: 20_000,
            flushes: true,
            drive: (*drive).to_owned(),
            ..MemberRecord::missing()
        },
    };
    Superblock {
        features: Features::default(),
        version: 0,
        array: Uuid16([9; 16]),
        name: "data".to_owned(),
        slot: Slot(0),
        shape: Shape::of(geometry),
        epoch: Epoch(0),
        generation: Generation(1),
        history: Vec::new(),
        shut_down: ShutDown::Unclean,
        policy: Policy {
            consistency: Consistency::Bitmap,
            on_failed: OnFailed::Error,
            limits: ErrorLimits { read: 3, write: 1 },
            member_timeout_ms: 10_000,
            start_degraded_after_ms: Some(30_000),
        },
        host: Uuid16([5; 16]),
        heartbeat_ms: 0,
        members: drives.iter().enumerate().map(member).collect(),
        checkpoint: None,
        bad_blocks: Vec::new(),
        last_event: 0,
        events: Vec::new(),
    }
}

fn recorded_array(record: impl FnOnce(&Geometry) -> Superblock, drives: &[Option<&str>]) -> Array {
    Array::new(recorded_spec(record, drives), 1000)
}

fn recorded_spec(record: impl FnOnce(&Geometry) -> Superblock, drives: &[Option<&str>]) -> ArraySpec {
    let spec = GeometrySpec {
        level: Level::Raid1,
        block_size: 512,
        member_blocks: drives.iter().map(|_| Some(20_000)).collect(),
        chunk_blocks: 8,
        region_blocks: Some(64),
        data_offset_blocks: 16_384,
    };
    let geometry = Arc::new(spec.build().expect("a possible shape"));
    let record = record(&geometry);
    let newest_copy = vec![None; drives.len()];
    ArraySpec {
        drives: drives.iter().map(|drive| drive.map(str::to_owned)).collect(),
        flushes: SlotSet::first(drives.len()),
        on_failed: OnFailed::Error,
        limits: ErrorLimits { read: 3, write: 1 },
        shards: 1,
        record: Some(RecordSpec { record, newest_copy, seed: 11 }),
        geometry,
    }
}

/// A new mirror of `members`, started, with one Channel.
fn mirror_of(members: usize) -> Array {
    let drives: Vec<_> = NAMES[..members].iter().map(|name| Some(*name)).collect();
    let mut array = recorded_array(|geometry| fresh(geometry, &drives), &drives);
    array.on_message(ToArray::ChannelOpened(CHANNEL), 0);
    answer_all(&mut array);
    shard_acks(&mut array, 1);
    channel_acks(&mut array, 1);
    orders(&mut array);
    array
}

/// A superblock that is being written.
struct Writing {
    ticket: Ticket,
    slot: u8,
    offset: u64,
    superblock: Superblock,
}

fn writes(array: &mut Array) -> Vec<Writing> {
    all_orders(array).0
}

/// The superblock writes among the orders, and the rest.
fn all_orders(array: &mut Array) -> (Vec<Writing>, Vec<FromArray>) {
    let mut writes = Vec::new();
    let mut rest = Vec::new();
    for order in orders(array) {
        let FromArray::Io(MetaIo { ticket, slot, write, flush }) = order else {
            rest.push(order);
            continue;
        };
        let Some(MetaWrite::Bytes { offset, bytes }) = write else { panic!("a superblock is bytes") };
        assert!(flush, "each is followed by a flush");
        let superblock = format::decode(&bytes).expect("what is written can be read");
        assert_eq!(superblock.slot, slot);
        writes.push(Writing { ticket, slot: slot.0, offset, superblock });
    }
    (writes, rest)
}

/// Answers every superblock write well; what else was ordered.
fn answer_all(array: &mut Array) -> Vec<FromArray> {
    let mut others = Vec::new();
    loop {
        let (writes, rest) = all_orders(array);
        others.extend(rest);
        if writes.is_empty() {
            return others;
        }
        writes.iter().for_each(|write| array.io_done(write.ticket, Ok(()), 0));
    }
}

fn slots_of(writes: &[Writing]) -> Vec<u8> {
    writes.iter().map(|write| write.slot).collect()
}

fn states(superblock: &Superblock) -> Vec<RecordState> {
    superblock.members.iter().map(|member| member.state).collect()
}

fn is_view(order: &FromArray) -> bool {
    matches!(order, FromArray::Channel(_, ToChannel::View(_)) | FromArray::Shard(_, ToShard::View(_)))
}

#[test]
fn a_new_array_is_published_once_its_record_is_on_every_member() {
    let drives = [Some("a"), Some("b")];
    let mut array = recorded_array(|geometry| fresh(geometry, &drives), &drives);
    let (writes, rest) = all_orders(&mut array);
    assert_eq!((slots_of(&writes), rest), (vec![0, 1], vec![]));
    assert_eq!(writes[0].superblock.events.len(), 1, "its start is on record before it is told");
    array.io_done(writes[0].ticket, Ok(()), 0);
    assert_eq!(orders(&mut array), []);
    array.on_message(ToArray::ChannelOpened(CHANNEL), 0);
    assert_eq!(orders(&mut array), [], "there is no View to be sent yet");
    array.io_done(writes[1].ticket, Ok(()), 0);
    assert_eq!(orders(&mut array).iter().filter(|order| is_view(order)).count(), 2);
}

#[test]
fn a_failure_is_on_record_before_anybody_plans_without_the_member() {
    let mut array = mirror_of(3);
    report(&mut array, 1, 1, FaultClass::Write, MEDIA);
    let (writes, rest) = all_orders(&mut array);
    assert_eq!((slots_of(&writes), rest), (vec![0, 2], vec![]));
    use RecordState::{Faulty, InSync};
    assert_eq!(states(&writes[0].superblock), [InSync, Faulty, InSync]);
    let last = writes[0].superblock.events.last().expect("the failure is in it");
    assert_eq!((last.slot, writes[0].superblock.epoch), (None, Epoch(2)), "and that it is degraded");
    array.io_done(writes[0].ticket, Ok(()), 0);
    assert_eq!(array.receipt(Epoch(2)).recording_on.iter().collect::<Vec<_>>(), [Slot(2)]);
    assert!(!orders(&mut array).iter().any(is_view));
    array.io_done(writes[1].ticket, Ok(()), 0);
    assert_eq!(orders(&mut array).iter().filter(|order| is_view(order)).count(), 2);
    assert_eq!(told(&array, 1), []);
    shard_acks(&mut array, 2);
    channel_acks(&mut array, 2);
    assert_eq!(told(&array, 1).len(), 2);
}

#[test]
fn losing_a_member_begins_a_generation_and_nothing_else_does() {
    let mut array = mirror_of(3);
    let first = array.record().expect("it has one").generation;
    array.fail_member(Slot(1), 0).unwrap();
    let record = array.record().expect("it has one");
    let second = record.generation;
    assert_ne!(first, second);
    assert_eq!(record.history, [first]);
    array.remove_member(Slot(1), 0).unwrap();
    array.stop(0);
    assert_eq!(array.record().expect("it has one").generation, second);
}

#[test]
fn copies_are_written_in_turn_and_a_failed_one_again() {
    let mut array = mirror_of(2);
    let aborted = Err(Fault::of(FaultKind::Aborted));
    let mut offsets = Vec::new();
    array.on_time(6_000);
    for result in [aborted, Ok(())] {
        for write in writes(&mut array) {
            let of_interest = write.slot == 0;
            offsets.extend(of_interest.then_some(write.offset));
            array.io_done(write.ticket, if of_interest { result } else { Ok(()) }, 6_000);
        }
    }
    array.on_time(12_000);
    offsets.extend(writes(&mut array).first().map(|write| write.offset));
    assert_eq!(offsets[0], offsets[1], "the other copy is the good one");
    assert_ne!(offsets[1], offsets[2]);
}

#[test]
fn a_member_that_can_not_record_is_failed_first() {
    let mut array = mirror_of(3);
    report(&mut array, 1, 1, FaultClass::Write, MEDIA);
    let first = writes(&mut array);
    array.io_done(first[1].ticket, Err(MEDIA), 0);
    array.io_done(first[0].ticket, Ok(()), 0);
    let second = writes(&mut array);
    assert_eq!(slots_of(&second), [0]);
    use RecordState::{Faulty, InSync};
    assert_eq!(states(&second[0].superblock), [InSync, Faulty, Faulty]);
    assert_eq!(array.published().epoch, Epoch(1), "neither failure is durable yet");
    array.io_done(second[0].ticket, Ok(()), 0);
    assert_eq!(array.published().in_sync, SlotSet::first(1));
}

#[test]
fn when_nobody_can_record_a_failure_it_is_taken_back_and_the_membership_frozen() {
    let mut array = mirror_of(2);
    report(&mut array, 1, 1, FaultClass::Write, MEDIA);
    let writes = writes(&mut array);
    assert_eq!(slots_of(&writes), [0]);
    array.io_done(writes[0].ticket, Err(MEDIA), 0);
    let view = array.view();
    assert_eq!(
        (view.in_sync, view.usable(), view.recorders().len()),
        (SlotSet::first(2), SlotSet::first(1), 0)
    );
    assert_eq!(array.state(), ArrayState::Failed);
    assert!(orders(&mut array).iter().any(is_view), "published at once");
    shard_acks(&mut array, 3);
    channel_acks(&mut array, 3);
    let untold = array.events().newest(8).filter(|event| event.seq.is_none());
    let names: Vec<_> = untold.map(|event| event.name()).collect();
    assert_eq!(names, ["member_failed", "array_degraded", "member_unrecordable", "array_failed"]);
    assert_eq!(array.events().last_seq(), 1);
}

#[test]
fn the_last_member_stays_when_it_can_not_record() {
    let mut array = mirror_of(2);
    array.fail_member(Slot(1), 0).unwrap();
    answer_all(&mut array);
    shard_acks(&mut array, 2);
    channel_acks(&mut array, 2);
    array.on_message(ToArray::Unrecorded { slot: Slot(0), fault: MEDIA }, 0);
    assert_eq!(array.view().usable(), SlotSet::first(1), "it can be read");
    assert!(!array.view().can_record());
}

#[test]
fn an_array_that_is_started_without_a_member_says_so_first() {
    let all = [Some("a"), Some("b")];
    let record = |geometry: &Geometry| Superblock { version: 40, epoch: Epoch(7), ..fresh(geometry, &all) };
    let mut array = recorded_array(record, &[Some("a"), None]);
    let writes = writes(&mut array);
    assert_eq!(slots_of(&writes), [0]);
    let superblock = &writes[0].superblock;
    assert_eq!((superblock.version, superblock.epoch), (41, Epoch(8)));
    assert_eq!(superblock.history, [Generation(1)]);
    assert_ne!(superblock.generation, Generation(1));
    assert_eq!(states(superblock), [RecordState::InSync, RecordState::Faulty]);
    array.io_done(writes[0].ticket, Ok(()), 0);
    shard_acks(&mut array, 8);
    let names: Vec<_> = array.events().since(0).map(|event| event.name()).collect();
    assert_eq!(names, ["member_failed", "array_started"]);
    let drives: Vec<_> = array.events().since(0).map(|event| event.drive.as_deref()).collect();
    assert_eq!(drives, [Some("b"), None], "the one that is not here");
}

/// sim seed 607: the members said that it was stopped in order, and hosts wrote.
#[test]
fn an_array_whose_start_can_not_be_recorded_is_not_served_from_there() {
    let drives = [Some("a"), None];
    let mut array = recorded_array(|geometry| fresh(geometry, &[Some("a"), Some("b")]), &drives);
    let writes = writes(&mut array);
    array.io_done(writes[0].ticket, Err(MEDIA), 0);
    assert!(array.published().usable().is_empty());
    assert_eq!(array.state(), ArrayState::Failed);
}

#[test]
fn every_degraded_start_begins_a_generation_and_a_complete_one_does_not() {
    let all = [Some("a"), Some("b")];
    let degraded = |geometry: &Geometry| {
        let mut record = Superblock { version: 40, epoch: Epoch(7), ..fresh(geometry, &all) };
        record.members[1].state = RecordState::Faulty;
        record
    };
    let array = recorded_array(degraded, &[Some("a"), None]);
    assert_ne!(array.record().expect("it has one").generation, Generation(1));
    let array = recorded_array(|geometry| fresh(geometry, &all), &all);
    assert_eq!(array.record().expect("it has one").generation, Generation(1));
}

#[test]
fn events_go_on_from_the_number_on_the_members() {
    let mut array = mirror_of(2);
    array.fail_member(Slot(1), 0).unwrap();
    answer_all(&mut array);
    shard_acks(&mut array, 2);
    channel_acks(&mut array, 2);
    let before: Vec<_> = array.events().since(0).map(|event| (event.seq, event.name())).collect();
    let record = array.record().expect("it has one").clone();
    let mut again = recorded_array(|_| record, &[Some("a"), None]);
    answer_all(&mut again);
    shard_acks(&mut again, 3);
    let after: Vec<_> = again.events().since(0).map(|event| (event.seq, event.name())).collect();
    assert_eq!(after[..before.len()], before);
    assert_eq!(after[before.len()..], [(Some(4), "array_started")]);
}

#[test]
fn the_end_is_clean_once_every_shard_has_flushed_and_that_is_on_record() {
    let mut array = mirror_of(2);
    array.on_message(ToArray::ChannelClosed(CHANNEL), 0);
    array.finish(0);
    assert_eq!(orders(&mut array), [FromArray::Shard(ShardId(0), ToShard::Quit)]);
    array.on_message(ToArray::ShardFlushed(ShardId(0)), 0);
    let (writes, rest) = all_orders(&mut array);
    assert_eq!((writes[0].superblock.shut_down, rest), (ShutDown::Clean, vec![]));
    array.io_done(writes[0].ticket, Ok(()), 0);
    assert_eq!(orders(&mut array), []);
    array.io_done(writes[1].ticket, Ok(()), 0);
    assert_eq!(orders(&mut array), [FromArray::Finished]);
}

#[test]
fn counters_are_recorded_at_most_once_a_second() {
    let mut array = mirror_of(2);
    array.on_time(6_000);
    answer_all(&mut array);
    array.on_message(
        ToArray::Report { channel: CHANNEL, report: 1, slot: Slot(1), class: FaultClass::Read, fault: MEDIA },
        6_010,
    );
    assert_eq!(writes(&mut array).len(), 0);
    assert_eq!(array.deadline_ms(), Some(7_000));
    array.on_time(7_000);
    let writes = writes(&mut array);
    assert_eq!(writes[0].superblock.members[1].read_errors, 1);
}

#[test]
fn a_late_report_about_a_member_that_was_removed_is_not_recorded() {
    let mut array = mirror_of(2);
    array.fail_member(Slot(1), 0).unwrap();
    array.remove_member(Slot(1), 0).unwrap();
    report(&mut array, 1, 1, FaultClass::Read, MEDIA);
    answer_all(&mut array);
    array.on_time(6_000);
    assert_eq!(writes(&mut array)[0].superblock.members[1], MemberRecord::missing());
}

#[test]
fn an_end_with_a_member_out_of_reach_is_not_clean() {
    let mut array = mirror_of(2);
    array.fail_member(Slot(1), 0).unwrap();
    answer_all(&mut array);
    array.member_gone(Slot(0), 0);
    answer_all(&mut array);
    array.on_message(ToArray::ChannelClosed(CHANNEL), 0);
    array.finish(0);
    array.on_message(ToArray::ShardFlushed(ShardId(0)), 0);
    assert!(answer_all(&mut array).contains(&FromArray::Finished));
    assert_eq!(array.record().expect("it has one").shut_down, ShutDown::Unclean);
}

/// The newest copy may have been read from a volatile cache that a power cut empties.
#[test]
fn a_copy_that_was_found_is_durable_before_the_other_one_is_written() {
    let drives = [Some("a"), Some("b")];
    let mut spec = recorded_spec(
        |geometry| Superblock { version: 40, epoch: Epoch(7), ..fresh(geometry, &drives) },
        &drives,
    );
    spec.record.as_mut().expect("it has one").newest_copy = vec![Some(1), None];
    let mut array = Array::new(spec, 1000);
    let io = |order| if let FromArray::Io(io) = order { io } else { panic!("{order:?}") };
    let first: Vec<MetaIo> = orders(&mut array).into_iter().map(io).collect();
    assert!(first[0].write.is_none() && first[0].flush && first[0].slot == Slot(0));
    assert!(first[1].write.is_some(), "the other member has no copy");
    array.io_done(first[0].ticket, Ok(()), 1000);
    assert_eq!(writes(&mut array)[0].offset, format::COPY_OFFSETS[0]);
}

/// Members b and d can be started without a and c, which are the only ones that know.
#[test]
fn an_event_that_a_later_start_may_not_find_has_no_number() {
    let drives = [Some("a"), Some("b"), Some("c"), Some("d")];
    let spec = recorded_spec(|geometry| fresh(geometry, &drives), &drives);
    let geometry = GeometrySpec {
        level: Level::Raid10 { near: 2 },
        block_size: 512,
        member_blocks: vec![Some(20_000); 4],
        chunk_blocks: 8,
        region_blocks: Some(64),
        data_offset_blocks: 16_384,
    };
    let geometry = Arc::new(geometry.build().expect("a possible shape"));
    let record = spec
        .record
        .map(|spec| RecordSpec { record: Superblock { shape: Shape::of(&geometry), ..spec.record }, ..spec });
    let mut array = Array::new(ArraySpec { geometry, record, ..spec }, 1000);
    answer_all(&mut array);
    shard_acks(&mut array, 1);
    let before = array.events().last_seq();
    assert!(array.will_be_found(SlotSet::first(2)), "a and b: every start needs one of them");
    assert!(!array.will_be_found([Slot(0), Slot(2)].into_iter().collect()));
    assert_eq!(before, 1);
}
