//! What a bdev of ours says about itself.

use crate::error::Errno;

/// Properties to register a bdev with. Limits and hints of 0 mean none. Start from [`BdevSpec::new`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BdevSpec {
    /// Unique among all bdevs of the process.
    pub name: String,
    /// The kind of device, for people.
    pub product: String,
    /// Stable identity; all zeroes lets SPDK draw one.
    pub uuid: [u8; 16],
    /// Bytes per block: a multiple of 512.
    pub block_size: u32,
    /// Bytes that the device writes as one; 0: as the block size.
    pub physical_block_size: u32,
    /// Size in blocks.
    pub num_blocks: u64,
    /// Whether a write may be lost until it was flushed.
    pub write_cache: bool,
    /// I/O that crosses a multiple of this is slower. Only a hint: SPDK does not split.
    pub optimal_io_boundary_blocks: u32,
    /// Writes of this size are the fastest.
    pub optimal_write_size_blocks: u32,
    /// Buffers come aligned to 2 to the power of this many bytes; others are copied by SPDK. At most 12 (4096
    /// bytes). Other than 0 it limits I/O to the size of SPDK's large buffers: SPDK splits what is larger.
    pub required_alignment_log2: u8,
    /// Largest read or write: SPDK splits what is larger.
    pub max_rw_blocks: u32,
    /// Largest unmap, likewise.
    pub max_unmap_blocks: u32,
    /// Largest write of zeroes, likewise.
    pub max_write_zeroes_blocks: u32,
    /// Most pieces of a buffer, and the largest in bytes: SPDK splits what has more. Both or neither.
    pub max_segments: u32,
    /// See `max_segments`.
    pub max_segment_bytes: u32,
    /// How long a reset waits for I/O in flight before it is sent; 0: not at all. If all comes back by then,
    /// it is not sent.
    pub reset_drain_timeout_s: u16,
    /// Where its memory accesses are cheapest.
    pub numa_id: Option<i32>,
}

impl BdevSpec {
    /// A bdev of this size, without limits, hints or a write cache.
    pub fn new(name: impl Into<String>, block_size: u32, num_blocks: u64) -> BdevSpec {
        BdevSpec {
            name: name.into(),
            product: "Basalt".to_owned(),
            uuid: [0; 16],
            block_size,
            physical_block_size: 0,
            num_blocks,
            write_cache: false,
            optimal_io_boundary_blocks: 0,
            optimal_write_size_blocks: 0,
            required_alignment_log2: 0,
            max_rw_blocks: 0,
            max_unmap_blocks: 0,
            max_write_zeroes_blocks: 0,
            max_segments: 0,
            max_segment_bytes: 0,
            reset_drain_timeout_s: 0,
            numa_id: None,
        }
    }

    /// `EINVAL` for what SPDK would choke on.
    pub(super) fn check(&self) -> Result<(), Errno> {
        let fine = !self.name.is_empty()
            && self.block_size > 0
            && self.block_size.is_multiple_of(512)
            && self.physical_block_size.is_multiple_of(self.block_size)
            && self.num_blocks > 0
            && self.required_alignment_log2 <= 12
            && (self.max_segments == 0) == (self.max_segment_bytes == 0);
        if fine { Ok(()) } else { Err(Errno::EINVAL) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_geometry_is_refused() {
        let fine = BdevSpec::new("a", 512, 1);
        assert_eq!(fine.check(), Ok(()));
        let broken = [
            BdevSpec::new("", 512, 1),
            BdevSpec::new("a", 0, 1),
            BdevSpec::new("a", 520, 1),
            BdevSpec::new("a", 512, 0),
            BdevSpec { required_alignment_log2: 13, ..fine.clone() },
            BdevSpec { max_segments: 4, ..fine.clone() },
            BdevSpec { physical_block_size: 700, ..fine },
        ];
        for spec in broken {
            assert_eq!(spec.check(), Err(Errno::EINVAL), "{spec:?}");
        }
    }
}
