//! One drive on one thread: takes each I/O from its submission to its end.
//!
//! ```text
//!                 rule: hang, delay          a reset waits for        SPDK is out of bdev_ios,
//!                        |                  what it has aborted       somebody else writes the cache out
//!                        v                          v                          v
//!   submit ----------> waiting (in this lane; the poller asks whether it can go on) <----+
//!      |                 |                                                               |
//!      +-----------------+--> without a cache: child ----> FUA: flush child --> complete |
//!                        |    with a cache: read: child, then the cache's blocks over it |
//!                        |                  write: into the cache, FUA: write out        |
//!                        +----------------- flush: write out ----------------------------+
//! ```

use super::cache::{Content, Mark};
use super::device::{FaultyBdev, Progress, Step};
use super::parked::Parked;
use super::rule::Request;
use super::state::{Admission, Drive, State, Ticket, Verdict};
use super::write_out::{self, WriteOut, max_blocks};
use spdk_rs::Errno;
use spdk_rs::bdev::{Channel, IoError, IoKind};
use spdk_rs::module::{Child, Io};
use spdk_rs::poller::{Busy, Poller};
use spdk_rs::thread::current;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Instant;

/// How often a lane looks whether what waits can go on.
const PERIOD_US: u64 = 100;

pub(crate) struct Lane {
    drive: Arc<Drive>,
    base: Rc<Channel>,
    waiting: RefCell<Vec<Waiting>>,
    /// By the tokens of the reads that are with the base.
    snapshots: RefCell<HashMap<u64, Snapshot>>,
    /// As long as something waits.
    poller: RefCell<Option<Poller>>,
    itself: Weak<Lane>,
}

struct Waiting {
    io: Parked,
    why: Why,
}

/// The blocks of a read that were in the cache when it was sent to the base, by their distance from its
/// first: a flush may move them to the medium behind the read's back.
type Snapshot = Vec<(u64, Box<[u8]>)>;

/// What an I/O waits for.
#[derive(Clone, Copy)]
enum Why {
    /// A rule lets it go.
    Held(Ticket),
    /// A reset: everything that was held when it came has been answered.
    Answered { before: Ticket },
    /// Nobody else writes the cache out.
    Turn,
    /// SPDK has bdev_ios again.
    Starved,
}

impl Lane {
    pub fn open(drive: Arc<Drive>) -> Result<Rc<Lane>, Errno> {
        let base = Rc::new(drive.base.descriptor().channel()?);
        Ok(Rc::new_cyclic(|itself| Lane {
            drive,
            base,
            waiting: RefCell::default(),
            snapshots: RefCell::default(),
            poller: RefCell::default(),
            itself: itself.clone(),
        }))
    }

    /// Anything but an abort has come.
    pub fn submit(&self, mut io: Io<FaultyBdev>, request: Request) {
        let admission = {
            let mut state = self.drive.state();
            io.state().mark = state.mark();
            state.admit(request, current(), Instant::now())
        };
        match admission {
            Admission::GoOn => self.begin(io),
            Admission::Hold(ticket) => self.wait(io, Why::Held(ticket)),
            Admission::Fail(error) => io.complete(Err(error)),
        }
    }

    /// Nothing keeps the I/O from being done any more.
    fn begin(&self, io: Io<FaultyBdev>) {
        match (io.kind(), self.drive.is_cached()) {
            (IoKind::Reset, _) => {
                let before = self.drive.state().abort_held();
                self.reset(io, before);
            }
            (IoKind::Write | IoKind::WriteZeroes | IoKind::Unmap, true) => self.put(io),
            (IoKind::Flush, true) => self.write_out(io),
            _ => self.send(io),
        }
    }

    /// Sends the I/O, or the flush after it, to the base.
    fn send(&self, mut io: Io<FaultyBdev>) {
        if io.kind() == IoKind::Read {
            self.take_snapshot(&io);
        }
        let child = match io.state().step {
            Step::Seal => {
                let blocks = self.drive.info.num_blocks;
                Child { op: IoKind::Flush, lba: 0, blocks, host_offset_blocks: 0 }
            }
            _ => Child { op: io.kind(), lba: io.lba(), blocks: io.blocks(), host_offset_blocks: 0 },
        };
        match io.submit_child(0, &self.base, child) {
            Ok(()) => _ = io.into_token(),
            Err(Errno::ENOMEM) => self.wait(io, Why::Starved),
            Err(errno) => {
                self.snapshots.borrow_mut().remove(&io.token().raw());
                io.complete(Err(errno.into()));
            }
        }
    }

