//! The member table.

use std::fmt;

use crate::fault::Fault;

/// A slot of the array and the drive in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    drive: Option<String>,
    read_errors: u32,
    write_errors: u32,
    repairs: u32,
}

/// How many errors fail a member (YAML `max_errors`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErrorLimits {
    /// Read errors, all of them answered from redundancy.
    pub read: u32,
    /// Write and flush errors.
    pub write: u32,
}

impl Default for ErrorLimits {
    fn default() -> ErrorLimits {
        ErrorLimits { read: 20, write: 1 }
    }
}

impl Member {
    pub(super) fn new(drive: Option<String>, read_errors: u32, write_errors: u32) -> Member {
        Member { drive, read_errors, write_errors, repairs: 0 }
    }

    /// The drive's name; None when the slot is empty.
    pub fn drive(&self) -> Option<&str> {
        self.drive.as_deref()
    }

    /// Reads that it failed.
    pub fn read_errors(&self) -> u32 {
        self.read_errors
    }

    /// Writes and flushes that it failed.
    pub fn write_errors(&self) -> u32 {
        self.write_errors
    }

    /// Reads that it failed and that were repaired since the array was started.
    pub fn repairs(&self) -> u32 {
        self.repairs
    }

    pub(super) fn count_repair(&mut self) {
        self.repairs = self.repairs.saturating_add(1);
    }

    pub(super) fn count_read_error(&mut self) -> u32 {
        self.read_errors = self.read_errors.saturating_add(1);
        self.read_errors
    }

    pub(super) fn count_write_error(&mut self) -> u32 {
        self.write_errors = self.write_errors.saturating_add(1);
        self.write_errors
    }

    pub(super) fn detach(&mut self) {
        *self = Member::new(None, 0, 0);
    }
}

/// The state of a member as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemberState {
    /// Holds every acknowledged write.
    InSync,
    /// Failed; its drive is still attached.
    Faulty,
    /// No drive, or one that does not answer.
    Missing,
}

impl MemberState {
    /// The name on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            MemberState::InSync => "in_sync",
            MemberState::Faulty => "faulty",
            MemberState::Missing => "missing",
        }
    }
}

impl fmt::Display for MemberState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a member was failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailCause {
    /// The drive is gone.
    Gone,
    /// A write did not reach it.
    WriteError(Fault),
    /// A flush failed: what it had cached may be lost.
    FlushError(Fault),
    /// Too many read errors.
    ReadErrors,
    /// Somebody said so.
    Operator,
    /// Metadata could not be written there.
    RecordError(Fault),
    /// The array was started without it.
    Absent,
    /// It did not answer for `member_timeout`.
    TimedOut,
}

impl fmt::Display for FailCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FailCause::Gone => f.write_str("the drive is gone"),
            FailCause::WriteError(fault) => write!(f, "a write failed: {fault}"),
            FailCause::FlushError(fault) => write!(f, "a flush failed: {fault}"),
            FailCause::ReadErrors => f.write_str("too many read errors"),
            FailCause::Operator => f.write_str("failed by command"),
            FailCause::RecordError(fault) => write!(f, "metadata could not be written to it: {fault}"),
            FailCause::TimedOut => f.write_str("it did not answer for member_timeout"),
            FailCause::Absent => f.write_str("the array was started without it"),
        }
    }
}
