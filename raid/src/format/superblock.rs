//! The superblock: what one member says about its array.

use std::fmt;

use super::damage::{Damage, Impossible};
use super::uuid::Uuid16;
use crate::array::ErrorLimits;
use crate::geometry::{Geometry, GeometryError, GeometrySpec, Level};
use crate::ids::{Epoch, Slot, SlotSet};
use crate::view::OnFailed;

/// The most bytes of an array's or drive's name.
pub const NAME_BYTES: usize = 63;
/// The most bytes of a drive's serial number.
pub const SERIAL_BYTES: usize = 31;
/// The most earlier generations that are kept.
pub const HISTORY_MAX: usize = 64;
/// The most bad block ranges.
pub const BAD_BLOCKS_MAX: usize = 250;
/// The most events that are kept on the members.
pub const EVENTS_MAX: usize = 80;

/// The record. It is the same on all members but for `slot`; [`Superblock::check`] says what is possible.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Superblock {
    /// Feature bits.
    pub features: Features,
    /// Grows with every change of the record; of two copies on a drive the larger one counts. From 1.
    pub version: u64,
    /// The array.
    pub array: Uuid16,
    /// The array's name, at most [`NAME_BYTES`].
    pub name: String,
    /// The member that this copy is on.
    pub slot: Slot,
    /// Where blocks live.
    pub shape: Shape,
    /// The View that the member table is of.
    pub epoch: Epoch,
    /// Drawn at random with each member failure and each degraded start.
    pub generation: Generation,
    /// The generations before, newest first, at most [`HISTORY_MAX`].
    pub history: Vec<Generation>,
    /// How the array was left.
    pub shut_down: ShutDown,
    /// Settings that matter when the array is assembled.
    pub policy: Policy,
    /// The host that runs, or ran, the array.
    pub host: Uuid16,
    /// When that host last said that it lives, by its own clock (Unix time).
    pub heartbeat_ms: u64,
    /// The member table, by slot.
    pub members: Vec<MemberRecord>,
    /// How far a rebuild has come.
    pub checkpoint: Option<Checkpoint>,
    /// Ranges of members that can't be read and could not be rewritten, at most [`BAD_BLOCKS_MAX`].
    pub bad_blocks: Vec<BadBlock>,
    /// The number of the newest event; 0 before the first.
    pub last_event: u64,
    /// The newest events, oldest first, without gaps, at most [`EVENTS_MAX`].
    pub events: Vec<EventRecord>,
}

/// What a reader must know of. Unknown bits are kept as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Features {
    /// May be ignored: their bytes may be lost when the record is written by one that does not know them.
    pub compatible: u64,
    /// Who does not know them must not write to the array.
    pub read_only_compatible: u64,
    /// Who does not know them must not touch the array.
    pub incompatible: u64,
}

impl Features {
    /// The features of each kind that this version knows: none yet.
    pub const KNOWN: Features = Features { compatible: 0, read_only_compatible: 0, incompatible: 0 };

    /// Bits in here that this version does not know.
    #[must_use]
    pub fn unknown(self) -> Features {
        Features {
            compatible: self.compatible & !Features::KNOWN.compatible,
            read_only_compatible: self.read_only_compatible & !Features::KNOWN.read_only_compatible,
            incompatible: self.incompatible & !Features::KNOWN.incompatible,
        }
    }
}

/// Where blocks live, but for the sizes of the members. In blocks of `block_size` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// The level; raid10 with its copies.
    pub level: Level,
    /// 512 or 4096.
    pub block_size: u32,
    /// Blocks of a chunk; 0 for levels without chunks.
    pub chunk_blocks: u64,
    /// Blocks of a region.
    pub region_blocks: u64,
    /// Where data begins on every member, at least [`super::DATA_OFFSET_MIN`] bytes.
    pub data_offset_blocks: u64,
    /// Blocks that hosts see.
    pub num_blocks: u64,
}

impl Shape {
    /// The shape that `geometry` has.
    pub fn of(geometry: &Geometry) -> Shape {
        Shape {
            level: geometry.level(),
            block_size: geometry.block_size(),
            chunk_blocks: geometry.chunk_blocks(),
            region_blocks: geometry.region_blocks(),
            data_offset_blocks: geometry.data_offset_blocks(),
            num_blocks: geometry.num_blocks(),
        }
    }
}

/// One state of the history of an array. Two that went on from one generation without each other differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// How the array was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ShutDown {
    /// It was stopped, and everything had been flushed.
    Clean,
    /// It is running, or was cut off.
    Unclean,
}

/// Settings of the array that matter before its configuration is known. The YAML names are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// How members are kept consistent over a crash.
    pub consistency: Consistency,
    /// What happens to I/O that no member can serve.
    pub on_failed: OnFailed,
    /// How many errors fail a member (`max_errors`).
    pub limits: ErrorLimits,
    /// A member that does not answer for so long is failed.
    pub member_timeout_ms: u64,
    /// How long to wait for missing members before a degraded start; None: for ever.
    pub start_degraded_after_ms: Option<u64>,
}

/// How members are kept consistent over a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Consistency {
    /// Not at all.
    None,
    /// Regions are marked dirty before they are written.
    Bitmap,
    /// Parity writes go to a log first.
    Log,
}

