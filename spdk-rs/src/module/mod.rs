//! Being a bdev.
//!
//! ```text
//!   declare_module! -> Module        what SPDK starts, asks to examine new bdevs, and stops
//!   register        -> Registered    one bdev of the module: a Device, with a Channel per thread
//!   Device::submit  <- Io            one I/O of a host, from submission to `complete`
//!   Io::submit_child                 a part of it, sent to a member with the host's own buffers
//!   Device::child_done <- Io         a part came back
//! ```
//!
//! All of it is monomorphised over the [`Device`]: between SPDK's call and the device's code there is no
//! dispatch, no allocation and no lock.

mod buffers;
mod child;
mod context;
mod copy;
mod declare;
mod device;
mod guards;
mod io;
mod registered;
mod spec;
mod submit;

pub use buffers::IoVec;
pub use child::{CHILD_SLOTS, Child};
pub use declare::{DeviceList, Module, ModuleOps};
#[doc(hidden)]
pub use declare::{ExamineFns, ModuleStatic};
pub use device::Device;
pub use guards::{DestructDone, ExamineDone, FiniDone};
pub use io::{Io, IoToken};
pub use registered::{Registered, register};
pub use spec::BdevSpec;
