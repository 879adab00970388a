//! One core's queue of I/O, and what all of them share.
//!
//! ```text
//!   slot:  Idle --plan, take its blocks--> InFlight --verify, give back--> Idle ...
//!            |                                                              |
//!            +---- nothing free now: tries again when an I/O of this core ends
//!            +---- enough was done: Closed; the last one closes the channel and tells
//! ```

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::content::{Content, Version, ZEROS};
use crate::host::{Bdev, Buffer, Channel, Failure, Request};
use crate::model::{Effect, Expected, Model, Ticket};
use crate::rng::Rng;
use crate::workload::{GAP_MAX, Op, PIECES_MAX, Planned, Shape, scatter};
use basalt_tests::verdict::Verdict;

/// How often a place for an I/O is looked for before it waits for another I/O to end.
const TRIES: usize = 8;

/// What all cores work on.
pub struct Shared {
    pub bdev: Arc<Bdev>,
    pub shape: Shape,
    pub content: Content,
    pub unmap_may_keep: bool,
    pub until_failure: bool,
    /// SPDK's NVMe initiator, for one, drops FUA.
    pub fua_reaches_it: bool,
    pub deadline: Instant,
    pub state: Mutex<State>,
}

/// What changes.
pub struct State {
    pub model: Model,
    pub verdict: Verdict,
    pub source: Source,
    /// Told when the number of I/Os is reached; in order.
    pub milestones: Vec<(u64, Sender<u64>)>,
}

/// Where the next I/O comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Random ones, until so many are done; None: until a number is set.
    Random { until: Option<u64> },
    /// Reads of everything, in order.
    ReadBack { next_lba: u64 },
}

impl Shared {
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn into_state(self) -> State {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn effect(&self, op: Op, model: &mut Model) -> Effect {
        match op {
            Op::Read => Effect::None,
            Op::Flush => Effect::Hardens,
            Op::WriteFua if self.fua_reaches_it => Effect::BecomesDurably(model.new_version()),
            Op::Write | Op::WriteFua => Effect::Becomes(model.new_version()),
            Op::Unmap if self.unmap_may_keep => Effect::Unmapped,
            Op::WriteZeroes | Op::Unmap => Effect::Becomes(ZEROS),
        }
    }
}

enum Next {
    Do(Planned, Ticket, Effect),
    NothingFree,
    Enough,
}

impl State {
    fn next(&mut self, shared: &Shared, rng: &mut Rng) -> Next {
        match &mut self.source {
            Source::Random { until } => {
                let failed = shared.until_failure && self.verdict.failed > 0;
                let enough = until.is_some_and(|until| self.verdict.ios >= until);
                if failed || enough || Instant::now() >= shared.deadline {
                    return Next::Enough;
                }
                for _ in 0..TRIES {
                    let planned = shared.shape.plan(rng);
                    let effect = shared.effect(planned.op, &mut self.model);
                    let blocks = match planned.op {
                        Op::Flush => 0..0,
                        _ => planned.lba..planned.lba + planned.blocks,
                    };
                    if let Some(ticket) = self.model.begin(blocks, effect) {
                        return Next::Do(planned, ticket, effect);
                    }
                }
                Next::NothingFree
            }
            Source::ReadBack { next_lba } => {
                let (lba, num_blocks) = (*next_lba, self.model.num_blocks());
                if lba == num_blocks {
                    return Next::Enough;
                }
                let blocks = rng.between(1, shared.shape.max_blocks).min(num_blocks - lba);
                *next_lba += blocks;
                let ticket =
                    self.model.begin(lba..lba + blocks, Effect::None).expect("nothing is written now");
                Next::Do(Planned { op: Op::Read, lba, blocks }, ticket, Effect::None)
            }
        }
    }

    /// The random I/O ends after `ios`, and not before there was some more: what came last must show.
    pub fn end_after(&mut self, ios: u64) {
        let until = ios.max(self.verdict.ios + ios / 4);
        self.source = Source::Random { until: Some(until) };
    }

    fn tell_milestones(&mut self) {
        while self.milestones.first().is_some_and(|(at, _)| self.verdict.ios >= *at) {
            let (_, tell) = self.milestones.remove(0);
            // Whoever waited for it may have given up.
            let _ = tell.send(self.verdict.ios);
        }
    }
}

/// A core's worker; lives on one SPDK thread, kept by its I/O.
pub struct Worker {
    shared: Arc<Shared>,
    core: u32,
    channel: RefCell<Option<Channel>>,
    rng: RefCell<Rng>,
    scratch: RefCell<Vec<u8>>,
    /// Buffers of slots that found nothing to do.
    idle: RefCell<Vec<Buffer>>,
    in_flight: Cell<usize>,
    done: Sender<()>,
}

impl Worker {
    /// Opens its channel, on the current SPDK thread. It sends to `done` when it has done enough and closed
    /// it.
    pub fn open(
        shared: Arc<Shared>,
        core: u32,
        depth: usize,
        seed: u64,
        done: Sender<()>,
    ) -> Result<Rc<Worker>, spdk_rs::Errno> {
        let bytes = (shared.shape.max_blocks * u64::from(shared.shape.block_size)) as usize;
        let room = bytes + (PIECES_MAX + 1) * GAP_MAX;
        let buffers: Result<Vec<Buffer>, _> = (0..depth).map(|_| Buffer::new(room)).collect();
        Ok(Rc::new(Worker {
            channel: RefCell::new(Some(shared.bdev.channel()?)),
            core,
            rng: RefCell::new(Rng::new(seed)),
            scratch: RefCell::new(vec![0; bytes]),
            idle: RefCell::new(buffers?),
            in_flight: Cell::new(0),
            done,
            shared,
        }))
    }

