//! A rule: which I/O, and what becomes of it. As it comes by JSON-RPC.

use serde::{Deserialize, Serialize};
use spdk_rs::bdev::{IoError, IoKind};

/// A kind of I/O that a rule can be about. (An abort always does what it can.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Blocks to memory.
    Read,
    /// Memory to blocks.
    Write,
    /// Makes writes durable.
    Flush,
    /// Discards blocks.
    Unmap,
    /// Zeroes blocks.
    WriteZeroes,
    /// Resets the drive.
    Reset,
}

impl Op {
    /// None for an abort.
    pub fn of(kind: IoKind) -> Option<Op> {
        match kind {
            IoKind::Read => Some(Op::Read),
            IoKind::Write => Some(Op::Write),
            IoKind::Flush => Some(Op::Flush),
            IoKind::Unmap => Some(Op::Unmap),
            IoKind::WriteZeroes => Some(Op::WriteZeroes),
            IoKind::Reset => Some(Op::Reset),
            IoKind::Abort => None,
        }
    }
}

/// What a rule does to an I/O.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// It fails, and is not sent to the base.
    Error(FaultError),
    /// It waits this long, in milliseconds, before it is sent.
    DelayMs(u64),
    /// It waits until it is released. Always true.
    Hang(bool),
}

/// How an I/O fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultError {
    /// Unrecovered read error.
    MediaRead,
    /// Write fault.
    MediaWrite,
    /// The way to the drive is broken.
    Path,
    /// The drive is not there any more (which does not make it vanish).
    Gone,
    /// Aborted by request.
    Aborted,
    /// The drive is short of something just now: "command interrupted, try again".
    NoResources,
    /// Internal device error.
    Other,
}

impl FaultError {
    /// What the host sees. Numbers: NVM Express Base Specification 2.0, status code types and values.
    pub fn status(self) -> IoError {
        match self {
            FaultError::MediaRead => IoError::MEDIA_READ,
            FaultError::MediaWrite => IoError::MEDIA_WRITE,
            FaultError::Path => IoError::from_nvme(0x3, 0x00),
            FaultError::Gone => gone(),
            FaultError::Aborted => IoError::ABORTED,
            FaultError::NoResources => IoError::from_nvme(0x0, 0x21),
            FaultError::Other => IoError::OTHER,
        }
    }
}

/// "Invalid Namespace or Format": what SPDK too makes of a drive that is gone.
pub(crate) fn gone() -> IoError {
    IoError::from_nvme(0x0, 0x0b)
}

/// A rule, as it is injected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The kinds of I/O that it is about.
    pub ops: Vec<Op>,
    /// First block of the range that an I/O must touch; the first of the drive if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lba: Option<u64>,
    /// Length of that range; to the end of the drive if missing. A reset touches every range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocks: Option<u64>,
    /// So many I/Os that match are let through first.
    #[serde(default)]
    pub after: u64,
    /// How often it fires; for ever if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// How long it lives, in milliseconds; until it is cleared if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<u64>,
    /// What it does.
    #[serde(rename = "do")]
    pub fault: Fault,
}

/// An I/O as far as rules care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// What it does.
    pub op: Op,
    /// First block.
    pub lba: u64,
    /// Number of blocks. 0 for a reset.
    pub blocks: u64,
}

impl Rule {
    /// What is impossible about it on a drive of this size: reason and remedy.
    pub fn check(&self, num_blocks: u64) -> Result<(), (String, &'static str)> {
        let refuse = |reason: &str, remedy| Err((reason.to_owned(), remedy));
        if self.ops.is_empty() {
            return refuse("the rule is about no kind of I/O", "name some: ops: [\"read\", \"write\"]");
        }
        if self.blocks == Some(0) {
            return refuse("a range of 0 blocks is touched by no I/O", "leave `blocks` out, or ask for some");
        }
        if self.count == Some(0) {
            return refuse("a rule with count 0 never fires", "leave `count` out, or ask for some");
        }
        if self.fault == Fault::Hang(false) {
            return refuse("hang: false does nothing", "use hang: true");
        }
        let first = self.lba.unwrap_or(0);
        if first.checked_add(self.blocks.unwrap_or(1)).is_none_or(|end| end > num_blocks) {
            let reason = format!("the range from block {first} on leaves the drive, of {num_blocks} blocks");
            return Err((reason, "name a range that is on the drive"));
        }
        Ok(())
    }

    /// Whether an I/O is of the kind and in the range.
    pub fn matches(&self, io: &Request) -> bool {
        let first = self.lba.unwrap_or(0);
        let end = self.blocks.map_or(u64::MAX, |blocks| first.saturating_add(blocks));
        let touched = io.op == Op::Reset || (io.lba < end && io.lba + io.blocks > first);
        self.ops.contains(&io.op) && touched
    }
}
