//! The YAML file that describes a Basalt system, read into a checked model.
//!
//! [`load`] and [`parse`] answer a [`Config`], in which every name resolves, every default is filled in and
//! every size, rate and duration has a type; or [`Diagnostics`], which name *all* that is wrong, each with
//! file, line, column, the line itself and what to type instead. Nothing is opened, created or changed on the
//! way.
//!
//! ```text
//!   text --yaml--> nodes with places --read--> model --check--> Config
//!                                       |                |
//!                                       +-- Diagnostics -+
//! ```
//!
//! - `yaml` is the only module that knows the YAML library, so that it can be replaced.
//! - `read` turns nodes into the model, one item at a time.
//! - `check` looks at what only several items together show: geometry, members used twice, loops.
//!
//! **Relative paths** (of drives and of the RPC socket) are taken from the folder of the YAML file, not from
//! the working directory, so that a file means the same whoever starts the daemon.
//!
//! All types are plain data: `Send`, `Sync` and free of I/O, except for [`load`], which reads one file.

#![forbid(unsafe_code)]

mod address;
mod check;
mod diagnostic;
mod load;
mod model;
mod names;
mod nqn;
mod order;
mod place;
mod read;
mod units;
mod yaml;

pub use address::PciAddress;
pub use diagnostic::{CODES, Colour, Diagnostic, DiagnosticKind, Diagnostics, Known, Note};
pub use load::{FILE_SIZE_MAX, load, parse};
pub use model::{
    Array, BlockSize, Config, Consistency, Drive, DriveKind, Export, Hosts, HugePages, Idle, Initial, Layout,
    Level, MaxErrors, Member, Metadata, NvmeTransport, OnFailed, ParityLayout, Runtime, StartDegraded, Sync,
};
pub use nqn::{Nqn, NqnError};
pub use place::{Place, Spanned};
pub use units::{Bytes, RateBytesPerS};

/// The system that `scripts/run` starts when it is given no file: four sparse file drives beside the YAML
/// file, a RAID10 over them, exported on loopback. It is `examples/mirror.yaml`.
pub const DEFAULT_YAML: &str = include_str!("../examples/mirror.yaml");
