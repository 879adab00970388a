//! The file drive as a bdev: translates between SPDK and the engine.

use super::drive::Drive;
use super::engine::{Command, Engine, Request};
use super::failure::{Failure, FailureKind};
use super::lane::Lane;
use super::work::ByteRange;
use libc::iovec;
use spdk_rs::Errno;
use spdk_rs::bdev::{IoError, IoKind};
use spdk_rs::io_device::{IoChannelRef, IoDevice, Registered};
use spdk_rs::module::{BdevSpec, Device, Io, IoToken, IoVec};
use spdk_rs::poller::{Busy, Poller};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// What every thread that uses file drives has one of: an engine, and a poller for it.
pub(crate) struct Engines;

pub(crate) struct ThreadEngine {
    engine: Rc<Engine<HostIo>>,
    _poller: Poller,
}

impl IoDevice for Engines {
    type Channel = ThreadEngine;

    fn open(&self) -> Result<ThreadEngine, Errno> {
        let engine = Engine::new().map_err(|error| {
            tracing::error!("a thread can't use file drives: {error}");
            Errno::ENOMEM
        })?;
        let engine = Rc::new(engine);
        let polled = Rc::clone(&engine);
        let poll = move || if polled.poll() { Busy::Yes } else { Busy::No };
        Ok(ThreadEngine { engine, _poller: Poller::register("basalt_file", 0, poll) })
    }
}

impl Engines {
    /// Those of this process: registered for the first drive, unregistered with the last one.
    fn shared() -> Result<Arc<Registered<Engines>>, Errno> {
        static SHARED: Mutex<Weak<Registered<Engines>>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engines) = shared.upgrade() {
            return Ok(engines);
        }
        let engines = Arc::new(Registered::new("basalt_file", Engines)?);
        *shared = Arc::downgrade(&engines);
        Ok(engines)
    }
}

/// What SPDK has of a file drive.
pub(crate) struct FileBdev {
    drive: Arc<Drive>,
    engines: Arc<Registered<Engines>>,
}

impl FileBdev {
    /// On the app thread.
    pub(crate) fn new(drive: Arc<Drive>) -> Result<FileBdev, Errno> {
        Ok(FileBdev { drive, engines: Engines::shared()? })
    }

    pub(crate) fn spec(&self) -> BdevSpec {
        let (alignment, max_rw_bytes) = alignment_hint(self.drive.file.access.memory_align());
        BdevSpec {
            product: "Basalt file drive".into(),
            uuid: self.drive.file.uuid.into_bytes(),
            write_cache: !self.drive.assume_durable,
            required_alignment_log2: alignment.ilog2() as u8,
            max_rw_blocks: max_rw_bytes / self.drive.block_size,
            ..BdevSpec::new(&self.drive.name, self.drive.block_size, self.drive.num_blocks())
        }
    }
}

/// The alignment that SPDK is told of, and the largest I/O then, in bytes (0: any).
///
/// With an alignment SPDK bounces what is not aligned, out of a pool of buffers of 132 KiB, and splits larger
/// I/O to exactly that size, which then does not fit if it needs aligning: 128 KiB does. Hosts align to 4
/// bytes anyway (NVMe's PRPs), so most drives need to tell nothing; what comes unaligned all the same is
/// bounced by the engine.
fn alignment_hint(memory_align: u32) -> (u32, u32) {
    match memory_align.next_power_of_two() {
        ..=4 => (1, 0),
        alignment => (alignment.min(4096), 128 << 10),
    }
}

/// One drive on one thread.
pub(crate) struct FileChannel {
    lane: Rc<Lane<HostIo>>,
    thread: IoChannelRef<ThreadEngine>,
}

impl Device for FileBdev {
    type Channel = FileChannel;
    type IoState = ();

    fn supports(&self, kind: IoKind) -> bool {
        match kind {
            IoKind::Read | IoKind::Write | IoKind::WriteZeroes | IoKind::Flush => true,
            IoKind::Reset | IoKind::Abort => true,
            IoKind::Unmap => self.drive.file.can_punch,
        }
    }

    fn open_channel(&self) -> Result<FileChannel, Errno> {
        let lane = Lane::open(&self.drive).map_err(|error| {
            let (drive, path) = (&self.drive.name, self.drive.file.path.display());
            tracing::error!(%drive, %path, %error, "a thread can't open the file");
            Errno::new(error.raw_os_error().unwrap_or(libc::EIO))
        })?;
        Ok(FileChannel { lane: Rc::new(lane), thread: self.engines.channel()? })
    }

    fn submit(&self, channel: &FileChannel, io: Io<FileBdev>) {
        let Some(command) = command_of(&io) else {
            // An abort of what is with us no more.
            return io.complete(Err(IoError::OTHER));
        };
        channel.thread.engine.submit(&channel.lane, command, HostIo::park(io));
    }

