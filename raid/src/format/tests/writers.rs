use super::*;
use crate::format::foreign::{foreign_md, md_offsets};

fn with(at: usize, magic: &[u8]) -> Option<Foreign> {
    let mut head = vec![0; HEAD_BYTES];
    head[at..at + magic.len()].copy_from_slice(magic);
    foreign(&head)
}

#[test]
fn zeros_are_nobody_s() {
    assert_eq!(foreign(&[]), None);
    assert_eq!(foreign(&[0; HEAD_BYTES]), None);
}

#[test]
fn what_is_known_is_named() {
    let known = |what| Some(Foreign::Known(what));
    assert_eq!(with(1080, &[0x53, 0xef]), known("an ext2, ext3 or ext4 file system"));
    assert_eq!(with(0, b"XFSB"), known("an xfs file system"));
    assert_eq!(with(0x10040, b"_BHRfS_M"), known("a btrfs file system"));
    assert_eq!(with(512, b"LABELONE"), known("an LVM2 physical volume"));
    assert_eq!(with(4096, &0xa92b_4efcu32.to_le_bytes()), known("a Linux md member (metadata 1.2)"));
    assert_eq!(with(4086, b"SWAPSPACE2"), known("Linux swap space"));
    assert_eq!(with(510, &[0x55, 0xaa]), known("an MBR partition table or a boot sector"));
}

/// A GPT has a protective MBR, and a FAT a boot signature.
#[test]
fn the_more_telling_of_two_is_named() {
    let mut head = vec![0; HEAD_BYTES];
    head[510..520].copy_from_slice(b"\x55\xaaEFI PART");
    assert_eq!(foreign(&head), Some(Foreign::Known("a GPT partition table")));
    head[512..520].fill(0);
    head[82..90].copy_from_slice(b"FAT32   ");
    assert_eq!(foreign(&head), Some(Foreign::Known("a FAT file system")));
}

#[test]
fn whatever_else_is_there_is_unknown_data() {
    assert_eq!(with(70_000, b"x"), Some(Foreign::Unknown { first_byte: 70_000 }));
    assert_eq!(Foreign::Unknown { first_byte: 3 }.to_string(), "unknown data, from byte 3 on");
}

/// Linux `Documentation/admin-guide/md.rst` and `md_p.h`: 0.90 in the last whole 64 KiB but one's start, 1.0
/// at least 8 KiB from the end, on a 4 KiB border.
#[test]
fn md_at_the_end_is_found() {
    assert_eq!(md_offsets(1 << 20), [Some((1 << 20) - 65536), Some((1 << 20) - 8192)]);
    assert_eq!(md_offsets((1 << 20) + 5000), [Some((1 << 20) - 65536), Some((1 << 20) - 4096)]);
    assert_eq!(md_offsets(1000), [None, None]);
    assert!(foreign_md(&0xa92b_4efcu32.to_le_bytes()).is_some());
    assert_eq!(foreign_md(&[0; 4]), None);
}
