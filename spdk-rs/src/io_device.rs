//! I/O devices: things that have one channel per SPDK thread.

use std::cell::Cell;
use std::ffi::{CString, c_int, c_void};
use std::fmt;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::ptr::NonNull;

use spdk_sys as sys;

use crate::error::Errno;
use crate::thread::{Pin, PinKind, ThreadId, current, current_has_exited, may_drop_here, send_to_app_thread};

/// Something that every SPDK thread that uses it has a channel to.
pub trait IoDevice: Send + Sync + Sized + 'static {
    /// What a thread keeps; made, used and dropped on that thread.
    type Channel: 'static;

    /// Makes the current thread's channel. Called when the thread asks for the first time, or again after it
    /// has given up its last reference. May ask for channels of other devices, not for its own.
    fn open(&self) -> Result<Self::Channel, Errno>;
}

/// A registered device. Any thread may use it and drop it.
///
/// Dropping it unregisters the device: no new channels; the device itself is dropped, on the SPDK thread that
/// dropped this (or on the app thread, when that was none), once every channel is closed.
pub struct Registered<D: IoDevice> {
    entry: NonNull<Entry<D>>,
}

/// Its address is the key by which SPDK knows the device.
struct Entry<D> {
    device: D,
    name: Box<str>,
}

// SAFETY: like an Arc<D> without the counting: D is Send and Sync, and SPDK's registry takes a lock.
unsafe impl<D: IoDevice> Send for Registered<D> {}
// SAFETY: as above.
unsafe impl<D: IoDevice> Sync for Registered<D> {}

/// What SPDK allocates behind its own channel struct, zeroed, for each thread.
struct ChannelCtx<C> {
    /// Zero until `open` has returned: a channel that is asked for from inside of `open` is not there yet.
    is_open: Cell<bool>,
    channel: MaybeUninit<C>,
    pin: MaybeUninit<Pin>,
}

/// SPDK's `calloc` gives 16 bytes of alignment, and its own struct in front is a multiple of that.
const CHANNEL_ALIGN_MAX: usize = 16;

thread_local! {
    /// Why `open` failed: SPDK does not hand its answer on.
    static OPEN_ERROR: Cell<Option<Errno>> = const { Cell::new(None) };
}

impl<D: IoDevice> Registered<D> {
    const CTX_BYTES: u32 = {
        assert!(align_of::<ChannelCtx<D::Channel>>() <= CHANNEL_ALIGN_MAX, "box what needs more alignment");
        assert!((sys::SPDK_IO_CHANNEL_STRUCT_SIZE as usize).is_multiple_of(CHANNEL_ALIGN_MAX));
        assert!(size_of::<ChannelCtx<D::Channel>>() <= 1 << 20, "box what is as large as this");
        size_of::<ChannelCtx<D::Channel>>() as u32
    };

    /// Registers a device. `ESRCH` outside of SPDK threads, `EINVAL` for a name with a NUL byte, `ENOMEM`.
    pub fn new(name: &str, device: D) -> Result<Registered<D>, Errno> {
        let c_name = CString::new(name).map_err(|_| Errno::EINVAL)?;
        if current().is_none() {
            return Err(Errno::ESRCH);
        }
        let entry = NonNull::from(Box::leak(Box::new(Entry { device, name: name.into() })));
        // SAFETY: the entry's address is unique while it is registered; the callbacks match its type and the
        // size.
        unsafe {
            sys::spdk_io_device_register(
                entry.as_ptr().cast(),
                Some(create::<D>),
                Some(destroy::<D>),
                Self::CTX_BYTES,
                c_name.as_ptr(),
            );
        }
        Ok(Registered { entry })
    }

