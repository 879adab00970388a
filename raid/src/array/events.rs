//! What happened to an array, numbered without gaps in the order in which it took effect.
//!
//! ```text
//!   a change is proposed ---> pending ---> its View is durable and settled ---> told, with the next number
//!                                   \
//!                                    +---> no member is left to record it ---> told without a number
//! ```
//!
//! The number is in the superblock write of the change itself: a record that is being written lists the
//! pending events with the numbers that they are about to get.

use std::collections::VecDeque;

use super::member::FailCause;
use crate::fault::{Fault, FaultKind};
use crate::format::{self, EventRecord};
use crate::ids::{Epoch, Slot};
use crate::view::ArrayState;

/// The log keeps this many events; older ones are gone, and [`EventLog::first_available`] says so.
pub const EVENTS_MAX: usize = 1024;

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// The array was started, in this state.
    Started(ArrayState),
    /// The array is going away.
    Stopping,
    /// A member was failed.
    MemberFailed {
        /// The member.
        slot: Slot,
        /// Why.
        cause: FailCause,
    },
    /// A drive was let go.
    MemberDetached {
        /// The slot, which is empty now.
        slot: Slot,
    },
    /// A member that can't be done without can't be written metadata to.
    MemberUnrecordable {
        /// The member.
        slot: Slot,
    },
    /// The array's state changed.
    StateChanged(ArrayState),
}

impl EventKind {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            EventKind::Started(_) => "array_started",
            EventKind::Stopping => "array_stopping",
            EventKind::MemberFailed { .. } => "member_failed",
            EventKind::MemberDetached { .. } => "member_detached",
            EventKind::MemberUnrecordable { .. } => "member_unrecordable",
            EventKind::StateChanged(ArrayState::Active) => "array_active",
            EventKind::StateChanged(ArrayState::Degraded) => "array_degraded",
            EventKind::StateChanged(ArrayState::Failed) => "array_failed",
        }
    }

    /// The member it is about.
    pub fn slot(self) -> Option<Slot> {
        match self {
            EventKind::MemberFailed { slot, .. }
            | EventKind::MemberDetached { slot }
            | EventKind::MemberUnrecordable { slot } => Some(slot),
            EventKind::Started(_) | EventKind::Stopping | EventKind::StateChanged(_) => None,
        }
    }

    fn text(self, drive: Option<&str>) -> String {
        let drive = drive.unwrap_or("(no drive)");
        match self {
            EventKind::Started(state) => format!("started, {}", state.name()),
            EventKind::Stopping => "stopping: what waits for members fails now".to_owned(),
            EventKind::MemberFailed { slot, cause } => format!("{drive} (slot {slot}) failed: {cause}"),
            EventKind::MemberDetached { slot } => format!("{drive} was taken out of slot {slot}"),
            EventKind::MemberUnrecordable { slot } => format!(
                "{drive} (slot {slot}) can't be written metadata to, and can't be done without: \
                 writes that need a record there fail"
            ),
            EventKind::StateChanged(ArrayState::Active) => "active: every member is in sync".to_owned(),
            EventKind::StateChanged(ArrayState::Degraded) => {
                "degraded: all data is served, with less redundancy than it should have".to_owned()
            }
            EventKind::StateChanged(ArrayState::Failed) => {
                "failed: more members are gone than the level tolerates; the membership is frozen".to_owned()
            }
        }
    }

    /// The code on disk, and what goes with it. Codes are never given another meaning.
    fn encode(self) -> (u16, [u8; 16]) {
        let mut detail = [0; 16];
        let state_byte = |state| match state {
            ArrayState::Active => 0,
            ArrayState::Degraded => 1,
            ArrayState::Failed => 2,
        };
        let code = match self {
            EventKind::Started(state) => {
                detail[0] = state_byte(state);
                1
            }
            EventKind::Stopping => 2,
            EventKind::MemberFailed { cause, .. } => {
                let (cause, fault) = match cause {
                    FailCause::Gone => (0, None),
                    FailCause::WriteError(fault) => (1, Some(fault)),
                    FailCause::FlushError(fault) => (2, Some(fault)),
                    FailCause::ReadErrors => (3, None),
                    FailCause::Operator => (4, None),
                    FailCause::RecordError(fault) => (5, Some(fault)),
                    FailCause::Absent => (6, None),
                    FailCause::TimedOut => (7, None),
                };
                let fault = fault.unwrap_or(Fault::of(FaultKind::Other));
                detail[..4].copy_from_slice(&[cause, fault.kind as u8, fault.sct, fault.sc]);
                3
            }
            EventKind::MemberDetached { .. } => 4,
            EventKind::StateChanged(state) => {
                detail[0] = state_byte(state);
                5
            }
            EventKind::MemberUnrecordable { .. } => 6,
        };
        (code, detail)
    }

    fn decode(record: &EventRecord) -> Option<EventKind> {
        let detail = record.detail;
        let state = || {
            [ArrayState::Active, ArrayState::Degraded, ArrayState::Failed]
                .get(usize::from(detail[0]))
                .copied()
        };
        let fault =
            || Some(Fault { kind: *FAULTS.get(usize::from(detail[1]))?, sct: detail[2], sc: detail[3] });
        Some(match (record.code, record.slot) {
            (1, None) => EventKind::Started(state()?),
            (2, None) => EventKind::Stopping,
            (3, Some(slot)) => {
                let cause = match detail[0] {
                    0 => FailCause::Gone,
                    1 => FailCause::WriteError(fault()?),
                    2 => FailCause::FlushError(fault()?),
                    3 => FailCause::ReadErrors,
                    4 => FailCause::Operator,
                    5 => FailCause::RecordError(fault()?),
                    6 => FailCause::Absent,
                    7 => FailCause::TimedOut,
                    _ => return None,
                };
                EventKind::MemberFailed { slot, cause }
            }
            (4, Some(slot)) => EventKind::MemberDetached { slot },
            (5, None) => EventKind::StateChanged(state()?),
            (6, Some(slot)) => EventKind::MemberUnrecordable { slot },
            _ => return None,
        })
    }
}

