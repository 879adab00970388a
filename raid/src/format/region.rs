//! The state of a region, and its byte in the log.
//!
//! ```text
//!   bits 7..3: source slot (NeedSync, Syncing; else 0)   bits 2..0: 0 Unwritten  1 Clean  2 Dirty
//!                                                                    3 NeedSync  4 Syncing
//! ```

use crate::ids::{SLOTS_MAX, Slot};

/// What is known about the copies of a region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RegionState {
    /// Never written: it reads as zeros, whatever the members hold.
    #[default]
    Unwritten,
    /// The members agree.
    Clean,
    /// Writes may be under way: after a crash the members may differ.
    Dirty,
    /// The members may differ; all reads come from one of them.
    NeedSync {
        /// The member to read from.
        source: Slot,
    },
    /// The members are being made equal.
    Syncing {
        /// The member to read from.
        source: Slot,
    },
}

const _: () = assert!(SLOTS_MAX <= 1 << 5, "a slot must fit into five bits");

impl RegionState {
    /// The byte in the log.
    pub fn to_byte(self) -> u8 {
        match self {
            RegionState::Unwritten => 0,
            RegionState::Clean => 1,
            RegionState::Dirty => 2,
            RegionState::NeedSync { source } => 3 | source.0 << 3,
            RegionState::Syncing { source } => 4 | source.0 << 3,
        }
    }

    /// The state that `byte` stands for; None for one that no state has.
    #[inline]
    pub fn from_byte(byte: u8) -> Option<RegionState> {
        let source = Slot(byte >> 3);
        match (byte & 7, source) {
            (0, Slot(0)) => Some(RegionState::Unwritten),
            (1, Slot(0)) => Some(RegionState::Clean),
            (2, Slot(0)) => Some(RegionState::Dirty),
            (3, _) => Some(RegionState::NeedSync { source }),
            (4, _) => Some(RegionState::Syncing { source }),
            _ => None,
        }
    }

    /// The member that all reads come from, if the members may differ.
    pub fn source(self) -> Option<Slot> {
        match self {
            RegionState::NeedSync { source } | RegionState::Syncing { source } => Some(source),
            RegionState::Unwritten | RegionState::Clean | RegionState::Dirty => None,
        }
    }

    /// How much is to be feared: NeedSync > Syncing > Dirty > Clean > Unwritten.
    pub fn pessimism(self) -> u8 {
        match self {
            RegionState::Unwritten => 0,
            RegionState::Clean => 1,
            RegionState::Dirty => 2,
            RegionState::Syncing { .. } => 3,
            RegionState::NeedSync { .. } => 4,
        }
    }

    /// The name that people see.
    pub fn name(self) -> &'static str {
        match self {
            RegionState::Unwritten => "unwritten",
            RegionState::Clean => "clean",
            RegionState::Dirty => "dirty",
            RegionState::NeedSync { .. } => "need_sync",
            RegionState::Syncing { .. } => "syncing",
        }
    }
}
