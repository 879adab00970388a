//! Bdevs of ours over SPDK's, in real SPDK processes: the environment works without huge pages, one process
//! per test.

// First: its macro is for all that follow.
#[macro_use]
#[path = "../support/own_process.rs"]
mod own_process;

mod claims;
mod data;
mod ends;
mod errors;
mod host;
mod lab;
mod leaf;
mod misuse;
mod module;
mod own_io;
mod reserve;
mod scarce;
mod stripe;
mod threads;

use lab::{Lab, Setup};
use own_process::{dies_in_own_process, in_own_process};

/// The usual test: a lab, and everything in it gone at the end.
fn in_lab(name: &str, body: impl FnOnce(&mut Lab)) {
    in_own_process(name, || {
        let mut lab = Lab::start(&Setup::default());
        body(&mut lab);
        lab.stop();
    });
}
