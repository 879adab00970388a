//! What the end of an I/O means: the kernel's errno as something to act on.

/// A failed I/O.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What to match on.
    pub kind: FailureKind,
    /// The kernel's errno, positive; 0 where it reported none (the end of a file that was cut).
    pub errno: i32,
}

/// What a failed I/O says about the drive.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// These blocks can't be read or written; others may be fine.
    Media,
    /// The drive is not there any more.
    Gone,
    /// The file system holding the file is full: a sparse file promises more than it has.
    Full,
    /// An ABORT of the host, or a reset.
    Aborted,
    /// The file system can't do that.
    NotSupported,
    /// Anything else.
    Other,
}

impl Failure {
    /// Sorts an errno (positive) of a system call on an open file.
    pub fn of_errno(errno: i32) -> Failure {
        let kind = match errno {
            libc::EIO | libc::ENODATA | libc::EILSEQ | libc::EBADMSG | libc::EREMOTEIO => FailureKind::Media,
            libc::ENODEV | libc::ENXIO | libc::ENOLINK | libc::ESTALE | libc::ESHUTDOWN => FailureKind::Gone,
            libc::ENOSPC | libc::EDQUOT => FailureKind::Full,
            libc::ECANCELED => FailureKind::Aborted,
            libc::EOPNOTSUPP | libc::ENOSYS => FailureKind::NotSupported,
            _ => FailureKind::Other,
        };
        Failure { kind, errno }
    }

    /// The file ended before the drive did. Somebody cut it: those blocks are lost, like a bad medium's.
    pub(crate) const TRUNCATED: Failure = Failure { kind: FailureKind::Media, errno: 0 };
    /// Taken back before it reached the kernel.
    pub(crate) const ABORTED: Failure = Failure { kind: FailureKind::Aborted, errno: libc::ECANCELED };
}

/// The kernel had no room just then: the same operation may well succeed when it is tried again.
pub(crate) fn is_passing(errno: i32) -> bool {
    matches!(errno, libc::EAGAIN | libc::EINTR | libc::ENOMEM | libc::ENOBUFS)
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.errno {
            0 => write!(f, "the file ends before the drive: somebody cut it"),
            errno => write!(f, "{}", std::io::Error::from_raw_os_error(errno)),
        }
    }
}
