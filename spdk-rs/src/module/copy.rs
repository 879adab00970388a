//! Copying between a host's scattered buffer and memory of ours: for devices that keep data themselves.

use super::buffers::IoVec;
use super::device::Device;
use super::io::Io;
use crate::bdev::IoKind;

impl<D: Device> Io<D> {
    /// Copies what a host wants to write, from byte `offset` of its buffer on.
    ///
    /// # Panics
    /// If this is no write, or its buffer ends earlier.
    pub fn copy_from_host(&self, offset: usize, into: &mut [u8]) {
        assert!(self.kind() == IoKind::Write, "{self:?} brings no data");
        let mut copied = 0;
        for (piece, start, len) in pieces(self.iovs(), offset, into.len()) {
            let target = &mut into[copied..copied + len];
            // SAFETY: `start + len` is within the piece, which is the host's memory until the write is
            // completed; the host leaves it alone as it would for any drive. `target` is of that length, and
            // is ours, so it is not the host's.
            unsafe { std::ptr::copy_nonoverlapping(piece.base().add(start), target.as_mut_ptr(), len) };
            copied += len;
        }
        assert!(copied == into.len(), "{self:?} has less data than that");
    }

    /// Copies what a host wants to read into its buffer, from byte `offset` on.
    ///
    /// # Panics
    /// If this is no read, its buffer ends earlier, or a child is out: a drive may be writing to the buffer.
    pub fn copy_to_host(&mut self, offset: usize, from: &[u8]) {
        assert!(self.kind() == IoKind::Read, "{self:?} takes no data");
        assert!(!self.has_children(), "{self:?} still has a child out");
        let mut copied = 0;
        for (piece, start, len) in pieces(self.iovs(), offset, from.len()) {
            let source = &from[copied..copied + len];
            // SAFETY: as above; no drive writes there, since no child is out.
            unsafe { std::ptr::copy_nonoverlapping(source.as_ptr(), piece.base().add(start), len) };
            copied += len;
        }
        assert!(copied == from.len(), "{self:?} has less room than that");
    }
}

/// Where the `len` bytes from `offset` on lie: pieces with the start and length of the part in each.
fn pieces(list: &[IoVec], offset: usize, len: usize) -> impl Iterator<Item = (&IoVec, usize, usize)> {
    let (mut skip, mut missing) = (offset, len);
    list.iter().filter_map(move |piece| {
        let start = skip.min(piece.len());
        skip -= start;
        let part = missing.min(piece.len() - start);
        missing -= part;
        (part > 0).then_some((piece, start, part))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use spdk_sys as sys;

    /// Pieces of these lengths, of which piece n begins at address (n + 1) * 1000.
    fn list(lengths: &[usize]) -> Vec<IoVec> {
        let piece = |(n, &iov_len): (usize, &usize)| {
            IoVec(sys::iovec { iov_base: std::ptr::without_provenance_mut((n + 1) * 1000), iov_len })
        };
        lengths.iter().enumerate().map(piece).collect()
    }

    fn addresses(list: &[IoVec], offset: usize, len: usize) -> Vec<usize> {
        let parts = pieces(list, offset, len);
        parts.flat_map(|(piece, start, len)| (start..start + len).map(|n| piece.base().addr() + n)).collect()
    }

    #[test]
    fn any_part_is_the_same_bytes_as_of_the_flat_buffer() {
        for lengths in [&[8][..], &[1, 1, 1, 5], &[3, 0, 5], &[0, 8], &[4, 4], &[7, 1, 0]] {
            let list = list(lengths);
            let flat = addresses(&list, 0, 8);
            assert_eq!(flat.len(), 8);
            for offset in 0..=8 {
                for len in 0..=8 - offset {
                    let found = addresses(&list, offset, len);
                    assert_eq!(found, flat[offset..offset + len], "{lengths:?} {offset}+{len}");
                }
            }
        }
    }

    #[test]
    fn a_part_beyond_the_end_is_short() {
        assert_eq!(addresses(&list(&[4, 4]), 6, 4).len(), 2);
        assert!(addresses(&list(&[4, 4]), 9, 1).is_empty());
    }
}
