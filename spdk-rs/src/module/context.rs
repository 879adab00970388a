//! Our state in every bdev_io: `driver_ctx`, as this module and this device type lay it out.
//!
//! ```text
//!             submit           into_token
//!     Free ----------> Held -------------> Parked
//!       ^               | ^                   |
//!       |   complete    | |    from_token,    |
//!       +---------------+ +-------------------+
//!                            a child came back
//! ```
//!
//! *Held*: an [`Io`](super::Io) exists, and it is the only handle. *Parked*: a token stands for it. *Free*:
//! the I/O is not ours, or not yet (it waits for a buffer), or no more.

use std::mem::{align_of, needs_drop, size_of};
use std::rc::Rc;

use spdk_sys as sys;

use super::child::CHILD_SLOTS;
use super::device::Device;
use super::submit::DeviceChannel;
use crate::bdev::ChannelInner;

/// Whose the I/O is. The diagram is in the documentation of this module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Stage {
    Free,
    Held,
    Parked,
}

/// What comes first is what every I/O touches.
#[repr(C)]
pub(super) struct Context<D: Device> {
    /// The channel that it came through.
    pub channel: *const DeviceChannel<D>,
    /// Tells this I/O from those that used the same bdev_io before.
    pub seq: u16,
    pub stage: Stage,
    /// One bit for each slot whose child is out.
    pub busy: u8,
    /// One bit for each slot whose iovec is a list on the heap.
    pub listed: u8,
    /// Initialised when the stage is not Free.
    pub state: D::IoState,
    pub slots: [Slot; CHILD_SLOTS],
}

/// What a child needs until it is back. Initialised when the slot is busy.
#[repr(C)]
pub(super) struct Slot {
    /// From `Rc::into_raw`: I/O in flight keeps its channel.
    pub member: *const ChannelInner,
    /// The child's part of the buffer, if it is a part and lies in one piece; or, where `listed`, the raw
    /// parts of the `Box<[IoVec]>`.
    pub iov: sys::iovec,
}

impl<D: Device> Context<D> {
    const LAYOUT: () = {
        assert!(
            !needs_drop::<D::IoState>(),
            "an IoState is forgotten, not dropped: it must not own anything"
        );
        assert!(align_of::<Context<D>>() <= 64, "driver_ctx is aligned to a cache line of 64 bytes");
    };

    /// Bytes that SPDK has to reserve in every bdev_io.
    pub(super) const SIZE: usize = {
        let () = Self::LAYOUT;
        size_of::<Context<D>>()
    };

    /// # Safety
    /// `io` was submitted to a bdev of a `D`.
    #[inline(always)]
    pub(super) unsafe fn of(io: *mut sys::spdk_bdev_io) -> *mut Context<D> {
        // SAFETY: driver_ctx is the end of a bdev_io, where SPDK reserved as much as our module asked for:
        // `register` compared that with SIZE.
        unsafe { (&raw mut (*io).driver_ctx).cast() }
    }
}

impl Slot {
    /// Gives back what the child needed.
    ///
    /// # Safety
    /// The slot is busy, its child is over or was never sent, and the caller clears its bits in `busy` and
    /// `listed`.
    #[inline(always)]
    pub(super) unsafe fn release(slot: *mut Slot, listed: bool) {
        // SAFETY: by the caller's promise: `member` holds a reference, and `iov` a list if it says so.
        unsafe {
            if listed {
                drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(
                    (*slot).iov.iov_base.cast::<super::IoVec>(),
                    (*slot).iov.iov_len,
                )));
            }
            Rc::decrement_strong_count((*slot).member);
        }
    }
}
