//! When a reactor may stop polling for a moment, and for how long.
//!
//! Polling is what makes I/O fast, so the machine leaves a core alone while there is activity and for a while after
//! it. Then it naps between polls, and the nap is never longer than a sixteenth of the quiet before it:
//! whatever ends the quiet is noticed at most that much later than by pure polling.
//!
//! ```text
//!               activity                           activity
//!              +--------+            +--------------------------------+
//!              v        |            v                                |
//!            +------------+   quiet for 1 ms   +-----------------------+
//!   start -> |  Spinning  | -----------------> |  Dozing, step 0..=2   | --+ quiet for longer:
//!            +------------+                    +-----------------------+ <-+ next step, longer nap
//! ```
//!
//! A timed poller or timer that was due is expected work, not activity: it ends a nap on time, is run, and the core
//! goes on dozing. (SPDK's RPC server says "busy" every 4 ms; it would keep a core awake for ever.)

/// How a core behaves when it has nothing to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum IdlePolicy {
    /// Naps when nothing happens.
    #[default]
    Adaptive,
    /// Polls without a pause: a core at 100 %, no wake-up latency ever.
    Poll,
}

/// What one round of polling found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Work {
    /// Nothing.
    None,
    /// Only what a timer had announced.
    Timed,
    /// Something from outside: I/O, a message, a woken task.
    Active,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Next {
    /// Poll again at once.
    Poll,
    /// Sleep for this many ticks, unless woken.
    Nap {
        /// At least 1.
        ticks: u64,
    },
}

/// Where the machine is. Times are ticks of the reactor's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Polling without a pause since the activity at `active_ticks`.
    Spinning {
        /// When there was activity last.
        active_ticks: u64,
    },
    /// Napping between polls.
    Dozing {
        /// When there was activity last.
        active_ticks: u64,
        /// Index into [`STEPS`].
        step: usize,
    },
}

/// After `quiet_us` without activity, naps last `nap_us`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Microseconds without activity.
    pub quiet_us: u64,
    /// Microseconds of a nap.
    pub nap_us: u64,
}

/// Each nap is a sixteenth of the quiet that precedes it. The last one leaves three quarters of a millisecond of
/// the time in which the first I/O after a pause must be answered.
pub const STEPS: [Step; 3] = [
    Step { quiet_us: 1_000, nap_us: 62 },
    Step { quiet_us: 2_000, nap_us: 125 },
    Step { quiet_us: 4_000, nap_us: 250 },
];

/// A nap shorter than this costs more than it saves.
pub const NAP_MIN_US: u64 = 10;

/// The machine of one reactor. It reads no clock.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Idle {
    policy: IdlePolicy,
    ticks_per_s: u64,
    state: State,
}

impl Idle {
    /// Starts out spinning.
    pub fn new(policy: IdlePolicy, ticks_per_s: u64, now_ticks: u64) -> Self {
        Idle { policy, ticks_per_s, state: State::Spinning { active_ticks: now_ticks } }
    }

    /// Where it is.
    pub fn state(&self) -> State {
        self.state
    }

    /// After a round of polling: what it found, the time, and the earliest timer, if there is one.
    pub fn after_poll(&mut self, work: Work, now_ticks: u64, deadline_ticks: Option<u64>) -> Next {
        self.state = self.transition(work, now_ticks);
        match (self.state, work) {
            // What a timer ran may have more to do right away.
            (State::Spinning { .. }, _) | (_, Work::Timed) => Next::Poll,
            (State::Dozing { step, .. }, _) => self.nap(step, now_ticks, deadline_ticks),
        }
    }

    fn transition(&self, work: Work, now_ticks: u64) -> State {
        let (State::Spinning { active_ticks } | State::Dozing { active_ticks, .. }) = self.state;
        if work == Work::Active || self.policy == IdlePolicy::Poll {
            return State::Spinning { active_ticks: now_ticks };
        }
        let quiet_ticks = now_ticks.saturating_sub(active_ticks);
        match STEPS.iter().rposition(|step| self.ticks(step.quiet_us) <= quiet_ticks) {
            Some(step) => State::Dozing { active_ticks, step },
            None => State::Spinning { active_ticks },
        }
    }

    fn nap(&self, step: usize, now_ticks: u64, deadline_ticks: Option<u64>) -> Next {
        let until_deadline = deadline_ticks.map_or(u64::MAX, |deadline| deadline.saturating_sub(now_ticks));
        let ticks = self.ticks(STEPS[step].nap_us).min(until_deadline);
        if ticks < self.ticks(NAP_MIN_US).max(1) { Next::Poll } else { Next::Nap { ticks } }
    }

    fn ticks(&self, us: u64) -> u64 {
        (u128::from(us) * u128::from(self.ticks_per_s) / 1_000_000) as u64
    }
}
