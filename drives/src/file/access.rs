//! How a file can be read and written: past the page cache where it and the drive's block size allow that.

use super::bounce::AlignedBuf;
use rustix::fs::{AtFlags, FallocateFlags, FileType, StatxFlags, fallocate, fstatfs, ioctl_blksszget, statx};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};

/// `TMPFS_MAGIC` of `linux/magic.h`.
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// How the I/O of a drive goes to its file.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// O_DIRECT: past the page cache.
    Direct {
        /// Each buffer starts at a multiple of this, in bytes.
        memory_align: u32,
        /// Offset in the file, length of the I/O and of each buffer are multiples of this, in bytes.
        offset_align: u32,
    },
    /// Through the page cache, at any alignment.
    Buffered,
}

impl Access {
    /// Is it O_DIRECT?
    pub fn is_direct(self) -> bool {
        matches!(self, Access::Direct { .. })
    }

    /// Alignment of the start of a buffer, in bytes.
    pub fn memory_align(self) -> u32 {
        match self {
            Access::Direct { memory_align, .. } => memory_align,
            Access::Buffered => 1,
        }
    }

    /// Alignment of offsets and of each buffer's length, in bytes.
    pub fn offset_align(self) -> u32 {
        match self {
            Access::Direct { offset_align, .. } => offset_align,
            Access::Buffered => 1,
        }
    }
}

/// Finds out how `file` can be used by a drive of this block size. The note is for the operator, when it is
/// not the way that is fast and durable.
pub(crate) fn probe(file: &File, block_size: u32) -> io::Result<(Access, Option<String>)> {
    // tmpfs takes O_DIRECT and ignores it.
    if fstatfs(file)?.f_type as u64 == TMPFS_MAGIC && file.metadata()?.is_file() {
        let note = "tmpfs keeps its files in memory: what is on this drive does not survive a reboot";
        return Ok((Access::Buffered, Some(note.into())));
    }
    match direct_alignment(file)? {
        None => {
            let note = "the file system has no direct I/O: this drive goes through the page cache";
            Ok((Access::Buffered, Some(note.into())))
        }
        // Rewriting the rest of a 4096-byte block around a 512-byte write would tear blocks that nobody was
        // writing.
        Some((_, offset_align)) if offset_align > block_size => {
            let note = format!(
                "direct I/O there is in units of {offset_align} bytes, the drive's blocks have {block_size}: \
                 it goes through the page cache; a block size of {offset_align} would avoid that"
            );
            Ok((Access::Buffered, Some(note)))
        }
        Some((memory_align, offset_align)) => Ok((Access::Direct { memory_align, offset_align }, None)),
    }
}

/// Memory and offset alignment of direct I/O, or `None` where there is none.
fn direct_alignment(file: &File) -> io::Result<Option<(u32, u32)>> {
    let stat = statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS | StatxFlags::DIOALIGN)?;
    if stat.stx_mask & StatxFlags::DIOALIGN.bits() != 0 {
        return match (stat.stx_dio_mem_align, stat.stx_dio_offset_align) {
            (0, _) | (_, 0) => Ok(None),
            (memory, offset) => Ok(direct_works(file)?.then_some((memory, offset))),
        };
    }
    if FileType::from_raw_mode(stat.stx_mode.into()) == FileType::BlockDevice {
        let sector = ioctl_blksszget(file)?;
        return Ok(direct_works(file)?.then_some((sector, sector)));
    }
    // A kernel before 6.1, or a file system that does not say: a read shows what is accepted, and harms
    // nobody.
    let Ok(direct) = reopen(file, true) else { return Ok(None) };
    Ok([512, 4096].into_iter().find(|&align| reads_at(&direct, align)).map(|align| (align, align)))
}

fn direct_works(file: &File) -> io::Result<bool> {
    match reopen(file, true) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(false),
        Err(error) => Err(error),
    }
}

fn reads_at(direct: &File, align: u32) -> bool {
    let mut buffer = AlignedBuf::new(align as usize, align as usize);
    direct.read_at(buffer.as_mut_slice(), align.into()).is_ok()
}

