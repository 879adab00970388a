//! A bdev module: what SPDK starts, asks to examine new bdevs, and stops.

use std::cell::UnsafeCell;
use std::ffi::{CStr, c_int};
use std::fmt;
use std::mem::zeroed;

use spdk_sys as sys;

use super::context::Context;
use super::device::Device;
use super::guards::{ExamineDone, FiniDone};
use crate::error::Errno;

/// A module's own part in SPDK's life. Every function is called on the app thread.
pub trait ModuleOps: 'static {
    /// The types of its devices, as a tuple: `(Array, Faulty)`. Their per-I/O state decides how much SPDK
    /// reserves in every bdev_io.
    type Devices: DeviceList;

    /// SPDK starts. An error ends the start-up.
    fn init() -> Result<(), Errno> {
        Ok(())
    }

    /// Every module has started and every bdev that was there has been examined.
    fn init_complete() {}

    /// SPDK is about to stop, and no bdev has been removed yet.
    fn fini_start(done: FiniDone) {
        drop(done);
    }

    /// SPDK stops; the module's bdevs are gone.
    fn fini(done: FiniDone) {
        drop(done);
    }

    /// A bdev has appeared: decide by its name, without I/O, whether to claim it.
    fn examine_config(bdev: &str) {
        let _ = bdev;
    }

    /// A bdev that nobody else has claimed has appeared: it may be read.
    fn examine_disk(bdev: &str, done: ExamineDone) {
        let _ = bdev;
        drop(done);
    }

    /// The RPCs, `{"method": .., "params": ..}`, that bring back the configuration of now. For `save_config`.
    fn config() -> Vec<serde_json::Value> {
        Vec::new()
    }
}

/// The device types of a module: a tuple of one to six.
pub trait DeviceList {
    /// Bytes that the largest of them needs in a bdev_io.
    const CONTEXT_SIZE: usize;
}

const fn largest(sizes: &[usize]) -> usize {
    let (mut at, mut largest) = (0, 0);
    while at < sizes.len() {
        largest = if sizes[at] > largest { sizes[at] } else { largest };
        at += 1;
    }
    largest
}

macro_rules! device_list {
    ($($device:ident)+) => {
        impl<$($device: Device),+> DeviceList for ($($device,)+) {
            const CONTEXT_SIZE: usize = largest(&[$(Context::<$device>::SIZE),+]);
        }
    };
}

device_list!(A);
device_list!(A B);
device_list!(A B C);
device_list!(A B C E);
device_list!(A B C E F);
device_list!(A B C E F G);

/// A bdev module of ours. Made by [`declare_module!`](crate::declare_module).
pub struct Module {
    raw: UnsafeCell<sys::spdk_bdev_module>,
    name: &'static CStr,
    context_size: usize,
}

// SAFETY: SPDK guards what it writes in `raw` with locks of its own; we only hand out its address.
unsafe impl Sync for Module {}

impl Module {
    #[doc(hidden)]
    pub const fn new<O: ModuleOps>(name: &'static CStr) -> Module {
        let raw = sys::spdk_bdev_module {
            module_init: Some(init::<O>),
            init_complete: Some(init_complete::<O>),
            fini_start: Some(fini_start::<O>),
            module_fini: Some(fini::<O>),
            config_json: Some(config_json::<O>),
            name: name.as_ptr(),
            get_ctx_size: Some(context_size::<O>),
            async_fini: true,
            async_fini_start: true,
            // SAFETY: plain data for which all zeroes is a value.
            ..unsafe { zeroed() }
        };
        Module { raw: UnsafeCell::new(raw), name, context_size: O::Devices::CONTEXT_SIZE }
    }

    /// Sets what needs the module's own address, and enters it into SPDK's list.
    ///
    /// # Safety
    /// Called once, before `main`, by [`declare_module!`](crate::declare_module).
    #[doc(hidden)]
    pub unsafe fn enter(&'static self, examine: ExamineFns) {
        // SAFETY: by the caller's promise nobody else knows the module yet, and it lives for ever.
        unsafe {
            (*self.raw.get()).examine_config = Some(examine.config);
            (*self.raw.get()).examine_disk = Some(examine.disk);
            sys::spdk_bdev_module_list_add(self.raw.get());
        }
    }

    /// The module's name.
    pub fn name(&self) -> &str {
        self.name.to_str().unwrap_or_default()
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::spdk_bdev_module {
        self.raw.get()
    }

    pub(super) fn name_c(&self) -> &'static CStr {
        self.name
    }

