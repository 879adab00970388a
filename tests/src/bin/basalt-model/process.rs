//! This SPDK process: environment, one OS thread per core that polls the SPDK threads there, subsystems, RPC
//! socket.
//!
//! It has a reactor of its own, the simplest there can be, so that what is tested is not tested with itself.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use spdk_rs::Errno;
use spdk_rs::cpuset::CpuSet;
use spdk_rs::env::{Env, EnvOptions, HugePages};
use spdk_rs::rpc::{self, RpcServer};
use spdk_rs::subsystem;
use spdk_rs::thread::{OwnedThread, PollOutcome, Scheduler, ThreadHandle, ThreadId, ThreadLib};

/// What the process is started with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The lowest is the main core, with the app thread.
    pub cores: Vec<u32>,
    pub memory_mib: u32,
    pub socket: PathBuf,
    /// bdev_ios of the whole process.
    pub bdev_ios: u32,
    /// How many of them each SPDK thread keeps.
    pub bdev_ios_per_thread: u32,
}

/// Where the SPDK threads run.
struct Cores {
    cores: Vec<Core>,
    stop: AtomicBool,
}

struct Core {
    id: u32,
    arrivals: Mutex<Vec<OwnedThread>>,
}

impl Scheduler for Cores {
    /// On the first core of its set.
    fn schedule(&self, thread: OwnedThread) -> Result<(), OwnedThread> {
        let allowed = thread.cpumask();
        let Some(core) = self.cores.iter().find(|core| allowed.contains(core.id)) else { return Err(thread) };
        core.arrivals.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }

    fn reschedule(&self, _id: ThreadId) {}
}

impl Cores {
    fn new(cores: &[u32]) -> Cores {
        let core = |id: &u32| Core { id: *id, arrivals: Mutex::default() };
        Cores { cores: cores.iter().map(core).collect(), stop: AtomicBool::new(false) }
    }

    /// Polls the threads of one core until all are asked to stop and none is left.
    fn run(&self, id: u32) {
        let core = self.cores.iter().find(|core| core.id == id).expect("one of ours");
        let mut threads: Vec<OwnedThread> = Vec::new();
        loop {
            threads.append(&mut core.arrivals.lock().unwrap_or_else(PoisonError::into_inner));
            let mut outcome = PollOutcome::Idle;
            for thread in &mut threads {
                if thread.poll(0) == PollOutcome::Busy {
                    outcome = PollOutcome::Busy;
                }
            }
            threads.extract_if(.., |thread| thread.is_exited()).for_each(OwnedThread::destroy);
            if threads.is_empty() && self.stop.load(Ordering::Acquire) {
                return;
            }
            if outcome == PollOutcome::Idle {
                // What is tested may share this core.
                std::thread::yield_now();
            }
        }
    }
}

/// The handle to the running process, for the thread that conducts it.
pub struct App {
    thread: ThreadHandle,
    cores: Vec<u32>,
}

impl App {
    pub fn cores(&self) -> &[u32] {
        &self.cores
    }

    /// Runs `f` on the app thread, and waits for its result.
    pub fn call<R: Send + 'static>(&self, f: impl FnOnce() -> R + Send + 'static) -> Result<R> {
        call(&self.thread, f)
    }

    /// A new SPDK thread on `core`.
    pub fn spawn(&self, name: &str, core: u32) -> Result<ThreadHandle> {
        ThreadHandle::spawn(name, &CpuSet::of(&[core])?).with_context(|| format!("SPDK thread {name}"))
    }

    /// Begins something on the app thread that tells by a callback how it went, and waits for that.
    fn later<F>(&self, begin: F) -> Result<(), Errno>
    where
        F: FnOnce(Box<dyn FnOnce(Result<(), Errno>)>) -> Result<(), Errno> + Send + 'static,
    {
        let (tell, told) = mpsc::channel();
        self.thread.send(move || {
            let late = tell.clone();
            let done = Box::new(move |result| {
                // It is waited for below.
                let _ = late.send(result);
            });
            if let Err(errno) = begin(done) {
                let _ = tell.send(Err(errno));
            }
        })?;
        told.recv().unwrap_or(Err(Errno::ESHUTDOWN))
    }
}

