//! The life of a process of ours: environment, thread library, one reactor per core, the main future, and the
//! way back.
//!
//! ```text
//!   env -> thread library -> app thread -> reactors -> the main future runs on the app thread
//!                                                          | it returns
//!   env <- thread library <- app thread <- reactors <------+
//!    end                      exits last    tasks are dropped, every other SPDK thread exits
//! ```
//!
//! What the main future started in SPDK (servers, subsystems, exports, arrays, drives) it ends itself before
//! it returns, in its own order; the runtime only cleans up what belongs to no one. A thread that does not
//! exit within the limit is named, and leaked.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use spdk_rs::Errno;
use spdk_rs::cpuset::CpuSet;
use spdk_rs::env::{self, Env, EnvError, EnvOptions};
use spdk_rs::thread::{ThreadHandle, ThreadId, ThreadLib};

use crate::clock::Clock;
use crate::cores::{self as runtime_cores, Cores, Here, Message};
pub use crate::cores::{cores, run_on};
use crate::executor::Task;
use crate::idle::IdlePolicy;
use crate::mailbox::{Class, Flushed, Mailbox, Outbox};
pub use crate::oneshot::Gone;
pub use crate::reactor::CoreStats;
use crate::reactor::{Parts, Reactor};
use crate::rpc;
use crate::shutdown::{Signals, Wishes};
use crate::wake::{self, Sleeper};

/// Messages that fit in a core's inbox: new threads, calls. What does not fit is sent again in the next
/// round.
const INBOX_CAPACITY: usize = 1024;
/// Of these, for control messages alone.
const INBOX_RESERVE: usize = 256;
/// The kernel may add this to a nap; by default it adds 50 us.
const TIMER_SLACK_NS: NonZeroU64 = NonZeroU64::new(1_000).unwrap();
/// The app thread's name, as SPDK's own applications call it.
const APP_THREAD: &str = "app_thread";

/// What a process of ours runs on.
#[derive(Clone, Debug)]
pub struct Runtime {
    env: EnvOptions,
    idle: IdlePolicy,
    messages: usize,
    exit_limit: Duration,
}

/// Why there is no runtime.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The environment could not be initialised.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// The thread library, or the first thread of a core, could not be made.
    #[error("{what} could not be made: {errno}. Give the runtime more memory if it is short of it")]
    Threads {
        /// Which.
        what: String,
        /// SPDK's answer.
        errno: Errno,
    },
    /// A core's OS thread could not be used.
    #[error("no reactor could be started on core {core}: {errno}")]
    Launch {
        /// The core.
        core: u32,
        /// DPDK's answer.
        errno: Errno,
    },
    /// SIGINT and SIGTERM could not be listened to.
    #[error("signals can't be listened to: {0}")]
    Signals(#[from] std::io::Error),
}

/// A process that has come to its end.
#[derive(Debug)]
pub struct Finished<T> {
    /// What the main future returned.
    pub output: T,
    /// SPDK threads that did not exit in time, as `name (core N)`. When there are any, SPDK is not finished,
    /// and the process should end now.
    pub stuck_threads: Vec<String>,
}

impl Runtime {
    /// Default options: one core, huge pages, naps when idle.
    pub fn builder() -> Runtime {
        Runtime {
            env: EnvOptions::default(),
            idle: IdlePolicy::default(),
            messages: ThreadLib::DEFAULT_MESSAGES,
            exit_limit: Duration::from_secs(10),
        }
    }

    /// Cores, memory, and the rest of SPDK's environment.
    pub fn env(mut self, env: EnvOptions) -> Runtime {
        self.env = env;
        self
    }

    /// What a core does when it has nothing to do.
    pub fn idle(mut self, idle: IdlePolicy) -> Runtime {
        self.idle = idle;
        self
    }

    /// How many SPDK messages may wait in all threads together; see [`ThreadLib::init_sized`].
    pub fn messages(mut self, messages: usize) -> Runtime {
        self.messages = messages;
        self
    }

