//! How an I/O failed: NVMe's status codes, and what Basalt makes of them.
//!
//! | status of the completed I/O | kind |
//! |---|---|
//! | media and data integrity (sct 2h), except compare failure (85h) and access denied (86h) | `Media` |
//! | path related (sct 3h), except aborted by host (71h) | `Path` |
//! | generic 0Bh invalid namespace; aio `ENODEV`, `ENXIO`; submission `ENODEV`, `ENXIO` | `Gone` |
//! | generic 05h, 07h, 08h, 1Bh (power loss, by request, queue deleted, preempted); path 71h | `Aborted` |
//! | submission `ENOMEM` | `NoMem` |
//! | generic 01h invalid opcode; aio and submission `EOPNOTSUPP` | `NotSupported` |
//! | aio `EREMOTEIO`, `ENODATA`, `EILSEQ` (what Linux makes of medium errors) | `Media` |
//! | everything else, generic 06h internal device error above all | `Other` |
//!
//! Numbers: NVM Express Base Specification 2.0, figures 95 to 98 (status code types and values).

use spdk_sys as sys;
use thiserror::Error;

use crate::error::Errno;

const SCT_GENERIC: u8 = 0x0;
const SCT_MEDIA: u8 = 0x2;
const SCT_PATH: u8 = 0x3;

const SC_INVALID_OPCODE: u8 = 0x01;
const SC_ABORTED_POWER_LOSS: u8 = 0x05;
const SC_INTERNAL_DEVICE_ERROR: u8 = 0x06;
const SC_ABORTED_BY_REQUEST: u8 = 0x07;
const SC_ABORTED_SQ_DELETION: u8 = 0x08;
const SC_INVALID_NAMESPACE: u8 = 0x0b;
const SC_ABORTED_PREEMPT: u8 = 0x1b;
const SC_MEDIA_WRITE_FAULT: u8 = 0x80;
const SC_MEDIA_UNRECOVERED_READ: u8 = 0x81;
const SC_MEDIA_COMPARE_FAILURE: u8 = 0x85;
const SC_MEDIA_ACCESS_DENIED: u8 = 0x86;
const SC_PATH_INTERNAL: u8 = 0x00;
const SC_PATH_ABORTED_BY_HOST: u8 = 0x71;

/// A failed I/O. `sct` and `sc` are NVMe's status code type and status code: what a host is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{kind} (NVMe status {sct:x}h/{sc:02x}h)")]
pub struct IoError {
    /// What kind of failure it is.
    pub kind: IoErrorKind,
    /// NVMe status code type.
    pub sct: u8,
    /// NVMe status code.
    pub sc: u8,
}

/// What kind of failure it is, as far as a RAID cares. The table is in the documentation of this module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IoErrorKind {
    /// The drive can't read or write these blocks; others may be fine.
    Media,
    /// The way to the drive is broken.
    Path,
    /// The drive is not there any more.
    Gone,
    /// Given up on purpose: an abort, a reset.
    Aborted,
    /// SPDK was out of bdev_ios: nothing was sent. Wait with [`wait_for_io`](super::wait_for_io) and send it
    /// again.
    NoMem,
    /// The drive does not do this kind of I/O.
    NotSupported,
    /// Anything else.
    Other,
}

impl std::fmt::Display for IoErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            IoErrorKind::Media => "media error",
            IoErrorKind::Path => "path error",
            IoErrorKind::Gone => "drive gone",
            IoErrorKind::Aborted => "aborted",
            IoErrorKind::NoMem => "out of bdev_ios",
            IoErrorKind::NotSupported => "not supported",
            IoErrorKind::Other => "I/O error",
        })
    }
}

impl IoError {
    /// Unrecovered read error.
    pub const MEDIA_READ: IoError =
        IoError { kind: IoErrorKind::Media, sct: SCT_MEDIA, sc: SC_MEDIA_UNRECOVERED_READ };
    /// Write fault.
    pub const MEDIA_WRITE: IoError =
        IoError { kind: IoErrorKind::Media, sct: SCT_MEDIA, sc: SC_MEDIA_WRITE_FAULT };
    /// Aborted by request.
    pub const ABORTED: IoError =
        IoError { kind: IoErrorKind::Aborted, sct: SCT_GENERIC, sc: SC_ABORTED_BY_REQUEST };
    /// Invalid opcode.
    pub const NOT_SUPPORTED: IoError =
        IoError { kind: IoErrorKind::NotSupported, sct: SCT_GENERIC, sc: SC_INVALID_OPCODE };
    /// Internal device error.
    pub const OTHER: IoError =
        IoError { kind: IoErrorKind::Other, sct: SCT_GENERIC, sc: SC_INTERNAL_DEVICE_ERROR };
    const GONE: IoError = IoError { kind: IoErrorKind::Gone, sct: SCT_PATH, sc: SC_PATH_INTERNAL };
    const NO_MEM: IoError = IoError { kind: IoErrorKind::NoMem, ..IoError::OTHER };

