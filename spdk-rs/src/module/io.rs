//! An I/O of a host.

use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::ptr::NonNull;
use std::slice;

use spdk_sys as sys;

use super::buffers::IoVec;
use super::context::{Context, Stage};
use super::device::Device;
use crate::bdev::{IoError, IoKind};

/// NVMe's Force Unit Access, as it stands in command dword 12 (NVM Command Set Specification, Write command).
pub(super) const FUA: u32 = 1 << 30;

/// An I/O of a host, from its submission to its completion. It is the only handle to it while it exists, and
/// must end in [`complete`](Io::complete) or [`into_token`](Io::into_token): dropping it panics, since the
/// host would wait for ever.
#[must_use = "an I/O has to be completed or parked"]
pub struct Io<D: Device> {
    raw: NonNull<sys::spdk_bdev_io>,
    device: PhantomData<*mut D>,
}

/// Stands for a parked I/O. Also tells it from any other that used the same memory in SPDK before.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct IoToken(u64);

impl<D: Device> Io<D> {
    /// # Safety
    /// `raw` is an I/O of a bdev of a `D` on its own thread, its stage has been set to Held, and no other
    /// handle exists.
    #[inline(always)]
    pub(super) unsafe fn from_raw(raw: *mut sys::spdk_bdev_io) -> Io<D> {
        // SAFETY: by the caller's promise.
        Io { raw: unsafe { NonNull::new_unchecked(raw) }, device: PhantomData }
    }

    #[inline(always)]
    pub(super) fn raw(&self) -> *mut sys::spdk_bdev_io {
        self.raw.as_ptr()
    }

    #[inline(always)]
    pub(super) fn context(&self) -> *mut Context<D> {
        // SAFETY: it was submitted to a bdev of a D.
        unsafe { Context::of(self.raw.as_ptr()) }
    }

    /// What it does.
    #[inline]
    pub fn kind(&self) -> IoKind {
        // SAFETY: the bdev_io is ours until it is completed.
        let io_type = unsafe { (*self.raw.as_ptr()).type_ };
        // Others are answered before they become an Io.
        IoKind::from_spdk(io_type.into()).unwrap_or_else(|| unreachable!("an I/O of type {io_type}"))
    }

    /// First block. 0 for kinds that have none (reset, abort).
    #[inline]
    pub fn lba(&self) -> u64 {
        // SAFETY: `ranged` is given only where SPDK has filled it.
        self.ranged().map_or(0, |range| unsafe { (*range).offset_blocks })
    }

    /// Number of blocks. 0 for kinds that have none (reset, abort).
    #[inline]
    pub fn blocks(&self) -> u64 {
        // SAFETY: as above.
        self.ranged().map_or(0, |range| unsafe { (*range).num_blocks })
    }

    /// Bytes per block.
    #[inline]
    pub fn block_size(&self) -> u32 {
        // SAFETY: the bdev stays while I/O for it is out.
        unsafe { (*(*self.raw.as_ptr()).bdev).blocklen }
    }

    /// Whether a write has to be durable when it completes. Some of SPDK's write functions leave the bit as
    /// the last user of the bdev_io had it, so it can be true without need; it is never false when it was
    /// asked for.
    #[inline]
    pub fn fua(&self) -> bool {
        // SAFETY: a write has block parameters.
        self.kind() == IoKind::Write && unsafe { (*self.params()).nvme_cdw12.raw } & FUA != 0
    }

    /// The host's buffer; empty for kinds that have none.
    #[inline]
    pub fn iovs(&self) -> &[IoVec] {
        if !self.kind().has_data() {
            return &[];
        }
        // SAFETY: a read or write has its iovecs, which stay until it is completed; IoVec is a transparent
        // iovec. There is at least one, since a read without a buffer was given one.
        unsafe {
            let params = self.params();
            slice::from_raw_parts((*params).iovs.cast::<IoVec>(), (*params).iovcnt as usize)
        }
    }

    /// Our own state of this I/O: [`Default`] at submission.
    #[inline]
    pub fn state(&mut self) -> &mut D::IoState {
        // SAFETY: it was initialised when the I/O became Held, and this is the only handle.
        unsafe { &mut (*self.context()).state }
    }

    /// For an abort: the I/O to give up, if it is parked with us. (One that is held is being worked on,
    /// further up the stack.) The abort itself succeeds when that I/O has been completed as aborted, and may
    /// always fail.
    pub fn abort_target(&self) -> Option<IoToken> {
        if self.kind() != IoKind::Abort {
            return None;
        }
        // SAFETY: SPDK passes an abort on to the module that the target was submitted to, on the same
        // channel; a target that is already completed, or waits for its buffer, has stage Free.
        unsafe {
            let target =
                (*(&raw const (*self.raw.as_ptr()).u).cast::<sys::spdk_bdev_io_abort_params>()).bio_to_abort;
            let context = Context::<D>::of(target);
            ((*context).stage == Stage::Parked).then(|| IoToken::new(target, (*context).seq))
        }
    }

    /// The token that this I/O would be parked as: to recognise it by.
    #[inline]
    pub fn token(&self) -> IoToken {
        // SAFETY: the context is initialised.
        IoToken::new(self.raw.as_ptr(), unsafe { (*self.context()).seq })
    }

