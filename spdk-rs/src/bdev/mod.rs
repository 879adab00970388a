//! Using a bdev.
//!
//! ```text
//!   Descriptor --- channel() --> Channel ----> read, write, flush, ... with buffers of ours
//!   (app thread)                 (one thread)  Io::submit_child with the buffers of a host (see `module`)
//! ```
//!
//! A [`Descriptor`] says that a bdev is in use, and by whom; a [`Channel`] is where one thread sends its I/O.
//! A channel keeps its descriptor open, and I/O in flight keeps its channel: nothing can be closed under a
//! drive that still writes into memory.

mod channel;
mod descriptor;
mod error;
mod info;
mod kind;
mod nvme;
mod refill;
mod request;
mod reserve;
mod wait;

pub use channel::Channel;
pub(crate) use channel::ChannelInner;
pub use descriptor::{BdevEvent, Claim, Descriptor};
pub use error::{IoError, IoErrorKind};
pub(crate) use info::name_of;
pub use info::{BdevInfo, exists, list};
pub use kind::{IoKind, IoKindSet};
pub use nvme::nvme_flush_is_enabled;
pub use request::{IoFuture, WithBuffer};
pub use reserve::Reserve;
pub(crate) use wait::call_soon;
pub use wait::wait_for_io;
