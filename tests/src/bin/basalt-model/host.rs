//! The host's side of a bdev: I/O with any iovec shape and with FUA, as an NVMe-oF target sends it. The only
//! file of the tests with `unsafe`: `spdk_rs::bdev` has no vectored I/O of one's own.
//!
//! Thread rules: [`Bdev`] is opened and closed on the app thread; a [`Channel`] belongs to the SPDK thread
//! that made it.

use std::ffi::{CString, c_void};
use std::fmt;
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::sync::Arc;

use spdk_rs::Errno;
use spdk_rs::dma::DmaBuf;
use spdk_rs::thread::{ThreadId, current, on_app_thread};
use spdk_sys as sys;

use crate::workload::{Op, Piece};

/// Bit 30 of command dword 12 of an NVMe write: Force Unit Access (NVM Command Set Specification 1.0, figure
/// 62).
const CDW12_FUA: u32 = 1 << 30;

/// An open bdev. The last one must be dropped on the app thread, after every channel.
#[derive(Debug)]
pub struct Bdev {
    raw: NonNull<sys::spdk_bdev_desc>,
    pub num_blocks: u64,
    pub block_size: u32,
    pub alignment: usize,
    supported: Vec<Op>,
}

// SAFETY: SPDK lets any thread use a descriptor for channels and I/O while it is open; it is closed in
// `drop`, which checks that it is on the thread that opened.
unsafe impl Send for Bdev {}
// SAFETY: as above.
unsafe impl Sync for Bdev {}

impl Bdev {
    /// Opens a bdev by name, to write. On the app thread.
    pub fn open(name: &str) -> Result<Arc<Bdev>, Errno> {
        assert!(on_app_thread(), "bdevs are opened on the app thread");
        let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
        let mut raw = ptr::null_mut();
        // SAFETY: on the app thread; the name lives through the call; the callback needs no context.
        let rc = unsafe {
            sys::spdk_bdev_open_ext(name.as_ptr(), true, Some(ignore_event), ptr::null_mut(), &mut raw)
        };
        Errno::from_rc(rc)?;
        let raw = NonNull::new(raw).ok_or(Errno::ENODEV)?;
        // SAFETY: the descriptor is open, which keeps the bdev; these only read its properties.
        let bdev = unsafe {
            let bdev = sys::spdk_bdev_desc_get_bdev(raw.as_ptr());
            let supports = |kind| sys::spdk_bdev_io_type_supported(bdev, kind);
            let kinds = [
                (Op::WriteZeroes, sys::SPDK_BDEV_IO_TYPE_WRITE_ZEROES),
                (Op::Unmap, sys::SPDK_BDEV_IO_TYPE_UNMAP),
                (Op::Flush, sys::SPDK_BDEV_IO_TYPE_FLUSH),
            ];
            let supported = kinds.into_iter().filter(|(_, kind)| supports(*kind)).map(|(op, _)| op);
            Bdev {
                raw,
                num_blocks: sys::spdk_bdev_get_num_blocks(bdev),
                block_size: sys::spdk_bdev_get_block_size(bdev),
                alignment: sys::spdk_bdev_get_buf_align(bdev),
                supported: supported.collect(),
            }
        };
        Ok(Arc::new(bdev))
    }

    pub fn supports(&self, op: Op) -> bool {
        op.has_data() || self.supported.contains(&op)
    }

    /// A channel for the current SPDK thread.
    pub fn channel(self: &Arc<Self>) -> Result<Channel, Errno> {
        let thread = current().ok_or(Errno::ESRCH)?;
        // SAFETY: the descriptor is open, and this is an SPDK thread.
        let raw = unsafe { sys::spdk_bdev_get_io_channel(self.raw.as_ptr()) };
        let raw = NonNull::new(raw).ok_or(Errno::ENOMEM)?;
        Ok(Channel(Rc::new(Inner { raw, thread, bdev: Arc::clone(self) })))
    }
}

impl Drop for Bdev {
    fn drop(&mut self) {
        assert!(on_app_thread(), "bdevs are closed on the app thread");
        // SAFETY: on the thread that opened it; channels and I/O hold an Arc, so there are none.
        unsafe { sys::spdk_bdev_close(self.raw.as_ptr()) };
    }
}

/// A bdev that goes away under the host fails its I/O, and the verdict tells of that.
unsafe extern "C" fn ignore_event(_: sys::spdk_bdev_event_type, _: *mut sys::spdk_bdev, _: *mut c_void) {}

/// A buffer: pieces of one stretch of memory that a drive may reach. What lies between them must stay as it
/// was.
#[derive(Debug)]
pub struct Buffer {
    memory: DmaBuf,
    pieces: Vec<(usize, usize)>,
    len: usize,
}

/// What lies between the pieces, and in them before a read.
const POISON: u8 = 0xa5;

