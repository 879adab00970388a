//! What happened to an array, numbered without gaps in the order in which it took effect.

use std::collections::VecDeque;

use super::member::FailCause;
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
            EventKind::StateChanged(ArrayState::Active) => "array_active",
            EventKind::StateChanged(ArrayState::Degraded) => "array_degraded",
            EventKind::StateChanged(ArrayState::Failed) => "array_failed",
        }
    }

    /// The member it is about.
    pub fn slot(self) -> Option<Slot> {
        match self {
            EventKind::MemberFailed { slot, .. } | EventKind::MemberDetached { slot } => Some(slot),
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
            EventKind::StateChanged(ArrayState::Active) => "active: every member is in sync".to_owned(),
            EventKind::StateChanged(ArrayState::Degraded) => {
                "degraded: all data is served, with less redundancy than it should have".to_owned()
            }
            EventKind::StateChanged(ArrayState::Failed) => {
                "failed: more members are gone than the level tolerates; the membership is frozen".to_owned()
            }
        }
    }
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Event {
    /// Its number: 1, 2, 3...
    pub seq: u64,
    /// When it took effect, by the clock that the driver gave.
    pub time_ms: u64,
    /// The View that it made.
    pub epoch: Epoch,
    /// What happened.
    pub kind: EventKind,
    /// The drive it is about, as it was named then.
    pub drive: Option<String>,
    /// In words.
    pub text: String,
}

/// The last [`EVENTS_MAX`] events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct EventLog {
    kept: VecDeque<Event>,
    last_seq: u64,
}

impl EventLog {
    pub(super) fn append(&mut self, kind: EventKind, drive: Option<String>, epoch: Epoch, time_ms: u64) {
        self.last_seq += 1;
        if self.kept.len() == EVENTS_MAX {
            self.kept.pop_front();
        }
        let text = kind.text(drive.as_deref());
        self.kept.push_back(Event { seq: self.last_seq, time_ms, epoch, kind, drive, text });
    }

    /// The number of the newest event; 0 before the first.
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// The number of the oldest event that is still kept.
    pub fn first_available(&self) -> u64 {
        self.kept.front().map_or(self.last_seq + 1, |event| event.seq)
    }

    /// The events after number `seq`, oldest first.
    pub fn since(&self, seq: u64) -> impl Iterator<Item = &Event> {
        self.kept.iter().skip_while(move |event| event.seq <= seq)
    }
}
