//! A read or a write on its way, in as many operations of the kernel as it takes.
//!
//! ```text
//!            prepare               kernel               advance
//!   Host ------------> one piece ----------> n bytes ------------> done
//!    |                     ^                                |
//!    | unaligned           |             n is short         |
//!    +----> Bounce --------+<---------- Part or Bounce <----+
//! ```

use super::access::Access;
use super::bounce::{AlignedBuf, BOUNCE_BYTES, BouncePool};
use super::failure::Failure;
use super::iov::{IOV_MAX, gather, is_aligned, part_of, scatter, total_bytes};
use libc::iovec;

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

pub(crate) struct Transfer {
    pub(crate) direction: Direction,
    /// Where in the file, in bytes.
    offset: u64,
    len: u64,
    /// How much of `len` is through.
    done: u64,
    stalls: u8,
    buffers: Buffers,
}

/// What the current operation reads into or writes from. It stays as it is until the operation's completion.
enum Buffers {
    /// All of the host's, as they are.
    Host,
    /// A list of ours of some of the host's.
    Part(Vec<iovec>),
    Bounce(AlignedBuf),
}

/// One operation: `iov_count` buffers at `iovs`, or a single one.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Piece {
    Single { buffer: *mut u8, bytes: u32, offset: u64 },
    Vectored { iovs: *const iovec, iov_count: u32, offset: u64 },
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Done,
    /// Another operation is needed, because the kernel did less than it was asked to (`short`), or by plan.
    More {
        short: bool,
    },
    Failed(Failure),
}

/// Operations in a row that may move nothing.
const STALLS_MAX: u8 = 3;

impl Transfer {
    pub(crate) fn new(direction: Direction, offset: u64, len: u64) -> Transfer {
        Transfer { direction, offset, len, done: 0, stalls: 0, buffers: Buffers::Host }
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn is_bounced(&self) -> bool {
        matches!(self.buffers, Buffers::Bounce(_))
    }

    /// The next operation, or `None` when it needs a bounce buffer and there is none. May be called again for
    /// the same operation. `host` holds `len` bytes at least.
    ///
    /// # Safety
    /// `host` names memory that is valid, and that nobody else uses, until the operation is complete.
    pub(crate) unsafe fn prepare(
        &mut self,
        host: &[iovec],
        access: Access,
        pool: &mut BouncePool,
    ) -> Option<Piece> {
        if !self.is_bounced() {
            match self.whole_or_part(host, access) {
                Some(buffers) => self.buffers = buffers,
                None => self.buffers = Buffers::Bounce(pool.take()?),
            }
        }
        let offset = self.offset + self.done;
        let rest = self.len - self.done;
        Some(match &mut self.buffers {
            Buffers::Host => piece_of(host, offset),
            Buffers::Part(part) => piece_of(part, offset),
            Buffers::Bounce(buffer) => {
                let bytes = rest.min(BOUNCE_BYTES as u64);
                if self.direction == Direction::Write {
                    // SAFETY: passed on from the caller; the bounce buffer is not one of the host's.
                    unsafe { gather(host, self.done, &mut buffer.as_mut_slice()[..bytes as usize]) };
                }
                Piece::Single { buffer: buffer.as_mut_ptr(), bytes: bytes as u32, offset }
            }
        })
    }

    /// The host's buffers as far as they can go to the kernel as they are; `None` if they can't.
    fn whole_or_part(&self, host: &[iovec], access: Access) -> Option<Buffers> {
        let is_whole = self.done == 0 && host.len() <= IOV_MAX && total_bytes(host) == self.len;
        if is_whole {
            return is_aligned(host, access).then_some(Buffers::Host);
        }
        let part = part_of(host, self.done, self.len - self.done);
        is_aligned(&part, access).then_some(Buffers::Part(part))
    }

    /// Takes note of `bytes` that the operation of the last [`Transfer::prepare`] moved.
    ///
    /// # Safety
    /// As for `prepare`, with the same `host`; and that operation is complete.
    pub(crate) unsafe fn advance(&mut self, bytes: u32, host: &[iovec], access: Access) -> Progress {
        let asked = self.asked_bytes();
        let bytes = u64::from(bytes);
        assert!(bytes <= asked, "the kernel moved {bytes} bytes of {asked}");
        if let (Buffers::Bounce(buffer), Direction::Read) = (&self.buffers, self.direction) {
            // SAFETY: passed on from the caller; the bounce buffer is not one of the host's.
            unsafe { scatter(&buffer.as_slice()[..bytes as usize], host, self.done) };
        }
        if bytes == 0 && self.direction == Direction::Read {
            return Progress::Failed(Failure::TRUNCATED);
        }
        let before = self.done;
        self.done += bytes;
        if self.done == self.len {
            return Progress::Done;
        }
        // Direct I/O goes on at a block of its own only; what it moved of the last one is moved again.
        self.done -= self.done % u64::from(access.offset_align());
        self.stalls = if self.done > before { 0 } else { self.stalls + 1 };
        if self.stalls > STALLS_MAX {
            return Progress::Failed(Failure::of_errno(libc::EIO));
        }
        Progress::More { short: bytes < asked }
    }

    fn asked_bytes(&self) -> u64 {
        match &self.buffers {
            Buffers::Host => self.len,
            Buffers::Part(part) => total_bytes(part),
            Buffers::Bounce(_) => (self.len - self.done).min(BOUNCE_BYTES as u64),
        }
    }

    /// Gives the bounce buffer back, if there is one. For a transfer that the kernel has nothing of.
    pub(crate) fn release(&mut self, pool: &mut BouncePool) -> bool {
        match std::mem::replace(&mut self.buffers, Buffers::Host) {
            Buffers::Bounce(buffer) => {
                pool.give(buffer);
                true
            }
            Buffers::Host | Buffers::Part(_) => false,
        }
    }
}

fn piece_of(iovs: &[iovec], offset: u64) -> Piece {
    match iovs {
        // The kernel moves less than 2 GiB at a time; what is over that is continued.
        [iov] => Piece::Single {
            buffer: iov.iov_base.cast(),
            bytes: u32::try_from(iov.iov_len).unwrap_or(1 << 31),
            offset,
        },
        _ => Piece::Vectored { iovs: iovs.as_ptr(), iov_count: iovs.len() as u32, offset },
    }
}

#[cfg(test)]
#[path = "transfer_tests.rs"]
mod tests;
