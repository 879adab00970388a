//! The foundation (environment, threads, pollers, devices, RPC, subsystems) in real SPDK processes, without
//! root.

// First: its macro is for all that follow.
#[macro_use]
#[path = "../support/own_process.rs"]
mod own_process;

mod client;
mod env;
mod introspect;
mod io_device;
mod log;
mod pins;
mod pollers;
mod process;
mod rpc;
mod subsystem;
mod threads;
mod wrong_thread;
