//! A device without members: memory that serves, holds or fails as told.

use std::sync::{Arc, Mutex};

use serde_json::json;
use spdk_rs::bdev::{IoError, IoKind};
use spdk_rs::error::Errno;
use spdk_rs::module::{self, BdevSpec, DestructDone, Device, Io, IoToken, Registered};

use crate::module::TEST;

/// What is done with an I/O that comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// At once.
    Serve,
    /// Parked until [`Controls::release`], or an abort or reset.
    Hold,
    /// Completed with this.
    Fail(IoError),
}

/// How a test steers a leaf, and looks into it.
pub struct Controls {
    pub data: Mutex<Vec<u8>>,
    pub mode: Mutex<Mode>,
    pub refuse_channels: Mutex<bool>,
    pub supported: Mutex<Vec<IoKind>>,
    held: Mutex<Vec<IoToken>>,
    /// Kind, first block, blocks, FUA of every I/O.
    pub seen: Mutex<Vec<(IoKind, u64, u64, bool)>>,
    /// The least common alignment of all buffers, as a power of two.
    pub alignment_log2: Mutex<u32>,
    /// Where `destruct` leaves what SPDK waits for, if there is room.
    pub keep_destruct: Mutex<Option<Option<DestructDone>>>,
    pub dropped: Mutex<bool>,
}

impl Controls {
    pub fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    pub fn held(&self) -> usize {
        self.held.lock().unwrap().len()
    }

    /// Completes what is held, on the thread that it came on, which is the caller's.
    pub fn release(&self, result: Result<(), IoError>) {
        let held = std::mem::take(&mut *self.held.lock().unwrap());
        for token in held {
            // SAFETY: parked by `submit` on this thread, and taken out of the list by us alone.
            unsafe { Io::<Leaf>::from_token(token) }.complete(result);
        }
    }

    /// Completes the oldest that is held, likewise.
    pub fn release_one(&self, result: Result<(), IoError>) {
        let token = self.held.lock().unwrap().remove(0);
        // SAFETY: as above.
        unsafe { Io::<Leaf>::from_token(token) }.complete(result);
    }

    fn copy(&self, io: &Io<Leaf>, block_size: usize) {
        let mut data = self.data.lock().unwrap();
        let mut at = io.lba() as usize * block_size;
        for iov in io.iovs() {
            let alignment = iov.base().addr().trailing_zeros();
            let mut least = self.alignment_log2.lock().unwrap();
            *least = (*least).min(alignment);
            let stored = &mut data[at..at + iov.len()];
            // SAFETY: the host's buffer is ours to use until the I/O is completed, and is not this vector.
            unsafe {
                match io.kind() {
                    IoKind::Read => iov.base().copy_from_nonoverlapping(stored.as_ptr(), iov.len()),
                    _ => stored.as_mut_ptr().copy_from_nonoverlapping(iov.base(), iov.len()),
                }
            }
            at += iov.len();
        }
    }
}

pub struct Leaf(Arc<Controls>);

impl Leaf {
    /// Registers a leaf as large as the spec says.
    pub fn register(spec: BdevSpec) -> (Registered<Leaf>, Arc<Controls>) {
        let (registered, controls) = Leaf::try_register(spec);
        (registered.expect("a leaf"), controls)
    }

    /// As [`Leaf::register`], for what may be refused.
    pub fn try_register(spec: BdevSpec) -> (Result<Registered<Leaf>, Errno>, Arc<Controls>) {
        let controls = Arc::new(Controls {
            data: Mutex::new(vec![0; spec.block_size as usize * spec.num_blocks as usize]),
            mode: Mutex::new(Mode::Serve),
            refuse_channels: Mutex::new(false),
            supported: Mutex::new(vec![
                IoKind::Read,
                IoKind::Write,
                IoKind::Reset,
                IoKind::Abort,
                IoKind::Flush,
            ]),
            held: Mutex::new(Vec::new()),
            seen: Mutex::new(Vec::new()),
            alignment_log2: Mutex::new(63),
            keep_destruct: Mutex::new(None),
            dropped: Mutex::new(false),
        });
        (module::register(&TEST, spec, Leaf(controls.clone())), controls)
    }
}

impl Device for Leaf {
    type Channel = ();
    type IoState = ();

    fn supports(&self, kind: IoKind) -> bool {
        self.0.supported.lock().unwrap().contains(&kind)
    }

    fn open_channel(&self) -> Result<(), Errno> {
        if *self.0.refuse_channels.lock().unwrap() { Err(Errno::EBUSY) } else { Ok(()) }
    }

    fn submit(&self, _channel: &(), io: Io<Leaf>) {
        self.0.seen.lock().unwrap().push((io.kind(), io.lba(), io.blocks(), io.fua()));
        match io.kind() {
            IoKind::Reset => {
                self.0.release(Err(IoError::ABORTED));
                return io.complete(Ok(()));
            }
            IoKind::Abort => return self.abort(io),
            _ => {}
        }
        let mode = *self.0.mode.lock().unwrap();
        match mode {
            Mode::Serve => {
                self.0.copy(&io, io.block_size() as usize);
                io.complete(Ok(()));
            }
            Mode::Hold => self.0.held.lock().unwrap().push(io.into_token()),
            Mode::Fail(error) => io.complete(Err(error)),
        }
    }

    fn destruct(&self, done: DestructDone) {
        if let Some(place) = &mut *self.0.keep_destruct.lock().unwrap() {
            *place = Some(done);
        }
    }

    fn info(&self) -> serde_json::Value {
        json!({ "held": self.0.held(), "bytes": self.0.data.lock().unwrap().len() })
    }
}

impl Leaf {
    fn abort(&self, io: Io<Leaf>) {
        let target = io.abort_target();
        let found = {
            let mut held = self.0.held.lock().unwrap();
            let at = held.iter().position(|&token| Some(token) == target);
            at.map(|at| held.swap_remove(at))
        };
        match found {
            Some(token) => {
                // SAFETY: parked by `submit` on the thread of this channel, and in no list any more.
                unsafe { Io::<Leaf>::from_token(token) }.complete(Err(IoError::ABORTED));
                io.complete(Ok(()));
            }
            None => io.complete(Err(IoError::OTHER)),
        }
    }
}

impl Drop for Leaf {
    fn drop(&mut self) {
        *self.0.dropped.lock().unwrap() = true;
    }
}