/// A slot of the member table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MemberRecord {
    /// The member: drawn at random when its drive was added.
    pub uuid: Uuid16,
    /// What it holds.
    pub state: RecordState,
    /// Blocks of its drive.
    pub blocks: u64,
    /// Whether it has a FLUSH; else it was declared durable without (`assume_durable`).
    pub flushes: bool,
    /// Reads that it failed.
    pub read_errors: u32,
    /// Writes and flushes that it failed.
    pub write_errors: u32,
    /// The drive's name when it was added, at most [`NAME_BYTES`]. A hint: names may change, UUIDs don't.
    pub drive: String,
    /// The drive's serial number, at most [`SERIAL_BYTES`]; empty where it has none.
    pub serial: String,
    /// The namespace's NGUID; zeros where it has none.
    pub nguid: [u8; 16],
}

impl MemberRecord {
    /// A slot that has no member.
    pub fn missing() -> MemberRecord {
        MemberRecord {
            uuid: Uuid16::NIL,
            state: RecordState::Missing,
            blocks: 0,
            flushes: false,
            read_errors: 0,
            write_errors: 0,
            drive: String::new(),
            serial: String::new(),
            nguid: [0; 16],
        }
    }

    /// Whether the slot has a member.
    pub fn is_filled(&self) -> bool {
        self.state != RecordState::Missing
    }
}

/// What a member holds, as the record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordState {
    /// The slot has no member: it was never filled, or its member was removed.
    Missing,
    /// Every acknowledged write.
    InSync,
    /// Some; it is being filled.
    Rebuilding,
    /// It was failed, and has missed writes since.
    Faulty,
}

impl RecordState {
    /// The name that people see.
    pub fn name(self) -> &'static str {
        match self {
            RecordState::Missing => "missing",
            RecordState::InSync => "in_sync",
            RecordState::Rebuilding => "rebuilding",
            RecordState::Faulty => "faulty",
        }
    }
}

/// How far a rebuild has come: everything before is on the member, flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Checkpoint {
    /// The member that is being filled.
    pub slot: Slot,
    /// The array's blocks `[0, position_blocks)` are done.
    pub position_blocks: u64,
}

/// Blocks of a member that can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BadBlock {
    /// The member.
    pub slot: Slot,
    /// First block on the member, data offset included.
    pub lba: u64,
    /// Number of blocks.
    pub blocks: u32,
}

/// An event, as far as it is kept on the members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventRecord {
    /// Its number.
    pub seq: u64,
    /// When it took effect (Unix time).
    pub time_ms: u64,
    /// The View that it made.
    pub epoch: Epoch,
    /// What happened; the Array gives the codes their meaning.
    pub code: u16,
    /// The member that it is about.
    pub slot: Option<Slot>,
    /// More about it; the code gives it its meaning.
    pub detail: [u8; 16],
}

/// Which of a drive's two copies counts: the good one with the greater version. None: neither is good, or one
/// of them was written by a later version of Basalt, after which the other one says nothing any more.
pub fn newest_copy(copies: &[Result<Superblock, Damage>; 2]) -> Option<usize> {
    if copies.iter().any(|copy| copy.as_ref().is_err_and(Damage::is_too_new)) {
        return None;
    }
    let versions = copies.each_ref().map(|copy| copy.as_ref().ok().map(|sb| sb.version));
    match versions {
        [None, None] => None,
        [a, b] => Some(usize::from(b > a)),
    }
}

impl Superblock {
    /// The same record, as it is written to another member.
    #[must_use]
    pub fn on(&self, slot: Slot) -> Superblock {
        Superblock { slot, ..self.clone() }
    }

    /// The member that this copy is on.
    pub fn member(&self) -> &MemberRecord {
        &self.members[self.slot.index()]
    }

    /// Slots whose member is in `state`.
    pub fn slots_in(&self, state: RecordState) -> SlotSet {
        let slots = self.members.iter().enumerate().filter(|(_, member)| member.state == state);
        slots.map(|(slot, _)| Slot(slot as u8)).collect()
    }

    /// The geometry that shape and members make.
    pub fn geometry(&self) -> Result<Geometry, GeometryError> {
        let filled = |member: &MemberRecord| member.is_filled().then_some(member.blocks);
        let spec = GeometrySpec {
            level: self.shape.level,
            block_size: self.shape.block_size,
            member_blocks: self.members.iter().map(filled).collect(),
            chunk_blocks: self.shape.chunk_blocks,
            region_blocks: Some(self.shape.region_blocks),
            data_offset_blocks: self.shape.data_offset_blocks,
        };
        spec.build_sized(self.shape.num_blocks)
    }

    /// Whether `other` went on from what this record says: this one's generation is `other`'s or in its past.
    pub fn is_ancestor_of(&self, other: &Superblock) -> bool {
        self.generation == other.generation || other.history.contains(&self.generation)
    }

    /// Starts a new generation: the one so far goes to the head of the history, the oldest may fall out.
    pub fn begin_generation(&mut self, generation: Generation) {
        self.history.insert(0, self.generation);
        self.history.truncate(HISTORY_MAX);
        self.generation = generation;
    }

    /// Takes the member out of `slot`, and what is recorded of it.
    pub fn clear_slot(&mut self, slot: Slot) {
        self.members[slot.index()] = MemberRecord::missing();
        self.bad_blocks.retain(|bad| bad.slot != slot);
        self.checkpoint = self.checkpoint.filter(|checkpoint| checkpoint.slot != slot);
    }

    /// Whether an array can have this record. Encoding one that can't is a bug; decoding refuses it.
    pub fn check(&self) -> Result<(), Impossible> {
        super::check::check(self)
    }
}