/// A second open file for the same inode, whatever became of its path.
///
/// Each drive has one of its own on each thread: the kernel tells each open file once of a failed writeback,
/// so that a shared one would tell only the first of two threads that flush.
pub(crate) fn reopen(file: &File, direct: bool) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(if direct { libc::O_DIRECT } else { 0 })
        .open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Can ranges be given back to the file system, and read as zeros then?
pub(crate) fn can_punch(file: &File, size_bytes: u64) -> io::Result<bool> {
    let meta = file.metadata()?;
    if meta.is_file() {
        // Behind its end there is nothing to lose.
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        return Ok(fallocate(file, flags, size_bytes.next_multiple_of(4096), 4096).is_ok());
    }
    // fallocate() on a block device works where it can write zeroes by itself. Of a partition, the disk knows
    // it.
    let device =
        format!("/sys/dev/block/{}:{}", rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev()));
    let limit = ["queue", "../queue"]
        .into_iter()
        .find_map(|queue| std::fs::read_to_string(format!("{device}/{queue}/write_zeroes_max_bytes")).ok());
    Ok(limit.is_some_and(|limit| limit.trim().parse::<u64>().is_ok_and(|bytes| bytes > 0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_of(bytes: u64) -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(bytes).unwrap();
        file
    }

    #[test]
    fn what_probe_says_works_and_half_of_it_does_not() {
        let file = file_of(1 << 20);
        let (access, note) = probe(&file, 4096).unwrap();
        let Access::Direct { memory_align, offset_align } = access else {
            assert!(note.is_some(), "a buffered drive says why");
            return;
        };
        assert_eq!(note, None);
        let direct = reopen(&file, true).unwrap();
        let mut buffer = AlignedBuf::new(8192, 4096);
        let (memory, offset) = (memory_align as usize, offset_align as usize);
        direct.write_all_at(&buffer.as_slice()[memory % 4096..][..offset], offset as u64).unwrap();
        direct.read_exact_at(&mut buffer.as_mut_slice()[memory % 4096..][..offset], offset as u64).unwrap();
        let error = direct.write_all_at(&buffer.as_slice()[..offset / 2], 0).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    }

    #[test]
    fn blocks_smaller_than_direct_units_go_through_the_page_cache() {
        let file = file_of(1 << 20);
        let (Access::Direct { offset_align, .. }, _) = probe(&file, 4096).unwrap() else { return };
        let (access, note) = probe(&file, offset_align / 2).unwrap();
        assert_eq!(access, Access::Buffered);
        assert!(note.unwrap().contains("page cache"));
    }

    #[test]
    fn tmpfs_is_called_volatile() {
        let file = tempfile::tempfile_in("/dev/shm").unwrap();
        let (access, note) = probe(&file, 512).unwrap();
        assert_eq!(access, Access::Buffered);
        assert!(note.unwrap().contains("reboot"));
    }

    #[test]
    fn punch_probe_changes_nothing() {
        let file = file_of(1 << 20);
        file.write_all_at(&[7; 4096], (1 << 20) - 4096).unwrap();
        let before = file.metadata().unwrap().blocks();
        assert!(can_punch(&file, 1 << 20).unwrap());
        let after = file.metadata().unwrap();
        assert_eq!((after.len(), after.blocks()), (1 << 20, before));
        let mut last = [0; 1];
        file.read_exact_at(&mut last, (1 << 20) - 1).unwrap();
        assert_eq!(last, [7]);
    }

    #[test]
    fn reopened_file_is_the_same_inode_after_unlink() {
        let named = tempfile::NamedTempFile::new().unwrap();
        let file = named.reopen().unwrap();
        named.close().unwrap();
        file.write_all_at(b"here", 0).unwrap();
        let mut seen = [0; 4];
        reopen(&file, false).unwrap().read_exact_at(&mut seen, 0).unwrap();
        assert_eq!(&seen, b"here");
    }
}
