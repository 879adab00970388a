//! Whether an array can be started with what is here.

use std::fmt;

use super::{ArrayFound, OtherHost, Side, Standing};
use crate::format::{RecordState, Superblock};
use crate::ids::SlotSet;

/// Who wants it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Asked {
    /// Nobody: the array's own policy decides when.
    Policy,
    /// An operator: at once, also with members missing (`start --degraded`).
    Degraded,
    /// An operator: also though another host has it (`start --force`), after [`super::HostWatch`] has found that
    /// host silent.
    Force,
}

/// Whether it can be started.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Start {
    /// Every slot's member is here and in sync. The generation stays.
    Now,
    /// With less than that. The members in `missing` miss writes from then on: they become faulty in the table. A
    /// new generation begins, durable before the first write is acknowledged; also when nobody is in `missing`
    /// because the array was degraded before: another part of it may have been chosen meanwhile, and must see
    /// that this one went on.
    Degraded {
        /// Members in sync that are not here.
        missing: SlotSet,
    },
    /// It could be started without `missing`, and waits for them.
    Wait {
        /// Members in sync that are not here.
        missing: SlotSet,
        /// When it will be started without them; None: not before somebody says so.
        until_ms: Option<u64>,
    },
    /// Some blocks have no copy on the members that are here and in sync.
    NotEnough {
        /// Members in sync that are not here.
        missing: SlotSet,
    },
    /// It must not be started.
    Refused(StartRefusal),
}

/// Why an array must not be started.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StartRefusal {
    /// Parts of it went on without each other.
    Split(Vec<Side>),
    /// Another host has it.
    OtherHost(OtherHost),
    /// It uses features that this version may not write with.
    ReadOnly {
        /// The unknown bits of `read_only_compatible`.
        bits: u64,
    },
}

impl ArrayFound {
    /// Whether the array can be started at `now_ms`, having been seen first at `seen_ms` by the same clock.
    pub fn start(&self, asked: Asked, seen_ms: u64, now_ms: u64) -> Start {
        let leader = match &self.standing {
            Standing::Led(leader) => leader,
            Standing::Split(sides) => return Start::Refused(StartRefusal::Split(sides.clone())),
        };
        let bits = leader.features.unknown().read_only_compatible;
        if bits != 0 {
            return Start::Refused(StartRefusal::ReadOnly { bits });
        }
        if let Some(other) = self.other_host.filter(|_| asked != Asked::Force) {
            return Start::Refused(StartRefusal::OtherHost(other));
        }
        let missing = leader.slots_in(RecordState::InSync).minus(self.in_sync());
        if !self.is_served(leader) {
            return Start::NotEnough { missing };
        }
        if self.in_sync().len() == leader.members.len() {
            return Start::Now;
        }
        if missing.is_empty() || asked != Asked::Policy {
            return Start::Degraded { missing };
        }
        let wait_ms = leader.policy.start_degraded_after_ms;
        let until_ms = wait_ms.map(|wait_ms| seen_ms.saturating_add(wait_ms));
        match until_ms {
            Some(until_ms) if now_ms >= until_ms => Start::Degraded { missing },
            _ => Start::Wait { missing, until_ms },
        }
    }

    fn is_served(&self, leader: &Superblock) -> bool {
        leader.geometry().is_ok_and(|geometry| geometry.is_served_by(self.in_sync()))
    }

    /// The decision in words: place, reason, remedy.
    pub fn explain(&self, start: &Start) -> String {
        let name = &self.name;
        match start {
            Start::Now => format!("array {name}: all its members are here"),
            Start::Degraded { missing } if missing.is_empty() => {
                format!("array {name}: starts degraded, as it was before")
            }
            Start::Degraded { missing } => format!("array {name}: starts without {}", self.named(*missing)),
            Start::Wait { missing, until_ms: Some(_) } => {
                format!(
                    "array {name}: waits for {}, and then starts without; {AT_ONCE}",
                    self.named(*missing)
                )
            }
            Start::Wait { missing, until_ms: None } => {
                format!(
                    "array {name}: waits for {} (start_degraded_after: never); {AT_ONCE}",
                    self.named(*missing)
                )
            }
            Start::NotEnough { missing } => format!(
                "array {name}: can't be started: some blocks have no copy on what is here; \
                 bring back {}",
                self.named(*missing)
            ),
            Start::Refused(refusal) => format!("array {name}: is not started: {refusal}"),
        }
    }

    /// `d1 (slot 1, serial S-1), d2 (slot 2)`: the members as the leader's table has them.
    fn named(&self, slots: SlotSet) -> String {
        let Some(leader) = self.leader() else { return String::new() };
        let name = |slot: crate::ids::Slot| {
            let member = &leader.members[slot.index()];
            let serial =
                if member.serial.is_empty() { String::new() } else { format!(", serial {}", member.serial) };
            format!("{} (slot {slot}{serial})", member.drive)
        };
        slots.iter().map(name).collect::<Vec<_>>().join(", ")
    }
}

const AT_ONCE: &str = "to start it at once: basalt array start ARRAY --degraded";

impl fmt::Display for StartRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartRefusal::Split(sides) => {
                f.write_str("it is split; these parts went on without each other: ")?;
                for (index, side) in sides.iter().enumerate() {
                    let then = if index == 0 { "" } else { "; " };
                    let drives = side.drives.join(", ");
                    write!(
                        f,
                        "{then}{drives} (generation {}, epoch {})",
                        side.head.generation, side.head.epoch
                    )?;
                }
                f.write_str("; say which to keep: basalt array resolve ARRAY --keep DRIVE")
            }
            StartRefusal::OtherHost(other) => {
                write!(f, "{other}; stop it there, or, if it is dead: basalt array start ARRAY --force")
            }
            StartRefusal::ReadOnly { bits } => write!(
                f,
                "it uses features that this version can't write with (bits {bits:#x}); \
                 use the version of Basalt that wrote it"
            ),
        }
    }
}
