//! Why a file drive can't be made.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A refusal: which path, why, and what to do about it. Nothing was changed on the disk.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}; {remedy}", path.display())]
pub struct FileError {
    /// What to match on.
    pub kind: FileErrorKind,
    /// The path as it was given.
    pub path: PathBuf,
    /// What is wrong, as a clause without a full stop.
    pub reason: String,
    /// What the operator can do, as a clause without a full stop.
    pub remedy: String,
}

/// The kinds of refusal; each maps to one errno, which is what JSON-RPC callers of SPDK expect.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum FileErrorKind {
    /// An option is wrong in itself (name, block size, size that is no multiple of it).
    Options,
    /// The file is missing and no size was given, or its directory is missing.
    Missing,
    /// The path is a directory, a socket, a character device.
    NotAFile,
    /// No permission, a read-only file or file system.
    Access,
    /// The file has another size than the one asked for, or one that no drive can have.
    Size,
    /// Somebody else, or another drive of this process, uses it.
    Busy,
    /// A drive or another bdev has this name already.
    Name,
    /// No drive of ours has this name.
    Unknown,
    /// This process may not use io_uring, or the kernel's is too old.
    IoUring,
    /// Anything else that the kernel said.
    Io,
}

impl FileErrorKind {
    /// The errno that says the same, positive.
    pub fn errno(self) -> i32 {
        match self {
            FileErrorKind::Options | FileErrorKind::Size | FileErrorKind::NotAFile => libc::EINVAL,
            FileErrorKind::Missing => libc::ENOENT,
            FileErrorKind::Access => libc::EACCES,
            FileErrorKind::Busy => libc::EBUSY,
            FileErrorKind::Name => libc::EEXIST,
            FileErrorKind::Unknown => libc::ENODEV,
            FileErrorKind::IoUring => libc::ENOSYS,
            FileErrorKind::Io => libc::EIO,
        }
    }
}

impl FileError {
    pub(crate) fn new(
        kind: FileErrorKind,
        path: &Path,
        reason: impl fmt::Display,
        remedy: impl fmt::Display,
    ) -> FileError {
        FileError { kind, path: path.into(), reason: reason.to_string(), remedy: remedy.to_string() }
    }

    /// Translates what a system call on the path itself said. `doing` is a gerund: "opening it".
    pub(crate) fn from_io(path: &Path, doing: &str, error: &io::Error) -> FileError {
        let (kind, remedy) = match error.raw_os_error() {
            Some(libc::EACCES | libc::EPERM) => {
                (FileErrorKind::Access, "give this user read and write permission on it")
            }
            Some(libc::EROFS) => {
                (FileErrorKind::Access, "the file system is read-only: remount it, or choose another place")
            }
            Some(libc::EBUSY | libc::ETXTBSY) => {
                (FileErrorKind::Busy, "unmount it, or stop what uses it (lsblk and fuser -v show what does)")
            }
            Some(libc::ENOENT | libc::ENOTDIR) => {
                (FileErrorKind::Missing, "create the directory first, or correct the path")
            }
            Some(libc::ENXIO | libc::ENODEV) => (FileErrorKind::Missing, "no device is behind this node"),
            Some(libc::EFBIG) => (
                FileErrorKind::Size,
                "the file system holds no file of this size: ask for less (see ulimit -f too)",
            ),
            Some(libc::ENOSPC | libc::EDQUOT) => (FileErrorKind::Io, "free some space there"),
            Some(libc::EMFILE | libc::ENFILE) => {
                (FileErrorKind::Io, "raise the limit of open files (ulimit -n)")
            }
            _ => (FileErrorKind::Io, "see the kernel's log (dmesg)"),
        };
        FileError::new(kind, path, format_args!("{doing} failed: {error}"), remedy)
    }
}
