//! I/O with buffers of our own: metadata, tools, tests.
//!
//! ```text
//!             submit                     complete
//!   start ----------> with SPDK --------------------------> done(result, buffer)
//!     |   ENOMEM          ^                                    ^
//!     +------> waiting ---+                                    |
//!     |   any other error, or SPDK completes at once           |
//!     +-------------------- next turn of the thread -----------+
//! ```
//!
//! The operation owns its buffer and holds its channel until then, whatever becomes of the future.
//!
//! With a [`Reserve`] it does not wait: when SPDK is out of bdev_ios it spends the one that was kept back, or, if
//! that is lent already, is refused, and the caller asks again.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use spdk_sys as sys;

use super::channel::{Channel, ChannelInner};
use super::error::IoError;
use super::kind::IoKind;
use super::reserve::Reserve;
use super::wait::{Entry, call_soon};
use crate::dma::DmaBuf;
use crate::error::Errno;

/// What a read or a write gives back: how it went, and the buffer.
pub type WithBuffer = (Result<(), IoError>, DmaBuf);

/// Each is submitted at once, not when the future is first polled; dropping the future does not cancel it.
/// When SPDK is out of bdev_ios it waits by itself.
impl Channel {
    /// Reads from block `lba` on, as much as the buffer holds, which must be a multiple of the block size
    /// (else `Other`).
    pub fn read(&self, lba: u64, buffer: DmaBuf) -> IoFuture<WithBuffer> {
        self.future_with_buffer(IoKind::Read, lba, buffer)
    }

    /// Writes the whole buffer, which must be a multiple of the block size (else `Other`), to block `lba` on.
    pub fn write(&self, lba: u64, buffer: DmaBuf) -> IoFuture<WithBuffer> {
        self.future_with_buffer(IoKind::Write, lba, buffer)
    }

    /// As [`Channel::read`], with a callback, which is never called before this returns.
    pub fn read_with(
        &self,
        lba: u64,
        buffer: DmaBuf,
        done: impl FnOnce(Result<(), IoError>, DmaBuf) + 'static,
    ) {
        self.with_buffer(IoKind::Read, lba, buffer, done);
    }

    /// As [`Channel::write`], with a callback, which is never called before this returns.
    pub fn write_with(
        &self,
        lba: u64,
        buffer: DmaBuf,
        done: impl FnOnce(Result<(), IoError>, DmaBuf) + 'static,
    ) {
        self.with_buffer(IoKind::Write, lba, buffer, done);
    }

    /// As [`Channel::flush`], with a callback, which is never called before this returns.
    pub fn flush_with(&self, lba: u64, blocks: u64, done: impl FnOnce(Result<(), IoError>) + 'static) {
        start(self.inner(), IoKind::Flush, lba, blocks, None, |result, _| done(result));
    }

    /// Makes the blocks read as zeroes.
    pub fn write_zeroes(&self, lba: u64, blocks: u64) -> IoFuture<Result<(), IoError>> {
        self.without_buffer(IoKind::WriteZeroes, lba, blocks)
    }

    /// Says that the blocks' content is no longer needed.
    pub fn unmap(&self, lba: u64, blocks: u64) -> IoFuture<Result<(), IoError>> {
        self.without_buffer(IoKind::Unmap, lba, blocks)
    }

    /// Makes completed writes of these blocks durable. `NotSupported` if the bdev has no flush.
    pub fn flush(&self, lba: u64, blocks: u64) -> IoFuture<Result<(), IoError>> {
        self.without_buffer(IoKind::Flush, lba, blocks)
    }

    /// Resets the bdev: everything in flight on it, from all threads, comes back first.
    pub fn reset(&self) -> IoFuture<Result<(), IoError>> {
        self.without_buffer(IoKind::Reset, 0, 0)
    }

    /// As [`Channel::read`], without waiting for a bdev_io.
    ///
    /// # Errors
    /// With the buffer. `ENOMEM`: SPDK has no bdev_io, and there is none in `reserve`.
    pub fn read_now(
        &self,
        lba: u64,
        buffer: DmaBuf,
        reserve: &Rc<Reserve>,
    ) -> Result<IoFuture<WithBuffer>, (Errno, DmaBuf)> {
        self.with_buffer_now(IoKind::Read, lba, buffer, reserve)
    }

