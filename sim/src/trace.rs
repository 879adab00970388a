//! What happened, for people to read and for runs to be compared by.

use std::fmt::{self, Write as _};
use std::hash::{Hash, Hasher};

use raid::channel::{Child, Op};
use raid::format::LOG_OFFSET;
use raid::meta::{MetaIo, MetaWrite};
use raid::shard::CopyIo;
use raid::{ChannelId, Fault, FaultKind, IoId, Slot, SlotSet};

use crate::disk::Torn;
use crate::net::{Node, Sent};

/// One thing that happened.
#[derive(Debug, Hash)]
pub(crate) enum Happening<'a> {
    Issued { channel: ChannelId, io: IoId, op: Op, lba: u64, blocks: u64, fua: bool, write: u64 },
    Submitted { channel: ChannelId, io: IoId, child: &'a Child },
    NotSubmitted { channel: ChannelId, io: IoId, child: &'a Child },
    ChildDone { io: IoId, child: &'a Child, result: Result<(), FaultKind>, torn: Option<Torn> },
    Completed { channel: ChannelId, io: IoId, result: Result<(), Fault> },
    Aborted { channel: ChannelId, io: IoId, taken_back: bool },
    Delivered(&'a Sent),
    Dropped(&'a Sent),
    Opened(ChannelId),
    Closing(ChannelId),
    Closed(ChannelId),
    Command { what: &'static str, slot: Slot, accepted: bool },
    CopyBegan { shard: u16, io: &'a CopyIo },
    CopyDone { io: &'a CopyIo, ok: bool },
    HotRemoved(Slot),
    RemovalSeen(Slot),
    DriveClosed(Slot),
    Revoked { shard: u16, region: u32 },
    Stalled { what: &'static str, until: u64 },
    PathDown { slot: Slot, until: u64 },
    BadBlocks { slot: Slot, from: u64, to: u64 },
    MetaSubmitted { owner: Node, io: &'a MetaIo },
    MetaDone { owner: Node, io: &'a MetaIo, op: Op, result: Result<(), FaultKind> },
    Crashed { power: bool },
    Assembled { present: SlotSet, in_sync: SlotSet, version: u64 },
    Phase(&'static str),
}

/// The run as a hash, and as text when it is wanted.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    hash: Fnv,
    pub text: Option<String>,
}

impl Trace {
    pub fn new(readable: bool) -> Trace {
        Trace { hash: Fnv::default(), text: readable.then(String::new) }
    }

    #[inline]
    pub fn note(&mut self, step: u64, happening: &Happening<'_>) {
        step.hash(&mut self.hash);
        happening.hash(&mut self.hash);
        if let Some(text) = &mut self.text {
            writeln!(text, "{step:>7} {happening}").expect("a String takes everything");
        }
    }

    pub fn hash(&self) -> u64 {
        self.hash.finish()
    }
}

/// FNV-1a, 64 bits, a word at a time: no random state, unlike the standard hasher.
#[derive(Debug)]
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    #[inline]
    fn write_u64(&mut self, word: u64) {
        // FNV alone never carries high bits down; the rotation does.
        self.0 = (self.0 ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(29);
    }

    #[inline]
    fn write_u8(&mut self, n: u8) {
        self.write_u64(u64::from(n));
    }

    #[inline]
    fn write_u16(&mut self, n: u16) {
        self.write_u64(u64::from(n));
    }

    #[inline]
    fn write_u32(&mut self, n: u32) {
        self.write_u64(u64::from(n));
    }

    #[inline]
    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }
}

/// The name of an operation as traces and tables show it.
pub(crate) fn op_name(op: Op) -> &'static str {
    match op {
        Op::Read => "read",
        Op::Write => "write",
        Op::WriteZeroes => "zeroes",
        Op::Unmap => "unmap",
        Op::Flush => "flush",
        Op::Reset => "reset",
    }
}

struct OfMember<'a>(&'a Child);

impl fmt::Display for OfMember<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Child { index, slot, op, lba, blocks, .. } = self.0;
        write!(f, "m{slot} {} [{lba} +{blocks}] child {index}", op_name(*op))
    }
}

fn outcome<F: fmt::Display>(result: &Result<(), F>) -> String {
    result.as_ref().map_or_else(F::to_string, |()| "ok".to_owned())
}

struct OfMachine<'a>(Node, &'a MetaIo);

impl fmt::Display for OfMachine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OfMachine(owner, MetaIo { ticket, slot, write, .. }) = self;
        write!(f, "{owner}: metadata {} on m{slot}: ", ticket.0)?;
        match write {
            Some(MetaWrite::Bytes { offset, .. }) if *offset < LOG_OFFSET => {
                write!(f, "superblock at {} KiB", offset / 1024)
            }
            Some(MetaWrite::Bytes { offset, .. }) => write!(f, "log page {}", (offset - LOG_OFFSET) / 4096),
            Some(MetaWrite::Zeroes { lba, blocks }) => write!(f, "zeroes [{lba} +{blocks}]"),
            None => f.write_str("flush"),
        }
    }
}

/// The number of the host I/O; the rest of the id is the place that it is kept at.
fn number(io: &IoId) -> u64 {
    io.0 >> 16
}

impl fmt::Display for Happening<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Happening::Issued { channel, io, op, lba, blocks, fua, write } => {
                let fua = if *fua { " fua" } else { "" };
                let (io, op) = (number(io), op_name(*op));
                write!(f, "ch {channel} io {io}: {op} [{lba} +{blocks}]{fua}")?;
                if *write > 0 { write!(f, " as w{write}") } else { Ok(()) }
            }
            Happening::Submitted { channel, io, child } => {
                write!(f, "ch {channel} io {} -> {}", number(io), OfMember(child))
            }
            Happening::NotSubmitted { channel, io, child } => {
                write!(f, "ch {channel} io {} -> {}: out of resources, later", number(io), OfMember(child))
            }
            Happening::ChildDone { io, child, result, torn } => {
                write!(f, "{} of io {}: {}", OfMember(child), number(io), outcome(result))?;
                torn.map_or(Ok(()), |torn| write!(f, ", on the medium: {torn:?}"))
            }
            Happening::Completed { channel, io, result } => {
                write!(f, "ch {channel} io {} complete: {}", number(io), outcome(result))
            }
            Happening::Aborted { channel, io, taken_back } => {
                let what = if *taken_back { "taken back" } else { "too late" };
                write!(f, "ch {channel} io {} aborted by the host: {what}", number(io))
            }
            Happening::Delivered(sent) => sent.fmt(f),
            Happening::Dropped(sent) => write!(f, "{sent} (closed: dropped)"),
            Happening::Opened(channel) => write!(f, "ch {channel} opened"),
            Happening::Closing(channel) => write!(f, "ch {channel} gets no more I/O"),
            Happening::Closed(channel) => write!(f, "ch {channel} closed"),
            Happening::Command { what, slot, accepted } => {
                write!(f, "operator: {what} m{slot}: {}", if *accepted { "accepted" } else { "refused" })
            }
            Happening::CopyBegan { shard, io } => write!(f, "shard {shard}: {io:?}"),
            Happening::CopyDone { io, ok } => {
                let how = if *ok { "ok" } else { "failed" };
                write!(f, "copy to m{} [{} +{}]: {how}", io.to, io.to_lba, io.blocks)
            }
            Happening::HotRemoved(slot) => write!(f, "m{slot} is pulled out"),
            Happening::RemovalSeen(slot) => write!(f, "array is told that m{slot} is gone"),
            Happening::DriveClosed(slot) => write!(f, "array closes the drive in slot {slot}"),
            Happening::Revoked { shard, region } => write!(f, "shard {shard} revokes region {region}"),
            Happening::Stalled { what, until } => write!(f, "{what} stalls until step {until}"),
            Happening::PathDown { slot, until } => {
                write!(f, "the path to m{slot} is down until step {until}")
            }
            Happening::BadBlocks { slot, from, to } => write!(f, "m{slot} can't read [{from} .. {to})"),
            Happening::MetaSubmitted { owner, io } => OfMachine(*owner, io).fmt(f),
            Happening::MetaDone { owner, io, op, result } => {
                write!(f, "{}: {} {}", OfMachine(*owner, io), op_name(*op), outcome(result))
            }
            Happening::Crashed { power: true } => f.write_str("---- the power goes"),
            Happening::Crashed { power: false } => f.write_str("---- the process goes"),
            Happening::Assembled { present, in_sync, version } => {
                write!(f, "assembled from {present:?}: version {version} counts, in sync {in_sync:?}")
            }
            Happening::Phase(name) => write!(f, "---- {name}"),
        }
    }
}
