//! What all threads share of a drive: whether it is there, its rules, the I/Os that it holds, its cache.
//!
//! ```text
//!               a rule: delay, hang                 time, release: go on     reset, abort: fail
//!   admitted --------------------------> held ------------------------------------------------> forgotten
//!       |                                  ^                                 vanish: gone
//!       +--> its lane sends it             +--- its lane asks for the verdict, over and over
//!
//!              vanish, power cut               return
//!     Here ----------------------> Pulled ------------> Here
//!       |                            |
//!       +----------------------------+--- delete, the base or SPDK goes ---> Retiring
//! ```

use super::cache::{Cache, Mark};
use super::loss::Loss;
use super::options::FaultyOptions;
use super::rule::{Fault, Request, gone};
use super::rules::{RuleId, Rules};
use serde::Serialize;
use spdk_rs::bdev::{BdevInfo, Claim, IoError, IoKind, nvme_flush_is_enabled};
use spdk_rs::thread::ThreadId;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// A faulty drive, whether its bdev is there or not.
pub(crate) struct Drive {
    pub options: FaultyOptions,
    pub uuid: Uuid,
    /// Keeps the base open, for us alone.
    pub base: Claim,
    /// The base, as it was when the drive was made.
    pub info: BdevInfo,
    /// Whether a FLUSH reaches the base's medium. If not, none is sent.
    pub base_flushes: bool,
    state: Mutex<State>,
}

pub(crate) struct State {
    pub presence: Presence,
    pub rules: Rules,
    pub held: BTreeMap<Ticket, Held>,
    pub cache: Option<Cache>,
    pub counters: Counters,
    turn: Turn,
    tickets: Ticket,
}

/// Names an I/O that is held, in the order in which they came.
pub(crate) type Ticket = u64;

/// Whether the drive is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It is.
    Here,
    /// It vanished: everything is answered with "gone".
    Pulled(Loss),
    /// It is being deleted: rules no longer count, so that its users can end what they have begun.
    Retiring,
}

/// An I/O that a rule keeps from going on.
#[derive(Debug)]
pub(crate) struct Held {
    pub rule: RuleId,
    pub io: Request,
    pub thread: Option<ThreadId>,
    pub since: Instant,
    pub fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Hangs,
    Until(Instant),
    Released,
    Aborted,
}

/// Who writes the cache to the base: one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Free,
    Taken,
}

/// What a new I/O is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    GoOn,
    Hold(Ticket),
    Fail(IoError),
}

/// What has become of an I/O that was held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Wait,
    GoOn,
    Fail(IoError),
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Counters {
    /// I/Os that came.
    pub submitted: u64,
    /// Of these, those that rules have failed, delayed and hung.
    pub failed: u64,
    pub delayed: u64,
    pub hung: u64,
    /// I/Os that were answered with "gone".
    pub gone: u64,
}

impl Drive {
    pub fn new(options: FaultyOptions, uuid: Uuid, base: Claim, cache: Option<Cache>) -> Drive {
        let info = base.descriptor().info();
        let drops_flushes = info.module == "nvme" && info.write_cache && !nvme_flush_is_enabled();
        let base_flushes = info.supports.contains(IoKind::Flush) && !drops_flushes;
        Drive { options, uuid, base, info, base_flushes, state: Mutex::new(State::new(cache)) }
    }

    /// Never held over a call into SPDK.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_cached(&self) -> bool {
        self.options.volatile_cache
    }
}

impl State {
    pub fn new(cache: Option<Cache>) -> State {
        State {
            presence: Presence::Here,
            rules: Rules::default(),
            held: BTreeMap::new(),
            cache,
            counters: Counters::default(),
            turn: Turn::Free,
            tickets: 0,
        }
    }