    /// As [`Channel::write`], without waiting for a bdev_io.
    ///
    /// # Errors
    /// As for [`Channel::read_now`].
    pub fn write_now(
        &self,
        lba: u64,
        buffer: DmaBuf,
        reserve: &Rc<Reserve>,
    ) -> Result<IoFuture<WithBuffer>, (Errno, DmaBuf)> {
        self.with_buffer_now(IoKind::Write, lba, buffer, reserve)
    }

    /// As [`Channel::write_zeroes`], without waiting for a bdev_io.
    ///
    /// # Errors
    /// `ENOMEM`: SPDK has no bdev_io, and there is none in `reserve`.
    pub fn write_zeroes_now(
        &self,
        lba: u64,
        blocks: u64,
        reserve: &Rc<Reserve>,
    ) -> Result<IoFuture<Result<(), IoError>>, Errno> {
        self.without_buffer_now(IoKind::WriteZeroes, lba, blocks, reserve)
    }

    /// As [`Channel::flush`], without waiting for a bdev_io.
    ///
    /// # Errors
    /// As for [`Channel::write_zeroes_now`].
    pub fn flush_now(
        &self,
        lba: u64,
        blocks: u64,
        reserve: &Rc<Reserve>,
    ) -> Result<IoFuture<Result<(), IoError>>, Errno> {
        self.without_buffer_now(IoKind::Flush, lba, blocks, reserve)
    }

    fn with_buffer_now(
        &self,
        kind: IoKind,
        lba: u64,
        buffer: DmaBuf,
        reserve: &Rc<Reserve>,
    ) -> Result<IoFuture<WithBuffer>, (Errno, DmaBuf)> {
        let blocks = (buffer.len() / self.inner().block_size() as usize) as u64;
        let begun = try_future(self, |channel, done: Box<dyn FnOnce(WithBuffer)>| {
            start_now(channel.inner(), (kind, lba, blocks), Some(buffer), reserve, |result, buffer| {
                done((result, buffer.expect("an operation keeps its buffer")));
            })
        });
        begun.map_err(|(errno, buffer)| (errno, buffer.expect("an operation keeps its buffer")))
    }

    fn without_buffer_now(
        &self,
        kind: IoKind,
        lba: u64,
        blocks: u64,
        reserve: &Rc<Reserve>,
    ) -> Result<IoFuture<Result<(), IoError>>, Errno> {
        let begun = try_future(self, |channel, done: Box<dyn FnOnce(Result<(), IoError>)>| {
            start_now(channel.inner(), (kind, lba, blocks), None, reserve, |result, _| done(result))
        });
        begun.map_err(|(errno, _)| errno)
    }

    fn with_buffer(
        &self,
        kind: IoKind,
        lba: u64,
        buffer: DmaBuf,
        done: impl FnOnce(Result<(), IoError>, DmaBuf) + 'static,
    ) -> OpId {
        let blocks = (buffer.len() / self.inner().block_size() as usize) as u64;
        start(self.inner(), kind, lba, blocks, Some(buffer), |result, buffer| {
            done(result, buffer.expect("an operation keeps its buffer"))
        })
    }

    fn future_with_buffer(&self, kind: IoKind, lba: u64, buffer: DmaBuf) -> IoFuture<WithBuffer> {
        future(self, |channel, done| {
            channel.with_buffer(kind, lba, buffer, |result, buffer| done((result, buffer)))
        })
    }

    fn without_buffer(&self, kind: IoKind, lba: u64, blocks: u64) -> IoFuture<Result<(), IoError>> {
        future(self, |channel, done| {
            start(channel.inner(), kind, lba, blocks, None, |result, _| done(result))
        })
    }
}

/// Names an operation in flight to SPDK.
#[derive(Clone, Copy)]
struct OpId(*mut c_void);

