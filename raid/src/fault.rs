//! Why an I/O failed, as far as RAID decisions need to know.

use std::fmt;

/// The kinds of failure that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The medium could not keep or give back these blocks; the drive itself answers.
    Media,
    /// The way to the drive failed (fabric, controller, transport); the blocks may be well.
    Path,
    /// The drive is not there any more.
    Gone,
    /// Somebody aborted the command: a reset of ours, of a neighbour's, or a host's abort.
    Aborted,
    /// A resource was short (buffers, queue entries). Never a reason to fail an I/O or a member.
    NoResources,
    /// The array has lost more members than its level tolerates for these blocks.
    ArrayFailed,
    /// Anything else; the drive answered with an error that says nothing about medium or path.
    Other,
}

/// A failure: its kind, and the NVMe status (type, code) that the host should see where there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fault {
    /// What decisions depend on.
    pub kind: FaultKind,
    /// NVMe status code type; 0 with `sc` 0 where the failure did not come from an NVMe status.
    pub sct: u8,
    /// NVMe status code.
    pub sc: u8,
}

impl Fault {
    /// A failure with no NVMe status of its own.
    pub const fn of(kind: FaultKind) -> Fault {
        Fault { kind, sct: 0, sc: 0 }
    }

    /// Whether the command may simply be sent again: nothing is known to be wrong with the member.
    pub fn is_transient(self) -> bool {
        matches!(self.kind, FaultKind::Aborted | FaultKind::NoResources)
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FaultKind::Media => "media error",
            FaultKind::Path => "path error",
            FaultKind::Gone => "drive gone",
            FaultKind::Aborted => "aborted",
            FaultKind::NoResources => "out of resources",
            FaultKind::ArrayFailed => "array failed",
            FaultKind::Other => "error",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.sct, self.sc) {
            (0, 0) => self.kind.fmt(f),
            (sct, sc) => write!(f, "{} (NVMe status {sct:x}/{sc:02x})", self.kind),
        }
    }
}
