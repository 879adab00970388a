//! The deterministic simulator and its checkers.
//!
//! It drives the machines of `raid` on simulated disks, with messages that arrive whenever they like and
//! drives that fail in every way that the machines know of. Everything follows from a seed. What is found is
//! found by checkers that look at the disks, the messages and the Views, not at how the machines decide.
//!
//! ```text
//!   seed -> profile -> world: host, Channels, Shards, Array, links, disks
//!                        |
//!   chaos (faults) -> heal (no faults: everything must come to rest) -> audit (every copy, every block)
//!                        |                    |                            |
//!                      check: every submission, completion, View, event, lease; then what must be so at rest
//! ```
//!
//! Files: `run` is one run, `world` what happens in it, `profile` what is different from seed to seed,
//! `oracle` what the host may read, `check` what must hold, `disk` and `net` what drives and messages do.

mod check;
mod coverage;
mod disk;
mod host;
mod layout;
mod net;
mod oracle;
mod profile;
mod rng;
mod run;
mod stamp;
mod trace;
mod world;

pub use check::{Rule, Violation};
pub use coverage::Coverage;
pub use run::{Outcome, run};
