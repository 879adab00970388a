//! From a path to a file that a drive can live on: found or created, checked, locked, measured.

use super::access::{self, Access};
use super::error::{FileError, FileErrorKind};
use super::lock::LockedFile;
use super::options::FileOptions;
use std::fs::{File, FileType, OpenOptions};
use std::io::{self, ErrorKind, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use uuid::Uuid;

/// Names the space of our drives' UUIDs: version 5 (RFC 9562) of this and the canonical path.
const UUID_SPACE: Uuid = Uuid::from_u128(0x9d3b_2f57_1c0e_4b0a_8d52_6a1f_0f7e_b3c4);

/// A file that is ours until this is dropped.
#[derive(Debug)]
pub struct OpenedFile {
    /// Never read or written through.
    file: LockedFile,
    /// Absolute, without symbolic links.
    pub path: PathBuf,
    /// Size of the drive.
    pub size_bytes: u64,
    /// A block device of the kernel, not a regular file.
    pub is_device: bool,
    /// Direct or through the page cache.
    pub access: Access,
    /// Ranges can be given back, and read as zeros then.
    pub can_punch: bool,
    /// The same for the same path, for ever.
    pub uuid: Uuid,
    /// What the operator should know about this file; empty when all is well.
    pub note: Option<String>,
    created: Option<Created>,
}

/// A file that we made: removed again unless the drive on it comes into being.
#[derive(Debug)]
struct Created {
    path: PathBuf,
    is_kept: AtomicBool,
}

impl Drop for Created {
    fn drop(&mut self) {
        if *self.is_kept.get_mut() {
            return;
        }
        if let Err(error) = std::fs::remove_file(&self.path) {
            let path = self.path.display();
            tracing::warn!(%path, %error, "a file created for a drive that failed stays behind");
        }
    }
}

impl OpenedFile {
    /// Opens the file of `options`, or creates it with holes for all of its size.
    ///
    /// Blocks (it syncs what it creates), so call it on a thread that may. On an error nothing is left
    /// behind.
    pub fn open(options: &FileOptions) -> Result<OpenedFile, FileError> {
        options.check()?;
        let path = options.path.as_path();
        let (file, created) = match open_existing(path)? {
            Some(file) => (file, None),
            None => create(path, options.size_bytes)?,
        };
        let file = LockedFile::lock(file, path)?;
        if let (Some(size), Some(_)) = (options.size_bytes, &created) {
            set_size(&file, path, size)?;
        }
        let is_device = file_type(&file, path)?.is_block_device();
        if is_device {
            check_sectors(&file, path, options.block_size)?;
        }
        let size_bytes = measure(&file, path, options)?;
        let (access, note) = access::probe(&file, options.block_size)
            .map_err(|e| FileError::from_io(path, "finding out how to do I/O on it", &e))?;
        let can_punch = access::can_punch(&file, size_bytes)
            .map_err(|e| FileError::from_io(path, "finding out whether it takes holes", &e))?;
        let canonical =
            std::fs::canonicalize(path).map_err(|e| FileError::from_io(path, "resolving the path", &e))?;
        let uuid = Uuid::new_v5(&UUID_SPACE, canonical.as_os_str().as_encoded_bytes());
        Ok(OpenedFile {
            file,
            path: canonical,
            size_bytes,
            is_device,
            access,
            can_punch,
            uuid,
            note,
            created,
        })
    }

    /// The drive exists: a file that was created for it stays.
    pub fn keep(&self) {
        if let Some(created) = &self.created {
            created.is_kept.store(true, Ordering::Relaxed);
        }
    }

    /// An open file for the I/O of one thread.
    pub fn io_file(&self) -> io::Result<File> {
        access::reopen(&self.file, self.access.is_direct())
    }

    /// Size as it is now: 0 when the device is gone.
    pub fn current_size_bytes(&self) -> u64 {
        size_of(&self.file).unwrap_or(0)
    }
}

/// Opens what is there; `None` if there is nothing.
fn open_existing(path: &Path) -> Result<Option<File>, FileError> {
    let meta = match std::fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(FileError::from_io(path, "looking at it", &error)),
    };
    check_type(meta.file_type(), path)?;
    // On a block device O_EXCL refuses what is mounted, or part of md or dm; on an existing file it means
    // nothing.
    let exclusive = if meta.file_type().is_block_device() { libc::O_EXCL } else { 0 };
    let file = OpenOptions::new().read(true).write(true).custom_flags(exclusive).open(path);
    Ok(Some(file.map_err(|e| FileError::from_io(path, "opening it for reading and writing", &e))?))
}

