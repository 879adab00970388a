//! `runtime`: how the process runs.

use std::path::PathBuf;

use crate::{Bytes, Place, Spanned};

/// How the process runs.
#[derive(Clone, Debug)]
pub struct Runtime {
    /// The section, or the start of the file if it was left out.
    pub place: Place,
    /// CPU cores, one reactor each: at least one, no two alike, each at most 1023. Default: core 0.
    pub cores: Spanned<Vec<u32>>,
    /// DMA memory: whole MiB, at least 256 MiB. Default: 512 MiB, 64 MiB for each core after the first, and
    /// the sizes of all memory drives.
    pub memory: Spanned<Bytes>,
    /// Default: `auto`.
    pub hugepages: Spanned<HugePages>,
    /// Default: `adaptive`.
    pub idle: Spanned<Idle>,
    /// The JSON-RPC socket, at most 107 bytes. Default: `/var/tmp/basalt.sock`.
    pub rpc_socket: Spanned<PathBuf>,
}

/// Whether DMA memory comes from huge pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HugePages {
    /// If the machine has enough of them free.
    Auto,
    /// Refuse to start without.
    Required,
    /// Never.
    Off,
}

/// What a reactor does when nothing is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Back off, step by step.
    Adaptive,
    /// Poll on: one core at 100 %, lowest latency.
    Poll,
}

impl Runtime {
    /// Where the RPC socket is when the file does not say.
    pub const RPC_SOCKET_DEFAULT: &str = "/var/tmp/basalt.sock";
    /// Smallest `memory`.
    pub const MEMORY_MIN: Bytes = Bytes::mib(256);
    /// Largest `memory`.
    pub const MEMORY_MAX: Bytes = Bytes::gib(16 << 10);
    /// Highest core number.
    pub const CORE_MAX: u32 = 1023;
    /// Longest path of a Unix socket on Linux, in bytes, without the closing NUL (unix(7)).
    pub const SOCKET_PATH_BYTES_MAX: usize = 107;

    /// `memory` for a file that does not say: see [`Runtime::memory`].
    pub(crate) fn memory_default(cores: usize, memory_drives: Bytes) -> Bytes {
        let extra_cores = cores.saturating_sub(1) as u64;
        let mib = 512 + 64 * extra_cores + memory_drives.get().div_ceil(1 << 20);
        Bytes::mib(mib.min(Self::MEMORY_MAX.get() >> 20))
    }
}
