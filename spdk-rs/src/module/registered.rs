//! A bdev of ours, from registration to the end.
//!
//! ```text
//!              unregister, or SPDK stops                DestructDone
//!     Live -----------------------------> Leaving ---------------------> Gone
//!                                    (users close it,                 (device dropped)
//!                                     then `destruct`)
//! ```

use std::cell::{RefCell, UnsafeCell};
use std::ffi::{CStr, CString, c_int, c_void};
use std::fmt;
use std::marker::PhantomData;
use std::mem::{replace, size_of, zeroed};
use std::ptr;
use std::rc::Rc;

use spdk_sys as sys;

use super::context::Context;
use super::declare::Module;
use super::device::Device;
use super::guards::{DestructDone, Doomed};
use super::spec::BdevSpec;
use super::submit::{DeviceChannel, close_channel, open_channel, submit_request};
use crate::bdev::IoKind;
use crate::error::Errno;
use crate::thread::{on_app_thread, require_app_thread};

type WhenGone = Box<dyn FnOnce(Result<(), Errno>)>;

enum Life {
    Live,
    /// Who wants to know when it is gone.
    Leaving(Vec<WhenGone>),
    Gone,
}

/// SPDK's, from `register` to `gone`.
#[repr(C)]
pub(super) struct Registration<D: Device> {
    /// First, so that the way from a bdev_io to the device is a constant offset.
    bdev: UnsafeCell<sys::spdk_bdev>,
    pub device: D,
    module: &'static Module,
    handle: Rc<Handle>,
    /// SPDK has its address.
    _product: CString,
}

/// What is left when the bdev is gone. Counted and used on the app thread only.
struct Handle {
    /// Valid until the life is Gone.
    bdev: *mut sys::spdk_bdev,
    name: CString,
    life: RefCell<Life>,
}

/// A registered bdev. Belongs to the app thread. Dropping it unregisters the bdev.
///
/// The bdev may go without us: SPDK unregisters all when it stops. [`Device::destruct`] tells; the device is
/// dropped whether this still exists or not.
pub struct Registered<D: Device> {
    handle: Rc<Handle>,
    device: PhantomData<*mut D>,
}

/// Registers a bdev: from here on others can open it. Modules examine it before this returns, so I/O may come
/// at once.
///
/// # Errors
/// The device is dropped, at a later turn of the thread if SPDK has seen it. `EPERM`: not on the app thread.
/// `EINVAL`: the spec is impossible. `EEXIST`: a bdev of that name or UUID exists. `ENOMEM`.
///
/// # Panics
/// If `D` is not among the devices that the module declared.
pub fn register<D: Device>(
    module: &'static Module,
    spec: BdevSpec,
    device: D,
) -> Result<Registered<D>, Errno> {
    assert!(
        Context::<D>::SIZE <= module.context_size(),
        "{module:?} reserves {} bytes per I/O, this device needs {}: add its type to ModuleOps::Devices",
        module.context_size(),
        Context::<D>::SIZE
    );
    require_app_thread()?;
    spec.check()?;
    let name = CString::new(spec.name.as_str()).map_err(|_| Errno::EINVAL)?;
    let product = CString::new(spec.product.as_str()).map_err(|_| Errno::EINVAL)?;
    let bdev = bdev_of::<D>(module, &spec, &name, &product);
    // Two steps, since each of the two points to the other.
    let life = RefCell::new(Life::Live);
    let registration = Box::into_raw(Box::<Registration<D>>::new_uninit());
    // SAFETY: the box is ours and gets its value here; the bdev is its first field.
    let handle = unsafe {
        let handle = Rc::new(Handle { bdev: registration.cast(), name, life });
        let bdev = UnsafeCell::new(bdev);
        let value = Registration { bdev, device, module, handle: Rc::clone(&handle), _product: product };
        (*registration).write(value);
        (*handle.bdev).ctxt = registration.cast();
        handle
    };
    // SAFETY: the registration stays where it is and lives until `gone`, which is called when the io_device
    // is unregistered; the callbacks fit its type.
    let rc = unsafe {
        sys::spdk_io_device_register(
            registration.cast(),
            Some(open_channel::<D>),
            Some(close_channel::<D>),
            size_of::<DeviceChannel<D>>() as u32,
            handle.name.as_ptr(),
        );
        sys::spdk_bdev_register(handle.bdev)
    };
    let registered = Registered { handle, device: PhantomData };
    match Errno::from_rc(rc) {
        Ok(()) => Ok(registered),
        Err(errno) => {
            registered.give_up();
            Err(errno)
        }
    }
}

