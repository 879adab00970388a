//! A small SPDK process: environment, app thread and subsystems, all polled by the calling OS thread.

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use spdk_rs::cpuset::CpuSet;
use spdk_rs::env::{Env, EnvOptions, HugePages};
use spdk_rs::error::Errno;
use spdk_rs::subsystem;
use spdk_rs::thread::{OwnedThread, Scheduler, ThreadHandle, ThreadId, ThreadLib};

/// No wait in a test is longer.
const DEADLINE: Duration = Duration::from_secs(30);

/// What differs between the processes that tests need.
pub struct Setup {
    pub huge_pages: HugePages,
    /// bdev_ios in the whole process, and how many of them each thread keeps.
    pub bdev_ios: (u32, u32),
    /// Large buffers (for reads without a buffer) in the whole process.
    pub large_buffers: u32,
}

impl Default for Setup {
    fn default() -> Self {
        Setup { huge_pages: HugePages::Off, bdev_ios: (8192, 256), large_buffers: 128 }
    }
}

/// New threads wait here until the lab, or whoever the test lets poll, takes them.
#[derive(Default)]
struct Arrivals(Mutex<Vec<OwnedThread>>);

impl Scheduler for Arrivals {
    fn schedule(&self, thread: OwnedThread) -> Result<(), OwnedThread> {
        self.0.lock().unwrap().push(thread);
        Ok(())
    }

    fn reschedule(&self, _id: ThreadId) {}
}

pub struct Lab {
    threads: Vec<OwnedThread>,
    arrivals: Arc<Arrivals>,
    app: Option<ThreadHandle>,
    lib: ThreadLib,
    env: Env,
}

impl Lab {
    pub fn start(setup: &Setup) -> Lab {
        let env = Env::init(&EnvOptions {
            name: "lab".to_owned(),
            huge_pages: setup.huge_pages,
            memory_mib: Some(384),
            ..EnvOptions::default()
        })
        .expect("environment");
        let arrivals = Arc::new(Arrivals::default());
        let lib = ThreadLib::init_sized(arrivals.clone(), 8191).expect("thread library");
        let cores = CpuSet::of(&[0]).expect("core 0");
        let app = ThreadHandle::spawn("app", &cores).expect("app thread");
        let mut lab = Lab { threads: Vec::new(), arrivals, app: Some(app), lib, env };
        let (pool, cache) = setup.bdev_ios;
        let config = json!({ "subsystems": [
            { "subsystem": "iobuf", "config": [
                call("iobuf_set_options", json!({
                    "small_pool_count": 512, "large_pool_count": setup.large_buffers, "large_bufsize": 135168,
                })),
            ]},
            { "subsystem": "bdev", "config": [
                call("bdev_set_options", json!({
                    "bdev_io_pool_size": pool, "bdev_io_cache_size": cache,
                    "iobuf_small_cache_size": 16, "iobuf_large_cache_size": 4,
                })),
            ]},
        ]});
        lab.later(|done| subsystem::load_config(&config.to_string(), done)).expect("start-up configuration");
        lab.later(subsystem::init).expect("subsystems");
        lab
    }

    /// Finishes everything; what the test opened must have been dropped.
    pub fn stop(mut self) {
        self.finish_subsystems();
        self.stop_threads();
    }

    /// The first half of [`Lab::stop`].
    pub fn finish_subsystems(&mut self) {
        self.later(subsystem::fini).expect("end of the subsystems");
    }

    /// The second half of [`Lab::stop`].
    pub fn stop_threads(mut self) {
        self.app = None;
        self.until("the threads have exited", |lab| lab.threads.is_empty());
        drop(self.lib);
        drop(self.env);
    }

    /// Polls every thread once.
    pub fn poll(&mut self) {
        self.threads.append(&mut self.arrivals.0.lock().unwrap());
        for thread in &mut self.threads {
            thread.poll(0);
        }
        for exited in self.threads.extract_if(.., |thread| thread.is_exited()) {
            exited.destroy();
        }
    }

    /// Polls until `reached`.
    pub fn until(&mut self, what: &str, mut reached: impl FnMut(&mut Lab) -> bool) {
        let begun = Instant::now();
        while !reached(self) {
            assert!(begun.elapsed() < DEADLINE, "waited in vain: {what}");
            self.poll();
        }
    }

    /// Runs `f` on the app thread.
    pub fn on_app<R>(&mut self, f: impl FnOnce() -> R) -> R {
        self.on(0, f)
    }

    /// Runs `f` on thread `n`, in the order in which they were made.
    pub fn on<R>(&mut self, n: usize, f: impl FnOnce() -> R) -> R {
        self.threads.append(&mut self.arrivals.0.lock().unwrap());
        self.threads[n].enter(f)
    }

    /// Runs a future on the app thread.
    pub fn block_on<F: Future>(&mut self, future: F) -> F::Output {
        let mut future = pin!(future);
        let mut output = None;
        self.until("a future is ready", |lab| {
            let mut cx = Context::from_waker(Waker::noop());
            if let Poll::Ready(value) = lab.on_app(|| future.as_mut().poll(&mut cx)) {
                output = Some(value);
            }
            output.is_some()
        });
        output.expect("until it was there")
    }

    /// Begins something on the app thread that tells by a callback how it went, and waits for that.
    pub fn later(
        &mut self,
        begin: impl FnOnce(Box<dyn FnOnce(Result<(), Errno>)>) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let outcome = self.begin(begin)?;
        self.until("a callback came", |_| outcome.borrow().is_some());
        outcome.take().expect("until it was there")
    }

    /// As [`Lab::later`], without the wait.
    pub fn begin(
        &mut self,
        begin: impl FnOnce(Box<dyn FnOnce(Result<(), Errno>)>) -> Result<(), Errno>,
    ) -> Result<Outcome, Errno> {
        let outcome: Outcome = Rc::default();
        let fill = outcome.clone();
        self.on_app(|| begin(Box::new(move |result| *fill.borrow_mut() = Some(result))))?;
        Ok(outcome)
    }

    /// Calls one of SPDK's RPC methods of the bdev subsystem.
    pub fn rpc(&mut self, method: &str, params: Value) {
        let outcome = self.begin_rpc(method, params);
        self.until(method, |_| outcome.borrow().is_some());
        outcome.take().expect("until it was there").unwrap_or_else(|errno| panic!("{method}: {errno}"));
    }

    /// As [`Lab::rpc`], without the wait.
    pub fn begin_rpc(&mut self, method: &str, params: Value) -> Outcome {
        let config = json!({ "subsystems": [{ "subsystem": "bdev", "config": [call(method, params)] }] });
        self.begin(|done| subsystem::load_config(&config.to_string(), done)).expect("nothing else goes on")
    }

    pub fn malloc(&mut self, name: &str, block_size: u32, num_blocks: u64) {
        let params = json!({ "name": name, "block_size": block_size, "num_blocks": num_blocks });
        self.rpc("bdev_malloc_create", params);
    }

    /// One more SPDK thread, polled by the lab.
    pub fn spawn(&mut self, name: &str) -> ThreadHandle {
        ThreadHandle::spawn(name, &CpuSet::of(&[0]).expect("core 0")).expect("thread")
    }

    /// Gives the newest SPDK thread away, to be polled elsewhere.
    pub fn give_away(&mut self) -> OwnedThread {
        self.arrivals.0.lock().unwrap().pop().expect("a thread that nobody has polled")
    }
}

/// How something went that was begun, once it is known.
pub type Outcome = Rc<RefCell<Option<Result<(), Errno>>>>;

fn call(method: &str, params: Value) -> Value {
    json!({ "method": method, "params": params })
}
