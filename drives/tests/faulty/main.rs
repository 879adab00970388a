//! Faulty drives in real SPDK processes.

mod cache;
#[path = "../support/client.rs"]
mod client;
mod drive;
mod hang;
#[path = "../support/host.rs"]
mod host;
#[path = "../support/lab.rs"]
mod lab;
mod life;
mod model;
#[path = "../support/own_process.rs"]
mod own_process;
mod refusals;
mod rules;
mod threads;

use own_process::in_lab;

// The module and its methods register themselves.
use basalt_drives as _;