impl<D: Device> Registered<D> {
    /// The bdev's name.
    pub fn name(&self) -> &str {
        self.handle.name.to_str().unwrap_or_default()
    }

    /// Changes the size. `EBUSY`: smaller, and somebody has it open. `ENODEV`: it is leaving or gone.
    pub fn resize(&self, num_blocks: u64) -> Result<(), Errno> {
        require_app_thread()?;
        if !matches!(*self.handle.life.borrow(), Life::Live) {
            return Err(Errno::ENODEV);
        }
        // SAFETY: it is registered. The notification is a message, so nothing calls back into us from here.
        Errno::from_rc(unsafe { sys::spdk_bdev_notify_blockcnt_change(self.handle.bdev, num_blocks) })
    }

    /// Removes the bdev: whoever has it open is told to close it, and when all have, [`Device::destruct`] is
    /// called. `done` is called on the app thread when the device has been dropped (at once, if it is gone
    /// already). An error (`EPERM`) means that this was not called on the app thread: the bdev stays, for
    /// ever.
    pub fn unregister(self, done: impl FnOnce(Result<(), Errno>) + 'static) {
        if !on_app_thread() {
            return done(Err(Errno::EPERM));
        }
        if matches!(*self.handle.life.borrow(), Life::Gone) {
            return done(Ok(()));
        }
        self.leave(Some(Box::new(done)));
    }

    fn leave(&self, when_gone: Option<WhenGone>) {
        let was_live = self.handle.leaving();
        if let Life::Leaving(waiting) = &mut *self.handle.life.borrow_mut() {
            waiting.extend(when_gone);
        }
        if was_live {
            // SAFETY: it is registered, or SPDK is removing it by itself, which it notices. It calls back
            // later.
            unsafe { sys::spdk_bdev_unregister(self.handle.bdev, None, ptr::null_mut()) };
        }
    }

    /// `spdk_bdev_register` failed. Either the bdev never was registered, or SPDK removes it again by itself.
    fn give_up(self) {
        self.handle.leaving();
        let bdev = self.handle.bdev;
        // SAFETY: on the app thread, where names change; the io_device is registered and nobody has a
        // channel.
        unsafe {
            if sys::spdk_bdev_get_by_name(self.handle.name.as_ptr()) != bdev {
                sys::spdk_io_device_unregister((*bdev).ctxt, Some(gone::<D>));
            }
        }
    }
}

impl Handle {
    /// Whether it was live until now.
    fn leaving(&self) -> bool {
        let mut life = self.life.borrow_mut();
        let was_live = matches!(*life, Life::Live);
        if was_live {
            *life = Life::Leaving(Vec::new());
        }
        was_live
    }
}

impl<D: Device> Drop for Registered<D> {
    fn drop(&mut self) {
        if on_app_thread() {
            self.leave(None);
        } else if matches!(*self.handle.life.borrow(), Life::Live) {
            tracing::error!(bdev = self.name(), "can't remove a bdev: not on the app thread");
        }
    }
}

impl<D: Device> fmt::Debug for Registered<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registered").field("name", &self.name()).finish_non_exhaustive()
    }
}

fn bdev_of<D: Device>(
    module: &'static Module,
    spec: &BdevSpec,
    name: &CStr,
    product: &CStr,
) -> sys::spdk_bdev {
    // SAFETY: plain data for which all zeroes is a value.
    let mut bdev: sys::spdk_bdev = unsafe { zeroed() };
    bdev.name = name.as_ptr().cast_mut();
    bdev.product_name = product.as_ptr().cast_mut();
    bdev.module = module.as_ptr();
    bdev.fn_table = FnTable::<D>::TABLE;
    bdev.write_cache = spec.write_cache.into();
    bdev.blocklen = spec.block_size;
    bdev.phys_blocklen = spec.physical_block_size;
    bdev.blockcnt = spec.num_blocks;
    bdev.required_alignment = spec.required_alignment_log2;
    bdev.optimal_io_boundary = spec.optimal_io_boundary_blocks;
    bdev.optimal_write_size = spec.optimal_write_size_blocks;
    bdev.max_rw_size = spec.max_rw_blocks;
    bdev.max_unmap = spec.max_unmap_blocks;
    bdev.max_write_zeroes = spec.max_write_zeroes_blocks;
    bdev.max_num_segments = spec.max_segments;
    bdev.max_segment_size = spec.max_segment_bytes;
    bdev.reset_io_drain_timeout = spec.reset_drain_timeout_s;
    if let Some(id) = spec.numa_id {
        bdev.numa.set_id_valid(1);
        bdev.numa.set_id(id);
    }
    // SAFETY: spdk_uuid is 16 bytes, asserted by its header.
    unsafe { (&raw mut bdev.uuid).cast::<[u8; 16]>().write(spec.uuid) };
    bdev
}

