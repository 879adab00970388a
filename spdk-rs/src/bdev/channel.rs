//! Where one thread sends I/O for one bdev.

use std::fmt;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;

use spdk_sys as sys;

use super::descriptor::Descriptor;
use crate::error::Errno;
use crate::thread::{Pin, PinKind, current_raw};

/// A channel to a bdev, for the SPDK thread that opened it.
///
/// Dropping it while I/O is in flight is allowed: it is given back when the last of that has returned, and
/// the descriptor stays open until then.
pub struct Channel {
    inner: Rc<ChannelInner>,
}

/// What I/O in flight holds on to. Each I/O counts one reference.
pub(crate) struct ChannelInner {
    raw: NonNull<sys::spdk_io_channel>,
    desc: *mut sys::spdk_bdev_desc,
    block_size: u32,
    thread: NonNull<sys::spdk_thread>,
    /// After `raw` was put: fields drop in order, and `drop` below runs before them.
    descriptor: Arc<Descriptor>,
    _pin: Pin,
}

impl Channel {
    pub(super) fn open(descriptor: &Arc<Descriptor>) -> Result<Channel, Errno> {
        let thread = current_raw().ok_or(Errno::ENOTSUP)?;
        // SAFETY: the descriptor is open, and this is an SPDK thread.
        let raw = unsafe { sys::spdk_bdev_get_io_channel(descriptor.raw()) };
        let inner = ChannelInner {
            raw: NonNull::new(raw).ok_or(Errno::ENODEV)?,
            desc: descriptor.raw(),
            block_size: descriptor.block_size(),
            thread,
            descriptor: Arc::clone(descriptor),
            _pin: Pin::new(PinKind::BdevChannel),
        };
        Ok(Channel { inner: Rc::new(inner) })
    }

    /// The bdev that it leads to.
    pub fn descriptor(&self) -> &Arc<Descriptor> {
        &self.inner.descriptor
    }

    /// I/O that was sent through this channel (or waits to be) and has not returned, and what a
    /// [`Reserve`](super::Reserve) keeps on it.
    pub fn in_flight(&self) -> usize {
        Rc::strong_count(&self.inner) - 1
    }

    #[inline]
    pub(crate) fn inner(&self) -> &Rc<ChannelInner> {
        &self.inner
    }
}

impl ChannelInner {
    #[inline]
    pub(crate) fn raw(&self) -> *mut sys::spdk_io_channel {
        self.check_thread();
        self.raw.as_ptr()
    }

    #[inline]
    pub(crate) fn desc(&self) -> *mut sys::spdk_bdev_desc {
        self.desc
    }

    #[inline]
    pub(crate) fn block_size(&self) -> u32 {
        self.block_size
    }

    pub(super) fn bdev(&self) -> *mut sys::spdk_bdev {
        self.descriptor.bdev()
    }

    #[inline]
    fn check_thread(&self) {
        debug_assert!(
            self.on_own_thread(),
            "a channel to {} is used on another thread than its own",
            self.descriptor.name()
        );
    }

    fn on_own_thread(&self) -> bool {
        current_raw().is_some_and(|thread| thread == self.thread)
    }
}

impl Drop for ChannelInner {
    fn drop(&mut self) {
        // Kept in release builds: SPDK would leak it, or free it under the thread that uses it.
        assert!(
            self.on_own_thread(),
            "a channel to {} is dropped on another thread than its own",
            self.descriptor.name()
        );
        // SAFETY: opened on this thread, put once, and no I/O is in flight: each holds a reference to us.
        unsafe { sys::spdk_put_io_channel(self.raw.as_ptr()) };
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("bdev", &self.inner.descriptor.name())
            .field("in_flight", &self.in_flight())
            .finish()
    }
}