/// Runs `f` on an SPDK thread, and waits for its result.
pub fn call<R: Send + 'static>(thread: &ThreadHandle, f: impl FnOnce() -> R + Send + 'static) -> Result<R> {
    let (tell, told) = mpsc::channel();
    thread.send(move || {
        // It is waited for below.
        let _ = tell.send(f());
    })?;
    told.recv().context("an SPDK thread dropped what it was to do")
}

/// Starts the process on the calling OS thread, runs `conduct` on another one, and ends the process after it.
pub fn run<R: Send + 'static>(
    setup: &Setup,
    conduct: impl FnOnce(&App) -> Result<R> + Send + 'static,
) -> Result<R> {
    let env = Env::init(&EnvOptions {
        name: "basalt-model".to_owned(),
        cores: setup.cores.clone(),
        memory_mib: Some(setup.memory_mib),
        huge_pages: HugePages::Off,
        ..EnvOptions::default()
    })?;
    let cores = Arc::new(Cores::new(&env.cores()));
    let lib = ThreadLib::init_sized(cores.clone(), 16 * 1024 - 1).context("the thread library")?;
    let main_core = env.main_core();
    let app = App {
        thread: ThreadHandle::spawn("app", &CpuSet::of(&[main_core])?).context("the app thread")?,
        cores: env.cores(),
    };
    for core in env.cores().into_iter().filter(|core| *core != main_core) {
        let cores = cores.clone();
        env.launch_pinned(core, move || cores.run(core)).context("a second core")?;
    }
    let (socket, startup) = (setup.socket.clone(), startup_config(setup).to_string());
    let stop = cores.clone();
    let conductor = std::thread::spawn(move || {
        let result = start(&app, startup, socket).and_then(|server| {
            let result = conduct(&app)?;
            app.call(move || drop(server))?;
            Ok(result)
        });
        // In the middle of something there is no orderly end.
        let result = result.unwrap_or_else(|error| give_up(&format!("{error:#}")));
        let ended = app.later(subsystem::fini);
        drop(app);
        stop.stop.store(true, Ordering::Release);
        ended.context("the end of SPDK's subsystems")?;
        Ok(result)
    });
    cores.run(main_core);
    env.wait_all();
    let result = conductor.join().map_err(|_| anyhow!("the conductor panicked"))?;
    drop(lib);
    drop(env);
    result
}

/// Ends the process at once: not by `exit`, which runs destructors under threads that go on.
pub fn give_up(why: &str) -> ! {
    eprintln!("basalt-model: {why}");
    std::process::abort();
}

/// The subsystems and the RPC socket.
fn start(app: &App, startup: String, socket: PathBuf) -> Result<RpcServer> {
    app.later(move |done| subsystem::load_config(&startup, done)).context("SPDK's start-up options")?;
    app.later(subsystem::init).context("the start of SPDK's subsystems")?;
    match app.call(move || rpc::listen(&socket))? {
        Ok(server) => Ok(server),
        Err(error) => bail!(error),
    }
}

/// Pools that fit into little memory.
fn startup_config(setup: &Setup) -> Value {
    let call = |method: &str, params: Value| json!({ "method": method, "params": params });
    json!({ "subsystems": [
        { "subsystem": "iobuf", "config": [
            call("iobuf_set_options", json!({
                "small_pool_count": 2048, "large_pool_count": 256, "large_bufsize": 135_168,
            })),
        ]},
        { "subsystem": "bdev", "config": [
            call("bdev_set_options", json!({
                "bdev_io_pool_size": setup.bdev_ios, "bdev_io_cache_size": setup.bdev_ios_per_thread,
                "iobuf_small_cache_size": 16, "iobuf_large_cache_size": 8,
            })),
        ]},
    ]})
}