struct Op<F> {
    channel: Rc<ChannelInner>,
    kind: IoKind,
    lba: u64,
    blocks: u64,
    buffer: Option<DmaBuf>,
    /// The buffer, for SPDK, which keeps a pointer to this.
    iov: sys::iovec,
    entry: Entry,
    /// True during the call that submits.
    submitting: Cell<bool>,
    /// How it ended, when it ended during that call.
    ended: Cell<Result<(), IoError>>,
    /// What is spent when SPDK has no bdev_io; and whether it is.
    reserve: Option<Rc<Reserve>>,
    is_lent: Cell<bool>,
    done: F,
}

/// An operation that was refused gives its buffer back.
type Refused = (Errno, Option<DmaBuf>);

fn start<F: FnOnce(Result<(), IoError>, Option<DmaBuf>) + 'static>(
    channel: &Rc<ChannelInner>,
    kind: IoKind,
    lba: u64,
    blocks: u64,
    buffer: Option<DmaBuf>,
    done: F,
) -> OpId {
    let op = new_op(channel, (kind, lba, blocks), buffer, None, done);
    // SAFETY: a box of ours; from here on it belongs to whoever calls back, which happens once.
    unsafe { submit::<F>(op.cast()) };
    OpId(op.cast())
}

/// [`start`] for an operation that does not wait.
fn start_now<F: FnOnce(Result<(), IoError>, Option<DmaBuf>) + 'static>(
    channel: &Rc<ChannelInner>,
    what: (IoKind, u64, u64),
    buffer: Option<DmaBuf>,
    reserve: &Rc<Reserve>,
    done: F,
) -> Result<OpId, Refused> {
    let op = new_op(channel, what, buffer, Some(Rc::clone(reserve)), done);
    // SAFETY: a box of ours; once it is submitted it belongs to whoever calls back, which happens once. One that
    // is refused is ours still.
    unsafe {
        match submit_now(op) {
            Ok(()) => Ok(OpId(op.cast())),
            Err(errno) => Err((errno, Box::from_raw(op).buffer)),
        }
    }
}

fn new_op<F>(
    channel: &Rc<ChannelInner>,
    (kind, lba, blocks): (IoKind, u64, u64),
    mut buffer: Option<DmaBuf>,
    reserve: Option<Rc<Reserve>>,
    done: F,
) -> *mut Op<F> {
    let iov = buffer.as_mut().map_or(sys::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }, |buffer| {
        let bytes = buffer.as_mut_slice();
        sys::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() }
    });
    Box::into_raw(Box::new(Op {
        channel: Rc::clone(channel),
        kind,
        lba,
        blocks,
        buffer,
        iov,
        entry: Entry::new(),
        submitting: Cell::new(false),
        ended: Cell::new(Ok(())),
        reserve,
        is_lent: Cell::new(false),
        done,
    }))
}

/// Sends the operation, with what is in reserve if SPDK has no bdev_io.
///
/// # Safety
/// `op` is neither with SPDK nor waiting, on its channel's thread. On `Err` it still is not.
unsafe fn submit_now<F: FnOnce(Result<(), IoError>, Option<DmaBuf>)>(op: *mut Op<F>) -> Result<(), Errno> {
    // SAFETY: by the caller's promise it is alive, and it is freed in `finish` only, which is never called from
    // within this function.
    unsafe {
        (*op).submitting.set(true);
        let mut sent = Errno::from_rc(send(op));
        if sent == Err(Errno::ENOMEM)
            && let Some(reserve) = (*op).reserve.clone()
        {
            let rc = reserve.spend(|| {
                (*op).is_lent.set(true);
                send(op)
            });
            sent = rc.map_or(sent, Errno::from_rc);
            if sent.is_err() {
                (*op).is_lent.set(false);
            }
        }
        let ended_at_once = !(*op).submitting.replace(false);
        if sent.is_ok() && ended_at_once {
            call_soon(finish_late::<F>, op.cast());
        }
        sent
    }
}

