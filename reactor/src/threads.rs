//! The SPDK threads of one core, and how they move to another.
//!
//! A thread moves when the cores that it may run on were changed (`spdk_thread_set_cpumask`) and its core is
//! not among them, unless something pins it (see [`spdk_rs::thread`]). Whoever holds its [`OwnedThread`]
//! polls it, and there is one: the move is one message. What others send the thread meanwhile waits in its
//! own queue, which goes with it, as do its pollers, channels and statistics.
//!
//! ```text
//!                       mask changed, without this core
//!    +---------+ -----------------------------------------> +-----------+ --+ pinned, or the other
//!    |  Placed |                                            | Misplaced |   | inbox is full: asked again
//!    +---------+ <----------------------------------------- +-----------+ <-+ after each round
//!         ^              changed back                             |
//!         |                                                       | released, Adopt sent
//!         +----------- the other core takes Adopt ----------------+
//! ```
//!
//! Nothing here is an event that could be missed: the epoch of masks says when to look at masks again, and a
//! misplaced thread stays so until it has moved or its mask allows its core.

use std::sync::Arc;

use spdk_rs::thread::{OwnedThread, PollOutcome, ThreadId};

use crate::cores::Cores;
use crate::idle::Work;

/// The threads that one core polls.
pub(crate) struct Threads {
    core: u32,
    cores: Arc<Cores>,
    /// In order of arrival: the first is the core's own, which never moves.
    adopted: Vec<Adopted>,
    /// As of when the masks were looked at.
    masks_epoch: u64,
}

pub(crate) struct Adopted {
    pub(crate) thread: OwnedThread,
    pub(crate) since_ticks: u64,
    is_misplaced: bool,
}

impl Threads {
    pub(crate) fn new(core: u32, cores: Arc<Cores>) -> Self {
        let masks_epoch = cores.masks_epoch();
        Threads { core, cores, adopted: Vec::new(), masks_epoch }
    }

    pub(crate) fn adopt(&mut self, thread: OwnedThread, since_ticks: u64) {
        let is_misplaced = self.cores.wants_away(&thread, self.core);
        self.adopted.push(Adopted { thread, since_ticks, is_misplaced });
    }

    /// The oldest one, if it has this number.
    pub(crate) fn first(&self, id: ThreadId) -> Option<&OwnedThread> {
        self.adopted.first().map(|adopted| &adopted.thread).filter(|thread| thread.id() == id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Adopted> {
        self.adopted.iter()
    }

    pub(crate) fn count(&self) -> usize {
        self.adopted.len()
    }

    /// The earliest timer of all, in ticks.
    pub(crate) fn next_expiration_ticks(&self) -> Option<u64> {
        self.adopted.iter().filter_map(|adopted| adopted.thread.next_expiration_ticks()).min()
    }

    /// Polls each once; then those that have exited go, and those that are misplaced move.
    pub(crate) fn poll(&mut self, now_ticks: u64) -> Work {
        let mut found = Work::None;
        let mut exited = false;
        let mut misplaced = false;
        for Adopted { thread, is_misplaced, .. } in &mut self.adopted {
            let timer_due = thread.next_expiration_ticks().is_some_and(|due| due <= now_ticks);
            found = found.max(match (thread.poll(now_ticks), timer_due) {
                (PollOutcome::Idle, _) => Work::None,
                (PollOutcome::Busy, true) => Work::Timed,
                (PollOutcome::Busy, false) => Work::Active,
            });
            exited |= thread.is_exited();
            misplaced |= *is_misplaced;
        }
        if exited {
            self.destroy_exited();
        }
        if misplaced | self.look_at_masks() {
            self.hand_over();
        }
        found
    }

    fn destroy_exited(&mut self) {
        for Adopted { thread, .. } in self.adopted.extract_if(.., |adopted| adopted.thread.is_exited()) {
            let id = thread.id();
            thread.destroy();
            self.cores.placement.forget(id);
        }
    }

    /// Whether masks were changed since the last look, here or elsewhere.
    fn look_at_masks(&mut self) -> bool {
        let epoch = self.cores.masks_epoch();
        if epoch == self.masks_epoch {
            return false;
        }
        self.masks_epoch = epoch;
        for adopted in &mut self.adopted {
            adopted.is_misplaced = self.cores.wants_away(&adopted.thread, self.core);
        }
        true
    }

    /// Sends those away that are misplaced and not pinned.
    fn hand_over(&mut self) {
        let may_leave = |adopted: &mut Adopted| adopted.is_misplaced && adopted.thread.release().is_ok();
        let leaving: Vec<Adopted> = self.adopted.extract_if(.., may_leave).collect();
        for Adopted { thread, since_ticks, is_misplaced } in leaving {
            if let Err(thread) = self.cores.hand_over(thread, self.core) {
                self.adopted.push(Adopted { thread, since_ticks, is_misplaced });
            }
        }
    }
}
