//! The file I/O of one thread: what is submitted goes to the ring with the next poll, what is done is
//! completed.
//!
//! ```text
//!   submit --> Ready --> Kernel --> finished --> Request::complete
//!               ^  |       |
//!               |  v       | more to do, or the kernel had no room
//!      AwaitsBounce        v
//!               +---- Ready
//! ```
//!
//! Nothing fails for lack of a resource: it waits, in order, for room in the ring or for a bounce buffer.

use super::bounce::BouncePool;
use super::failure::{Failure, is_passing};
use super::iov::total_bytes;
use super::lane::Lane;
use super::ring::{Completion, Ring, RingError};
use super::slab::Slab;
use super::transfer::{Direction, Progress, Transfer};
use super::work::{ByteRange, Durability, Work, Zeroed, advance_zero};
use libc::iovec;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// A host I/O: something that has buffers and wants to be told of its end.
///
/// # Safety
/// Until `complete` is called, what `iovs` returns stays the same, also when the request itself is moved, and
/// names memory that is valid, that can be read and for a read be written to, and that nobody else writes to
/// or, for a read, uses.
pub(crate) unsafe trait Request {
    /// The buffers of a read or write.
    fn iovs(&self) -> &[iovec];
    /// What an ABORT names it by.
    fn id(&self) -> u64;
    /// Called once. May submit.
    fn complete(self, result: Result<(), Failure>);
}

/// What is wanted of a lane. Ranges lie within the drive, and are whole blocks.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Read(ByteRange),
    Write {
        range: ByteRange,
        fua: bool,
    },
    Unmap(ByteRange),
    WriteZeroes(ByteRange),
    /// Covers every write that was completed before.
    Flush,
    /// Ends when nothing of the drive is under way on any thread. Nothing new may come meanwhile.
    Reset,
    /// Of the request with this id, on the same lane.
    Abort {
        target: u64,
    },
}

pub(crate) struct Engine<R: Request> {
    state: RefCell<State<R>>,
}

struct State<R: Request> {
    /// First, so that it is dropped first: that waits until the kernel has given all memory back.
    ring: Ring,
    ops: Slab<Op<R>>,
    ready: VecDeque<u64>,
    awaits_bounce: VecDeque<u64>,
    pool: BouncePool,
    resets: Vec<(R, Rc<Lane<R>>)>,
    /// Aborts that the kernel agreed to, with the key of what has to come back first.
    aborts: Vec<(R, u64)>,
    finished: Vec<(R, Result<(), Failure>)>,
    reaped: Vec<Completion>,
}

struct Op<R> {
    lane: Rc<Lane<R>>,
    work: Work<R>,
    place: Place,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Place {
    Ready,
    AwaitsBounce,
    Kernel,
}

/// Completions that one poll handles.
const REAP_MAX: usize = 128;

impl<R: Request> Engine<R> {
    pub(crate) fn new() -> Result<Engine<R>, RingError> {
        let state = State {
            ring: Ring::new()?,
            ops: Slab::new(),
            ready: VecDeque::new(),
            awaits_bounce: VecDeque::new(),
            pool: BouncePool::default(),
            resets: Vec::new(),
            aborts: Vec::new(),
            finished: Vec::new(),
            reaped: Vec::with_capacity(REAP_MAX),
        };
        Ok(Engine { state: RefCell::new(state) })
    }

    /// Takes an I/O on. Never completes it before it returns.
    pub(crate) fn submit(&self, lane: &Rc<Lane<R>>, command: Command, request: R) {
        self.state.borrow_mut().submit(lane, command, request);
    }

    /// Does what can be done now; false if that was nothing.
    pub(crate) fn poll(&self) -> bool {
        let mut state = self.state.borrow_mut();
        if state.is_idle() {
            return false;
        }
        let moved = state.push_ready() + state.reap();
        state.end_aborts();
        state.end_resets();
        let mut finished = std::mem::take(&mut state.finished);
        // A completion may submit.
        drop(state);
        let is_busy = moved + finished.len() > 0;
        finished.drain(..).for_each(|(request, result)| request.complete(result));
        let mut state = self.state.borrow_mut();
        if state.finished.is_empty() {
            state.finished = finished;
        }
        is_busy
    }
}

impl<R: Request> State<R> {
    fn is_idle(&self) -> bool {
        self.ops.len() == 0 && self.finished.is_empty() && self.resets.is_empty() && self.aborts.is_empty()
    }

