//! Writes cached blocks to the base, several at a time, and then flushes it.
//!
//! ```text
//!           run by run           all back             done
//!   start ------------> writing ----------> flushing ------> the caller
//!                         |  an error, or the drive vanished      ^
//!                         +---------------------------------------+
//! ```

use super::cache::Run;
use super::rule::gone;
use super::state::Drive;
use spdk_rs::bdev::{Channel, IoError};
use spdk_rs::dma::DmaBuf;
use spdk_rs::poller::{Busy, Poller};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// Bytes of one write to the base.
const RUN_BYTES: usize = 64 << 10;
const DEPTH: usize = 16;

/// Why the cache is written out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// A host wants it: that ends when the drive vanishes.
    Flush,
    /// The drive is on its way out: nobody uses it.
    PowerDown,
}

pub(crate) struct WriteOut<F> {
    drive: Arc<Drive>,
    base: Rc<Channel>,
    why: Why,
    /// Still to be written, the first last.
    runs: RefCell<Vec<Run>>,
    out: Cell<usize>,
    error: Cell<Option<IoError>>,
    /// Tries again when memory was out.
    retry: RefCell<Option<Poller>>,
    done: Cell<Option<F>>,
}

/// Blocks of one run.
pub(crate) fn max_blocks(block_size: u32) -> usize {
    (RUN_BYTES / block_size as usize).max(1)
}

impl<F: FnOnce(Result<(), IoError>) + 'static> WriteOut<F> {
    /// Writes the runs, whose writes stay in the cache until `done`, which may be called before this returns.
    /// On the thread of `base`.
    pub fn start(drive: Arc<Drive>, base: Rc<Channel>, why: Why, mut runs: Vec<Run>, done: F) {
        runs.reverse();
        let this = WriteOut {
            drive,
            base,
            why,
            runs: RefCell::new(runs),
            out: Cell::new(0),
            error: Cell::new(None),
            retry: RefCell::new(None),
            done: Cell::new(Some(done)),
        };
        Rc::new(this).go_on();
    }

    fn go_on(self: Rc<Self>) {
        while self.out.get() < DEPTH && self.error.get().is_none() {
            if self.why == Why::Flush && self.drive.state().is_pulled() {
                self.error.set(Some(gone()));
                break;
            }
            let Some(run) = self.runs.borrow_mut().pop() else { break };
            if let Err(run) = self.write(run) {
                self.runs.borrow_mut().push(run);
                return self.wait_for_memory();
            }
        }
        if self.out.get() > 0 {
            return;
        }
        match self.error.get() {
            Some(error) => self.end(Err(error)),
            None if self.drive.base_flushes => self.flush(),
            None => self.end(Ok(())),
        }
    }

    /// Gives the run back when there is no memory for it.
    fn write(self: &Rc<Self>, run: Run) -> Result<(), Run> {
        let bytes = run.writes.len() * self.drive.info.block_size as usize;
        let Ok(mut buffer) = DmaBuf::new(bytes, self.drive.info.required_alignment) else { return Err(run) };
        if let Some(cache) = &self.drive.state().cache {
            cache.fill(&run, &mut buffer);
        }
        self.out.set(self.out.get() + 1);
        let this = Rc::clone(self);
        self.base.write_with(run.lba, buffer, move |result, _| {
            this.out.set(this.out.get() - 1);
            this.error.set(this.error.get().or(result.err()));
            this.go_on();
        });
        Ok(())
    }

    /// Whatever comes first, a write that is back or the time, tries again.
    fn wait_for_memory(self: Rc<Self>) {
        const PERIOD_US: u64 = 1000;
        if self.out.get() > 0 {
            return;
        }
        let this = Rc::clone(&self);
        *self.retry.borrow_mut() = Some(Poller::register("basalt_faulty_memory", PERIOD_US, move || {
            drop(this.retry.take());
            Rc::clone(&this).go_on();
            Busy::Yes
        }));
    }

    fn flush(self: Rc<Self>) {
        let base = Rc::clone(&self.base);
        base.flush_with(0, self.drive.info.num_blocks, move |result| self.end(result));
    }

    fn end(&self, result: Result<(), IoError>) {
        if let Some(done) = self.done.take() {
            done(result);
        }
    }
}
