//! What an I/O does, and sets of that.

use std::fmt;

use spdk_sys as sys;

/// The kinds of I/O that Basalt handles. Others (compare, copy, zone commands, NVMe passthrough, ...) are not
/// supported.
///
/// The values are SPDK's, so that a conversion costs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum IoKind {
    /// Blocks to memory.
    Read = sys::SPDK_BDEV_IO_TYPE_READ as u8,
    /// Memory to blocks.
    Write = sys::SPDK_BDEV_IO_TYPE_WRITE as u8,
    /// The blocks' content is no longer needed.
    Unmap = sys::SPDK_BDEV_IO_TYPE_UNMAP as u8,
    /// The blocks read as zeroes from now on.
    WriteZeroes = sys::SPDK_BDEV_IO_TYPE_WRITE_ZEROES as u8,
    /// Completed writes survive a power cut.
    Flush = sys::SPDK_BDEV_IO_TYPE_FLUSH as u8,
    /// Everything in flight is aborted or finished, and the device is brought back to a working state.
    Reset = sys::SPDK_BDEV_IO_TYPE_RESET as u8,
    /// One I/O in flight is to be given up.
    Abort = sys::SPDK_BDEV_IO_TYPE_ABORT as u8,
}

impl IoKind {
    /// Every kind.
    pub const ALL: [IoKind; 7] = [
        IoKind::Read,
        IoKind::Write,
        IoKind::Unmap,
        IoKind::WriteZeroes,
        IoKind::Flush,
        IoKind::Reset,
        IoKind::Abort,
    ];

    /// The kind for one of SPDK's `SPDK_BDEV_IO_TYPE_*`, if Basalt handles it.
    #[inline]
    pub(crate) fn from_spdk(io_type: sys::spdk_bdev_io_type) -> Option<IoKind> {
        match io_type {
            sys::SPDK_BDEV_IO_TYPE_READ => Some(IoKind::Read),
            sys::SPDK_BDEV_IO_TYPE_WRITE => Some(IoKind::Write),
            sys::SPDK_BDEV_IO_TYPE_UNMAP => Some(IoKind::Unmap),
            sys::SPDK_BDEV_IO_TYPE_WRITE_ZEROES => Some(IoKind::WriteZeroes),
            sys::SPDK_BDEV_IO_TYPE_FLUSH => Some(IoKind::Flush),
            sys::SPDK_BDEV_IO_TYPE_RESET => Some(IoKind::Reset),
            sys::SPDK_BDEV_IO_TYPE_ABORT => Some(IoKind::Abort),
            _ => None,
        }
    }

    /// SPDK's number for this kind.
    pub(crate) fn to_spdk(self) -> sys::spdk_bdev_io_type {
        self as sys::spdk_bdev_io_type
    }

    /// Whether the I/O carries a buffer.
    #[inline]
    pub fn has_data(self) -> bool {
        matches!(self, IoKind::Read | IoKind::Write)
    }
}

/// A set of [`IoKind`]s.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct IoKindSet(u32);

impl IoKindSet {
    /// Whether `kind` is in the set.
    pub fn contains(self, kind: IoKind) -> bool {
        self.0 & Self::bit(kind) != 0
    }

    /// The members, in the order of [`IoKind::ALL`].
    pub fn iter(self) -> impl Iterator<Item = IoKind> {
        IoKind::ALL.into_iter().filter(move |&kind| self.contains(kind))
    }

    fn bit(kind: IoKind) -> u32 {
        1 << kind as u32
    }
}

impl FromIterator<IoKind> for IoKindSet {
    fn from_iter<I: IntoIterator<Item = IoKind>>(kinds: I) -> Self {
        IoKindSet(kinds.into_iter().fold(0, |bits, kind| bits | Self::bit(kind)))
    }
}

impl fmt::Debug for IoKindSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_survive_the_way_to_spdk_and_back() {
        for kind in IoKind::ALL {
            assert_eq!(IoKind::from_spdk(kind.to_spdk()), Some(kind));
        }
        assert_eq!(IoKind::from_spdk(sys::SPDK_BDEV_IO_TYPE_COMPARE), None);
        assert_eq!(IoKind::from_spdk(sys::SPDK_BDEV_IO_TYPE_INVALID), None);
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let set: IoKindSet = [IoKind::Read, IoKind::Abort].into_iter().collect();
        assert!(set.contains(IoKind::Read) && set.contains(IoKind::Abort) && !set.contains(IoKind::Flush));
        assert_eq!(set.iter().collect::<Vec<_>>(), [IoKind::Read, IoKind::Abort]);
        assert_eq!(format!("{set:?}"), "{Read, Abort}");
    }
}
