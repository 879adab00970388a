//! An open bdev.

use std::cell::RefCell;
use std::ffi::{CString, c_void};
use std::fmt;
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::sync::Arc;

use spdk_sys as sys;

use super::channel::Channel;
use super::info::BdevInfo;
use crate::error::Errno;
use crate::module::Module;
use crate::thread::{on_app_thread, require_app_thread, send_to_app_thread};

/// What happens to an open bdev. Told on the app thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BdevEvent {
    /// The bdev is going away: drop every channel and the descriptor. Until then it stays, and its I/O fails
    /// or hangs.
    Removed,
    /// The number of blocks has changed.
    Resized,
    /// The drive has moved data, or wants to.
    Media,
}

/// An open bdev. Shared in an [`Arc`]; opened on the app thread, and closed there when the last one is
/// dropped, from wherever that is.
pub struct Descriptor {
    raw: NonNull<sys::spdk_bdev_desc>,
    /// From `Rc::into_raw`; used, counted and freed on the app thread only.
    events: *const EventSink,
    /// As it was when it was opened.
    info: BdevInfo,
}

// SAFETY: what other threads do with `raw` (get a channel, submit I/O, read the size) SPDK allows from any
// thread while the descriptor is open, which it is until the last Arc is gone. `events` is only touched on
// the app thread.
unsafe impl Send for Descriptor {}
// SAFETY: as above.
unsafe impl Sync for Descriptor {}

struct EventSink {
    callback: RefCell<Box<dyn FnMut(BdevEvent)>>,
}

impl Descriptor {
    /// Opens a bdev by name or alias. `on_event` is called on the app thread; it may drop the descriptor.
    ///
    /// # Errors
    /// `ENODEV`: there is no such bdev, or it is being removed. `EPERM`: another module has claimed it and
    /// `write` was asked for. `EPERM` too: not on the app thread. `EINVAL`: not a name. `ENOMEM`.
    pub fn open(
        name: &str,
        write: bool,
        on_event: impl FnMut(BdevEvent) + 'static,
    ) -> Result<Arc<Descriptor>, Errno> {
        require_app_thread()?;
        let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
        let events = Rc::into_raw(Rc::new(EventSink { callback: RefCell::new(Box::new(on_event)) }));
        let mut raw = ptr::null_mut();
        // SAFETY: the name lives through the call; `events` lives until close(), after which no event comes.
        let rc = unsafe {
            sys::spdk_bdev_open_ext(name.as_ptr(), write, Some(event), events.cast_mut().cast(), &mut raw)
        };
        let Some(raw) = NonNull::new(raw).filter(|_| rc == 0) else {
            // SAFETY: the descriptor does not exist, so this is the only reference.
            drop(unsafe { Rc::from_raw(events) });
            return Err(Errno::from_rc(rc).err().unwrap_or(Errno::ENODEV));
        };
        // SAFETY: the descriptor was opened just now, which keeps the bdev, and this is the app thread.
        let info = unsafe { BdevInfo::of(sys::spdk_bdev_desc_get_bdev(raw.as_ptr())) };
        Ok(Arc::new(Descriptor { raw, events, info }))
    }

    /// Makes this descriptor the bdev's only writer: others can open it to read only, until this one is
    /// closed. Opens it for writing if it wasn't. SPDK logs who holds it when somebody else is refused.
    ///
    /// # Errors
    /// `EPERM`: somebody else has claimed it or has it open for writing, or this is not the app thread.
    pub fn claim(self: &Arc<Self>, module: &'static Module) -> Result<Claim, Errno> {
        require_app_thread()?;
        // SAFETY: the descriptor is open and the module lives for ever; options are optional.
        let rc = unsafe {
            sys::spdk_bdev_module_claim_bdev_desc(
                self.raw.as_ptr(),
                sys::SPDK_BDEV_CLAIM_READ_MANY_WRITE_ONE,
                ptr::null_mut(),
                module.as_ptr(),
            )
        };
        Errno::from_rc(rc)?;
        Ok(Claim { descriptor: Arc::clone(self) })
    }