    fn take_snapshot(&self, io: &Io<FaultyBdev>) {
        let mut snapshot = Snapshot::new();
        if let Some(cache) = &self.drive.state().cache {
            cache.overlay(io.lba(), io.blocks(), |at, bytes| snapshot.push((at, bytes.into())));
        }
        if !snapshot.is_empty() {
            self.snapshots.borrow_mut().insert(io.token().raw(), snapshot);
        }
    }

    /// What was sent to the base has come back, and with it the buffer.
    pub fn child_done(&self, mut io: Io<FaultyBdev>, result: Result<(), IoError>) {
        let snapshot = self.snapshots.borrow_mut().remove(&io.token().raw());
        if let Err(error) = self.unless_gone(result) {
            return io.complete(Err(error));
        }
        match (io.kind(), io.state().step) {
            (IoKind::Write, Step::Work) if io.fua() && self.drive.base_flushes => {
                io.state().step = Step::Seal;
                self.send(io);
            }
            (IoKind::Read, _) => self.finish_read(io, &snapshot.unwrap_or_default()),
            _ => io.complete(Ok(())),
        }
    }

    /// The medium's blocks are in the buffer. Over them go those that were cached when the read was sent: if a
    /// flush has moved them to the medium meanwhile, that may have been too late for the read. What was written
    /// meanwhile may be seen or not.
    fn finish_read(&self, mut io: Io<FaultyBdev>, snapshot: &Snapshot) {
        let block_bytes = io.block_size() as usize;
        for (at, bytes) in snapshot {
            io.copy_to_host(*at as usize * block_bytes, bytes);
        }
        io.complete(Ok(()));
    }

    /// A write, in whatever form, of a drive with a cache.
    fn put(&self, io: Io<FaultyBdev>) {
        let (lba, blocks) = (io.lba(), io.blocks());
        let content = match io.kind() {
            IoKind::Write => {
                let mut bytes = vec![0; blocks as usize * io.block_size() as usize].into_boxed_slice();
                io.copy_from_host(0, &mut bytes);
                Content::Data(bytes)
            }
            _ => Content::Zeroes,
        };
        let written = {
            let mut state = self.drive.state();
            if let Some(error) = state.is_gone() {
                Err(error)
            } else {
                let cache = state.cache.as_mut().expect("the drive has a cache");
                Ok(cache.has_room(blocks).then(|| cache.put(lba, blocks, content)).ok_or(cache.mark()))
            }
        };
        match written {
            Err(error) => io.complete(Err(error)),
            Ok(Ok(mark)) if io.fua() => self.write_out_to(io, Step::Seal, mark),
            Ok(Ok(_)) => io.complete(Ok(())),
            Ok(Err(mark)) => self.write_out_to(io, Step::MakeRoom, mark),
        }
    }

    fn write_out_to(&self, mut io: Io<FaultyBdev>, step: Step, mark: Mark) {
        *io.state() = Progress { step, mark };
        self.write_out(io);
    }

    /// Brings the cache to the medium, up to the I/O's mark.
    fn write_out(&self, mut io: Io<FaultyBdev>) {
        let mark = io.state().mark;
        let runs = {
            let mut state = self.drive.state();
            if let Some(error) = state.is_gone() {
                Err(error)
            } else if !state.take_turn() {
                Ok(None)
            } else {
                let cache = state.cache.as_ref().expect("the drive has a cache");
                Ok(Some(cache.runs(mark, max_blocks(self.drive.info.block_size))))
            }
        };
        let runs = match runs {
            Err(error) => return io.complete(Err(error)),
            Ok(None) => return self.wait(io, Why::Turn),
            Ok(Some(runs)) => runs,
        };
        let (lane, parked) = (self.itself(), Parked::park(io));
        let (drive, base) = (Arc::clone(&self.drive), Rc::clone(&self.base));
        WriteOut::start(drive, base, write_out::Why::Flush, runs, move |result| {
            lane.written_out(parked.take(), mark, result);
        });
    }