/// Sends the operation, or queues it, or has it fail on the thread's next turn.
///
/// # Safety
/// `op` is an `Op<F>` that is neither with SPDK nor waiting, on its channel's thread.
unsafe extern "C" fn submit<F: FnOnce(Result<(), IoError>, Option<DmaBuf>)>(op: *mut c_void) {
    let op = op.cast::<Op<F>>();
    // SAFETY: by the caller's promise it is alive, and stays so: it is freed in `finish` only, which is never
    // called from within this function. Only raw pointers and shared references are used across the calls
    // into SPDK.
    unsafe {
        (*op).submitting.set(true);
        let rc = send(op);
        let ended_at_once = !(*op).submitting.replace(false);
        match Errno::from_rc(rc) {
            Ok(()) if ended_at_once => call_soon(finish_late::<F>, op.cast()),
            Ok(()) => {}
            Err(Errno::ENOMEM) => {
                Entry::queue(&raw mut (*op).entry, &(*op).channel, submit::<F>, op.cast());
            }
            Err(errno) => {
                (*op).ended.set(Err(errno.into()));
                call_soon(finish_late::<F>, op.cast());
            }
        }
    }
}

/// # Safety
/// As for [`submit`].
unsafe fn send<F: FnOnce(Result<(), IoError>, Option<DmaBuf>)>(op: *mut Op<F>) -> i32 {
    // SAFETY: by the caller's promise. The channel is held by the op, the buffer too, and the iovec is part
    // of it.
    unsafe {
        let (desc, channel) = ((*op).channel.desc(), (*op).channel.raw());
        let (lba, blocks, iov) = ((*op).lba, (*op).blocks, &raw mut (*op).iov);
        let block_size = (*op).channel.block_size() as usize;
        let (done, arg) = (Some(complete::<F> as _), op.cast());
        match (*op).kind {
            IoKind::Read | IoKind::Write if blocks == 0 || !(*iov).iov_len.is_multiple_of(block_size) => {
                Errno::EINVAL.to_rc()
            }
            IoKind::Read => sys::spdk_bdev_readv_blocks(desc, channel, iov, 1, lba, blocks, done, arg),
            IoKind::Write => sys::spdk_bdev_writev_blocks(desc, channel, iov, 1, lba, blocks, done, arg),
            IoKind::Unmap => sys::spdk_bdev_unmap_blocks(desc, channel, lba, blocks, done, arg),
            IoKind::WriteZeroes => sys::spdk_bdev_write_zeroes_blocks(desc, channel, lba, blocks, done, arg),
            IoKind::Flush => sys::spdk_bdev_flush_blocks(desc, channel, lba, blocks, done, arg),
            IoKind::Reset => sys::spdk_bdev_reset(desc, channel, done, arg),
            IoKind::Abort => Errno::ENOTSUP.to_rc(),
        }
    }
}

unsafe extern "C" fn complete<F: FnOnce(Result<(), IoError>, Option<DmaBuf>)>(
    io: *mut sys::spdk_bdev_io,
    success: bool,
    op: *mut c_void,
) {
    let op = op.cast::<Op<F>>();
    // SAFETY: SPDK completes each I/O once, with the op that it was submitted with, and hands us the bdev_io
    // to free. Freeing may call waiters, who submit other I/O; the op is untouched by that.
    unsafe {
        let result = if success { Ok(()) } else { Err(IoError::of_failed(io)) };
        match (*op).reserve.as_ref().filter(|_| (*op).is_lent.get()).cloned() {
            Some(reserve) => reserve.give_back(io),
            None => sys::spdk_bdev_free_io(io),
        }
        if (*op).submitting.replace(false) {
            (*op).ended.set(result);
        } else {
            finish(op, result);
        }
    }
}

unsafe extern "C" fn finish_late<F: FnOnce(Result<(), IoError>, Option<DmaBuf>)>(op: *mut c_void) {
    let op = op.cast::<Op<F>>();
    // SAFETY: sent by `submit` when the op is over, so nobody else has it.
    unsafe { finish(op, (*op).ended.get()) };
}