    /// How long SPDK threads may take to exit at the end. SPDK itself forces a thread after 5 s.
    pub fn exit_limit(mut self, limit: Duration) -> Runtime {
        self.exit_limit = limit;
        self
    }

    /// Runs `main` on the app thread, on the calling OS thread, and then shuts everything down. Once per
    /// process.
    ///
    /// From the start on SIGINT and SIGTERM do nothing but what [`crate::shutdown`] tells.
    pub fn run<T: 'static>(
        self,
        main: impl Future<Output = T> + 'static,
    ) -> Result<Finished<T>, RuntimeError> {
        let signals = Signals::listen()?;
        let env = Env::init(&self.env)?;
        let clock = Clock::new(env::ticks, env::ticks_hz());
        let mut seats: BTreeMap<u32, Seat> =
            env.cores().into_iter().map(|core| (core, Seat::new())).collect();
        let inboxes = seats.iter().map(|(core, seat)| (*core, seat.inbox.sender())).collect();
        let cores = Arc::new(Cores::new(env.main_core(), inboxes));
        let lib = ThreadLib::init_sized(cores.clone(), self.messages)
            .map_err(|errno| RuntimeError::Threads { what: "SPDK's thread library".to_owned(), errno })?;

        let mut reactor_parts = |core, home| {
            let Seat { inbox, sleeper } = seats.remove(&core).expect("each core is seated once");
            Parts { core, clock, cores: cores.clone(), inbox, sleeper, idle: self.idle, home }
        };
        let app = home_thread(APP_THREAD, cores.main)?;
        let app_id = app.id();
        let parts = reactor_parts(cores.main, app);
        let main_core = MainCore::enter(parts, signals);
        let others = Others::launch(&env, &cores, reactor_parts)?;
        let finished = main_core.run(main, app_id, others, self.exit_limit);
        env.wait_all();
        drop(lib);
        drop(env);
        Ok(finished)
    }
}

/// A core before its reactor runs.
struct Seat {
    inbox: Mailbox<Message>,
    sleeper: Arc<Sleeper>,
}

impl Seat {
    fn new() -> Self {
        let sleeper = Sleeper::new();
        let inbox = Mailbox::new(INBOX_CAPACITY, INBOX_RESERVE);
        inbox.set_waker(sleeper.clone().into());
        Seat { inbox, sleeper }
    }
}

/// A core's own SPDK thread. It is in the core's inbox when this returns.
fn home_thread(name: &str, core: u32) -> Result<ThreadHandle, RuntimeError> {
    CpuSet::of(&[core])
        .and_then(|mask| ThreadHandle::spawn(name, &mask))
        .and_then(|home| home.bind().map(|()| home))
        .map_err(|errno| RuntimeError::Threads { what: format!("the SPDK thread {name}"), errno })
}

/// The thread-local state of a reactor's OS thread; held while it runs.
struct Entered {
    _here: runtime_cores::Entered,
    _executor: Option<crate::executor::Entered>,
    _waker: wake::Entered,
}

fn enter(reactor: &Reactor, cores: &Arc<Cores>, sleeper: &Arc<Sleeper>, wishes: Option<Wishes>) -> Entered {
    if let Err(error) = rustix::thread::set_current_timer_slack(Some(TIMER_SLACK_NS)) {
        tracing::warn!(%error, "naps will be longer than planned: no timer slack could be set");
    }
    Entered {
        _here: runtime_cores::enter(Here::new(cores.clone(), wishes)),
        _executor: reactor.spawner().map(|spawner| spawner.enter()),
        _waker: wake::enter(sleeper.clone().into()),
    }
}

/// The reactors of all cores but the main one. Dropping it stops them.
struct Others {
    outboxes: Vec<Outbox<Message>>,
}