    /// Parks it: children are out, or it waits for something else. A device that forgets the token leaves its
    /// host waiting.
    #[inline]
    pub fn into_token(self) -> IoToken {
        let token = self.token();
        // SAFETY: the context is initialised, and this is the only handle, which ends here.
        unsafe { (*self.context()).stage = Stage::Parked };
        mem::forget(self);
        token
    }

    /// Takes a parked I/O up again.
    ///
    /// # Safety
    /// `token` is of a `D`, and the caller is on the SPDK thread that it was parked on.
    ///
    /// # Panics
    /// If that I/O is not parked: it has been taken up or completed. (In one of 65536 cases another I/O that
    /// now uses its memory is mistaken for it.)
    #[inline]
    pub unsafe fn from_token(token: IoToken) -> Io<D> {
        let raw = token.io();
        // SAFETY: bdev_ios live in a pool that is never freed while I/O is possible; by the caller's promise
        // this one's context was ours at least once.
        unsafe {
            let context = Context::<D>::of(raw);
            if (*context).stage != Stage::Parked || (*context).seq != token.seq() {
                stale(token);
            }
            (*context).stage = Stage::Held;
            Io::from_raw(raw)
        }
    }

    /// Gives it back to the host. An error reaches the host as the NVMe status in it.
    ///
    /// # Panics
    /// If a child is still out: a drive may still be using the host's buffer.
    #[inline]
    pub fn complete(self, result: Result<(), IoError>) {
        let raw = self.raw.as_ptr();
        // SAFETY: the context is initialised. The handle ends here, before SPDK may reuse the bdev_io.
        unsafe {
            let context = self.context();
            if (*context).busy != 0 {
                completed_with_children(&self);
            }
            (*context).stage = Stage::Free;
            mem::forget(self);
            match result {
                Ok(()) => sys::spdk_bdev_io_complete(raw, sys::SPDK_BDEV_IO_STATUS_SUCCESS),
                Err(error) => fail(raw, error),
            }
        }
    }

    /// Whether a child is out.
    pub(super) fn has_children(&self) -> bool {
        // SAFETY: the context is initialised.
        unsafe { (*self.context()).busy != 0 }
    }

    /// SPDK's block parameters. Filled for all kinds but reset and abort.
    #[inline(always)]
    pub(super) fn params(&self) -> *const sys::spdk_bdev_io_block_params {
        // SAFETY: only computes an address within the bdev_io.
        unsafe { (&raw const (*self.raw.as_ptr()).u).cast() }
    }

    #[inline]
    fn ranged(&self) -> Option<*const sys::spdk_bdev_io_block_params> {
        (!matches!(self.kind(), IoKind::Reset | IoKind::Abort)).then(|| self.params())
    }
}

impl<D: Device> Drop for Io<D> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("{self:?} was dropped: an I/O has to be completed or parked");
        }
    }
}

impl<D: Device> fmt::Debug for Io<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: the context is initialised.
        let out = unsafe { (*self.context()).busy };
        write!(f, "Io({:?} {}+{}, children out: {out:#b})", self.kind(), self.lba(), self.blocks())
    }
}

/// # Safety
/// `io` is an uncompleted I/O of ours to which no handle is left.
#[cold]
pub(super) unsafe fn fail(io: *mut sys::spdk_bdev_io, error: IoError) {
    let (sct, sc) = error.nvme_status();
    // SAFETY: by the caller's promise.
    unsafe { sys::spdk_bdev_io_complete_nvme_status(io, 0, sct.into(), sc.into()) }
}

#[cold]
#[inline(never)]
fn completed_with_children<D: Device>(io: &Io<D>) -> ! {
    panic!("{io:?} was completed while children are out: a drive may still use the host's buffer")
}

#[cold]
#[inline(never)]
fn stale(token: IoToken) -> ! {
    panic!("{token:?} stands for no parked I/O")
}

/// The address in the lower 48 bits, which is what user space has; the sequence number above.
impl IoToken {
    const ADDRESS_BITS: u32 = 48;

    #[inline(always)]
    fn new(io: *mut sys::spdk_bdev_io, seq: u16) -> IoToken {
        let address = io.expose_provenance() as u64;
        debug_assert!(address >> Self::ADDRESS_BITS == 0);
        IoToken(address | (u64::from(seq) << Self::ADDRESS_BITS))
    }

    #[inline(always)]
    fn io(self) -> *mut sys::spdk_bdev_io {
        std::ptr::with_exposed_provenance_mut((self.0 & ((1 << Self::ADDRESS_BITS) - 1)) as usize)
    }

    #[inline(always)]
    fn seq(self) -> u16 {
        (self.0 >> Self::ADDRESS_BITS) as u16
    }

    /// As a number, for where only numbers pass.
    pub fn raw(self) -> u64 {
        self.0
    }

    /// The token that [`raw`](IoToken::raw) was of.
    pub fn from_raw(raw: u64) -> IoToken {
        IoToken(raw)
    }
}

impl fmt::Debug for IoToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IoToken({:#x}, {})", self.io().addr(), self.seq())
    }
}