/// # Safety
/// `op` came from [`start`], and neither SPDK nor a message has it any more.
unsafe fn finish<F: FnOnce(Result<(), IoError>, Option<DmaBuf>)>(
    op: *mut Op<F>,
    result: Result<(), IoError>,
) {
    // SAFETY: by the caller's promise.
    let op = unsafe { Box::from_raw(op) };
    let Op { channel, buffer, done, .. } = *op;
    drop(channel);
    done(result, buffer);
}

/// The outcome of an I/O of ours, to await on the thread that started it. Dropping it leaves the I/O alone.
#[must_use = "the outcome of an I/O should be looked at"]
pub struct IoFuture<T> {
    outcome: Rc<Outcome<T>>,
    op: OpId,
    /// Not a count: a future that nobody polls does not keep a channel.
    channel: Weak<ChannelInner>,
}

struct Outcome<T> {
    value: RefCell<Option<T>>,
    over: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

fn future<T: 'static>(
    channel: &Channel,
    start: impl FnOnce(&Channel, Box<dyn FnOnce(T)>) -> OpId,
) -> IoFuture<T> {
    let begun = try_future(channel, |channel, done| Ok(start(channel, done)));
    begun.unwrap_or_else(|_| unreachable!("an operation that waits is not refused"))
}

fn try_future<T: 'static>(
    channel: &Channel,
    start: impl FnOnce(&Channel, Box<dyn FnOnce(T)>) -> Result<OpId, Refused>,
) -> Result<IoFuture<T>, Refused> {
    let outcome =
        Rc::new(Outcome { value: RefCell::new(None), over: Cell::new(false), waker: RefCell::new(None) });
    let to_fill = Rc::clone(&outcome);
    let op = start(
        channel,
        Box::new(move |value| {
            *to_fill.value.borrow_mut() = Some(value);
            to_fill.over.set(true);
            if let Some(waker) = to_fill.waker.take() {
                waker.wake();
            }
        }),
    )?;
    Ok(IoFuture { outcome, op, channel: Rc::downgrade(channel.inner()) })
}

impl<T> IoFuture<T> {
    /// Asks the bdev to give the I/O up. It still ends only through the future, and need not end as
    /// `Aborted`. Nothing happens if it is over.
    ///
    /// # Errors
    /// `ENOTSUP`: the bdev has no abort. `ENOMEM`: SPDK is out of bdev_ios.
    pub fn abort(&self) -> Result<(), Errno> {
        match self.channel.upgrade() {
            Some(channel) if !self.outcome.over.get() => ChannelInner::abort(channel, self.op.0),
            _ => Ok(()),
        }
    }
}

impl<T> Future for IoFuture<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        if let Some(value) = self.outcome.value.borrow_mut().take() {
            return Poll::Ready(value);
        }
        assert!(!self.outcome.over.get(), "an I/O future was polled after it was over");
        *self.outcome.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl ChannelInner {
    /// Asks for the I/O that was submitted through this channel with `arg` to be given up. How that goes
    /// shows in the I/O itself only.
    pub(crate) fn abort(channel: Rc<ChannelInner>, arg: *mut c_void) -> Result<(), Errno> {
        let (desc, raw) = (channel.desc(), channel.raw());
        let held = Rc::into_raw(channel);
        // SAFETY: descriptor and channel are open as long as `held` counts; SPDK only compares `arg`.
        let rc = unsafe { sys::spdk_bdev_abort(desc, raw, arg, Some(abort_done), held.cast_mut().cast()) };
        Errno::from_rc(rc).inspect_err(|_| {
            // SAFETY: nothing was sent, so the reference is still ours.
            drop(unsafe { Rc::from_raw(held) });
        })
    }
}

unsafe extern "C" fn abort_done(io: *mut sys::spdk_bdev_io, _success: bool, held: *mut c_void) {
    // SAFETY: SPDK completes the abort once, with the reference that `abort` gave it.
    unsafe {
        sys::spdk_bdev_free_io(io);
        drop(Rc::from_raw(held.cast_const().cast::<ChannelInner>()));
    }
}
