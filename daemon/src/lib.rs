//! The `basalt` daemon and its command line.
//!
//! ```text
//!   cli ---- client ----> the daemon's socket <---- client ---- run::operator ---- plan <---- Config
//!    |                                                              |
//!    +-- status, check (pure: JSON or Config in, text out)          run::engine: SPDK on its reactors
//! ```
//!
//! The daemon brings itself up through its own JSON-RPC socket: [`plan`] turns the configuration into an
//! ordered list of calls, [`run`] makes them. So all that the YAML can do, an operator can type.
#![forbid(unsafe_code)]

mod check;
mod cli;
pub mod client;
mod examine;
mod identity;
mod memory;
mod paint;
mod paths;
mod plan;
mod run;
mod status;
mod table;
mod units;

pub use cli::main;
