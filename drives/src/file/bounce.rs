//! Buffers of our own, for host buffers that the kernel's direct I/O does not take.
//!
//! Where direct I/O wants more than 4 bytes of alignment the bdev says so (`required_alignment`): its users
//! align what they allocate, and SPDK copies what begins elsewhere. It does not look at the length of the
//! pieces of a buffer, and it is told nothing of small alignments (`device.rs` says why): those that don't
//! fit are copied here.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

/// A zeroed piece of the heap with an alignment.
pub(crate) struct AlignedBuf {
    start: NonNull<u8>,
    layout: Layout,
}

impl AlignedBuf {
    /// `len` is not zero, `align` a power of two.
    pub(crate) fn new(len: usize, align: usize) -> AlignedBuf {
        assert!(len > 0, "an empty buffer has no address");
        let layout =
            Layout::from_size_align(len, align).expect("alignment is a power of two, length is not absurd");
        // SAFETY: the layout's size is not zero, as asserted above.
        let start = unsafe { alloc_zeroed(layout) };
        AlignedBuf { start: NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout)), layout }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        // SAFETY: `start` is a live allocation of `layout.size()` initialised bytes that this value owns.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.layout.size()) }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as in `as_slice`, and `&mut self` makes it the only access.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.layout.size()) }
    }

    /// Where it starts, for the kernel.
    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.start.as_ptr()
    }
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this very layout, and freed only here.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

/// Size of one bounce buffer; a larger I/O is done in steps of this.
pub(crate) const BOUNCE_BYTES: usize = 256 << 10;
/// No direct I/O wants more than a page.
const BOUNCE_ALIGN: usize = 4096;
/// I/Os of one thread that bounce at the same time; the others wait.
const BOUNCE_COUNT: usize = 8;

/// The bounce buffers of one thread: allocated when first needed, then kept.
#[derive(Default)]
pub(crate) struct BouncePool {
    free: Vec<AlignedBuf>,
    lent: usize,
}

impl BouncePool {
    /// A buffer of [`BOUNCE_BYTES`], or `None` until one is given back.
    pub(crate) fn take(&mut self) -> Option<AlignedBuf> {
        let buffer = match self.free.pop() {
            Some(buffer) => buffer,
            None if self.lent < BOUNCE_COUNT => AlignedBuf::new(BOUNCE_BYTES, BOUNCE_ALIGN),
            None => return None,
        };
        self.lent += 1;
        Some(buffer)
    }

    /// Gives a buffer of [`BouncePool::take`] back.
    pub(crate) fn give(&mut self, buffer: AlignedBuf) {
        self.lent -= 1;
        self.free.push(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_zeroed_and_writable() {
        let mut buffer = AlignedBuf::new(12288, 4096);
        assert_eq!(buffer.as_mut_ptr() as usize % 4096, 0);
        assert!(buffer.as_slice().iter().all(|&byte| byte == 0));
        buffer.as_mut_slice().fill(9);
        assert!(buffer.as_slice().iter().all(|&byte| byte == 9));
    }

    #[test]
    fn the_pool_ends_and_refills() {
        let mut pool = BouncePool::default();
        let mut lent: Vec<AlignedBuf> = std::iter::from_fn(|| pool.take()).collect();
        assert_eq!(lent.len(), BOUNCE_COUNT);
        pool.give(lent.pop().unwrap());
        assert!(pool.take().is_some());
        assert!(pool.take().is_none());
    }
}
