//! Memory that drives can reach.

use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::slice;

use spdk_sys as sys;

use crate::env::EnvUse;
use crate::error::Errno;

/// Zeroed memory that drives can reach (registered, and pinned where huge pages are on), of a fixed length.
/// May be made, used and dropped on any thread.
#[derive(Debug)]
pub struct DmaBuf {
    start: NonNull<u8>,
    len: usize,
    _env: EnvUse,
}

// SAFETY: it owns its memory like a Box<[u8]>; SPDK's allocator may be called from any thread.
unsafe impl Send for DmaBuf {}
// SAFETY: shared access only reads plain bytes.
unsafe impl Sync for DmaBuf {}

impl DmaBuf {
    /// `len` zero bytes whose address is a multiple of `align` bytes (a power of two; the allocator gives at
    /// least a cache line). `EINVAL` for a length of 0 or an odd alignment, `ENOMEM` when memory is out,
    /// `ENXIO` when there is no environment.
    pub fn new(len: usize, align: usize) -> Result<DmaBuf, Errno> {
        if len == 0 || len > isize::MAX as usize || !align.is_power_of_two() {
            return Err(Errno::EINVAL);
        }
        let env = EnvUse::begin()?;
        let no_vtophys = std::ptr::null_mut();
        // SAFETY: the environment is up; the alignment is a power of two.
        let start = unsafe {
            sys::spdk_zmalloc(len, align, no_vtophys, sys::SPDK_ENV_NUMA_ID_ANY, sys::SPDK_MALLOC_DMA)
        };
        let start = NonNull::new(start.cast::<u8>()).ok_or(Errno::ENOMEM)?;
        Ok(DmaBuf { start, len, _env: env })
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: `len` initialised bytes that are ours; `&self` keeps others from writing them.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// The bytes, to write.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: `len` initialised bytes that are ours alone while `&mut self` lives.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }

    /// Where the bytes begin, for handing to a drive. Who hands it out keeps the buffer until the drive is
    /// done.
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.start.as_ptr()
    }
}

impl Drop for DmaBuf {
    fn drop(&mut self) {
        // SAFETY: it came from spdk_zmalloc and is given back once; `_env` kept the environment up until now.
        unsafe { sys::spdk_free(self.start.as_ptr().cast()) };
    }
}

impl Deref for DmaBuf {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl DerefMut for DmaBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.as_mut_slice()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_environment_there_is_no_memory() {
        assert_eq!(DmaBuf::new(4096, 4096).map(drop), Err(Errno::ENXIO));
        assert_eq!(DmaBuf::new(0, 4096).map(drop), Err(Errno::EINVAL));
        assert_eq!(DmaBuf::new(4096, 3).map(drop), Err(Errno::EINVAL));
    }
}
