//! Who else has written to a drive: file systems, partition tables, other RAIDs, known by their magic.
//!
//! Sources of the magics: util-linux `libblkid` documents the same ones; the names of the formats lead to
//! their own specifications.

use std::fmt;

/// What is on a drive that is not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Foreign {
    /// Something that is known, in words.
    Known(&'static str),
    /// Bytes that are not zero, and nothing that is known.
    Unknown {
        /// The first of them.
        first_byte: usize,
    },
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Foreign::Known(what) => f.write_str(what),
            Foreign::Unknown { first_byte } => write!(f, "unknown data, from byte {first_byte} on"),
        }
    }
}

type Magic = (usize, &'static [u8], &'static str);

/// The order matters where one contains another: a partition table before the boot sector in it.
const MAGICS: &[Magic] = &[
    (512, b"EFI PART", "a GPT partition table"),
    (4096, b"EFI PART", "a GPT partition table (4 KiB sectors)"),
    (0, b"LUKS\xba\xbe", "a LUKS encrypted volume"),
    (512, b"LABELONE", "an LVM2 physical volume"),
    (0, b"LABELONE", "an LVM2 physical volume"),
    (1024, b"LABELONE", "an LVM2 physical volume"),
    (1536, b"LABELONE", "an LVM2 physical volume"),
    (0, b"\xfc\x4e\x2b\xa9", "a Linux md member (metadata 1.1)"),
    (4096, b"\xfc\x4e\x2b\xa9", "a Linux md member (metadata 1.2)"),
    (0, b"SPDKRAID", "a member of SPDK's own RAID"),
    (0, b"SPDKBLOB", "an SPDK blobstore"),
    (0, b"XFSB", "an xfs file system"),
    (1080, b"\x53\xef", "an ext2, ext3 or ext4 file system"),
    (65600, b"_BHRfS_M", "a btrfs file system"),
    (1024, b"\x10\x20\xf5\xf2", "an f2fs file system"),
    (1024, b"\xe2\xe1\xf5\xe0", "an erofs file system"),
    (0, b"hsqs", "a squashfs file system"),
    (32769, b"CD001", "an ISO 9660 file system"),
    (3, b"NTFS    ", "an NTFS file system"),
    (3, b"EXFAT   ", "an exFAT file system"),
    (54, b"FAT12   ", "a FAT file system"),
    (54, b"FAT16   ", "a FAT file system"),
    (82, b"FAT32   ", "a FAT file system"),
    (4086, b"SWAPSPACE2", "Linux swap space"),
    (16374, b"SWAPSPACE2", "Linux swap space"),
    (65526, b"SWAPSPACE2", "Linux swap space"),
    (4120, b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81", "a bcache device"),
    // An XDR nvlist whose first pair is "version": the label of a vdev.
    (16404, b"\0\0\0\x07version", "a ZFS vdev"),
    (0, b"bluestore block device", "a Ceph BlueStore device"),
    (0, b"QFI\xfb", "a qcow2 image"),
    (510, b"\x55\xaa", "an MBR partition table or a boot sector"),
];

/// What is in the first [`super::HEAD_BYTES`] of a drive, which may be short; None when they are all zeros.
/// Ask [`super::decode`] first: our own superblock is unknown data here.
pub fn foreign(head: &[u8]) -> Option<Foreign> {
    let is = |(at, magic, _): &&Magic| head.get(*at..).is_some_and(|bytes| bytes.starts_with(magic));
    if let Some((_, _, what)) = MAGICS.iter().find(is) {
        return Some(Foreign::Known(what));
    }
    let first_byte = head.iter().position(|byte| *byte != 0)?;
    Some(Foreign::Unknown { first_byte })
}

/// Where the metadata of Linux md that stand at a drive's end begin, in bytes, for a drive of `drive_bytes`:
/// those of 0.90 and those of 1.0. Each needs [`MD_TAIL_BYTES`] for [`foreign_md`].
pub fn md_offsets(drive_bytes: u64) -> [Option<u64>; 2] {
    const RESERVED: u64 = 64 * 1024;
    let old = (drive_bytes / RESERVED * RESERVED).checked_sub(RESERVED);
    let sectors = drive_bytes / 512;
    let new = sectors.checked_sub(16).map(|sector| sector / 8 * 8 * 512);
    [old, new]
}

/// So many bytes at each of [`md_offsets`] are enough.
pub const MD_TAIL_BYTES: usize = 4;

/// Whether `bytes`, from one of [`md_offsets`], begin metadata of Linux md.
pub fn foreign_md(bytes: &[u8]) -> Option<Foreign> {
    let is = bytes.starts_with(b"\xfc\x4e\x2b\xa9");
    is.then_some(Foreign::Known("a Linux md member (metadata 0.90 or 1.0, at its end)"))
}
