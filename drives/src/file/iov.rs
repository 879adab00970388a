//! Lists of buffers as the kernel takes them: `iovec`s.

use super::access::Access;
use libc::iovec;

/// What one `readv` or `writev` takes (`UIO_MAXIOV` of the kernel).
pub(crate) const IOV_MAX: usize = 1024;

/// Length of all buffers together.
pub(crate) fn total_bytes(iovs: &[iovec]) -> u64 {
    iovs.iter().map(|iov| iov.iov_len as u64).sum()
}

/// Can the file be read into them, or written from them, as they are?
pub(crate) fn is_aligned(iovs: &[iovec], access: Access) -> bool {
    match access {
        Access::Buffered => true,
        Access::Direct { memory_align, offset_align } => iovs.iter().all(|iov| {
            (iov.iov_base as usize).is_multiple_of(memory_align as usize)
                && iov.iov_len.is_multiple_of(offset_align as usize)
        }),
    }
}

/// The buffers of bytes `skip..skip + len`, as far as [`IOV_MAX`] of them reach.
pub(crate) fn part_of(iovs: &[iovec], skip: u64, len: u64) -> Vec<iovec> {
    pieces(iovs, skip, len).take(IOV_MAX).collect()
}

fn pieces(iovs: &[iovec], mut skip: u64, mut len: u64) -> impl Iterator<Item = iovec> {
    iovs.iter().filter_map(move |iov| {
        let before = skip.min(iov.iov_len as u64);
        let taken = len.min(iov.iov_len as u64 - before);
        skip -= before;
        len -= taken;
        let iov_base = iov.iov_base.wrapping_byte_add(before as usize);
        (taken > 0).then_some(iovec { iov_base, iov_len: taken as usize })
    })
}

/// Copies the bytes from `skip` on out of the buffers into `to`, which is not longer than what they hold.
///
/// # Safety
/// The buffers are readable, and nobody writes to them now.
pub(crate) unsafe fn gather(iovs: &[iovec], skip: u64, to: &mut [u8]) {
    let mut rest = to;
    for piece in pieces(iovs, skip, rest.len() as u64) {
        let (now, later) = rest.split_at_mut(piece.iov_len);
        // SAFETY: `piece` lies in one of the caller's buffers; `now` has its length and is not one of them.
        unsafe { std::ptr::copy_nonoverlapping(piece.iov_base.cast(), now.as_mut_ptr(), now.len()) };
        rest = later;
    }
    assert!(rest.is_empty(), "the buffers hold less than was asked for");
}

/// Copies `from`, which is not longer than what they hold, into the buffers from byte `skip` on.
///
/// # Safety
/// The buffers are writable, and nobody else uses them now.
pub(crate) unsafe fn scatter(from: &[u8], iovs: &[iovec], skip: u64) {
    let mut rest = from;
    for piece in pieces(iovs, skip, rest.len() as u64) {
        let (now, later) = rest.split_at(piece.iov_len);
        // SAFETY: `piece` lies in one of the caller's buffers; `now` has its length and is not one of them.
        unsafe { std::ptr::copy_nonoverlapping(now.as_ptr(), piece.iov_base.cast(), now.len()) };
        rest = later;
    }
    assert!(rest.is_empty(), "the buffers hold less than was given");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn iovs_of(buffers: &mut [Vec<u8>]) -> Vec<iovec> {
        let iov =
            |buffer: &mut Vec<u8>| iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        buffers.iter_mut().map(iov).collect()
    }

    #[test]
    fn alignment_is_that_of_start_and_length() {
        let direct = Access::Direct { memory_align: 4, offset_align: 512 };
        let iov = |start: usize, iov_len| [iovec { iov_base: start as *mut _, iov_len }];
        assert!(is_aligned(&iov(4096 + 4, 1024), direct));
        assert!(!is_aligned(&iov(4096 + 2, 1024), direct));
        assert!(!is_aligned(&iov(4096, 1000), direct));
        assert!(is_aligned(&iov(4097, 1), Access::Buffered));
    }

    #[test]
    fn part_ends_at_what_the_kernel_takes() {
        let mut buffers = vec![vec![0u8; 2]; IOV_MAX + 5];
        let iovs = iovs_of(&mut buffers);
        let part = part_of(&iovs, 3, u64::MAX);
        assert_eq!((part.len(), total_bytes(&part)), (IOV_MAX, 2 * IOV_MAX as u64 - 1));
    }

    proptest! {
        #[test]
        fn part_gather_and_scatter_are_slices_of_the_whole(
            lens in prop::collection::vec(0usize..20, 0..8), at in 0.0f64..1.0, much in 0.0f64..1.0,
        ) {
            let mut next = 0u8;
            let mut fill = |len: usize| {
                let bytes = (0..len).map(|_| { next = next.wrapping_add(1); next });
                bytes.collect::<Vec<u8>>()
            };
            let mut buffers: Vec<Vec<u8>> = lens.into_iter().map(&mut fill).collect();
            let whole = buffers.concat();
            let iovs = iovs_of(&mut buffers);
            let skip = (whole.len() as f64 * at) as usize;
            let len = ((whole.len() - skip) as f64 * much) as usize;

            prop_assert_eq!(total_bytes(&iovs), whole.len() as u64);
            let part = part_of(&iovs, skip as u64, len as u64);
            prop_assert_eq!(total_bytes(&part), len as u64);
            let mut seen = vec![0; len];
            // SAFETY: the iovecs are those of `buffers`, which nobody else uses.
            unsafe { gather(&part, 0, &mut seen) };
            prop_assert_eq!(&seen, &whole[skip..skip + len]);
            // SAFETY: as above.
            unsafe { gather(&iovs, skip as u64, &mut seen) };
            prop_assert_eq!(&seen, &whole[skip..skip + len]);

            // SAFETY: as above.
            unsafe { scatter(&vec![0xee; len], &iovs, skip as u64) };
            let after = buffers.concat();
            prop_assert_eq!(&after[..skip], &whole[..skip]);
            prop_assert!(after[skip..skip + len].iter().all(|&byte| byte == 0xee));
            prop_assert_eq!(&after[skip + len..], &whole[skip + len..]);
        }
    }
}
