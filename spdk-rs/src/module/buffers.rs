//! Cutting a part out of a host's scattered buffer.

use std::fmt;

use spdk_sys as sys;

/// A piece of a buffer. The memory is a host's: reading or writing through it is the user's unsafe business.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct IoVec(pub(super) sys::iovec);

impl IoVec {
    /// Where it begins.
    pub fn base(&self) -> *mut u8 {
        self.0.iov_base.cast()
    }

    /// Bytes.
    #[expect(clippy::len_without_is_empty, reason = "empty pieces are not of interest")]
    pub fn len(&self) -> usize {
        self.0.iov_len
    }

    /// The piece of `len` bytes from `offset` on.
    fn part(&self, offset: usize, len: usize) -> IoVec {
        assert!(offset.checked_add(len).is_some_and(|end| end <= self.len()));
        IoVec(sys::iovec { iov_base: self.base().wrapping_add(offset).cast(), iov_len: len })
    }
}

impl fmt::Debug for IoVec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:p}+{}", self.base(), self.len())
    }
}

/// A part of a scattered buffer.
#[derive(Debug)]
pub(super) enum Cut {
    /// It lies in one piece.
    One(IoVec),
    /// It does not.
    Many(Box<[IoVec]>),
}

/// The `len` bytes from `offset` on of a scattered buffer; `None` if it does not hold them.
pub(super) fn cut(pieces: &[IoVec], offset: usize, len: usize) -> Option<Cut> {
    let mut skip = offset;
    let first = pieces.iter().position(|piece| {
        let found = skip < piece.len();
        skip -= if found { 0 } else { piece.len() };
        found
    })?;
    if len <= pieces[first].len() - skip {
        return Some(Cut::One(pieces[first].part(skip, len)));
    }
    let mut parts = Vec::with_capacity(pieces.len() - first);
    let mut missing = len;
    for piece in &pieces[first..] {
        let take = missing.min(piece.len() - skip);
        parts.push(piece.part(skip, take));
        missing -= take;
        skip = 0;
        if missing == 0 {
            return Some(Cut::Many(parts.into_boxed_slice()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces of these lengths, of which piece n begins at address (n + 1) * 1000.
    fn pieces(lengths: &[usize]) -> Vec<IoVec> {
        let piece = |(n, &iov_len): (usize, &usize)| {
            IoVec(sys::iovec { iov_base: std::ptr::without_provenance_mut((n + 1) * 1000), iov_len })
        };
        lengths.iter().enumerate().map(piece).collect()
    }

    fn bytes(parts: &[IoVec]) -> Vec<usize> {
        parts.iter().flat_map(|part| (0..part.len()).map(|i| part.base().addr() + i)).collect()
    }

    #[test]
    fn any_cut_is_the_same_bytes_as_of_the_flat_buffer() {
        for lengths in [&[8][..], &[1, 1, 1, 5], &[3, 0, 5], &[0, 8], &[4, 4], &[7, 1, 0]] {
            let pieces = pieces(lengths);
            let flat = bytes(&pieces);
            for offset in 0..8 {
                for len in 1..=8 - offset {
                    let found = match cut(&pieces, offset, len).expect("within the buffer") {
                        Cut::One(part) => bytes(&[part]),
                        Cut::Many(parts) => bytes(&parts),
                    };
                    assert_eq!(found, flat[offset..offset + len], "{lengths:?} {offset}+{len}");
                }
            }
        }
    }

    #[test]
    fn one_piece_stays_one() {
        assert!(matches!(cut(&pieces(&[4, 8, 4]), 5, 7), Some(Cut::One(_))));
        assert!(matches!(cut(&pieces(&[4, 8, 4]), 5, 8), Some(Cut::Many(parts)) if parts.len() == 2));
    }

    #[test]
    fn beyond_the_end_there_is_nothing() {
        assert!(cut(&pieces(&[4, 4]), 8, 1).is_none());
        assert!(cut(&pieces(&[4, 4]), 4, 5).is_none());
        assert!(cut(&[], 0, 1).is_none());
    }
}