    fn info(&self) -> serde_json::Value {
        let file = &self.drive.file;
        serde_json::json!({
            "path": file.path,
            "block_device": file.is_device,
            "direct": file.access.is_direct(),
            "memory_align": file.access.memory_align(),
            "offset_align": file.access.offset_align(),
            "unmap": file.can_punch,
            "assume_durable": self.drive.assume_durable,
            "note": file.note,
            "counters": self.drive.totals(),
        })
    }
}

fn command_of(io: &Io<FileBdev>) -> Option<Command> {
    let block_size = u64::from(io.block_size());
    let range = ByteRange { offset: io.lba() * block_size, len: io.blocks() * block_size };
    Some(match io.kind() {
        IoKind::Read => Command::Read(range),
        IoKind::Write => Command::Write { range, fua: io.fua() },
        IoKind::Unmap => Command::Unmap(range),
        IoKind::WriteZeroes => Command::WriteZeroes(range),
        IoKind::Flush => Command::Flush,
        IoKind::Reset => Command::Reset,
        IoKind::Abort => Command::Abort { target: io.abort_target()?.raw() },
    })
}

/// A parked I/O, on its thread until `complete`.
pub(crate) struct HostIo {
    token: IoToken,
    kind: IoKind,
    iovs: *const iovec,
    iov_count: usize,
}

const _: () = assert!(size_of::<IoVec>() == size_of::<iovec>() && align_of::<IoVec>() == align_of::<iovec>());

impl HostIo {
    fn park(io: Io<FileBdev>) -> HostIo {
        let kind = io.kind();
        let (iovs, iov_count) = (io.iovs().as_ptr().cast(), io.iovs().len());
        HostIo { token: io.into_token(), kind, iovs, iov_count }
    }
}

// SAFETY: the list and the buffers are those of a bdev_io that is parked until `complete`; SPDK leaves both
// alone until an I/O is completed, and a host that uses its buffers before that has only itself to blame.
unsafe impl Request for HostIo {
    fn iovs(&self) -> &[iovec] {
        // SAFETY: an `IoVec` is C's iovec, as libc's is, and the list stays until the I/O is completed.
        unsafe { std::slice::from_raw_parts(self.iovs, self.iov_count) }
    }

    fn id(&self) -> u64 {
        self.token.raw()
    }

    fn complete(self, result: Result<(), Failure>) {
        // SAFETY: parked by `park`, taken up only here, and engines stay on their thread.
        let io = unsafe { Io::<FileBdev>::from_token(self.token) };
        io.complete(result.map_err(|failure| io_error(failure, self.kind)));
    }
}

/// NVMe: generic command status, "Invalid Namespace or Format": what SPDK too makes of a drive that is gone.
const GONE: (u8, u8) = (0x0, 0x0b);
/// NVMe: generic command status of the NVM command set, "Capacity Exceeded".
const CAPACITY_EXCEEDED: (u8, u8) = (0x0, 0x81);

fn io_error(failure: Failure, kind: IoKind) -> IoError {
    match (failure.kind, kind) {
        (FailureKind::Media, IoKind::Read) => IoError::MEDIA_READ,
        (FailureKind::Media, _) => IoError::MEDIA_WRITE,
        (FailureKind::Gone, _) => IoError::from_nvme(GONE.0, GONE.1),
        (FailureKind::Full, _) => IoError::from_nvme(CAPACITY_EXCEEDED.0, CAPACITY_EXCEEDED.1),
        (FailureKind::Aborted, _) => IoError::ABORTED,
        (FailureKind::NotSupported, _) => IoError::NOT_SUPPORTED,
        (FailureKind::Other, _) => IoError::OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spdk_rs::bdev::IoErrorKind;

    #[test]
    fn only_odd_alignments_are_told() {
        assert_eq!(alignment_hint(1), (1, 0));
        assert_eq!(alignment_hint(4), (1, 0));
        assert_eq!(alignment_hint(512), (512, 128 << 10));
        assert_eq!(alignment_hint(65536), (4096, 128 << 10));
    }

    #[test]
    fn errors_keep_their_meaning() {
        let kind = |errno: i32, io| io_error(Failure::of_errno(errno), io).kind;
        assert_eq!(kind(libc::EIO, IoKind::Read), IoErrorKind::Media);
        assert_eq!(kind(libc::EIO, IoKind::Flush), IoErrorKind::Media);
        assert_eq!(kind(libc::ENODEV, IoKind::Write), IoErrorKind::Gone);
        assert_eq!(kind(libc::ENOSPC, IoKind::Write), IoErrorKind::Other);
        assert_eq!(kind(libc::ECANCELED, IoKind::Write), IoErrorKind::Aborted);
        assert_eq!(kind(libc::EOPNOTSUPP, IoKind::Unmap), IoErrorKind::NotSupported);
        assert_eq!(io_error(Failure::TRUNCATED, IoKind::Read), IoError::MEDIA_READ);
    }
}