    /// Bytes that were reserved in every bdev_io for the devices that were declared.
    pub(super) fn context_size(&self) -> usize {
        self.context_size
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Module").field(&self.name).finish()
    }
}

unsafe extern "C" fn context_size<O: ModuleOps>() -> c_int {
    c_int::try_from(O::Devices::CONTEXT_SIZE).expect("a device's per-I/O state of more than 2 GiB")
}

unsafe extern "C" fn init<O: ModuleOps>() -> c_int {
    O::init().map_or_else(Errno::to_rc, |()| 0)
}

unsafe extern "C" fn init_complete<O: ModuleOps>() {
    O::init_complete();
}

unsafe extern "C" fn fini_start<O: ModuleOps>() {
    O::fini_start(FiniDone { tell: sys::spdk_bdev_module_fini_start_done });
}

unsafe extern "C" fn fini<O: ModuleOps>() {
    O::fini(FiniDone { tell: sys::spdk_bdev_module_fini_done });
}

unsafe extern "C" fn config_json<O: ModuleOps>(w: *mut sys::spdk_json_write_ctx) -> c_int {
    for call in O::config() {
        let text = call.to_string();
        // SAFETY: SPDK has the writer in the middle of an array of calls; the text is copied.
        unsafe { sys::spdk_json_write_val_raw(w, text.as_ptr().cast(), text.len()) };
    }
    0
}

/// The callbacks that answer in the name of a certain module.
#[doc(hidden)]
pub struct ExamineFns {
    config: unsafe extern "C" fn(*mut sys::spdk_bdev),
    disk: unsafe extern "C" fn(*mut sys::spdk_bdev),
}

/// Names the static of a module in a type, so that a C callback without arguments can find it.
#[doc(hidden)]
pub trait ModuleStatic: ModuleOps {
    /// The static.
    fn module() -> &'static Module;
}

impl ExamineFns {
    #[doc(hidden)]
    pub fn of<O: ModuleStatic>() -> ExamineFns {
        unsafe extern "C" fn config<O: ModuleStatic>(bdev: *mut sys::spdk_bdev) {
            // SAFETY: SPDK keeps the bdev open during the examination, and calls on the app thread.
            O::examine_config(&unsafe { crate::bdev::name_of(bdev) });
            // SAFETY: owed once to each call of examine_config, before it returns.
            unsafe { sys::spdk_bdev_module_examine_done(O::module().as_ptr()) };
        }
        unsafe extern "C" fn disk<O: ModuleStatic>(bdev: *mut sys::spdk_bdev) {
            let done = ExamineDone { module: O::module() };
            // SAFETY: as above.
            O::examine_disk(&unsafe { crate::bdev::name_of(bdev) }, done);
        }
        ExamineFns { config: config::<O>, disk: disk::<O> }
    }
}

/// Declares a bdev module: a static [`Module`] that SPDK knows from before `main` on.
///
/// `declare_module!(pub BASALT, "basalt", Ops);` where `Ops` implements [`ModuleOps`]. In a library the
/// static must be used by the final program (registering a device does), else the linker may leave the object
/// file out.
#[macro_export]
macro_rules! declare_module {
    ($(#[$attribute:meta])* $visibility:vis $module:ident, $name:literal, $ops:ty) => {
        $(#[$attribute])*
        $visibility static $module: $crate::module::Module = {
            const NAME: &::std::ffi::CStr =
                match ::std::ffi::CStr::from_bytes_with_nul(concat!($name, "\0").as_bytes()) {
                    Ok(name) => name,
                    Err(_) => panic!("the name of a module can't contain a NUL"),
                };
            $crate::module::Module::new::<$ops>(NAME)
        };

        const _: () = {
            impl $crate::module::ModuleStatic for $ops {
                fn module() -> &'static $crate::module::Module {
                    &$module
                }
            }

            extern "C" fn enter() {
                // SAFETY: a constructor runs once, before main.
                unsafe { $module.enter($crate::module::ExamineFns::of::<$ops>()) };
            }

            // SAFETY: the section holds pointers to functions that are called before main, and this is one.
            #[used]
            #[unsafe(link_section = ".init_array")]
            static ENTER: extern "C" fn() = enter;
        };
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_counts() {
        assert_eq!(largest(&[3, 9, 4]), 9);
        assert_eq!(largest(&[]), 0);
    }
}