impl Others {
    fn launch(
        env: &Env,
        cores: &Arc<Cores>,
        mut parts: impl FnMut(u32, ThreadHandle) -> Parts,
    ) -> Result<Self, RuntimeError> {
        let mut others = Others { outboxes: Vec::new() };
        for core in cores.numbers().filter(|core| *core != cores.main) {
            let parts = parts(core, home_thread(&format!("reactor_{core}"), core)?);
            env.launch_pinned(core, move || run_other(parts))
                .map_err(|errno| RuntimeError::Launch { core, errno })?;
            let inbox = cores.inbox(core).expect("each core has one");
            others.outboxes.push(Outbox::new(inbox.clone()));
        }
        Ok(others)
    }

    fn send(&mut self, message: impl Fn() -> Message) {
        self.outboxes.iter_mut().for_each(|outbox| outbox.send(Class::Control, message()));
    }

    /// Whether everything that was sent is there.
    fn flush(&mut self) -> bool {
        self.outboxes.iter_mut().map(Outbox::flush).filter(|flushed| *flushed == Flushed::Waiting).count()
            == 0
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        self.send(|| Message::Stop);
        // A core that runs empties its inbox. One that hangs would hang the process anyway, in Env::wait_all.
        while !self.flush() {
            std::thread::yield_now();
        }
    }
}

/// The life of a reactor on another core than the main one.
fn run_other(parts: Parts) {
    let (cores, sleeper) = (parts.cores.clone(), parts.sleeper.clone());
    let mut reactor = Reactor::new(parts);
    let _entered = enter(&reactor, &cores, &sleeper, None);
    while !reactor.is_stopped() {
        reactor.turn();
    }
}

/// The reactor of the main core, which leads the others.
struct MainCore {
    reactor: Reactor,
    cores: Arc<Cores>,
    signals: Signals,
    _entered: Entered,
}

impl MainCore {
    fn enter(parts: Parts, signals: Signals) -> Self {
        let (cores, sleeper) = (parts.cores.clone(), parts.sleeper.clone());
        let reactor = Reactor::new(parts);
        let entered = enter(&reactor, &cores, &sleeper, Some(Wishes::new()));
        reactor.on_home_thread(rpc::register_all);
        MainCore { reactor, cores, signals, _entered: entered }
    }

    fn run<T: 'static>(
        mut self,
        main: impl Future<Output = T> + 'static,
        app: ThreadId,
        mut others: Others,
        exit_limit: Duration,
    ) -> Finished<T> {
        let mut task = self.reactor.spawner().expect("it runs").spawn_local(main);
        while !task.is_finished() {
            self.turn();
        }
        let output = output_of(&mut task);
        let deadline = Instant::now() + exit_limit;
        self.reactor.drop_tasks();
        others.send(|| Message::Close);
        let cores = self.cores.clone();
        let threads = &cores.placement;
        // The app thread goes last, once nobody can need it any more.
        let stuck_threads = if self.turn_until(deadline, || others.flush() && threads.none_but(Some(app))) {
            self.reactor.close();
            self.turn_until(deadline, || threads.none_but(None));
            threads.all_but(None)
        } else {
            threads.all_but(Some(app))
        };
        if !stuck_threads.is_empty() {
            tracing::error!(?stuck_threads, ?exit_limit, "SPDK threads did not exit; they are leaked");
        }
        Finished { output, stuck_threads }
    }

    fn turn(&mut self) {
        self.reactor.turn();
        for signal in self.signals.take() {
            runtime_cores::here().wishes().add(signal);
        }
    }

    /// Whether it is so before the deadline.
    fn turn_until(&mut self, deadline: Instant, mut so: impl FnMut() -> bool) -> bool {
        while !so() {
            if Instant::now() >= deadline {
                return false;
            }
            self.turn();
        }
        true
    }
}

/// The result of a task that is finished.
fn output_of<T>(task: &mut Task<T>) -> T {
    match pin!(task).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("it is finished"),
    }
}

/// What a core has done so far. [`Gone`] if there is no such core.
pub async fn core_stats(core: u32) -> Result<CoreStats, Gone> {
    runtime_cores::here().cores.clone().ask(core, Reactor::stats).await
}