    /// The error for an NVMe status. Never called for success (0/0), which becomes an internal device error.
    pub fn from_nvme(sct: u8, sc: u8) -> IoError {
        let kind = match (sct, sc) {
            (SCT_GENERIC, 0) => return IoError::OTHER,
            (SCT_GENERIC, SC_INVALID_OPCODE) => IoErrorKind::NotSupported,
            (SCT_GENERIC, SC_INVALID_NAMESPACE) => IoErrorKind::Gone,
            (
                SCT_GENERIC,
                SC_ABORTED_POWER_LOSS | SC_ABORTED_BY_REQUEST | SC_ABORTED_SQ_DELETION | SC_ABORTED_PREEMPT,
            ) => IoErrorKind::Aborted,
            (SCT_MEDIA, SC_MEDIA_COMPARE_FAILURE | SC_MEDIA_ACCESS_DENIED) => IoErrorKind::Other,
            (SCT_MEDIA, _) => IoErrorKind::Media,
            (SCT_PATH, SC_PATH_ABORTED_BY_HOST) => IoErrorKind::Aborted,
            (SCT_PATH, _) => IoErrorKind::Path,
            _ => IoErrorKind::Other,
        };
        IoError { kind, sct, sc }
    }

    /// The NVMe status that a host is shown. Never success, whatever the fields say.
    pub(crate) fn nvme_status(self) -> (u8, u8) {
        match (self.sct, self.sc) {
            (0, 0) => (SCT_GENERIC, SC_INTERNAL_DEVICE_ERROR),
            status => status,
        }
    }

    /// The error of an I/O that completed without success.
    ///
    /// # Safety
    /// `io` is a completed bdev_io that has not been freed.
    #[cold]
    pub(crate) unsafe fn of_failed(io: *const sys::spdk_bdev_io) -> IoError {
        let (mut cdw0, mut sct, mut sc, mut aio) = (0u32, 0, 0, 0);
        // SAFETY: by the caller's promise; the out-pointers are to locals.
        unsafe {
            sys::spdk_bdev_io_get_nvme_status(io, &mut cdw0, &mut sct, &mut sc);
            sys::spdk_bdev_io_get_aio_status(io, &mut aio);
        }
        let error = IoError::from_nvme(sct as u8, sc as u8);
        match error {
            // The bdev layer says this for every failure that isn't NVMe's, so the errno is the better
            // witness. SAFETY: by the caller's promise.
            IoError::OTHER => match (IoError::from_errno(-aio), u32::from(unsafe { (*io).type_ })) {
                (IoError::MEDIA_READ, sys::SPDK_BDEV_IO_TYPE_WRITE) => IoError::MEDIA_WRITE,
                (error, _) => error,
            },
            _ => error,
        }
    }

    /// The error for the errno of a submission, or of an I/O of a file-backed bdev.
    fn from_errno(errno: i32) -> IoError {
        match errno {
            libc::EREMOTEIO | libc::ENODATA | libc::EILSEQ => IoError::MEDIA_READ,
            libc::ENODEV | libc::ENXIO => IoError::GONE,
            libc::EOPNOTSUPP => IoError::NOT_SUPPORTED,
            libc::ECANCELED => IoError::ABORTED,
            _ => IoError::OTHER,
        }
    }
}

/// The error for an I/O that could not be submitted.
impl From<Errno> for IoError {
    fn from(errno: Errno) -> IoError {
        match errno.raw() {
            libc::ENOMEM => IoError::NO_MEM,
            errno => IoError::from_errno(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_follow_the_table() {
        let table = [
            ((2, 0x81), IoErrorKind::Media),
            ((2, 0x80), IoErrorKind::Media),
            ((2, 0x82), IoErrorKind::Media),
            ((2, 0x87), IoErrorKind::Media),
            ((2, 0x85), IoErrorKind::Other),
            ((2, 0x86), IoErrorKind::Other),
            ((3, 0x00), IoErrorKind::Path),
            ((3, 0x60), IoErrorKind::Path),
            ((3, 0x71), IoErrorKind::Aborted),
            ((0, 0x07), IoErrorKind::Aborted),
            ((0, 0x08), IoErrorKind::Aborted),
            ((0, 0x0b), IoErrorKind::Gone),
            ((0, 0x01), IoErrorKind::NotSupported),
            ((0, 0x06), IoErrorKind::Other),
            ((1, 0x80), IoErrorKind::Other),
            ((7, 0x01), IoErrorKind::Other),
        ];
        for ((sct, sc), kind) in table {
            let error = IoError::from_nvme(sct, sc);
            assert_eq!(error, IoError { kind, sct, sc }, "{sct:x}/{sc:x}");
            assert_eq!(error.nvme_status(), (sct, sc), "a host sees what the member said");
        }
    }

    #[test]
    fn an_error_never_turns_into_success() {
        assert_eq!(IoError::from_nvme(0, 0), IoError::OTHER);
        let broken = IoError { kind: IoErrorKind::Other, sct: 0, sc: 0 };
        assert_eq!(broken.nvme_status(), (0, 6));
        for errno in 1..200 {
            assert_ne!(IoError::from(Errno::new(errno)).nvme_status(), (0, 0));
        }
    }

    #[test]
    fn errnos_of_submission() {
        assert_eq!(IoError::from(Errno::ENOMEM).kind, IoErrorKind::NoMem);
        assert_eq!(IoError::from(Errno::ENODEV).kind, IoErrorKind::Gone);
        assert_eq!(IoError::from(Errno::ENOTSUP).kind, IoErrorKind::NotSupported);
        assert_eq!(IoError::from(Errno::EINVAL).kind, IoErrorKind::Other);
    }

    #[test]
    fn constants_agree_with_the_table() {
        for error in [
            IoError::MEDIA_READ,
            IoError::MEDIA_WRITE,
            IoError::ABORTED,
            IoError::NOT_SUPPORTED,
            IoError::OTHER,
        ] {
            assert_eq!(IoError::from_nvme(error.sct, error.sc), error);
        }
    }
}