    /// A new I/O has come.
    pub fn admit(&mut self, io: Request, thread: Option<ThreadId>, now: Instant) -> Admission {
        self.counters.submitted += 1;
        let (rule, fault) = match self.presence {
            Presence::Pulled(_) => return Admission::Fail(self.answer_gone()),
            Presence::Retiring => return Admission::GoOn,
            Presence::Here => match self.rules.judge(&io, now) {
                None => return Admission::GoOn,
                Some(fired) => fired,
            },
        };
        let fate = match fault {
            Fault::Error(error) => {
                self.counters.failed += 1;
                return Admission::Fail(error.status());
            }
            Fault::DelayMs(ms) => {
                self.counters.delayed += 1;
                // A time that no clock reaches never comes.
                now.checked_add(Duration::from_millis(ms)).map_or(Fate::Hangs, Fate::Until)
            }
            Fault::Hang(_) => {
                self.counters.hung += 1;
                Fate::Hangs
            }
        };
        self.tickets += 1;
        self.held.insert(self.tickets, Held { rule, io, thread, since: now, fate });
        Admission::Hold(self.tickets)
    }

    /// What has become of a held I/O. One that goes on is forgotten; one that fails is to be forgotten when
    /// it has been answered.
    pub fn verdict(&mut self, ticket: Ticket, now: Instant) -> Verdict {
        let fate = self.held.get(&ticket).expect("an I/O that is held has a ticket").fate;
        let verdict = match (self.presence, fate) {
            (Presence::Pulled(_), _) => Verdict::Fail(self.answer_gone()),
            (_, Fate::Aborted) => Verdict::Fail(IoError::ABORTED),
            (Presence::Retiring, _) | (_, Fate::Released) => Verdict::GoOn,
            (Presence::Here, Fate::Hangs) => return Verdict::Wait,
            (Presence::Here, Fate::Until(time)) if now < time => return Verdict::Wait,
            (Presence::Here, Fate::Until(_)) => Verdict::GoOn,
        };
        if verdict == Verdict::GoOn {
            self.held.remove(&ticket);
        }
        verdict
    }

    /// A held I/O has been answered.
    pub fn forget(&mut self, ticket: Ticket) {
        self.held.remove(&ticket);
    }

    /// Lets go on what hangs, by one rule or by any; how many those are.
    pub fn release(&mut self, rule: Option<RuleId>) -> usize {
        let hanging = self.held.values_mut().filter(|held| held.fate == Fate::Hangs);
        let released = hanging.filter(|held| rule.is_none_or(|rule| rule == held.rule));
        released.map(|held| held.fate = Fate::Released).count()
    }

    /// A reset has come: everything that is held now is aborted. The reset goes on when
    /// [`State::none_held_before`] the ticket that is returned.
    pub fn abort_held(&mut self) -> Ticket {
        self.held.values_mut().for_each(|held| held.fate = Fate::Aborted);
        self.tickets + 1
    }

    /// Whether every I/O up to this ticket has been answered or sent.
    pub fn none_held_before(&self, ticket: Ticket) -> bool {
        self.held.range(..ticket).next().is_none()
    }

    /// The status "gone", if the drive is.
    pub fn is_gone(&mut self) -> Option<IoError> {
        matches!(self.presence, Presence::Pulled(_)).then(|| self.answer_gone())
    }

    pub fn is_pulled(&self) -> bool {
        matches!(self.presence, Presence::Pulled(_))
    }

    /// The right to write the cache to the base, if nobody has it.
    pub fn take_turn(&mut self) -> bool {
        std::mem::replace(&mut self.turn, Turn::Taken) == Turn::Free
    }

    pub fn turn_is_free(&self) -> bool {
        self.turn == Turn::Free
    }

    pub fn give_turn(&mut self) {
        assert_eq!(self.turn, Turn::Taken, "a turn is given back once");
        self.turn = Turn::Free;
    }

    /// Everything that was written to the cache up to now.
    pub fn mark(&self) -> Mark {
        self.cache.as_ref().map_or(0, Cache::mark)
    }

    fn answer_gone(&mut self) -> IoError {
        self.counters.gone += 1;
        gone()
    }
}
