//! What runs on one core: its SPDK threads, its tasks, and its naps.
//!
//! ```text
//!   one round:  inbox -> SPDK threads -> tasks -> nap, if nothing happened for a while
//! ```
//!
//! Tasks run as if the core's own SPDK thread (`home`) polled them, so that they may use SPDK: on the main
//! core that is the app thread.

use std::sync::Arc;
use std::time::Duration;

use spdk_rs::introspect::{CoreTimes, ReactorInfo, ReactorThread, core_times, os_thread_id};
use spdk_rs::thread::{OwnedThread, ThreadHandle};

use crate::clock::Clock;
use crate::cores::{Cores, Message};
use crate::executor::{Executor, Spawner};
use crate::idle::{Depth, Idle, IdlePolicy, Next, Round, Work};
use crate::mailbox::{Mailbox, MailboxStats};
use crate::threads::{Adopted, Threads};
use crate::wake::Sleeper;
use crate::watch::{Watch, Woken};

/// Messages of other cores that are handled in one round.
const INBOX_BUDGET: usize = 32;
/// Tasks that are run in one round: at a microsecond each, I/O waits no longer than that of a few requests.
const TASK_BUDGET: usize = 16;
/// How long a watch is believed to be complete while nothing happens.
const REFRESH_AFTER: Duration = Duration::from_secs(1);

/// The reactor of one core. It lives on that core's OS thread.
pub(crate) struct Reactor {
    core: u32,
    clock: Clock,
    cores: Arc<Cores>,
    inbox: Mailbox<Message>,
    phase: Phase,
    /// While the core is `Running` the first is its own.
    threads: Threads,
    idle: Idle,
    sleeper: Arc<Sleeper>,
    /// For deep naps, where the kernel can wake us.
    watch: Option<Watch>,
    refreshed: Option<Refreshed>,
    woken: Woken,
    stats: Stats,
    round_ended_ticks: u64,
    times_at_start: CoreTimes,
}

/// ```text
///   Running --Close--> Closing --Stop--> Stopped
///      \________________Stop________________^
/// ```
enum Phase {
    /// Tasks run.
    Running {
        executor: Executor,
        home: ThreadHandle,
    },
    /// The tasks are gone; SPDK threads are polled until they have exited.
    Closing,
    Stopped,
}

/// When the watch was refreshed last. What is new came with activity, nearly always.
#[derive(Clone, Copy, Debug)]
struct Refreshed {
    active_ticks: u64,
    at_ticks: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Stats {
    busy_ticks: u64,
    idle_ticks: u64,
    naps: u64,
    slept_ticks: u64,
}

/// How a core has spent its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreStats {
    /// Its number.
    pub core: u32,
    /// Ticks in rounds that found work.
    pub busy_ticks: u64,
    /// Ticks in rounds that found none, naps included.
    pub idle_ticks: u64,
    /// Naps taken.
    pub naps: u64,
    /// Ticks spent napping.
    pub slept_ticks: u64,
    /// Ticks per second.
    pub ticks_per_s: u64,
    /// SPDK threads that it polls.
    pub threads: usize,
    /// Tasks that are not finished.
    pub tasks: usize,
    /// Messages from other cores.
    pub inbox: MailboxStats,
}

/// What a [`Reactor`] is made of.
pub(crate) struct Parts {
    pub(crate) core: u32,
    pub(crate) clock: Clock,
    pub(crate) cores: Arc<Cores>,
    /// Woken by [`Parts::sleeper`]; the core's own SPDK thread waits in it.
    pub(crate) inbox: Mailbox<Message>,
    pub(crate) sleeper: Arc<Sleeper>,
    pub(crate) idle: IdlePolicy,
    pub(crate) home: ThreadHandle,
}

