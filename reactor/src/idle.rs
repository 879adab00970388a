//! When a reactor may stop polling for a moment, and for how long.
//!
//! Polling is what makes I/O fast, so the machine leaves a core alone while there is activity and for a while
//! after it. Then it naps between polls, and the nap is never longer than a sixteenth of the quiet before it:
//! whatever ends the quiet is noticed at most that much later than by pure polling.
//!
//! ```text
//!               activity                           activity
//!              +--------+            +--------------------------------+
//!              v        |            v                                |
//!            +------------+   quiet for 1 ms   +-----------------------+
//!   start -> |  Spinning  | -----------------> |  Dozing, step 0..=3   | --+ quiet for longer:
//!            +------------+                    +-----------------------+ <-+ next step, longer nap
//! ```
//!
//! Light naps are short enough for the first I/O after a pause to be answered within a millisecond. Deep ones
//! are longer, and are ended by the kernel when a host sends something (`watch.rs`). A core that the
//! kernel woke for nothing (it was another core's host) naps lightly for a while.
//!
//! A timed poller or timer that was due is expected work, not activity: it ends a nap on time, is run, and
//! the core goes on dozing. (SPDK's RPC server says "busy" every 4 ms; it would keep a core awake for ever.)

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

/// How a core sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Depth {
    /// Until the time is over, or another core calls.
    Light,
    /// Or until the kernel has something for this process.
    Deep,
}

/// A round of polling that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Round {
    /// What it found.
    pub work: Work,
    /// Whether the kernel had ended the nap before it.
    pub woken_by_kernel: bool,
    /// When it ended.
    pub now_ticks: u64,
    /// The earliest timer, if there is one.
    pub deadline_ticks: Option<u64>,
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
        /// How.
        depth: Depth,
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
    /// How it is slept.
    pub depth: Depth,
}

/// Each nap is a sixteenth of the quiet that precedes it. The longest light one leaves three quarters of a
/// millisecond of the time in which the first I/O after a pause is to be answered; the deep one is as long as
/// the period of SPDK's RPC poller, which ends it anyway.
pub const STEPS: [Step; 4] = [
    Step { quiet_us: 1_000, nap_us: 62, depth: Depth::Light },
    Step { quiet_us: 2_000, nap_us: 125, depth: Depth::Light },
    Step { quiet_us: 4_000, nap_us: 250, depth: Depth::Light },
    Step { quiet_us: 64_000, nap_us: 4_000, depth: Depth::Deep },
];

/// A nap shorter than this costs more than it saves.
pub const NAP_MIN_US: u64 = 10;

/// How long naps stay light after the kernel woke a core for nothing.
pub const LIGHT_AFTER_FALSE_ALARM_US: u64 = 100_000;

/// The machine of one reactor. It reads no clock.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Idle {
    policy: IdlePolicy,
    deepest: Depth,
    ticks_per_s: u64,
    state: State,
    light_until_ticks: u64,
}

impl Idle {
    /// Starts out spinning. `deepest`: `Light` for a core that the kernel can't wake.
    pub fn new(policy: IdlePolicy, deepest: Depth, ticks_per_s: u64, now_ticks: u64) -> Self {
        let state = State::Spinning { active_ticks: now_ticks };
        Idle { policy, deepest, ticks_per_s, state, light_until_ticks: 0 }
    }

    /// From now on every nap is light: the kernel can't wake this core any more.
    pub fn stay_light(&mut self) {
        self.deepest = Depth::Light;
    }

    /// Where it is.
    pub fn state(&self) -> State {
        self.state
    }

    /// When there was activity last, in ticks.
    pub fn active_ticks(&self) -> u64 {
        let (State::Spinning { active_ticks } | State::Dozing { active_ticks, .. }) = self.state;
        active_ticks
    }

    /// What to do after a round of polling.
    pub fn after_poll(&mut self, round: Round) -> Next {
        self.state = self.transition(round);
        if round.woken_by_kernel && round.work == Work::None {
            self.light_until_ticks = round.now_ticks + self.ticks(LIGHT_AFTER_FALSE_ALARM_US);
        }
        match (self.state, round.work) {
            // What a timer ran may have more to do right away.
            (State::Spinning { .. }, _) | (_, Work::Timed) => Next::Poll,
            (State::Dozing { step, .. }, _) => self.nap(step, round),
        }
    }

    fn transition(&self, round: Round) -> State {
        let Round { work, now_ticks, .. } = round;
        if work == Work::Active || self.policy == IdlePolicy::Poll {
            return State::Spinning { active_ticks: now_ticks };
        }
        let active_ticks = self.active_ticks();
        let quiet_ticks = now_ticks.saturating_sub(active_ticks);
        match STEPS.iter().rposition(|step| self.ticks(step.quiet_us) <= quiet_ticks) {
            Some(step) => State::Dozing { active_ticks, step },
            None => State::Spinning { active_ticks },
        }
    }

    fn nap(&self, step: usize, round: Round) -> Next {
        let Round { now_ticks, deadline_ticks, .. } = round;
        let allowed = if now_ticks < self.light_until_ticks { Depth::Light } else { self.deepest };
        let step = STEPS[..=step].iter().rfind(|step| step.depth <= allowed).expect("the first is light");
        let until_deadline = deadline_ticks.map_or(u64::MAX, |deadline| deadline.saturating_sub(now_ticks));
        let ticks = self.ticks(step.nap_us).min(until_deadline);
        if ticks < self.ticks(NAP_MIN_US).max(1) {
            Next::Poll
        } else {
            Next::Nap { ticks, depth: step.depth }
        }
    }

    fn ticks(&self, us: u64) -> u64 {
        (u128::from(us) * u128::from(self.ticks_per_s) / 1_000_000) as u64
    }
}
