//! SPDK's words for the RAID's, and back.

use raid::channel::Op;
use raid::{Fault, FaultKind};
use spdk_rs::Errno;
use spdk_rs::bdev::{IoError, IoErrorKind, IoKind};

/// The operation of a host I/O; None for an abort, which is about another I/O.
#[inline]
pub(crate) fn op_of(kind: IoKind) -> Option<Op> {
    match kind {
        IoKind::Read => Some(Op::Read),
        IoKind::Write => Some(Op::Write),
        IoKind::WriteZeroes => Some(Op::WriteZeroes),
        IoKind::Unmap => Some(Op::Unmap),
        IoKind::Flush => Some(Op::Flush),
        IoKind::Reset => Some(Op::Reset),
        IoKind::Abort => None,
    }
}

#[inline]
pub(crate) fn kind_of(op: Op) -> IoKind {
    match op {
        Op::Read => IoKind::Read,
        Op::Write => IoKind::Write,
        Op::WriteZeroes => IoKind::WriteZeroes,
        Op::Unmap => IoKind::Unmap,
        Op::Flush => IoKind::Flush,
        Op::Reset => IoKind::Reset,
    }
}

/// What a member's failure means to the RAID.
#[cold]
pub(crate) fn fault_of(error: IoError) -> Fault {
    let kind = match error.kind {
        IoErrorKind::Media => FaultKind::Media,
        IoErrorKind::Path => FaultKind::Path,
        IoErrorKind::Gone => FaultKind::Gone,
        IoErrorKind::Aborted => FaultKind::Aborted,
        IoErrorKind::NoMem => FaultKind::NoResources,
        IoErrorKind::NotSupported | IoErrorKind::Other => FaultKind::Other,
    };
    Fault { kind, sct: error.sct, sc: error.sc }
}

/// What a submission that was refused means to the RAID.
#[cold]
pub(crate) fn fault_of_errno(errno: Errno) -> Fault {
    Fault::of(match errno {
        Errno::ENOMEM | Errno::EAGAIN => FaultKind::NoResources,
        Errno::ENODEV | Errno::ENXIO => FaultKind::Gone,
        _ => FaultKind::Other,
    })
}

/// What the host is told: a media error as it is; that a path to a member is broken is no affair of a host,
/// whose own path to us is fine.
#[cold]
pub(crate) fn error_of(fault: Fault) -> IoError {
    match (fault.kind, fault.sct, fault.sc) {
        (FaultKind::Media, 0, 0) => IoError::MEDIA_READ,
        (FaultKind::Media, sct, sc) => IoError::from_nvme(sct, sc),
        (FaultKind::Aborted, ..) => IoError::ABORTED,
        _ => IoError::OTHER,
    }
}
