//! One user per file: an exclusive `flock`, held for as long as the drive lives.
//!
//! The lock belongs to the open file, so the kernel drops it however the process ends, and a second drive of
//! the same process on the same file is refused just as a second daemon is.

use super::error::{FileError, FileErrorKind};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::File;
use std::ops::Deref;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A file that nobody else has while this lives.
#[derive(Debug)]
pub(crate) struct LockedFile(File);

impl LockedFile {
    /// Takes the lock, or says who has it.
    pub(crate) fn lock(file: File, path: &Path) -> Result<LockedFile, FileError> {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(LockedFile(file)),
            Err(Errno::WOULDBLOCK) => Err(busy(&file, path)),
            Err(error) => Err(FileError::from_io(path, "locking it", &error.into())),
        }
    }
}

impl Deref for LockedFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl Drop for LockedFile {
    /// Closing would do, if a child process between its fork and its exec did not have the file open too.
    fn drop(&mut self) {
        if let Err(error) = flock(&self.0, FlockOperation::Unlock) {
            tracing::warn!(%error, "a file drive's lock goes only when its file is closed");
        }
    }
}

fn busy(file: &File, path: &Path) -> FileError {
    let busy = |reason: String, remedy: &str| FileError::new(FileErrorKind::Busy, path, reason, remedy);
    match holder(file) {
        Some(pid) if pid == std::process::id() => {
            busy("another drive of this process uses it".into(), "use that drive, or delete it first")
        }
        Some(pid) => {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            let name = if name.is_empty() { String::new() } else { format!(" ({})", name.trim()) };
            busy(format!("process {pid}{name} uses it"), "stop that process, or choose another file")
        }
        None => busy(
            "another process uses it".into(),
            "stop that process (fuser -v shows it), or choose another file",
        ),
    }
}

/// The process that holds the lock on `file`, if `/proc/locks` shows it: it does not across PID namespaces,
/// nor where the file system gives its files another device number than its superblock (btrfs).
fn holder(file: &File) -> Option<u32> {
    let meta = file.metadata().ok()?;
    let (major, minor) = (rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()));
    let wanted = format!("{major:02x}:{minor:02x}:{}", meta.ino());
    std::fs::read_to_string("/proc/locks").ok()?.lines().find_map(|line| holder_in_line(line, &wanted))
}

/// Source of the format: proc_locks(5), `id: FLOCK ADVISORY WRITE pid maj:min:inode start end`. A line with
/// `->` is somebody who waits for the lock.
fn holder_in_line(line: &str, wanted: &str) -> Option<u32> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        [_, "FLOCK", _, _, pid, inode, ..] if inode == wanted => pid.parse().ok().filter(|&pid| pid != 0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn lines_of_proc_locks() {
        let wanted = "fe:00:77";
        assert_eq!(holder_in_line("1: FLOCK  ADVISORY  WRITE 123 fe:00:77 0 EOF", wanted), Some(123));
        assert_eq!(holder_in_line("1: FLOCK  ADVISORY  WRITE 123 fe:00:78 0 EOF", wanted), None);
        assert_eq!(holder_in_line("1: -> FLOCK  ADVISORY  WRITE 123 fe:00:77 0 EOF", wanted), None);
        assert_eq!(holder_in_line("1: POSIX  ADVISORY  WRITE 123 fe:00:77 0 EOF", wanted), None);
        assert_eq!(holder_in_line("1: FLOCK  ADVISORY  WRITE 0 fe:00:77 0 EOF", wanted), None);
        assert_eq!(holder_in_line("", wanted), None);
    }

    #[test]
    fn second_lock_in_this_process_is_refused_until_the_first_is_dropped() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let lock = || LockedFile::lock(file.reopen().unwrap(), file.path());
        let first = lock().unwrap();
        let error = lock().unwrap_err();
        assert_eq!(error.kind, FileErrorKind::Busy);
        assert!(error.to_string().contains("another drive of this process"), "{error}");
        drop(first);
        lock().unwrap();
    }

    /// The child is `flock(1)`, which holds the lock while `cat` waits on the pipe that this test holds.
    #[test]
    fn another_process_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut child = Command::new("flock")
            .arg("--no-fork")
            .arg(file.path())
            .args(["sh", "-c", "echo locked; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("flock(1) of util-linux");
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line)
            .unwrap();
        assert_eq!(line.trim(), "locked");

        let lock = || LockedFile::lock(file.reopen().unwrap(), file.path());
        let error = lock().unwrap_err().to_string();
        assert!(error.contains(&format!("process {} (cat) uses it", child.id())), "{error}");

        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
        lock().unwrap();
    }
}