impl Reactor {
    /// On the core's OS thread.
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { core, clock, cores, inbox, sleeper, idle, home } = parts;
        let executor = Executor::new(clock, sleeper.clone().into());
        let now = clock.now_ticks();
        let watch = sleeper
            .new_watch()
            .inspect_err(
                |error| tracing::warn!(%error, "naps stay light: the kernel's queues can't be watched"),
            )
            .ok();
        let deepest = if watch.is_some() { Depth::Deep } else { Depth::Light };
        let mut reactor = Reactor {
            core,
            clock,
            threads: Threads::new(core, cores.clone()),
            cores,
            inbox,
            phase: Phase::Running { executor, home },
            idle: Idle::new(idle, deepest, clock.ticks_per_s(), now),
            sleeper,
            watch,
            refreshed: None,
            woken: Woken::Otherwise,
            stats: Stats::default(),
            round_ended_ticks: now,
            times_at_start: core_times(core).unwrap_or_default(),
        };
        reactor.drain_inbox();
        assert!(reactor.at_home().is_some(), "the first thread of core {core} is its own");
        reactor
    }

    /// For starting tasks; `None` once it is closed.
    pub(crate) fn spawner(&self) -> Option<Spawner> {
        match &self.phase {
            Phase::Running { executor, .. } => Some(executor.spawner()),
            Phase::Closing | Phase::Stopped => None,
        }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        matches!(self.phase, Phase::Stopped)
    }

    /// One round, and a nap if it is time for one.
    pub(crate) fn turn(&mut self) {
        let found = self.drain_inbox().max(self.poll_threads()).max(self.poll_tasks());
        let now = self.clock.now_ticks();
        let spent = now.saturating_sub(self.round_ended_ticks);
        self.round_ended_ticks = now;
        match found {
            Work::None => self.stats.idle_ticks += spent,
            Work::Timed | Work::Active => self.stats.busy_ticks += spent,
        }
        let round = Round {
            work: found,
            woken_by_kernel: self.woken == Woken::ByKernel,
            now_ticks: now,
            // Only a round that found nothing may be followed by a nap.
            deadline_ticks: if found == Work::None { self.next_deadline_ticks() } else { None },
        };
        self.woken = match self.idle.after_poll(round) {
            Next::Poll => Woken::Otherwise,
            Next::Nap { ticks, depth } => self.nap(ticks, depth),
        };
    }

    fn drain_inbox(&mut self) -> Work {
        let mut found = Work::None;
        for _ in 0..INBOX_BUDGET {
            let Some(message) = self.inbox.try_recv() else { break };
            found = Work::Active;
            match message {
                Message::Adopt(thread) => self.threads.adopt(thread, self.clock.now_ticks()),
                Message::Call(call) => call(self),
                Message::Close => self.close(),
                Message::Stop => {
                    self.close();
                    self.phase = Phase::Stopped;
                }
            }
        }
        found
    }

    fn poll_threads(&mut self) -> Work {
        // The clock is read once a round: it costs as much as a small poller.
        self.threads.poll(self.round_ended_ticks)
    }

    fn poll_tasks(&mut self) -> Work {
        let Phase::Running { executor, home } = &self.phase else { return Work::None };
        let now = self.round_ended_ticks;
        if !executor.has_ready() && executor.next_deadline_ticks().is_none_or(|deadline| deadline > now) {
            return Work::None;
        }
        let home = self.threads.first(home.id()).expect("the core runs");
        let polled = home.enter(|| executor.poll(now, TASK_BUDGET));
        match (polled.ran, polled.timers) {
            (0, _) => Work::None,
            (_, 0) => Work::Active,
            _ => Work::Timed,
        }
    }

    fn next_deadline_ticks(&self) -> Option<u64> {
        let threads = self.threads.next_expiration_ticks();
        let tasks = match &self.phase {
            Phase::Running { executor, .. } => executor.next_deadline_ticks(),
            Phase::Closing | Phase::Stopped => None,
        };
        threads.into_iter().chain(tasks).min()
    }

    fn nap(&mut self, ticks: u64, depth: Depth) -> Woken {
        if depth == Depth::Deep && !self.refresh_watch() {
            return Woken::Otherwise;
        }
        let executor = match &self.phase {
            Phase::Running { executor, .. } => Some(executor),
            Phase::Closing | Phase::Stopped => None,
        };
        let has_work = || !self.inbox.is_empty() || executor.is_some_and(Executor::has_ready);
        let nap = self.clock.to_duration(ticks);
        let woken = match (depth, &mut self.watch) {
            (Depth::Deep, Some(watch)) => self.sleeper.doze_watching(watch, nap, has_work),
            _ => {
                self.sleeper.doze(nap, has_work);
                Woken::Otherwise
            }
        };
        let now = self.clock.now_ticks();
        let slept = now.saturating_sub(self.round_ended_ticks);
        self.round_ended_ticks = now;
        self.stats.naps += 1;
        self.stats.slept_ticks += slept;
        self.stats.idle_ticks += slept;
        woken
    }

    /// False if the kernel's queues can't be watched any more.
    fn refresh_watch(&mut self) -> bool {
        let (active_ticks, now) = (self.idle.active_ticks(), self.round_ended_ticks);
        let fresh = |last: Refreshed| {
            last.active_ticks == active_ticks && now < last.at_ticks + self.clock.to_ticks(REFRESH_AFTER)
        };
        let Some(watch) = &self.watch else { return false };
        if self.refreshed.is_some_and(fresh) {
            return true;
        }
        self.refreshed = Some(Refreshed { active_ticks, at_ticks: now });
        let refreshed = watch.refresh();
        if let Err(error) = &refreshed {
            tracing::warn!(%error, core = self.core, "naps stay light: the kernel's queues can't be watched");
            self.watch = None;
            self.idle.stay_light();
        }
        refreshed.is_ok()
    }

    /// Drops the tasks, as if the core's own thread did, and lets that thread exit.
    pub(crate) fn close(&mut self) {
        self.drop_tasks();
        if let Phase::Running { .. } = self.phase {
            self.phase = Phase::Closing;
        }
    }

    /// Drops the tasks, and keeps the core's own thread.
    pub(crate) fn drop_tasks(&mut self) {
        let Phase::Running { executor, .. } = &self.phase else { return };
        self.on_home_thread(|| executor.close());
    }

    /// Runs `f` as if the core's own SPDK thread did.
    pub(crate) fn on_home_thread<R>(&self, f: impl FnOnce() -> R) -> R {
        self.at_home().expect("the core runs").enter(f)
    }

    fn at_home(&self) -> Option<&OwnedThread> {
        let Phase::Running { home, .. } = &self.phase else { return None };
        self.threads.first(home.id())
    }

    /// This core in the answer of `framework_get_reactors`.
    pub(crate) fn info(&self) -> ReactorInfo {
        let (times, start) = (core_times(self.core).unwrap_or_default(), self.times_at_start);
        let process = self.cores.mask();
        let lw_threads = self.threads.iter().map(|Adopted { thread, since_ticks, .. }| ReactorThread {
            name: thread.name().to_owned(),
            id: thread.id().raw(),
            cpumask: process.intersection(&thread.cpumask()).to_string(),
            elapsed: self.clock.now_ticks().saturating_sub(*since_ticks),
        });
        ReactorInfo {
            lcore: self.core,
            tid: os_thread_id(),
            busy: self.stats.busy_ticks,
            idle: self.stats.idle_ticks,
            in_interrupt: false,
            irq: times.irq.saturating_sub(start.irq),
            sys: times.sys.saturating_sub(start.sys),
            usr: times.usr.saturating_sub(start.usr),
            core_freq: None,
            lw_threads: lw_threads.collect(),
        }
    }

    pub(crate) fn stats(&self) -> CoreStats {
        let Stats { busy_ticks, idle_ticks, naps, slept_ticks } = self.stats;
        CoreStats {
            core: self.core,
            busy_ticks,
            idle_ticks,
            naps,
            slept_ticks,
            ticks_per_s: self.clock.ticks_per_s(),
            threads: self.threads.count(),
            tasks: match &self.phase {
                Phase::Running { executor, .. } => executor.alive(),
                Phase::Closing | Phase::Stopped => 0,
            },
            inbox: self.inbox.stats(),
        }
    }
}
