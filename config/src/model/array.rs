//! `arrays`: levels, members, and how an array behaves.

use std::fmt;
use std::time::Duration;

use crate::order::NameAt;
use crate::{Bytes, Place, RateBytesPerS, Spanned};

/// One array.
#[derive(Clone, Debug)]
pub struct Array {
    /// The item in the file.
    pub place: Place,
    /// Its name: unique among drives and arrays, of the same form.
    pub name: Spanned<String>,
    /// How data is spread.
    pub level: Spanned<Level>,
    /// One for each slot, in order.
    pub members: Spanned<Vec<Spanned<Member>>>,
    /// Drives that may take the place of a failed member. A drive may be a spare of several arrays.
    pub spares: Vec<Spanned<String>>,
    /// The piece of a stripe on one member: a power of two. None for levels without stripes (concat, raid1).
    /// Default: 64 KiB.
    pub chunk: Option<Spanned<Bytes>>,
    /// Default: `left-symmetric` for raid5 and raid6, `near=2` for raid10.
    pub layout: Spanned<Layout>,
    /// What a crash leaves behind. Default: log for parity, bitmap for mirrors, none without redundancy or
    /// without metadata.
    pub consistency: Spanned<Consistency>,
    /// Size of a region of the dirty log, a power of two. None: chosen when the array is made.
    pub region: Option<Spanned<Bytes>>,
    /// Where data begins on each member, a multiple of 4 KiB. None: chosen when the array is made.
    pub data_offset: Option<Spanned<Bytes>>,
    /// How a new array gets members that agree. Default: auto.
    pub initial: Spanned<Initial>,
    /// Whether the members know of the array. Default: drives.
    pub metadata: Spanned<Metadata>,
    /// When an array that misses members starts without them. Default: after 30 s.
    pub start_degraded: Spanned<StartDegraded>,
    /// A member that does not answer for so long is failed: 100 ms to 1 h. Default: 10 s.
    pub member_timeout: Spanned<Duration>,
    /// What I/O gets once more members are lost than the level tolerates. Default: error.
    pub on_failed: Spanned<OnFailed>,
    /// How many errors fail a member.
    pub max_errors: MaxErrors,
    /// How resync, rebuild and check behave.
    pub sync: Sync,
}

/// How data is spread over the members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// One member after the other.
    Concat,
    /// Striped.
    Raid0,
    /// Mirrored.
    Raid1,
    /// Striped mirrors.
    Raid10,
    /// Striped, one parity.
    Raid5,
    /// Striped, two parities.
    Raid6,
}

/// What a slot is filled with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Member {
    /// Nothing yet.
    Missing,
    /// The drive of that name.
    Drive(String),
    /// The array of that name.
    Array(String),
}

/// How chunks are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// The level knows only one (concat, raid0, raid1).
    Plain,
    /// raid10: this many copies, side by side. At least 2, at most the number of members.
    Near(u32),
    /// raid5, raid6: where parity goes.
    Parity(ParityLayout),
}

/// Parity layouts by md's names. Those with `ddf` and `-6` in their names are raid6 only.
///
/// Left: parity moves from the last member to the first; right: the other way. Asymmetric: data begins at the
/// first member of each stripe; symmetric: data goes on behind the parity. The `6` ones are raid5 layouts
/// with Q on the last member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParityLayout {
    /// `left-asymmetric`
    LeftAsymmetric,
    /// `right-asymmetric`
    RightAsymmetric,
    /// `left-symmetric`
    LeftSymmetric,
    /// `right-symmetric`
    RightSymmetric,
    /// `parity-first`: parity on the first members.
    ParityFirst,
    /// `parity-last`: parity on the last members.
    ParityLast,
    /// `ddf-zero-restart`
    DdfZeroRestart,
    /// `ddf-N-restart`
    DdfNRestart,
    /// `ddf-N-continue`
    DdfNContinue,
    /// `left-asymmetric-6`
    LeftAsymmetric6,
    /// `right-asymmetric-6`
    RightAsymmetric6,
    /// `left-symmetric-6`
    LeftSymmetric6,
    /// `right-symmetric-6`
    RightSymmetric6,
    /// `parity-first-6`
    ParityFirst6,
}

/// What makes members agree again after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// A log of what is about to be written: closes the write hole of parity levels.
    Log,
    /// A bitmap of dirty regions: they are synced again. On parity levels the write hole stays open.
    Bitmap,
    /// Nothing: after a crash all is synced again, and until then redundancy is not to be trusted.
    None,
}

/// How the members of a new array come to agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initial {
    /// Lazy where zeroing is cheap, else zero.
    Auto,
    /// A region's first write makes its members agree.
    Lazy,
    /// All is zeroed in the background.
    Zero,
    /// The operator vouches that they agree already.
    AssumeClean,
}

/// Whether the members carry superblocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metadata {
    /// They do.
    Drives,
    /// They do not: the array is made anew at each start and never assembled.
    None,
}

