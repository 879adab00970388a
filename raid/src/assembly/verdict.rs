//! What a drive is, in words for an operator.

use std::fmt;

use super::DriveFound;
use crate::format::{Damage, Generation};
use crate::ids::Slot;

/// What a drive is to its array.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It holds every acknowledged write.
    InSync {
        /// Its slot.
        slot: Slot,
    },
    /// It is being filled, and may go on from the leader's checkpoint.
    Rebuilding {
        /// Its slot.
        slot: Slot,
    },
    /// It was failed, or left out of a degraded start, and has missed writes. Its generation is an ancestor of
    /// the leader's, so that it can be added again by what the dirty logs say.
    Stale {
        /// Its slot.
        slot: Slot,
    },
    /// The leader's table does not know it any more: it was removed or replaced.
    Replaced {
        /// The slot that it was in.
        slot: Slot,
    },
    /// It went on without the side that an operator has chosen: it must be filled from scratch.
    Diverged {
        /// The slot that it is in on its own side.
        slot: Slot,
    },
    /// Its array is split, and nobody has chosen a side yet.
    Split {
        /// The generation of its record.
        generation: Generation,
    },
    /// Other drives say that they are the same member.
    Duplicate {
        /// The other drives.
        of: Vec<String>,
        /// What serial numbers and NGUIDs say about it.
        kinship: Kinship,
    },
    /// Another drive, which says that it is the same member, was chosen.
    NotChosen {
        /// The one that was chosen.
        chosen: String,
    },
    /// It has fewer blocks than the member had.
    TooSmall {
        /// What it has.
        blocks: u64,
        /// What the member had.
        needed_blocks: u64,
    },
    /// Its blocks have another size than the array's.
    WrongBlockSize {
        /// Bytes of its blocks.
        has: u32,
        /// Bytes of the array's.
        needs: u32,
    },
    /// It was a member, and neither of its superblock copies is good.
    Damaged {
        /// What is wrong with copies A and B.
        copies: Box<[Damage; 2]>,
    },
    /// A later version of Basalt has written its superblock.
    TooNew(Damage),
    /// Nothing of ours is on it.
    Blank,
}

/// What a drive is to others that say that they are the same member, by serial number and NGUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kinship {
    /// The very same drive, attached twice.
    SameDrive,
    /// The drive that the member was made on.
    Original,
    /// Another drive than the one that the member was made on.
    Copy,
    /// Drive or record has neither a serial number nor an NGUID.
    Unknown,
}

impl fmt::Display for Kinship {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kinship::SameDrive => "the same drive, attached twice",
            Kinship::Original => "the original, by its serial number or NGUID",
            Kinship::Copy => "a copy, by its serial number or NGUID",
            Kinship::Unknown => "a duplicate",
        })
    }
}

impl Verdict {
    /// The slot of a drive that the leader's table knows.
    pub fn slot(&self) -> Option<Slot> {
        match self {
            Verdict::InSync { slot } | Verdict::Rebuilding { slot } | Verdict::Stale { slot } => Some(*slot),
            _ => None,
        }
    }

    /// The member state in JSON.
    pub fn state_name(&self) -> &'static str {
        match self {
            Verdict::InSync { .. } => "in_sync",
            Verdict::Rebuilding { .. } => "rebuilding",
            Verdict::Stale { .. } => "stale",
            Verdict::Diverged { .. } | Verdict::Split { .. } => "split",
            Verdict::TooSmall { .. } | Verdict::WrongBlockSize { .. } | Verdict::Damaged { .. } => "faulty",
            Verdict::Replaced { .. }
            | Verdict::Duplicate { .. }
            | Verdict::NotChosen { .. }
            | Verdict::TooNew(_)
            | Verdict::Blank => "foreign",
        }
    }
}

const OVERWRITE: &str =
    "to use it as a member, and lose what it holds: basalt member add ARRAY DRIVE --overwrite";

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::InSync { slot } => write!(f, "in sync, slot {slot}"),
            Verdict::Rebuilding { slot } => write!(f, "being rebuilt, slot {slot}"),
            Verdict::Stale { slot } => write!(
                f,
                "stale: the array went on without the member in slot {slot}; \
                 to bring it up to date: basalt member add ARRAY DRIVE"
            ),
            Verdict::Replaced { slot } => write!(
                f,
                "not a member any more: it was removed from slot {slot}, or replaced there; {OVERWRITE}"
            ),
            Verdict::Diverged { slot } => write!(
                f,
                "diverged: in slot {slot} it went on without the side that was kept, and what it holds is not \
                 merged; {OVERWRITE}"
            ),
            Verdict::Split { generation } => write!(
                f,
                "split: parts of its array went on without each other, this one as generation {generation}; \
                 say which side to keep: basalt array resolve ARRAY --keep DRIVE"
            ),
            Verdict::Duplicate { of, kinship } => write!(
                f,
                "{kinship}: {} says that it is the same member, and none of them is used; detach all but one, \
                 or say which: basalt array resolve ARRAY --keep DRIVE",
                of.join(", ")
            ),
            Verdict::NotChosen { chosen } => write!(
                f,
                "a duplicate of {chosen}, which was chosen; detach it, or wipe it before the next start"
            ),
            Verdict::TooSmall { blocks, needed_blocks } => write!(
                f,
                "too small: it has {blocks} blocks, and the member had {needed_blocks}; \
                 give it back its size, or replace it: basalt member replace ARRAY DRIVE"
            ),
            Verdict::WrongBlockSize { has, needs } => write!(
                f,
                "it has blocks of {has} bytes, and the array has {needs}; \
                 format the drive back to {needs}, or replace it: basalt member replace ARRAY DRIVE"
            ),
            Verdict::Damaged { copies } => write!(
                f,
                "damaged: copy A of its superblock: {}; copy B: {}; see basalt examine; {OVERWRITE}",
                copies[0], copies[1]
            ),
            Verdict::TooNew(damage) => write!(f, "written by a later version of Basalt: {damage}"),
            Verdict::Blank => f.write_str("not a member: there is no superblock on it"),
        }
    }
}

impl fmt::Display for DriveFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.drive, self.verdict)
    }
}