    fn submit(&mut self, lane: &Rc<Lane<R>>, command: Command, request: R) {
        match command {
            Command::Reset => return self.resets.push((request, Rc::clone(lane))),
            Command::Abort { target } => return self.abort(lane, target, request),
            _ => lane.counters.begin(),
        }
        match command {
            Command::Read(range) => self.transfer(lane, Direction::Read, range, Durability::Later, request),
            Command::Write { range, fua } => {
                let durability = durability(lane, fua);
                self.transfer(lane, Direction::Write, range, durability, request);
            }
            Command::Unmap(range) => self.start(lane, Work::Punch { request, range }),
            Command::WriteZeroes(range) => {
                let method = lane.drive.zero_method();
                self.start(lane, Work::Zero { request, range, done: 0, method });
            }
            Command::Flush => {
                lane.counters.flushes.add(1);
                self.sync(lane, request);
            }
            Command::Reset | Command::Abort { .. } => unreachable!("returned above"),
        }
    }

    fn transfer(
        &mut self,
        lane: &Rc<Lane<R>>,
        direction: Direction,
        range: ByteRange,
        durability: Durability,
        request: R,
    ) {
        if total_bytes(request.iovs()) < range.len {
            return self.finish(
                lane,
                "an I/O with too small buffers",
                request,
                Err(Failure::of_errno(libc::EINVAL)),
            );
        }
        let transfer = Transfer::new(direction, range.offset, range.len);
        self.start(lane, Work::Transfer { request, transfer, durability });
    }

    fn sync(&mut self, lane: &Rc<Lane<R>>, request: R) {
        if lane.drive.assume_durable {
            return self.finish(lane, "a flush", request, Ok(()));
        }
        if lane.syncs.borrow_mut().join(request) {
            self.start(lane, Work::Sync);
        }
    }

    fn start(&mut self, lane: &Rc<Lane<R>>, work: Work<R>) {
        let key = self.ops.insert(Op { lane: Rc::clone(lane), work, place: Place::Ready });
        self.ready.push_back(key);
    }

    /// Pushes what is ready to the kernel; returns how many operations that were.
    fn push_ready(&mut self) -> usize {
        let mut pushed = 0;
        while let Some(key) = self.ready.pop_front() {
            let op = self.ops.get_mut(key).expect("what is ready is under way");
            let Some(entry) = op.work.entry(&op.lane, &mut self.pool) else {
                op.place = Place::AwaitsBounce;
                self.awaits_bounce.push_back(key);
                continue;
            };
            // SAFETY: the entry names buffers of the op's request or of the op itself (which are in the slab
            // until the completion was reaped, and behind pointers, so that they don't move), zeros that are
            // static, and the file of the lane, which the op keeps open. The ring is dropped before the slab.
            if !unsafe { self.ring.push(&entry.user_data(key)) } {
                self.ready.push_front(key);
                break;
            }
            op.place = Place::Kernel;
            pushed += 1;
        }
        self.ring.enter();
        pushed
    }

    fn reap(&mut self) -> usize {
        let mut reaped = std::mem::take(&mut self.reaped);
        self.ring.reap(&mut reaped);
        let count = reaped.len();
        for completion in reaped.drain(..) {
            self.handle(completion);
        }
        self.reaped = reaped;
        count
    }

    fn handle(&mut self, Completion { key, result }: Completion) {
        let op = self.ops.get_mut(key).expect("each operation completes once");
        let result = u32::try_from(result).map_err(|_| Failure::of_errno(-result));
        if let Err(failure) = result
            && is_passing(failure.errno)
        {
            op.lane.counters.retries.add(1);
            return self.again(key);
        }
        let Op { lane, work, .. } = op;
        match work {
            Work::Transfer { request, transfer, durability } => {
                let result = result.map(|bytes| {
                    if *durability == Durability::Dsync {
                        lane.counters.dsync_writes.add(1);
                    }
                    if transfer.is_bounced() {
                        lane.counters.bounces.add(1);
                    }
                    // SAFETY: the operation that `prepare` made is complete, and the request is not.
                    unsafe { transfer.advance(bytes, request.iovs(), lane.access()) }
                });
                match result {
                    Ok(Progress::More { short }) => {
                        lane.counters.short_transfers.add(short.into());
                        self.again(key);
                    }
                    Ok(Progress::Done) => self.end(key, Ok(())),
                    Ok(Progress::Failed(failure)) | Err(failure) => self.end(key, Err(failure)),
                }
            }
            Work::Zero { range, done, method, .. } => {
                lane.counters.zero_writes.add(u64::from(*method == super::drive::ZeroMethod::Write));
                match advance_zero(*range, done, method, result, |gone| lane.drive.give_up(gone)) {
                    Zeroed::Done => self.end(key, Ok(())),
                    Zeroed::More => self.again(key),
                    Zeroed::Failed(failure) => self.end(key, Err(failure)),
                }
            }
            Work::Punch { .. } | Work::Sync | Work::Cancel { .. } => self.end(key, result.map(drop)),
        }
    }

