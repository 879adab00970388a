//! A small SPDK process whose threads the test polls itself.

use std::cell::RefCell;
use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use spdk_rs::Errno;
use spdk_rs::bdev::{BdevEvent, Channel, Descriptor};
use spdk_rs::cpuset::CpuSet;
use spdk_rs::env::{Env, EnvOptions, HugePages};
use spdk_rs::rpc::{RpcServer, listen};
use spdk_rs::subsystem;
use spdk_rs::thread::{OwnedThread, Scheduler, ThreadHandle, ThreadId, ThreadLib};
use tempfile::TempDir;

use crate::client::{Answer, Client};

/// No wait is longer.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Arrivals(Mutex<Vec<OwnedThread>>);

impl Scheduler for Arrivals {
    fn schedule(&self, thread: OwnedThread) -> Result<(), OwnedThread> {
        self.0.lock().unwrap().push(thread);
        Ok(())
    }

    fn reschedule(&self, _id: ThreadId) {}
}

/// Dropped by [`Lab::stop`] only, part by part.
pub struct Lab {
    /// The app thread is the first.
    threads: Vec<OwnedThread>,
    arrivals: Arc<Arrivals>,
    server: Option<RpcServer>,
    app: Option<ThreadHandle>,
    lib: ThreadLib,
    env: Env,
    /// On a disk, where direct I/O works.
    pub dir: TempDir,
}

/// How something ended that tells by a callback.
type Outcome = Rc<RefCell<Option<Result<(), Errno>>>>;

impl Lab {
    pub fn start() -> Lab {
        let env = Env::init(&EnvOptions {
            name: "drives".into(),
            huge_pages: HugePages::Off,
            memory_mib: Some(384),
            ..EnvOptions::default()
        })
        .expect("environment");
        let arrivals = Arc::new(Arrivals::default());
        let lib = ThreadLib::init_sized(arrivals.clone(), 8191).expect("thread library");
        let app = Some(ThreadHandle::spawn("app", &CpuSet::of(&[0]).unwrap()).expect("app thread"));
        let dir = TempDir::new_in("/var/tmp").unwrap();
        let mut lab = Lab { threads: Vec::new(), arrivals, server: None, app, lib, env, dir };
        let pools = json!({ "subsystems": [
            { "subsystem": "iobuf", "config": [{ "method": "iobuf_set_options", "params":
                { "small_pool_count": 512, "large_pool_count": 64, "large_bufsize": 135168 } }] },
            { "subsystem": "bdev", "config": [{ "method": "bdev_set_options", "params":
                { "bdev_io_pool_size": 4096, "bdev_io_cache_size": 256,
                  "iobuf_small_cache_size": 16, "iobuf_large_cache_size": 4 } }] },
        ]});
        lab.wait_for(|done| subsystem::load_config(&pools.to_string(), done));
        lab.wait_for(subsystem::init);
        let socket = lab.socket();
        lab.server = Some(lab.on(0, || listen(&socket).expect("RPC server")));
        lab
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("rpc.sock")
    }

    /// Ends everything; descriptors and channels must have been dropped.
    pub fn stop(mut self) {
        let server = self.server.take();
        self.on(0, || drop(server));
        self.wait_for(subsystem::fini);
        self.app = None;
        self.until("the threads exit", |lab| lab.threads.is_empty());
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

    #[track_caller]
    pub fn until(&mut self, what: &str, mut reached: impl FnMut(&Lab) -> bool) {
        let begun = Instant::now();
        while !reached(self) {
            assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
            self.poll();
        }
    }

    /// Runs `f` on thread `n`, in the order in which they were made.
    pub fn on<R>(&mut self, n: usize, f: impl FnOnce() -> R) -> R {
        self.threads.append(&mut self.arrivals.0.lock().unwrap());
        self.threads[n].enter(f)
    }

    fn wait_for(&mut self, begin: impl FnOnce(Box<dyn FnOnce(Result<(), Errno>)>) -> Result<(), Errno>) {
        let outcome = Outcome::default();
        let fill = Rc::clone(&outcome);
        self.on(0, || begin(Box::new(move |result| *fill.borrow_mut() = Some(result)))).expect("it begins");
        self.until("a callback", |_| outcome.borrow().is_some());
        outcome.take().unwrap().expect("it ends well");
    }

    /// Runs a future on thread `n`.
    #[track_caller]
    pub fn block_on<F: Future>(&mut self, n: usize, future: F) -> F::Output {
        let mut future = pin!(future);
        let begun = Instant::now();
        loop {
            let mut context = Context::from_waker(Waker::noop());
            if let Poll::Ready(output) = self.on(n, || future.as_mut().poll(&mut context)) {
                return output;
            }
            assert!(begun.elapsed() < PATIENCE, "a future takes too long");
            self.poll();
        }
    }

    /// Calls a JSON-RPC method, as any client would.
    #[track_caller]
    pub fn call(&mut self, method: &str, params: Value) -> Answer {
        let client = self.begin_call(method, params);
        self.until(method, |_| client.is_finished());
        client.join()
    }

    pub fn begin_call(&mut self, method: &str, params: Value) -> Client {
        Client::begin(self.socket(), method, params)
    }

    /// A drive of `size_bytes` on a file of that name in the lab's folder.
    #[track_caller]
    pub fn create(&mut self, name: &str, size_bytes: u64) {
        let path = self.file(name);
        let params = json!({ "name": name, "path": path, "size_bytes": size_bytes });
        assert_eq!(self.call("bdev_basalt_file_create", params), Ok(json!(name)));
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.img"))
    }

    /// Of `bdev_get_bdevs`: what the module says of its drive.
    #[track_caller]
    pub fn info(&mut self, name: &str) -> Value {
        let bdevs = self.call("bdev_get_bdevs", json!({ "name": name })).unwrap();
        bdevs[0]["driver_specific"]["basalt_file"].clone()
    }

    #[track_caller]
    pub fn counter(&mut self, name: &str, counter: &str) -> u64 {
        self.info(name)["counters"][counter].as_u64().expect(counter)
    }

    /// Opens a bdev, with a channel on the app thread.
    #[track_caller]
    pub fn open(&mut self, name: &str) -> Channel {
        self.open_with(name, |_| {})
    }

    #[track_caller]
    pub fn open_with(&mut self, name: &str, event: impl FnMut(BdevEvent) + 'static) -> Channel {
        self.on(0, || Descriptor::open(name, true, event).unwrap().channel().unwrap())
    }

    /// Lets go of what belongs to the app thread.
    pub fn close<T>(&mut self, what: T) {
        self.on(0, || drop(what));
    }

    pub fn spawn(&mut self, name: &str) -> ThreadHandle {
        ThreadHandle::spawn(name, &CpuSet::of(&[0]).unwrap()).unwrap()
    }

    /// The newest thread, to be polled elsewhere.
    pub fn give_away(&mut self) -> OwnedThread {
        self.arrivals.0.lock().unwrap().pop().expect("a thread that was not polled")
    }
}