/// By their number on disk.
const FAULTS: [FaultKind; 7] = [
    FaultKind::Media,
    FaultKind::Path,
    FaultKind::Gone,
    FaultKind::Aborted,
    FaultKind::NoResources,
    FaultKind::ArrayFailed,
    FaultKind::Other,
];

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Event {
    /// Its number: 1, 2, 3... None for one that no member could record.
    pub seq: Option<u64>,
    /// When it happened, by the clock that the driver gave.
    pub time_ms: u64,
    /// The View that it made.
    pub epoch: Epoch,
    /// What happened; None for an event of a later version of Basalt that was found on the members.
    pub kind: Option<EventKind>,
    /// The drive it is about, as it was named then.
    pub drive: Option<String>,
    /// In words.
    pub text: String,
    /// As it is on the members.
    record: EventRecord,
}

impl Event {
    /// The name in JSON.
    pub fn name(&self) -> &'static str {
        self.kind.map_or("unknown", EventKind::name)
    }
}

/// Something that is to be told once it has taken effect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Pending {
    kind: EventKind,
    drive: Option<String>,
    epoch: Epoch,
    time_ms: u64,
}

/// The last [`EVENTS_MAX`] events, and those to come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct EventLog {
    kept: VecDeque<Event>,
    last_seq: u64,
    pending: VecDeque<Pending>,
    /// How many were told, with or without number.
    told: u64,
}

impl EventLog {
    /// The log that was found on the members. `drive_in`: the drive in a slot now.
    pub(super) fn found(
        records: &[EventRecord],
        last_seq: u64,
        drive_in: impl Fn(Slot) -> Option<String>,
    ) -> EventLog {
        let event = |record: &EventRecord| {
            let kind = EventKind::decode(record);
            let drive = record.slot.and_then(&drive_in);
            let text = kind.map_or_else(
                || format!("an event of kind {} that this version does not know", record.code),
                |kind| kind.text(drive.as_deref()),
            );
            let EventRecord { seq, time_ms, epoch, .. } = *record;
            Event { seq: Some(seq), time_ms, epoch, kind, drive, text, record: *record }
        };
        EventLog { kept: records.iter().map(event).collect(), last_seq, ..EventLog::default() }
    }

    pub(super) fn add(&mut self, kind: EventKind, drive: Option<String>, epoch: Epoch, time_ms: u64) {
        self.pending.push_back(Pending { kind, drive, epoch, time_ms });
    }

    /// Whether `kind` is still to be told.
    pub(super) fn is_pending(&self, kind: EventKind) -> bool {
        self.pending.iter().any(|pending| pending.kind == kind)
    }

    /// Tells the oldest pending event, if its View has settled. `recorded`: members have its number.
    pub(super) fn tell_next(&mut self, settled: Epoch, recorded: bool) -> Option<EventKind> {
        let Pending { kind, drive, epoch, time_ms } =
            self.pending.pop_front_if(|pending| pending.epoch <= settled)?;
        let text = kind.text(drive.as_deref());
        let seq = recorded.then_some(self.last_seq + 1);
        self.last_seq = seq.unwrap_or(self.last_seq);
        self.told += 1;
        if self.kept.len() == EVENTS_MAX {
            self.kept.pop_front();
        }
        let record = record_of(kind, self.last_seq, epoch, time_ms);
        self.kept.push_back(Event { seq, time_ms, epoch, kind: Some(kind), drive, text, record });
        Some(kind)
    }

    /// The newest numbered events as they go to the members, those included that are to be told yet.
    pub(super) fn records(&self) -> Vec<EventRecord> {
        let pending = self.pending.iter().zip(self.last_seq + 1..);
        let pending: Vec<_> =
            pending.map(|(event, seq)| record_of(event.kind, seq, event.epoch, event.time_ms)).collect();
        let told = self.kept.iter().filter(|event| event.seq.is_some()).map(|event| event.record);
        let surplus = (told.clone().count() + pending.len()).saturating_sub(format::superblock::EVENTS_MAX);
        told.chain(pending).skip(surplus).collect()
    }

    /// The number of the newest event; 0 before the first.
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// How many events were told since the array was started, with or without number.
    pub fn told(&self) -> u64 {
        self.told
    }

    /// The number of the oldest event that is still kept.
    pub fn first_available(&self) -> u64 {
        self.kept.iter().find_map(|event| event.seq).unwrap_or(self.last_seq + 1)
    }

    /// The events after number `seq`, oldest first, with those among and after them that have no number.
    pub fn since(&self, seq: u64) -> impl Iterator<Item = &Event> {
        let first = self.kept.iter().position(|event| event.seq.is_some_and(|number| number > seq));
        let unnumbered =
            || self.kept.iter().rposition(|event| event.seq.is_some()).map_or(0, |last| last + 1);
        self.kept.iter().skip(first.unwrap_or_else(unnumbered))
    }

    /// The last `count` events that were told.
    pub fn newest(&self, count: u64) -> impl Iterator<Item = &Event> {
        self.kept.iter().skip(self.kept.len().saturating_sub(count as usize))
    }
}

fn record_of(kind: EventKind, seq: u64, epoch: Epoch, time_ms: u64) -> EventRecord {
    let (code, detail) = kind.encode();
    EventRecord { seq, time_ms, epoch, code, slot: kind.slot(), detail }
}
