//! Why a faulty drive can't do what it was told.

use std::fmt;

/// A refusal: which drive, why, and what to do about it. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{drive}: {reason}; {remedy}")]
pub struct FaultyError {
    /// What to match on.
    pub kind: FaultyErrorKind,
    /// The drive that it is about.
    pub drive: String,
    /// What is wrong, as a clause without a full stop.
    pub reason: String,
    /// What would be right, likewise.
    pub remedy: String,
}

/// The kinds of refusal; each maps to one errno.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultyErrorKind {
    /// A parameter is impossible.
    Invalid,
    /// A bdev of this name exists.
    Name,
    /// No faulty drive, base or rule of this name.
    Unknown,
    /// Somebody else uses the base, or the drive is on its way out.
    Busy,
    /// Not in this state: a drive that is there can't return.
    State,
    /// SPDK refused, or is ending.
    Spdk,
}

impl FaultyErrorKind {
    /// The errno that says the same, positive.
    pub fn errno(self) -> i32 {
        match self {
            FaultyErrorKind::Invalid => libc::EINVAL,
            FaultyErrorKind::Name => libc::EEXIST,
            FaultyErrorKind::Unknown => libc::ENODEV,
            FaultyErrorKind::Busy => libc::EBUSY,
            FaultyErrorKind::State => libc::EALREADY,
            FaultyErrorKind::Spdk => libc::EIO,
        }
    }
}

impl FaultyError {
    pub(crate) fn new(
        kind: FaultyErrorKind,
        drive: &str,
        reason: impl fmt::Display,
        remedy: impl fmt::Display,
    ) -> FaultyError {
        FaultyError { kind, drive: drive.into(), reason: reason.to_string(), remedy: remedy.to_string() }
    }
}
