//! The safe layer over SPDK: environment, threads, pollers, channels, JSON-RPC, subsystems, bdevs.
//!
//! No function here is safe to write and unsound to call: what the types can't rule out is checked when it
//! happens. The thread rules are in [`thread`]; each type says which of them it is under.
//!
//! Start to end of a process of our own, each dropped in the reverse order:
//!
//! 1. [`env::Env::init`]
//! 2. [`thread::ThreadLib::init`] with a scheduler that polls the threads
//! 3. [`thread::ThreadHandle::spawn`]: the first is the app thread
//! 4. on it: [`subsystem::load_config`], [`subsystem::init`], `load_config` again, [`rpc::listen`]
//! 5. on it: drop the RPC server, [`subsystem::fini`]
//!
//! Linked into an application that is not ours, 1 to 5 are the application's, and everything else works on
//! its threads.

pub mod bdev;
pub mod cpuset;
pub mod dma;
pub mod env;
pub mod error;
mod gate;
pub mod introspect;
pub mod io_device;
pub mod log;
pub mod module;
pub mod poller;
pub mod rpc;
mod rpc_json;
pub mod subsystem;
pub mod thread;

pub use error::Errno;
