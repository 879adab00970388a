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
use std::sync::Arc;

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

/// Counted by the [`Registered`] and, until it is gone, by SPDK. Counts and `life` are touched on the app
/// thread only.
#[repr(C)]
pub(super) struct Registration<D: Device> {
    /// First, so that the way from a bdev_io to the device is a constant offset.
    bdev: UnsafeCell<sys::spdk_bdev>,
    pub device: D,
    life: RefCell<Life>,
    module: &'static Module,
    name: CString,
    /// SPDK has its address.
    _product: CString,
}

/// A registered bdev. Belongs to the app thread. Dropping it unregisters the bdev.
pub struct Registered<D: Device> {
    registration: Arc<Registration<D>>,
    /// Neither Send nor Sync.
    thread: PhantomData<*mut ()>,
}

/// Registers a bdev: from here on others can open it. Modules examine it before this returns, so I/O may come
/// at once.
///
/// # Errors
/// The device is dropped (if SPDK got half-way, at a later turn of the thread). `EPERM`: not on the app
/// thread. `EINVAL`: the spec is impossible. `EEXIST`: a bdev of that name or UUID exists. `ENOMEM`.
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
    let bdev = UnsafeCell::new(bdev_of::<D>(module, &spec, &name, &product));
    let life = RefCell::new(Life::Live);
    let registration = Arc::new(Registration { bdev, device, life, module, name, _product: product });
    // One count is SPDK's.
    let io_device = Arc::into_raw(Arc::clone(&registration)).cast_mut();
    // SAFETY: the registration stays where it is and lives until `gone`, which is called when the io_device
    // is unregistered; the callbacks fit its type. `ctxt` is set before SPDK sees the bdev.
    let rc = unsafe {
        sys::spdk_io_device_register(
            io_device.cast(),
            Some(open_channel::<D>),
            Some(close_channel::<D>),
            size_of::<DeviceChannel<D>>() as u32,
            registration.name.as_ptr(),
        );
        let bdev = registration.bdev.get();
        (*bdev).ctxt = io_device.cast();
        sys::spdk_bdev_register(bdev)
    };
    let registered = Registered { registration, thread: PhantomData };
    match Errno::from_rc(rc) {
        Ok(()) => Ok(registered),
        Err(errno) => {
            registered.give_up();
            Err(errno)
        }
    }
}

impl<D: Device> Registered<D> {
    /// The device.
    pub fn device(&self) -> &D {
        &self.registration.device
    }

    /// The bdev's name.
    pub fn name(&self) -> &str {
        self.registration.name.to_str().unwrap_or_default()
    }

    /// Changes the size. `EBUSY`: smaller, and somebody has it open.
    pub fn resize(&self, num_blocks: u64) -> Result<(), Errno> {
        match *self.registration.life.borrow() {
            Life::Live => {}
            _ => return Err(Errno::ENODEV),
        }
        // SAFETY: it is registered. The notification is a message, so nothing calls back into us from here.
        Errno::from_rc(unsafe {
            sys::spdk_bdev_notify_blockcnt_change(self.registration.bdev.get(), num_blocks)
        })
    }

    /// Removes the bdev: whoever has it open is told to close it, and when all have, [`Device::destruct`] is
    /// called. `done` is called on the app thread when the device has been dropped. An error (`EPERM`) means
    /// that this was not called on the app thread: the bdev stays, for ever.
    pub fn unregister(self, done: impl FnOnce(Result<(), Errno>) + 'static) {
        if !on_app_thread() {
            return done(Err(Errno::EPERM));
        }
        let gone = matches!(*self.registration.life.borrow(), Life::Gone);
        if gone {
            drop(self);
            return done(Ok(()));
        }
        self.leave(Some(Box::new(done)));
    }

    fn leave(&self, when_gone: Option<WhenGone>) {
        let was_live = {
            let mut life = self.registration.life.borrow_mut();
            let was_live = matches!(*life, Life::Live);
            if was_live {
                *life = Life::Leaving(Vec::new());
            }
            if let Life::Leaving(waiting) = &mut *life {
                waiting.extend(when_gone);
            }
            was_live
        };
        if was_live {
            // SAFETY: it is registered, or SPDK is removing it by itself, which it notices. It calls back
            // later.
            unsafe { sys::spdk_bdev_unregister(self.registration.bdev.get(), None, ptr::null_mut()) };
        }
    }

    /// `spdk_bdev_register` failed. Either the bdev never was registered, or SPDK removes it again by itself.
    fn give_up(self) {
        let bdev = self.registration.bdev.get();
        *self.registration.life.borrow_mut() = Life::Leaving(Vec::new());
        // SAFETY: on the app thread, where names change; the io_device is registered and nobody has a
        // channel.
        unsafe {
            if sys::spdk_bdev_get_by_name(self.registration.name.as_ptr()) != bdev {
                sys::spdk_io_device_unregister((*bdev).ctxt, Some(gone::<D>));
            }
        }
    }
}

impl<D: Device> Drop for Registered<D> {
    fn drop(&mut self) {
        if on_app_thread() {
            self.leave(None);
        } else {
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
    // SAFETY: ctxt is the registration, which stays until `gone`; our thread is the app thread, where it was
    // unregistered.
    let registration = unsafe { &*ctxt.cast::<Registration<D>>() };
    {
        let mut life = registration.life.borrow_mut();
        if let Life::Live = *life {
            *life = Life::Leaving(Vec::new());
        }
    }
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
    // SAFETY: this is SPDK's count, which ends here.
    let registration = unsafe { Arc::from_raw(io_device.cast::<Registration<D>>()) };
    let waiting = match replace(&mut *registration.life.borrow_mut(), Life::Gone) {
        Life::Leaving(waiting) => waiting,
        Life::Live | Life::Gone => unreachable!("a bdev has ended that was not leaving"),
    };
    // SAFETY: destruct answered 1, so this is owed; it only calls whoever had SPDK unregister it.
    unsafe { sys::spdk_bdev_destruct_done(registration.bdev.get(), 0) };
    drop(registration);
    for done in waiting {
        done(Ok(()));
    }
}