    /// Its next operation, or the same one once more.
    fn again(&mut self, key: u64) {
        self.ops.get_mut(key).expect("what goes on is under way").place = Place::Ready;
        self.ready.push_back(key);
    }

    /// It is through with the kernel.
    fn end(&mut self, key: u64, result: Result<(), Failure>) {
        let Op { lane, work, .. } = self.ops.remove(key).expect("what ends is under way");
        let name = work.name();
        let counters = &lane.counters;
        match work {
            Work::Transfer { request, mut transfer, durability } => {
                self.release_bounce(&mut transfer);
                if result.is_ok() {
                    let (count, bytes) = match transfer.direction {
                        Direction::Read => (&counters.reads, &counters.read_bytes),
                        Direction::Write => (&counters.writes, &counters.written_bytes),
                    };
                    count.add(1);
                    bytes.add(transfer.len());
                    if durability == Durability::ThenSync {
                        return self.sync(&lane, request);
                    }
                }
                self.finish(&lane, name, request, result);
            }
            Work::Zero { request, .. } => {
                counters.write_zeroes.add(result.is_ok().into());
                self.finish(&lane, name, request, result);
            }
            Work::Punch { request, .. } => {
                counters.unmaps.add(result.is_ok().into());
                self.finish(&lane, name, request, result);
            }
            Work::Sync => self.end_sync(&lane, result),
            Work::Cancel { request, target } => match result {
                Ok(()) => self.aborts.push((request, target)),
                Err(failure) => self.finished.push((request, Err(failure))),
            },
        }
    }

    fn end_sync(&mut self, lane: &Rc<Lane<R>>, result: Result<(), Failure>) {
        lane.counters.syncs.add(result.is_ok().into());
        let ended = lane.syncs.borrow_mut().end();
        for request in ended {
            self.finish(lane, "a flush", request, result);
        }
        if !lane.syncs.borrow().is_idle() {
            self.start(lane, Work::Sync);
        }
    }

    fn release_bounce(&mut self, transfer: &mut Transfer) {
        if transfer.release(&mut self.pool)
            && let Some(key) = self.awaits_bounce.pop_front()
        {
            self.ops.get_mut(key).expect("what waits is under way").place = Place::Ready;
            self.ready.push_front(key);
        }
    }

    fn finish(&mut self, lane: &Lane<R>, doing: &str, request: R, result: Result<(), Failure>) {
        let result = result.map_err(|failure| {
            if failure == Failure::ABORTED {
                lane.counters.aborts.add(1);
                return failure;
            }
            let failure = lane.drive.judge(failure);
            lane.counters.errors.add(1);
            lane.drive.report(doing, failure);
            failure
        });
        lane.counters.end();
        self.finished.push((request, result));
    }

    fn end_resets(&mut self) {
        let (done, waiting) =
            std::mem::take(&mut self.resets).into_iter().partition(|(_, lane)| lane.drive.is_quiet());
        self.resets = waiting;
        self.finished.extend(Vec::into_iter(done).map(|(request, _)| (request, Ok(()))));
    }

    /// An abort has succeeded when what it was about has ended.
    fn end_aborts(&mut self) {
        for at in (0..self.aborts.len()).rev() {
            if self.ops.get_mut(self.aborts[at].1).is_none() {
                let (request, _) = self.aborts.swap_remove(at);
                self.finished.push((request, Ok(())));
            }
        }
    }

    /// What has not reached the kernel is taken back; for what has, the kernel is asked.
    fn abort(&mut self, lane: &Rc<Lane<R>>, target: u64, request: R) {
        let is_target = |request: &R| request.id() == target;
        let Some(key) = self.ops.find(|op| op.work.request().is_some_and(is_target)) else {
            let waiting = lane.syncs.borrow_mut().take_waiting(is_target);
            let result = match waiting {
                Some(flush) => {
                    self.finish(lane, "a flush", flush, Err(Failure::ABORTED));
                    Ok(())
                }
                None => Err(Failure::of_errno(libc::ENOENT)),
            };
            return self.finished.push((request, result));
        };
        match self.ops.get_mut(key).expect("just found").place {
            Place::Ready => self.ready.retain(|&other| other != key),
            Place::AwaitsBounce => self.awaits_bounce.retain(|&other| other != key),
            Place::Kernel => return self.start(lane, Work::Cancel { request, target: key }),
        }
        self.end(key, Err(Failure::ABORTED));
        self.finished.push((request, Ok(())));
    }
}

fn durability<R>(lane: &Lane<R>, fua: bool) -> Durability {
    lane.counters.fua_writes.add(fua.into());
    match fua && !lane.drive.assume_durable {
        false => Durability::Later,
        true if lane.access().is_direct() => Durability::Dsync,
        true => Durability::ThenSync,
    }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
