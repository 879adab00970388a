//! Events for those who ask, and for those who wait for the next one.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use raid::array::{EventKind, EventLog};
use serde::{Deserialize, Serialize};
use spdk_rs::poller::{Busy, Poller};

use super::owner::Owner;
use crate::port::ArrayId;

/// The longest that a caller may wait in one call.
const WAIT_MAX_S: u64 = 3600;
const MAX_DEFAULT: usize = 100;
const TICK_US: u64 = 100_000;

/// Parameters of `bdev_basalt_get_events`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventQuery {
    pub name: String,
    /// The number of the last event that the caller has; 0 for all that are kept.
    #[serde(default)]
    pub since: u64,
    /// How long to wait if there is none yet.
    #[serde(default)]
    pub wait_s: u64,
    pub max: Option<usize>,
}

/// The answer.
#[derive(Debug, Serialize)]
pub(crate) struct EventReply {
    /// The number of the oldest event that is still kept: if it is above `since + 1`, some were missed.
    first_available: u64,
    events: Vec<EventView>,
}

#[derive(Debug, Serialize)]
struct EventView {
    /// Null for an event that no member could record.
    seq: Option<u64>,
    time_ms: u64,
    array: String,
    kind: &'static str,
    text: String,
    slot: Option<u8>,
    drive: Option<String>,
    epoch: u64,
}

/// Callers that wait for an event.
#[derive(Default)]
pub(crate) struct Waiters {
    waiting: Rc<RefCell<Vec<Waiter>>>,
    /// Ends those whose time is up; only there while somebody waits.
    clock: Rc<RefCell<Option<Poller>>>,
}

struct Waiter {
    owner: Rc<Owner>,
    query: EventQuery,
    /// How many events the array had told when the caller asked.
    told: u64,
    until: Instant,
    reply: Box<dyn FnOnce(EventReply)>,
}

impl Waiters {
    pub fn ask(&self, owner: Rc<Owner>, query: EventQuery, reply: impl FnOnce(EventReply) + 'static) {
        let wait = Duration::from_secs(query.wait_s.min(WAIT_MAX_S));
        let told = owner.with_events(EventLog::told);
        let until = Instant::now() + wait;
        let waiter = Waiter { owner, query, told, until, reply: Box::new(reply) };
        if wait.is_zero() || waiter.has_events() {
            return waiter.answer();
        }
        self.waiting.borrow_mut().push(waiter);
        self.start_clock();
    }

    /// An array has new events.
    pub fn tell(&self, array: ArrayId) {
        self.answer_if(|waiter| waiter.owner.id() == array && waiter.has_events());
    }

    /// An array is gone.
    pub fn end(&self, array: ArrayId) {
        self.answer_if(|waiter| waiter.owner.id() == array);
    }

    fn answer_if(&self, ripe: impl FnMut(&mut Waiter) -> bool) {
        answer_if(&self.waiting, ripe);
    }

    fn start_clock(&self) {
        let (waiting, clock) = (Rc::clone(&self.waiting), Rc::clone(&self.clock));
        let mut running = self.clock.borrow_mut();
        if running.is_some() {
            return;
        }
        *running = Some(Poller::register("basalt_events", TICK_US, move || {
            let now = Instant::now();
            answer_if(&waiting, |waiter| waiter.until <= now);
            if waiting.borrow().is_empty() {
                drop(clock.borrow_mut().take());
            }
            Busy::No
        }));
    }
}

fn answer_if(waiting: &RefCell<Vec<Waiter>>, mut ripe: impl FnMut(&mut Waiter) -> bool) {
    let done: Vec<Waiter> = waiting.borrow_mut().extract_if(.., |waiter| ripe(waiter)).collect();
    done.into_iter().for_each(Waiter::answer);
}

impl Waiter {
    fn has_events(&self) -> bool {
        self.owner.with_events(|events| events.last_seq() > self.query.since || events.told() > self.told)
    }

    fn answer(self) {
        let reply = self.owner.with_events(|events| EventReply {
            first_available: events.first_available(),
            events: events
                .since(self.query.since)
                .take(self.query.max.unwrap_or(MAX_DEFAULT))
                .map(|event| EventView {
                    seq: event.seq,
                    time_ms: event.time_ms,
                    array: self.owner.name().to_owned(),
                    kind: event.name(),
                    text: event.text.clone(),
                    slot: event.kind.and_then(EventKind::slot).map(|slot| slot.0),
                    drive: event.drive.clone(),
                    epoch: event.epoch.0,
                })
                .collect(),
        });
        (self.reply)(reply);
    }
}
