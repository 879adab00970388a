//! File drives in real SPDK processes.

mod busy;
#[path = "../support/client.rs"]
mod client;
mod data;
#[path = "../support/host.rs"]
mod host;
#[path = "../support/lab.rs"]
mod lab;
mod life;
#[path = "../support/own_process.rs"]
mod own_process;
mod refusals;
mod shapes;
mod threads;

use own_process::in_lab;

// The module and its methods register themselves.
use basalt_drives as _;
