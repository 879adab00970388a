//! What can be wrong with bytes that should be ours.

use thiserror::Error;

/// Why a superblock copy is not to be believed.
#[derive(Clone, Debug, Error, PartialEq, Eq, Hash)]
pub enum Damage {
    /// Nothing of ours is there.
    #[error("there is no Basalt superblock here")]
    NoMagic,
    /// Not enough bytes.
    #[error("only {got} of the superblock's {wanted} bytes are there: the drive is too small, or was cut")]
    Short {
        /// What was given.
        got: usize,
        /// What a superblock has.
        wanted: usize,
    },
    /// The first and the last bytes come from different versions of the record.
    #[error(
        "the copy begins with version {head} and ends with version {tail}: it was torn while it was \
         written; the other copy should be whole"
    )]
    Torn {
        /// The version at its start.
        head: u64,
        /// The version at its end.
        tail: u64,
    },
    /// The checksum is wrong.
    #[error("the checksum is {found:#010x} and should be {wanted:#010x}: the bytes were damaged")]
    BadCrc {
        /// What is written there.
        found: u32,
        /// The sum of what is there.
        wanted: u32,
    },
    /// Another format.
    #[error("it has format {0}, and this version knows format 1; use the version of Basalt that wrote it")]
    UnknownFormat(u32),
    /// Incompatible features that this version does not know.
    #[error(
        "it uses incompatible features that this version does not know (bits {0:#x}); \
         use the version of Basalt that wrote it"
    )]
    UnknownIncompatible(u64),
    /// Whole and intact, and still it can't be.
    #[error(transparent)]
    Impossible(#[from] Impossible),
}

impl Damage {
    /// Whether it is no damage at all, but the work of a later version of Basalt.
    pub fn is_too_new(&self) -> bool {
        matches!(self, Damage::UnknownFormat(_) | Damage::UnknownIncompatible(_))
    }

    /// Whether nothing is there that could have been a superblock.
    pub fn is_nothing(&self) -> bool {
        matches!(self, Damage::NoMagic | Damage::Short { .. })
    }
}

/// A record that no array can have.
#[derive(Clone, Debug, Error, PartialEq, Eq, Hash)]
#[error("{field} is impossible: {why}; the superblock was written by a faulty or foreign program")]
pub struct Impossible {
    /// The field, as `docs/format.md` names it.
    pub field: &'static str,
    /// What is wrong with it.
    pub why: String,
}

impl Impossible {
    pub(super) fn new(field: &'static str, why: impl Into<String>) -> Impossible {
        Impossible { field, why: why.into() }
    }
}

/// Why a sector of the dirty log is not to be believed. Its regions need sync, unless another member's copy
/// of the sector is intact.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Hash)]
pub enum SectorDamage {
    /// Nothing of ours is there.
    #[error("there is no log sector here")]
    NoMagic,
    /// Not enough bytes.
    #[error("the sector is cut off")]
    Short,
    /// The checksum is wrong.
    #[error("the checksum is {found:#010x} and should be {wanted:#010x}")]
    BadCrc {
        /// What is written there.
        found: u32,
        /// The sum of what is there.
        wanted: u32,
    },
    /// It is from another array's log.
    #[error("it belongs to an array whose UUID begins with {0:016x}")]
    OtherArray(u64),
    /// It belongs elsewhere: a write that went astray.
    #[error("it says that it is sector {sector} of page {page}")]
    WrongPlace {
        /// The page it names.
        page: u16,
        /// The sector it names.
        sector: u8,
    },
    /// A state that no region can have.
    #[error("the state of its region {index} is {byte:#04x}, which does not exist")]
    Region {
        /// Which of the sector's 480 regions.
        index: u16,
        /// What it says.
        byte: u8,
    },
    /// Reserved bytes that are not zero.
    #[error("reserved bytes are not zero")]
    Reserved,
}
