//! What a simulated block holds: not data, but which write put it there and for which block of the array.

use std::fmt;

/// The number of a host write, write-zeroes or unmap: 1, 2, 3... 0 is what was there before the first.
pub(crate) type WriteId = u64;

/// The content of one block.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Stamp(u64);

const LBA_BITS: u32 = 24;
const LBA_MASK: u64 = (1 << LBA_BITS) - 1;

impl Stamp {
    /// Before the first write.
    pub const BLANK: Stamp = Stamp(LBA_MASK);
    /// What a drive held before it came to the array.
    pub const FOREIGN: Stamp = Stamp(u64::MAX - 1);
    /// A buffer that no read has filled.
    pub const UNREAD: Stamp = Stamp(u64::MAX);

    /// Data that write `id` brought for block `lba` of the array.
    #[inline]
    pub fn data(id: WriteId, lba: u64) -> Stamp {
        debug_assert!(lba < LBA_MASK);
        Stamp(id << LBA_BITS | lba)
    }

    /// What a write-zeroes or unmap leaves: the same in every block.
    #[inline]
    pub fn wiped(id: WriteId) -> Stamp {
        Stamp(id << LBA_BITS | LBA_MASK)
    }

    /// The write, if this can be the content of block `lba` of the array.
    #[inline]
    pub fn write_for(self, lba: u64) -> Option<WriteId> {
        let of = self.0 & LBA_MASK;
        (self != Stamp::UNREAD && (of == lba || of == LBA_MASK)).then_some(self.0 >> LBA_BITS)
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (*self, self.0 >> LBA_BITS, self.0 & LBA_MASK) {
            (Stamp::UNREAD, _, _) => f.write_str("nothing that was read"),
            (Stamp::FOREIGN, _, _) => f.write_str("what was there before the array"),
            (Stamp::BLANK, _, _) => f.write_str("blank"),
            (_, id, LBA_MASK) => write!(f, "w{id} (wiped)"),
            (_, id, lba) => write!(f, "w{id} (data of block {lba})"),
        }
    }
}