impl Buffer {
    /// With room for `bytes` of pieces and gaps.
    pub fn new(bytes: usize) -> Result<Buffer, Errno> {
        let mut memory = DmaBuf::new(bytes, 4096)?;
        memory.as_mut_slice().fill(POISON);
        Ok(Buffer { memory, pieces: Vec::new(), len: 0 })
    }

    /// Becomes these pieces, all poison.
    pub fn arrange(&mut self, pieces: &[Piece]) {
        let used = self.used();
        self.memory.as_mut_slice()[..used].fill(POISON);
        self.pieces.clear();
        let mut at = 0;
        for piece in pieces {
            self.pieces.push((at + piece.gap, piece.len));
            at += piece.gap + piece.len;
        }
        assert!(at <= self.memory.len(), "the buffer is too small for {at} bytes");
        self.len = pieces.iter().map(|piece| piece.len).sum();
    }

    fn used(&self) -> usize {
        self.pieces.last().map_or(0, |(start, len)| start + len)
    }

    /// Copies `bytes` into the pieces.
    pub fn scatter(&mut self, bytes: &[u8]) {
        assert_eq!(bytes.len(), self.len);
        let mut from = 0;
        for &(start, len) in &self.pieces {
            self.memory.as_mut_slice()[start..start + len].copy_from_slice(&bytes[from..from + len]);
            from += len;
        }
    }

    /// Copies the pieces into `bytes`.
    pub fn gather(&self, bytes: &mut [u8]) {
        assert_eq!(bytes.len(), self.len);
        let mut to = 0;
        for &(start, len) in &self.pieces {
            bytes[to..to + len].copy_from_slice(&self.memory.as_slice()[start..start + len]);
            to += len;
        }
    }

    /// Whether what lies between the pieces, and behind them, was left alone.
    pub fn gaps_are_whole(&self) -> bool {
        let memory = self.memory.as_slice();
        let mut from = 0;
        let gaps = self.pieces.iter().map(|&(start, len)| std::mem::replace(&mut from, start + len)..start);
        let gaps: Vec<_> = gaps.collect();
        let behind = from..(from + 64).min(memory.len());
        gaps.into_iter().chain([behind]).all(|gap| memory[gap].iter().all(|&byte| byte == POISON))
    }

    fn iovs(&mut self) -> Vec<sys::iovec> {
        let memory = self.memory.as_mut_slice();
        let iov = |&(start, len): &(usize, usize)| {
            let piece = &mut memory[start..start + len];
            sys::iovec { iov_base: piece.as_mut_ptr().cast(), iov_len: len }
        };
        self.pieces.iter().map(iov).collect()
    }
}

/// Why an I/O failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The bdev layer did not take it.
    Refused(Errno),
    /// It came back with this NVMe status.
    Status { sct: i32, sc: i32 },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Refused(errno) => write!(f, "refused: {errno}"),
            Failure::Status { sct, sc } => write!(f, "NVMe status {sct:x}h/{sc:02x}h"),
        }
    }
}

/// Where one SPDK thread sends I/O.
#[derive(Clone)]
pub struct Channel(Rc<Inner>);

struct Inner {
    raw: NonNull<sys::spdk_io_channel>,
    thread: ThreadId,
    bdev: Arc<Bdev>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        assert_eq!(current(), Some(self.thread), "a channel is dropped on its own thread");
        // SAFETY: made on this thread, put once, and each I/O in flight holds an Rc of this.
        unsafe { sys::spdk_put_io_channel(self.raw.as_ptr()) };
    }
}

/// An I/O to do. `buffer` holds exactly the blocks; kinds without data only carry it along.
#[derive(Debug)]
pub struct Request {
    pub op: Op,
    pub lba: u64,
    pub blocks: u64,
    pub buffer: Buffer,
}

struct InFlight<F> {
    channel: Rc<Inner>,
    request: Request,
    iovs: Vec<sys::iovec>,
    wait: sys::spdk_bdev_io_wait_entry,
    done: F,
}

impl Channel {
    /// Sends it; when the bdev layer is out of bdev_ios it waits its turn. `done` is called once, on this
    /// thread, and gets the request back; it may be called before this returns.
    pub fn submit<F>(&self, mut request: Request, done: F)
    where
        F: FnOnce(Request, Result<(), Failure>) + 'static,
    {
        assert_eq!(current(), Some(self.0.thread), "a channel is used on its own thread");
        let blocks = request.buffer.len as u64 / u64::from(self.0.bdev.block_size);
        assert!(!request.op.has_data() || blocks == request.blocks, "the buffer holds the blocks");
        let iovs = if request.op.has_data() { request.buffer.iovs() } else { Vec::new() };
        // SAFETY: plain data, for which zeroes are a value.
        let wait = unsafe { std::mem::zeroed() };
        let io = InFlight { channel: Rc::clone(&self.0), request, iovs, wait, done };
        // SAFETY: a box that nobody else has.
        unsafe { send::<F>(Box::into_raw(Box::new(io)).cast()) };
    }
}