    /// The bdev's properties: those of the time of opening, with the size of now.
    pub fn info(&self) -> BdevInfo {
        BdevInfo { num_blocks: self.num_blocks(), ..self.info.clone() }
    }

    /// The bdev's name.
    pub fn name(&self) -> &str {
        &self.info.name
    }

    /// Bytes per block.
    pub fn block_size(&self) -> u32 {
        self.info.block_size
    }

    /// Size in blocks, as of now.
    pub fn num_blocks(&self) -> u64 {
        // SAFETY: the bdev stays while a descriptor is open.
        unsafe { sys::spdk_bdev_get_num_blocks(self.bdev()) }
    }

    /// A channel for I/O from the calling SPDK thread.
    ///
    /// # Errors
    /// `ENOTSUP`: not on an SPDK thread. `ENODEV`: the bdev's module gave no channel (SPDK does not say why;
    /// its log does).
    pub fn channel(self: &Arc<Self>) -> Result<Channel, Errno> {
        Channel::open(self)
    }

    pub(super) fn raw(&self) -> *mut sys::spdk_bdev_desc {
        self.raw.as_ptr()
    }

    pub(super) fn bdev(&self) -> *mut sys::spdk_bdev {
        // SAFETY: the descriptor is open; this reads one field that never changes.
        unsafe { sys::spdk_bdev_desc_get_bdev(self.raw.as_ptr()) }
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        let closing = Closing { raw: self.raw, events: self.events };
        if on_app_thread() {
            closing.close();
        } else if let Err(errno) = send_to_app_thread(move || closing.close()) {
            tracing::error!(bdev = self.info.name, %errno, "can't close a bdev: the app thread is not there");
        }
    }
}

impl fmt::Debug for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Descriptor").field("name", &self.info.name).finish_non_exhaustive()
    }
}

/// What is left to do when a descriptor has been dropped.
struct Closing {
    raw: NonNull<sys::spdk_bdev_desc>,
    events: *const EventSink,
}

// SAFETY: it carries the right to close from the thread of the drop to the app thread, and is used only
// there.
unsafe impl Send for Closing {}

impl Closing {
    fn close(self) {
        // SAFETY: we are on the app thread, where it was opened; no Arc is left, so no channel and no I/O
        // either. SPDK calls back no more after this, so the sink's reference ends here; an event that runs
        // right now has its own.
        unsafe {
            sys::spdk_bdev_close(self.raw.as_ptr());
            drop(Rc::from_raw(self.events));
        }
    }
}

unsafe extern "C" fn event(kind: sys::spdk_bdev_event_type, _bdev: *mut sys::spdk_bdev, ctx: *mut c_void) {
    let event = match kind {
        sys::SPDK_BDEV_EVENT_REMOVE => BdevEvent::Removed,
        sys::SPDK_BDEV_EVENT_RESIZE => BdevEvent::Resized,
        sys::SPDK_BDEV_EVENT_MEDIA_MANAGEMENT => BdevEvent::Media,
        _ => return,
    };
    // SAFETY: the descriptor is open, so its reference to the sink exists; SPDK calls on the thread that
    // opened, the app thread. Our own reference keeps the callback while it runs, even if it drops the
    // descriptor.
    let sink = unsafe {
        Rc::increment_strong_count(ctx.cast_const().cast::<EventSink>());
        Rc::from_raw(ctx.cast_const().cast::<EventSink>())
    };
    // SPDK sends events as messages, so they don't nest.
    (sink.callback.borrow_mut())(event);
}

/// A claim that is held. It lasts as long as the descriptor, and keeps it open: SPDK releases a claim by
/// closing.
#[derive(Debug)]
pub struct Claim {
    descriptor: Arc<Descriptor>,
}

impl Claim {
    /// The descriptor that holds the claim.
    pub fn descriptor(&self) -> &Arc<Descriptor> {
        &self.descriptor
    }
}