    /// The current thread's channel: one per thread however often it is asked for.
    ///
    /// `ESRCH` outside of SPDK threads, `ESHUTDOWN` on a thread that has exited, `EBUSY` from inside of
    /// [`IoDevice::open`] for the same device, else what `open` answered.
    pub fn channel(&self) -> Result<IoChannelRef<D::Channel>, Errno> {
        let owner = current().ok_or(Errno::ESRCH)?;
        if current_has_exited() {
            return Err(Errno::ESHUTDOWN);
        }
        OPEN_ERROR.set(None);
        // SAFETY: the device is registered while `self` lives.
        let raw = NonNull::new(unsafe { sys::spdk_get_io_channel(self.entry.as_ptr().cast()) })
            .ok_or_else(|| OPEN_ERROR.take().unwrap_or(Errno::ENOMEM))?;
        // From here on dropping it gives the reference back.
        let reference = IoChannelRef::<D::Channel> { raw, owner, _channel: PhantomData };
        if reference.ctx().is_open.get() { Ok(reference) } else { Err(Errno::EBUSY) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.entry().name
    }

    fn entry(&self) -> &Entry<D> {
        // SAFETY: freed only after it was unregistered, which `drop` does.
        unsafe { self.entry.as_ref() }
    }
}

impl<D: IoDevice> Deref for Registered<D> {
    type Target = D;
    fn deref(&self) -> &D {
        &self.entry().device
    }
}

impl<D: IoDevice> Drop for Registered<D> {
    fn drop(&mut self) {
        /// The last pointer to a device, on its way to the app thread.
        struct Last<D>(NonNull<Entry<D>>);
        // SAFETY: D is Send, and nobody else has the pointer except SPDK.
        unsafe impl<D: IoDevice> Send for Last<D> {}

        let last = Last(self.entry);
        if current().is_some() && !current_has_exited() {
            unregister(last.0);
            return;
        }
        let sent = send_to_app_thread(move || {
            let last = last;
            unregister(last.0);
        });
        if let Err(errno) = sent {
            // Its channels may be in use: better a leak than a dangling device.
            tracing::error!(device = self.name(), %errno, "an I/O device could not be unregistered");
        }
    }
}

/// On an SPDK thread that has not exited; once per device.
fn unregister<D: IoDevice>(entry: NonNull<Entry<D>>) {
    extern "C" fn free<D: IoDevice>(entry: *mut c_void) {
        // SAFETY: the box that `Registered::new` leaked; SPDK has closed every channel and forgot the device.
        drop(unsafe { Box::from_raw(entry.cast::<Entry<D>>()) });
    }
    // SAFETY: it is registered, and nobody asks for its channels any more.
    unsafe { sys::spdk_io_device_unregister(entry.as_ptr().cast(), Some(free::<D>)) };
}

extern "C" fn create<D: IoDevice>(entry: *mut c_void, ctx: *mut c_void) -> c_int {
    // SAFETY: SPDK passes back the registered entry, which outlives its channels.
    let device = unsafe { &(*entry.cast::<Entry<D>>()).device };
    match device.open() {
        Ok(channel) => {
            // SAFETY: SPDK's fresh, zeroed memory of CTX_BYTES for this thread's channel, aligned as asserted
            // there.
            let ctx = unsafe { &mut *ctx.cast::<ChannelCtx<D::Channel>>() };
            ctx.channel.write(channel);
            ctx.pin.write(Pin::new(PinKind::Channel));
            ctx.is_open.set(true);
            0
        }
        Err(errno) => {
            OPEN_ERROR.set(Some(errno));
            errno.to_rc()
        }
    }
}

extern "C" fn destroy<D: IoDevice>(_entry: *mut c_void, ctx: *mut c_void) {
    // SAFETY: what `create` filled; SPDK calls this once, on the channel's thread, when no reference is left.
    unsafe {
        let ctx = ctx.cast::<ChannelCtx<D::Channel>>();
        (*ctx).channel.assume_init_drop();
        (*ctx).pin.assume_init_drop();
    }
}

/// A reference to the current thread's channel of a device. SPDK counts; when the last one of a thread is
/// dropped the channel is dropped at that thread's next poll.
///
/// # Panics
/// When it is dropped on any other SPDK thread than its own.
pub struct IoChannelRef<C> {
    raw: NonNull<sys::spdk_io_channel>,
    owner: ThreadId,
    /// Also keeps it from being `Send`.
    _channel: PhantomData<*const C>,
}

impl<C> IoChannelRef<C> {
    fn ctx(&self) -> &ChannelCtx<C> {
        // SAFETY: SPDK puts our memory right behind its own struct (`spdk_io_channel_get_ctx`); zeroed memory
        // is a valid ChannelCtx that is not open; it lives while this reference is counted.
        unsafe {
            self.raw.byte_add(sys::SPDK_IO_CHANNEL_STRUCT_SIZE as usize).cast::<ChannelCtx<C>>().as_ref()
        }
    }

    /// The thread that it belongs to.
    pub fn owner(&self) -> ThreadId {
        self.owner
    }
}

impl<C> Deref for IoChannelRef<C> {
    type Target = C;
    fn deref(&self) -> &C {
        debug_assert!(
            current() == Some(self.owner),
            "a channel of SPDK thread {} was used elsewhere",
            self.owner
        );
        // SAFETY: `Registered::channel` hands out only references to open channels.
        unsafe { self.ctx().channel.assume_init_ref() }
    }
}

impl<C> Clone for IoChannelRef<C> {
    /// # Panics
    /// On any other SPDK thread than its own.
    fn clone(&self) -> Self {
        assert!(
            current() == Some(self.owner),
            "a channel of SPDK thread {} was cloned elsewhere",
            self.owner
        );
        // SAFETY: the channel is counted by `self`, and this is its thread.
        unsafe { sys::spdk_io_channel_ref(self.raw.as_ptr()) };
        IoChannelRef { raw: self.raw, owner: self.owner, _channel: PhantomData }
    }
}

impl<C> Drop for IoChannelRef<C> {
    fn drop(&mut self) {
        if may_drop_here("a channel", self.owner) {
            // SAFETY: gives back what this reference counts, on its thread.
            unsafe { sys::spdk_put_io_channel(self.raw.as_ptr()) };
        }
    }
}

impl<D: IoDevice> fmt::Debug for Registered<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registered({})", self.name())
    }
}

impl<C> fmt::Debug for IoChannelRef<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IoChannelRef(thread {})", self.owner)
    }
}