fn check_type(kind: FileType, path: &Path) -> Result<(), FileError> {
    let what = match () {
        () if kind.is_file() || kind.is_block_device() => return Ok(()),
        () if kind.is_dir() => "it is a directory",
        () => "it is neither a regular file nor a block device",
    };
    Err(FileError::new(FileErrorKind::NotAFile, path, what, "name a file or a block device"))
}

fn create(path: &Path, size_bytes: Option<u64>) -> Result<(File, Option<Created>), FileError> {
    if size_bytes.is_none() {
        let (reason, remedy) = ("there is no such file", "correct the path, or give a size to create it");
        return Err(FileError::new(FileErrorKind::Missing, path, reason, remedy));
    }
    let directory = directory_of(path);
    if !directory.is_dir() {
        let reason = format!("there is no directory {}", directory.display());
        return Err(FileError::new(
            FileErrorKind::Missing,
            path,
            reason,
            "create it first, or correct the path",
        ));
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|e| FileError::from_io(path, "creating it", &e))?;
    Ok((file, Some(Created { path: path.into(), is_kept: AtomicBool::new(false) })))
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Gives a new file its size, and makes it last: no FLUSH of the drive can save a file whose name was lost.
fn set_size(file: &File, path: &Path, size_bytes: u64) -> Result<(), FileError> {
    file.set_len(size_bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| File::open(directory_of(path))?.sync_all())
        .map_err(|e| FileError::from_io(path, "giving it its size", &e))
}

fn file_type(file: &File, path: &Path) -> Result<FileType, FileError> {
    let meta = file.metadata().map_err(|e| FileError::from_io(path, "looking at it", &e))?;
    Ok(meta.file_type())
}

/// Blocks smaller than a sector could be written through the page cache, but neither zeroed nor given back.
fn check_sectors(file: &File, path: &Path, block_size: u32) -> Result<(), FileError> {
    let sector = rustix::fs::ioctl_blksszget(file)
        .map_err(|e| FileError::from_io(path, "asking for its sector size", &e.into()))?;
    if sector <= block_size {
        return Ok(());
    }
    let reason = format!("its sectors have {sector} bytes, more than the drive's blocks of {block_size}");
    Err(FileError::new(FileErrorKind::Options, path, reason, format_args!("use a block size of {sector}")))
}

fn size_of(mut file: &File) -> io::Result<u64> {
    file.seek(SeekFrom::End(0))
}

/// The size of the drive, if the file's size is one that was asked for and can be.
fn measure(file: &File, path: &Path, options: &FileOptions) -> Result<u64, FileError> {
    let size = size_of(file).map_err(|e| FileError::from_io(path, "measuring it", &e))?;
    let refuse =
        |reason: String, remedy: &str| Err(FileError::new(FileErrorKind::Size, path, reason, remedy));
    match options.size_bytes {
        Some(wanted) if size < wanted => refuse(
            format!("it has {size} bytes, too few for a drive of {wanted}"),
            "leave the size out to use it as it is, or enlarge it (truncate -s)",
        ),
        Some(wanted) if size > wanted => refuse(
            format!(
                "it has {size} bytes, more than the drive of {wanted}: what is behind would be out of reach"
            ),
            "leave the size out to use all of it, or name another file",
        ),
        _ if size == 0 => {
            refuse("it is empty".into(), "remove it and give a size, or enlarge it (truncate -s)")
        }
        _ if !size.is_multiple_of(options.block_size.into()) => refuse(
            format!("its size {size} is no multiple of the block size {}", options.block_size),
            "choose another block size, or another file",
        ),
        _ => Ok(size),
    }
}

#[cfg(test)]
#[path = "open_tests.rs"]
mod tests;