/// # Safety
/// `io` is a boxed `InFlight<F>` on its channel's thread, that neither SPDK nor anyone else has.
unsafe extern "C" fn send<F: FnOnce(Request, Result<(), Failure>)>(io: *mut c_void) {
    let io = io.cast::<InFlight<F>>();
    // SAFETY: by the caller's promise it is alive until `complete` or `finish` has it, and what it holds
    // keeps descriptor, channel, buffer and iovecs. Nothing of it is used after a submission that was taken.
    unsafe {
        let rc = submit(io);
        match Errno::from_rc(rc) {
            Ok(()) => {}
            Err(Errno::ENOMEM) => wait_for_bdev_io::<F>(io),
            Err(errno) => finish(io, Err(Failure::Refused(errno))),
        }
    }
}

/// # Safety
/// As for [`send`].
unsafe fn submit<F: FnOnce(Request, Result<(), Failure>)>(io: *mut InFlight<F>) -> i32 {
    let (done, arg) = (Some(complete::<F> as _), io.cast());
    // SAFETY: by the caller's promise; the reference ends before anything is submitted.
    let io = unsafe { &mut *io };
    let (desc, channel) = (io.channel.bdev.raw.as_ptr(), io.channel.raw.as_ptr());
    let Request { op, lba, blocks, .. } = io.request;
    let (iovs, count) = (io.iovs.as_mut_ptr(), io.iovs.len() as i32);
    // SAFETY: descriptor, channel, buffer and iovecs live until the I/O is complete, since the box holds
    // them.
    unsafe {
        match op {
            Op::Read => sys::spdk_bdev_readv_blocks(desc, channel, iovs, count, lba, blocks, done, arg),
            Op::Write => sys::spdk_bdev_writev_blocks(desc, channel, iovs, count, lba, blocks, done, arg),
            Op::WriteFua => {
                let mut options: sys::spdk_bdev_ext_io_opts = std::mem::zeroed();
                options.size = size_of::<sys::spdk_bdev_ext_io_opts>();
                options.nvme_cdw12.raw = CDW12_FUA;
                let options = &mut options;
                sys::spdk_bdev_writev_blocks_ext(desc, channel, iovs, count, lba, blocks, done, arg, options)
            }
            Op::WriteZeroes => sys::spdk_bdev_write_zeroes_blocks(desc, channel, lba, blocks, done, arg),
            Op::Unmap => sys::spdk_bdev_unmap_blocks(desc, channel, lba, blocks, done, arg),
            Op::Flush => sys::spdk_bdev_flush_blocks(desc, channel, lba, blocks, done, arg),
        }
    }
}

/// # Safety
/// As for [`send`].
unsafe fn wait_for_bdev_io<F: FnOnce(Request, Result<(), Failure>)>(io: *mut InFlight<F>) {
    // SAFETY: by the caller's promise; the reference ends before SPDK has the entry.
    let (bdev, channel, entry) = unsafe {
        let it = &mut *io;
        let bdev = sys::spdk_bdev_desc_get_bdev(it.channel.bdev.raw.as_ptr());
        it.wait.bdev = bdev;
        it.wait.cb_fn = Some(send::<F>);
        it.wait.cb_arg = io.cast();
        (bdev, it.channel.raw.as_ptr(), &raw mut it.wait)
    };
    // SAFETY: the entry stays where it is, in the box, until SPDK calls.
    let rc = unsafe { sys::spdk_bdev_queue_io_wait(bdev, channel, entry) };
    if let Err(errno) = Errno::from_rc(rc) {
        // SAFETY: it was not queued, so nobody has it.
        unsafe { finish(io, Err(Failure::Refused(errno))) };
    }
}

unsafe extern "C" fn complete<F: FnOnce(Request, Result<(), Failure>)>(
    bdev_io: *mut sys::spdk_bdev_io,
    success: bool,
    io: *mut c_void,
) {
    let (mut cdw0, mut sct, mut sc) = (0, 0, 0);
    // SAFETY: SPDK completes each I/O once, with what it was submitted with, and hands us the bdev_io to
    // free.
    unsafe {
        sys::spdk_bdev_io_get_nvme_status(bdev_io, &mut cdw0, &mut sct, &mut sc);
        sys::spdk_bdev_free_io(bdev_io);
        finish(io.cast::<InFlight<F>>(), if success { Ok(()) } else { Err(Failure::Status { sct, sc }) });
    }
}

/// # Safety
/// `io` is a boxed `InFlight<F>` that nobody has any more.
unsafe fn finish<F: FnOnce(Request, Result<(), Failure>)>(io: *mut InFlight<F>, result: Result<(), Failure>) {
    // SAFETY: by the caller's promise.
    let InFlight { channel, request, done, .. } = *unsafe { Box::from_raw(io) };
    drop(channel);
    done(request, result);
}
