//! SPDK's pools, cut to the memory there is. SPDK's own defaults take about 400 MiB before the first I/O, and
//! fail outright in 256 MiB.
//!
//! | pool | share of the memory that is left beside memory drives | one element |
//! |---|---|---|
//! | small buffers | 1/8 | 8 KiB |
//! | large buffers | 1/8 | 132 KiB |
//! | bdev I/Os | 1/16 | 1 KiB, roughly: the structure and the modules' contexts |
//! | NVMe/TCP queue pairs | 1/4 | 1 MiB, roughly: 128 requests with 4 KiB of in-capsule data each |
//!
//! Each is kept between what works at all and SPDK's default. Running out of any of them queues I/O, it fails
//! none.

use basalt_config::{Config, DriveKind};

/// Sizes of the pools, in elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pools {
    /// Buffers of [`SMALL_BUFFER_BYTES`].
    pub small_buffers: u64,
    /// Buffers of [`LARGE_BUFFER_BYTES`].
    pub large_buffers: u64,
    /// bdev_io structures in all.
    pub bdev_ios: u64,
    /// bdev_io structures that each thread keeps for itself.
    pub bdev_ios_per_thread: u64,
    /// Buffers of either size that each user on each thread keeps for itself.
    pub buffers_per_thread: u64,
    /// I/O queue pairs that one host may open per connection to a subsystem.
    pub io_queues_per_host: u64,
}

/// Size of a small buffer.
pub const SMALL_BUFFER_BYTES: u64 = 8 << 10;
/// Size of a large buffer: 128 KiB and room for alignment.
pub const LARGE_BUFFER_BYTES: u64 = 132 << 10;

impl Pools {
    /// The pools for `config`.
    pub fn for_config(config: &Config) -> Pools {
        let memory_drives: u64 = config
            .drives
            .iter()
            .map(|drive| match &drive.kind {
                DriveKind::Memory { size, .. } => size.get(),
                _ => 0,
            })
            .sum();
        Pools::for_memory(
            config.runtime.memory.get().saturating_sub(memory_drives),
            config.runtime.cores.len() as u64,
        )
    }

    /// The pools for so much memory and so many cores.
    pub fn for_memory(bytes: u64, cores: u64) -> Pools {
        let bdev_ios = (bytes / 16 / 1024).clamp(8192, 65_535);
        let large_buffers = (bytes / 8 / LARGE_BUFFER_BYTES).clamp(128, 1024);
        Pools {
            small_buffers: (bytes / 8 / SMALL_BUFFER_BYTES).clamp(1024, 8192),
            large_buffers,
            bdev_ios,
            // A core has a few threads: what all of them may keep is half of the pool at most.
            bdev_ios_per_thread: (bdev_ios / 2 / THREADS_PER_CORE / cores).clamp(16, 256),
            buffers_per_thread: (large_buffers / 2 / THREADS_PER_CORE / cores).clamp(1, 16),
            io_queues_per_host: (bytes / 4 / (1 << 20) / HOSTS).clamp(8, 127),
        }
    }
}

/// SPDK threads that do I/O, on each core: the app thread, the target's poll group, our Shards.
const THREADS_PER_CORE: u64 = 4;

/// Hosts that may use all their queues before memory is short.
const HOSTS: u64 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_memory_gets_small_pools_and_large_memory_spdks_defaults() {
        let shown: Vec<String> = [0, 256, 512, 1024, 8192]
            .iter()
            .map(|mib| format!("{mib:5} MiB: {:?}", Pools::for_memory(mib << 20, 1)))
            .collect();
        insta::assert_snapshot!(shown.join("\n"));
    }

    #[test]
    fn many_cores_share() {
        insta::assert_snapshot!(format!("{:?}", Pools::for_memory(256 << 20, 64)));
    }

    /// What is taken at start, without queue pairs, leaves half of the memory.
    #[test]
    fn pools_leave_room() {
        for mib in [256u64, 384, 512, 768, 1024, 4096] {
            let pools = Pools::for_memory(mib << 20, 1);
            let taken = pools.small_buffers * SMALL_BUFFER_BYTES
                + pools.large_buffers * LARGE_BUFFER_BYTES
                + pools.bdev_ios * 1024;
            assert!(taken <= (mib << 20) / 2, "{mib} MiB: {} MiB taken", taken >> 20);
        }
    }
}