    fn written_out(&self, mut io: Io<FaultyBdev>, mark: Mark, result: Result<(), IoError>) {
        {
            let mut state = self.drive.state();
            state.give_turn();
            if let (Ok(()), Some(cache)) = (result, &mut state.cache) {
                cache.evict(mark);
            }
        }
        match (self.unless_gone(result), io.state().step) {
            (Ok(()), Step::MakeRoom) => {
                io.state().step = Step::Work;
                self.put(io);
            }
            (result, _) => io.complete(result),
        }
    }

    /// Everything that was held has been told to fail. When it has, the base is reset.
    fn reset(&self, io: Io<FaultyBdev>, before: Ticket) {
        if !self.drive.state().none_held_before(before) {
            self.wait(io, Why::Answered { before });
        } else if self.drive.info.supports.contains(IoKind::Reset) {
            self.send(io);
        } else {
            io.complete(Ok(()));
        }
    }

    /// Takes back what waits here. What is with the base is asked for there: whether that works shows in that
    /// I/O.
    pub fn abort(&self, abort: Io<FaultyBdev>) {
        let Some(target) = Parked::target_of(&abort) else { return abort.complete(Err(IoError::OTHER)) };
        let place = self.waiting.borrow().iter().position(|waiting| waiting.io.is(&target));
        if let Some(place) = place {
            let Waiting { io, why } = self.waiting.borrow_mut().remove(place);
            self.fail(io, why, IoError::ABORTED);
            return abort.complete(Ok(()));
        }
        let mut target = target.take();
        // Where there is nothing to abort, or no way to: the target takes its course.
        let _ = target.abort_child(0);
        target.into_token();
        abort.complete(Err(IoError::OTHER));
    }

    fn wait(&self, io: Io<FaultyBdev>, why: Why) {
        self.waiting.borrow_mut().push(Waiting { io: Parked::park(io), why });
        self.poller.borrow_mut().get_or_insert_with(|| {
            let lane = Weak::clone(&self.itself);
            let poll = move || lane.upgrade().map_or(Busy::No, |lane| lane.poll());
            Poller::register("basalt_faulty", PERIOD_US, poll)
        });
    }

    /// Goes on with everything that can, in the order in which it began to wait.
    fn poll(&self) -> Busy {
        let now = Instant::now();
        let mut ready = Vec::new();
        {
            let mut state = self.drive.state();
            let mut waiting = self.waiting.borrow_mut();
            for one in std::mem::take(&mut *waiting) {
                match outcome(one.why, &mut state, now) {
                    Verdict::Wait => waiting.push(one),
                    Verdict::GoOn => ready.push((one, Ok(()))),
                    Verdict::Fail(error) => ready.push((one, Err(error))),
                }
            }
        }
        let busy = if ready.is_empty() { Busy::No } else { Busy::Yes };
        for (Waiting { io, why }, result) in ready {
            match result {
                Ok(()) => self.resume(io.take(), why),
                Err(error) => self.fail(io, why, error),
            }
        }
        if self.waiting.borrow().is_empty() {
            drop(self.poller.take());
        }
        busy
    }

    /// Answers what waits no more.
    fn fail(&self, io: Parked, why: Why, error: IoError) {
        io.take().complete(Err(error));
        if let Why::Held(ticket) = why {
            self.drive.state().forget(ticket);
        }
    }

    fn resume(&self, io: Io<FaultyBdev>, why: Why) {
        match why {
            Why::Held(_) => self.begin(io),
            Why::Answered { before } => self.reset(io, before),
            Why::Turn => self.write_out(io),
            Why::Starved => self.send(io),
        }
    }

    /// When the drive is gone, that is the answer.
    fn unless_gone(&self, result: Result<(), IoError>) -> Result<(), IoError> {
        self.drive.state().is_gone().map_or(result, Err)
    }

    fn itself(&self) -> Rc<Lane> {
        self.itself.upgrade().expect("it is being used")
    }
}

fn outcome(why: Why, state: &mut State, now: Instant) -> Verdict {
    if let Why::Held(ticket) = why {
        return state.verdict(ticket, now);
    }
    if let Some(error) = state.is_gone() {
        return Verdict::Fail(error);
    }
    let can_go_on = match why {
        Why::Held(_) | Why::Starved => true,
        Why::Answered { before } => state.none_held_before(before),
        Why::Turn => state.turn_is_free(),
    };
    if can_go_on { Verdict::GoOn } else { Verdict::Wait }
}
