//! What an I/O is made of, as operations of io_uring.

use super::bounce::BouncePool;
use super::drive::ZeroMethod;
use super::engine::Request;
use super::failure::Failure;
use super::lane::Lane;
use super::transfer::{Direction, Piece, Transfer};
use io_uring::types::{Fd, FsyncFlags};
use io_uring::{opcode, squeue};
use std::os::fd::AsRawFd;

/// Bytes in the file.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct ByteRange {
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

/// How a write with FUA becomes durable.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// It has no FUA, or need not mind.
    Later,
    /// RWF_DSYNC: direct I/O makes a write with the device's own FUA of it, where that does.
    Dsync,
    /// An fdatasync after it. For the page cache, where RWF_DSYNC would sync in the middle of a submission,
    /// and could take the report of a lost write away from the next FLUSH.
    ThenSync,
}

/// One entry of the engine. Has one operation in the kernel at most.
pub(crate) enum Work<R> {
    Transfer {
        request: R,
        transfer: Transfer,
        durability: Durability,
    },
    Zero {
        request: R,
        range: ByteRange,
        done: u64,
        method: ZeroMethod,
    },
    Punch {
        request: R,
        range: ByteRange,
    },
    /// For those in the lane's `SyncGroup`.
    Sync,
    /// Tries to take the operation with this key back.
    Cancel {
        request: R,
        target: u64,
    },
}

/// Written where the file system can't zero by itself.
#[repr(align(4096))]
struct Zeros([u8; 64 << 10]);
static ZEROS: Zeros = Zeros([0; 64 << 10]);

impl<R: Request> Work<R> {
    /// The host I/O that it is all for.
    pub(crate) fn request(&self) -> Option<&R> {
        match self {
            Work::Transfer { request, .. }
            | Work::Zero { request, .. }
            | Work::Punch { request, .. }
            | Work::Cancel { request, .. } => Some(request),
            Work::Sync => None,
        }
    }

    /// For the log.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Work::Transfer { transfer, .. } if transfer.direction == Direction::Read => "a read",
            Work::Transfer { .. } => "a write",
            Work::Zero { .. } => "zeroing a range",
            Work::Punch { .. } => "giving a range back",
            Work::Sync => "a flush",
            Work::Cancel { .. } => "an abort",
        }
    }

    /// Its next operation, or `None` when it has to wait for a bounce buffer.
    pub(crate) fn entry(&mut self, lane: &Lane<R>, pool: &mut BouncePool) -> Option<squeue::Entry> {
        let fd = Fd(lane.file.as_raw_fd());
        Some(match self {
            Work::Transfer { request, transfer, durability } => {
                // SAFETY: a Request's buffers are the engine's until it is completed, and this is one that is
                // not.
                let piece = unsafe { transfer.prepare(request.iovs(), lane.access(), pool)? };
                transfer_entry(fd, transfer.direction, piece, *durability)
            }
            Work::Zero { range, done, method, .. } => zero_entry(fd, *range, *done, *method),
            Work::Punch { range, .. } => {
                fallocate(fd, *range, libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE)
            }
            Work::Sync => opcode::Fsync::new(fd).flags(FsyncFlags::DATASYNC).build(),
            Work::Cancel { target, .. } => opcode::AsyncCancel::new(*target).build(),
        })
    }
}

fn transfer_entry(fd: Fd, direction: Direction, piece: Piece, durability: Durability) -> squeue::Entry {
    let flags = if durability == Durability::Dsync { libc::RWF_DSYNC } else { 0 };
    match (direction, piece) {
        (Direction::Read, Piece::Single { buffer, bytes, offset }) => {
            opcode::Read::new(fd, buffer, bytes).offset(offset).build()
        }
        (Direction::Read, Piece::Vectored { iovs, iov_count, offset }) => {
            opcode::Readv::new(fd, iovs, iov_count).offset(offset).build()
        }
        (Direction::Write, Piece::Single { buffer, bytes, offset }) => {
            opcode::Write::new(fd, buffer, bytes).offset(offset).rw_flags(flags).build()
        }
        (Direction::Write, Piece::Vectored { iovs, iov_count, offset }) => {
            opcode::Writev::new(fd, iovs, iov_count).offset(offset).rw_flags(flags).build()
        }
    }
}

fn zero_entry(fd: Fd, range: ByteRange, done: u64, method: ZeroMethod) -> squeue::Entry {
    match method {
        ZeroMethod::ZeroRange => fallocate(fd, range, libc::FALLOC_FL_ZERO_RANGE | libc::FALLOC_FL_KEEP_SIZE),
        ZeroMethod::PunchHole => fallocate(fd, range, libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE),
        ZeroMethod::Write => {
            let bytes = (range.len - done).min(ZEROS.0.len() as u64) as u32;
            opcode::Write::new(fd, ZEROS.0.as_ptr(), bytes).offset(range.offset + done).build()
        }
    }
}

fn fallocate(fd: Fd, range: ByteRange, mode: i32) -> squeue::Entry {
    opcode::Fallocate::new(fd, range.len).offset(range.offset).mode(mode).build()
}

/// What became of a step of zeroing.
pub(crate) enum Zeroed {
    Done,
    More,
    Failed(Failure),
}

/// Takes note of the end of an operation of `zero_entry`; `next_method` gives up one that the file system
/// lacks.
pub(crate) fn advance_zero(
    range: ByteRange,
    done: &mut u64,
    method: &mut ZeroMethod,
    result: Result<u32, Failure>,
    next_method: impl FnOnce(ZeroMethod) -> ZeroMethod,
) -> Zeroed {
    match (*method, result) {
        (ZeroMethod::Write, Ok(0)) => Zeroed::Failed(Failure::of_errno(libc::EIO)),
        (ZeroMethod::Write, Ok(bytes)) => {
            *done += u64::from(bytes);
            if *done == range.len { Zeroed::Done } else { Zeroed::More }
        }
        (_, Ok(_)) => Zeroed::Done,
        (ZeroMethod::ZeroRange | ZeroMethod::PunchHole, Err(failure))
            if failure.errno == libc::EOPNOTSUPP =>
        {
            *method = next_method(*method);
            Zeroed::More
        }
        (_, Err(failure)) => Zeroed::Failed(failure),
    }
}