/// When an array that misses members starts without them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartDegraded {
    /// After that time.
    After(Duration),
    /// When the operator says so.
    Never,
}

/// What I/O gets from a failed array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailed {
    /// An error.
    Error,
    /// It waits for the drives to come back.
    Wait,
}

/// How many errors fail a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaxErrors {
    /// Read errors, at least 1. Default: 20.
    pub read: Spanned<u32>,
    /// Write errors, at least 1. Default: 1.
    pub write: Spanned<u32>,
}

/// How resync, rebuild and check behave beside host I/O.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sync {
    /// They get at least this, whatever hosts do; may be 0. Default: 50 MiB/s.
    pub min_rate: Spanned<RateBytesPerS>,
    /// They get at most this; never below `min_rate`. None: unlimited, the default.
    pub max_rate: Option<Spanned<RateBytesPerS>>,
    /// Above `min_rate` they slow down when the 99th percentile of host latency exceeds this. Default: 2 ms.
    pub host_p99: Spanned<Duration>,
    /// Arrays whose syncs go first; never in a loop.
    pub after: Vec<Spanned<String>>,
}

impl ParityLayout {
    /// All of them: those that raid5 has come first.
    pub(crate) const ALL: [Self; 14] = [
        Self::LeftSymmetric,
        Self::LeftAsymmetric,
        Self::RightSymmetric,
        Self::RightAsymmetric,
        Self::ParityFirst,
        Self::ParityLast,
        Self::DdfZeroRestart,
        Self::DdfNRestart,
        Self::DdfNContinue,
        Self::LeftSymmetric6,
        Self::LeftAsymmetric6,
        Self::RightSymmetric6,
        Self::RightAsymmetric6,
        Self::ParityFirst6,
    ];

    /// Those of `level`.
    pub(crate) fn of(level: Level) -> &'static [Self] {
        match level {
            Level::Raid5 => &Self::ALL[..6],
            Level::Raid6 => &Self::ALL,
            Level::Concat | Level::Raid0 | Level::Raid1 | Level::Raid10 => &[],
        }
    }

    /// md's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LeftAsymmetric => "left-asymmetric",
            Self::RightAsymmetric => "right-asymmetric",
            Self::LeftSymmetric => "left-symmetric",
            Self::RightSymmetric => "right-symmetric",
            Self::ParityFirst => "parity-first",
            Self::ParityLast => "parity-last",
            Self::DdfZeroRestart => "ddf-zero-restart",
            Self::DdfNRestart => "ddf-N-restart",
            Self::DdfNContinue => "ddf-N-continue",
            Self::LeftAsymmetric6 => "left-asymmetric-6",
            Self::RightAsymmetric6 => "right-asymmetric-6",
            Self::LeftSymmetric6 => "left-symmetric-6",
            Self::RightSymmetric6 => "right-symmetric-6",
            Self::ParityFirst6 => "parity-first-6",
        }
    }
}

impl Level {
    /// All of them.
    pub(crate) const ALL: [Self; 6] =
        [Self::Concat, Self::Raid0, Self::Raid1, Self::Raid10, Self::Raid5, Self::Raid6];

    /// Its name in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Concat => "concat",
            Self::Raid0 => "raid0",
            Self::Raid1 => "raid1",
            Self::Raid10 => "raid10",
            Self::Raid5 => "raid5",
            Self::Raid6 => "raid6",
        }
    }

    /// Fewest slots.
    pub const fn members_min(self) -> usize {
        match self {
            Self::Concat => 1,
            Self::Raid0 | Self::Raid1 | Self::Raid10 => 2,
            Self::Raid5 => 3,
            Self::Raid6 => 4,
        }
    }

    /// Whether it keeps parity.
    pub const fn has_parity(self) -> bool {
        matches!(self, Self::Raid5 | Self::Raid6)
    }

    /// Whether it survives the loss of a member.
    pub const fn is_redundant(self) -> bool {
        !matches!(self, Self::Concat | Self::Raid0)
    }

    /// Whether it has chunks.
    pub const fn is_striped(self) -> bool {
        !matches!(self, Self::Concat | Self::Raid1)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Consistency {
    /// Its name in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Bitmap => "bitmap",
            Self::None => "none",
        }
    }
}

impl Member {
    /// The name of the drive or array; none for a missing one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Missing => None,
            Self::Drive(name) | Self::Array(name) => Some(name),
        }
    }
}

impl Array {
    /// Most slots of an array: `raid` keeps sets of slots in 32 bits.
    pub const MEMBERS_MAX: usize = 32;

    /// The names of the arrays among its members.
    pub(crate) fn member_arrays(&self) -> impl Iterator<Item = NameAt<'_>> {
        self.members.iter().filter_map(|member| match &member.value {
            Member::Array(name) => Some(NameAt { name, place: &member.place }),
            Member::Drive(_) | Member::Missing => None,
        })
    }
}