    /// Begins.
    pub fn begin(self: &Rc<Self>) {
        self.fill_queue();
    }

    /// Sends what can be sent; closes when nothing is in flight and nothing is left.
    fn fill_queue(self: &Rc<Self>) {
        loop {
            let Some(buffer) = self.idle.borrow_mut().pop() else { return };
            let next = self.shared.lock().next(&self.shared, &mut self.rng.borrow_mut());
            match next {
                Next::Do(planned, ticket, effect) => self.submit(planned, ticket, effect, buffer),
                Next::NothingFree if self.in_flight.get() == 0 => {
                    // Other cores hold what it wanted: another try on this thread's next turn.
                    self.idle.borrow_mut().push(buffer);
                    let again = Rc::clone(self);
                    spdk_rs::thread::defer(move || again.fill_queue()).expect("on an SPDK thread");
                    return;
                }
                Next::NothingFree => return self.idle.borrow_mut().push(buffer),
                Next::Enough => {
                    self.idle.borrow_mut().push(buffer);
                    if self.in_flight.get() == 0 {
                        self.channel.borrow_mut().take();
                        // The conductor is gone only if the whole process is.
                        let _ = self.done.send(());
                    }
                    return;
                }
            }
        }
    }

    fn submit(self: &Rc<Self>, planned: Planned, ticket: Ticket, effect: Effect, mut buffer: Buffer) {
        let Planned { op, lba, blocks } = planned;
        if op.has_data() {
            self.arrange(&mut buffer, planned, effect);
        }
        let request = Request { op, lba, blocks, buffer };
        self.in_flight.set(self.in_flight.get() + 1);
        let worker = Rc::clone(self);
        let channel = self.channel.borrow();
        channel.as_ref().expect("it closes last").submit(request, move |request, result| {
            worker.over(request, ticket, result);
        });
    }

    /// Cuts the buffer up, and fills it if the blocks become something.
    fn arrange(&self, buffer: &mut Buffer, planned: Planned, effect: Effect) {
        let bytes = self.bytes(planned.blocks);
        buffer.arrange(&scatter(&mut self.rng.borrow_mut(), bytes, self.shared.bdev.alignment));
        let (Effect::Becomes(version) | Effect::BecomesDurably(version)) = effect else { return };
        let mut scratch = self.scratch.borrow_mut();
        for (lba, block) in (planned.lba..).zip(self.blocks_of(&mut scratch[..bytes])) {
            self.shared.content.fill(block, lba, version);
        }
        buffer.scatter(&scratch[..bytes]);
    }

    fn bytes(&self, blocks: u64) -> usize {
        (blocks * u64::from(self.shared.shape.block_size)) as usize
    }

    fn blocks_of<'a>(&self, bytes: &'a mut [u8]) -> std::slice::ChunksExactMut<'a, u8> {
        bytes.chunks_exact_mut(self.shared.shape.block_size as usize)
    }

    fn over(self: &Rc<Self>, request: Request, ticket: Ticket, result: Result<(), Failure>) {
        let Request { op, lba, blocks, buffer } = request;
        self.in_flight.set(self.in_flight.get() - 1);
        {
            let mut state = self.shared.lock();
            let state = &mut *state;
            let n = state.verdict.ios;
            state.verdict.done(self.core, op.name());
            let what = || format!("#{n} {} of {blocks} blocks at {lba} on core {}", op.name(), self.core);
            match (&result, op) {
                (Err(failure), _) => state.verdict.failure(|| format!("{}: {failure}", what())),
                (Ok(()), Op::Read) => self.verify(state, lba..lba + blocks, &buffer, &what),
                (Ok(()), _) => {}
            }
            if op.has_data() && !buffer.gaps_are_whole() {
                state.verdict.mismatch(|| format!("{}: bytes outside of its buffer were written", what()));
            }
            state.model.end(ticket, result.is_ok());
            state.tell_milestones();
        }
        self.idle.borrow_mut().push(buffer);
        self.fill_queue();
    }

    fn verify(&self, state: &mut State, lbas: Range<u64>, buffer: &Buffer, what: &dyn Fn() -> String) {
        let content = &self.shared.content;
        let bytes = self.bytes(lbas.end - lbas.start);
        let mut scratch = self.scratch.borrow_mut();
        buffer.gather(&mut scratch[..bytes]);
        for (lba, block) in lbas.zip(self.blocks_of(&mut scratch[..bytes])) {
            let found = match state.model.expected(lba) {
                Expected::Version(version) => content.is_in(block, lba, version).then_some(version),
                Expected::OneOf(versions) => versions.into_iter().find(|v| content.is_in(block, lba, *v)),
            };
            match found {
                Some(version) => state.model.seen(lba, version),
                None => {
                    let expected = describe(&state.model.expected(lba));
                    let found = content.describe(block);
                    state
                        .verdict
                        .mismatch(|| format!("{}: block {lba} holds {found}, not {expected}", what()));
                }
            }
        }
    }
}

fn describe(expected: &Expected) -> String {
    let one = |version: &Version| match *version {
        ZEROS => "zeros".to_owned(),
        version => format!("version {version}"),
    };
    match expected {
        Expected::Version(version) => one(version),
        Expected::OneOf(versions) => versions.iter().map(one).collect::<Vec<_>>().join(" or "),
    }
}