struct FnTable<D>(PhantomData<D>);

impl<D: Device> FnTable<D> {
    const TABLE: &'static sys::spdk_bdev_fn_table = &sys::spdk_bdev_fn_table {
        destruct: Some(destruct::<D>),
        submit_request: Some(submit_request::<D>),
        io_type_supported: Some(io_type_supported::<D>),
        get_io_channel: Some(get_io_channel),
        dump_info_json: Some(dump_info_json::<D>),
        // SAFETY: plain data for which all zeroes is a value.
        ..unsafe { zeroed() }
    };
}

unsafe extern "C" fn io_type_supported<D: Device>(
    ctxt: *mut c_void,
    io_type: sys::spdk_bdev_io_type,
) -> bool {
    // SAFETY: ctxt is the registration, which stays until `gone`.
    let registration = unsafe { &*ctxt.cast::<Registration<D>>() };
    IoKind::from_spdk(io_type).is_some_and(|kind| registration.device.supports(kind))
}

unsafe extern "C" fn get_io_channel(ctxt: *mut c_void) -> *mut sys::spdk_io_channel {
    // SAFETY: ctxt is the io_device.
    unsafe { sys::spdk_get_io_channel(ctxt) }
}

unsafe extern "C" fn dump_info_json<D: Device>(ctxt: *mut c_void, w: *mut sys::spdk_json_write_ctx) -> c_int {
    // SAFETY: ctxt is the registration, which stays until `gone`.
    let registration = unsafe { &*ctxt.cast::<Registration<D>>() };
    let text = registration.device.info().to_string();
    // SAFETY: SPDK has the writer in the middle of an object; both strings are copied.
    unsafe {
        sys::spdk_json_write_name(w, registration.module.name_c().as_ptr());
        sys::spdk_json_write_val_raw(w, text.as_ptr().cast(), text.len())
    }
}

/// SPDK: nobody uses the bdev any more. Always answers later (1).
unsafe extern "C" fn destruct<D: Device>(ctxt: *mut c_void) -> c_int {
    // SAFETY: ctxt is the registration, which stays until `gone`; this is the app thread, where it was
    // unregistered.
    let registration = unsafe { &*ctxt.cast::<Registration<D>>() };
    registration.handle.leaving();
    let done = DestructDone { bdev: Doomed(registration.bdev.get()), tell: destructed::<D> };
    registration.device.destruct(done);
    1
}

/// The device is done: when the last channel is closed on every thread, `gone` is called.
///
/// # Safety
/// From `DestructDone`, once, on the app thread.
unsafe fn destructed<D: Device>(bdev: Doomed) {
    // SAFETY: ctxt is the io_device, which is registered until here.
    unsafe { sys::spdk_io_device_unregister((*bdev.0).ctxt, Some(gone::<D>)) };
}

unsafe extern "C" fn gone<D: Device>(io_device: *mut c_void) {
    // SAFETY: nobody has the bdev open and no channel is left, so this is the last reference.
    let registration = unsafe { Box::from_raw(io_device.cast::<Registration<D>>()) };
    let Life::Leaving(waiting) = replace(&mut *registration.handle.life.borrow_mut(), Life::Gone) else {
        unreachable!("a bdev has ended that was not leaving");
    };
    // SAFETY: destruct answered 1, so this is owed; it only calls whoever had SPDK unregister it.
    unsafe { sys::spdk_bdev_destruct_done(registration.bdev.get(), 0) };
    drop(registration);
    for done in waiting {
        done(Ok(()));
    }
}
