//! A process of our own without root: 256 MiB of ordinary memory, and threads that the test itself polls.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use spdk_rs::cpuset::CpuSet;
use spdk_rs::env::{Env, EnvOptions, HugePages};
use spdk_rs::thread::{OwnedThread, Scheduler, ThreadHandle, ThreadId, ThreadLib};

/// Longer than anything here takes; a test that waits for longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Keeps new threads until the test polls them.
#[derive(Default)]
pub struct Inbox {
    threads: Mutex<Vec<OwnedThread>>,
    rescheduled: Mutex<Vec<ThreadId>>,
}

impl Scheduler for Inbox {
    fn schedule(&self, thread: OwnedThread) -> Result<(), OwnedThread> {
        if thread.name() == "refused" {
            return Err(thread);
        }
        self.threads.lock().unwrap().push(thread);
        Ok(())
    }

    fn reschedule(&self, id: ThreadId) {
        self.rescheduled.lock().unwrap().push(id);
    }
}

/// An SPDK process: drop order is the reverse of making.
pub struct Process {
    threads: Vec<OwnedThread>,
    app: Option<ThreadHandle>,
    pub inbox: Arc<Inbox>,
    lib: Option<ThreadLib>,
    env: Option<Env>,
}

impl Process {
    pub fn start() -> Process {
        Process::without_threads().with_app()
    }

    pub fn with_app(mut self) -> Process {
        self.app = Some(ThreadHandle::spawn("app", &CpuSet::all()).expect("app thread"));
        self
    }

    /// Environment and thread library, and no thread yet.
    pub fn without_threads() -> Process {
        let env = Env::init(&options()).expect("environment");
        let inbox = Arc::new(Inbox::default());
        let lib = ThreadLib::init_sized(inbox.clone(), 16 * 1024 - 1).expect("thread library");
        Process { threads: Vec::new(), app: None, inbox, lib: Some(lib), env: Some(env) }
    }

    pub fn cores(&self) -> Vec<u32> {
        self.env.as_ref().expect("the environment").cores()
    }

    pub fn app(&self) -> &ThreadHandle {
        self.app.as_ref().expect("the app thread")
    }

    pub fn take_app(&mut self) -> ThreadHandle {
        self.app.take().expect("the app thread")
    }

    pub fn rescheduled(&self) -> Vec<ThreadId> {
        self.inbox.rescheduled.lock().unwrap().clone()
    }

    /// Takes a thread away, to poll it elsewhere.
    pub fn take(&mut self, id: ThreadId) -> OwnedThread {
        self.threads.append(&mut self.inbox.threads.lock().unwrap());
        let at = self.threads.iter().position(|thread| thread.id() == id).expect("such a thread");
        self.threads.remove(at)
    }

    pub fn threads(&mut self) -> &mut Vec<OwnedThread> {
        self.threads.append(&mut self.inbox.threads.lock().unwrap());
        &mut self.threads
    }

    /// Polls every thread once; those that have exited are destroyed.
    pub fn poll(&mut self) {
        for thread in self.threads() {
            thread.poll(0);
        }
        while let Some(at) = self.threads.iter().position(OwnedThread::is_exited) {
            self.threads.remove(at).destroy();
        }
    }

    pub fn poll_times(&mut self, times: usize) {
        for _ in 0..times {
            self.poll();
        }
    }

    /// Polls until `ready`.
    #[track_caller]
    pub fn poll_until(&mut self, mut ready: impl FnMut() -> bool) {
        let started = Instant::now();
        while !ready() {
            assert!(started.elapsed() < PATIENCE, "waited for too long");
            self.poll();
        }
    }

    /// Runs `f` on the app thread, which the test polls, and waits for it.
    #[track_caller]
    pub fn on_app<R: Send + 'static>(&mut self, f: impl FnOnce() -> R + Send + 'static) -> R {
        let result = Arc::new(Mutex::new(None));
        let slot = result.clone();
        self.app().send(move || *slot.lock().unwrap() = Some(f())).expect("the app thread takes messages");
        self.poll_until(|| result.lock().unwrap().is_some());
        let mut result = result.lock().unwrap();
        result.take().expect("just seen")
    }

    /// Ends all threads (whose other handles must be gone), the library and the environment.
    #[track_caller]
    pub fn stop(mut self) {
        self.app = None;
        let started = Instant::now();
        while !self.threads().is_empty() {
            assert!(started.elapsed() < PATIENCE, "threads don't end: {:?}", self.threads);
            self.poll();
        }
        drop(self.lib.take());
        assert!(ThreadHandle::spawn("late", &CpuSet::all()).is_err(), "the thread library was not finished");
        drop(self.env.take());
        assert!(spdk_rs::dma::DmaBuf::new(64, 64).is_err(), "the environment was not finished");
    }
}

/// One core, a different one for each of the tests that run side by side.
pub fn options() -> EnvOptions {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
    EnvOptions {
        name: "test".to_owned(),
        cores: vec![std::process::id() % cores],
        memory_mib: Some(256),
        huge_pages: HugePages::Off,
        ..EnvOptions::default()
    }
}
