//! The course of a run, on an OS thread that may wait: calls, workers, faults, read-back, questions.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use basalt_tests::rpc::Client;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use spdk_rs::thread::{ThreadBound, ThreadHandle};

use crate::content::Content;
use crate::host::Bdev;
use crate::model::Model;
use crate::options::{Call, Fault, Verify};
use crate::process::{self, App};
use crate::rng::mix;
use crate::worker::{Shared, Source, State, Worker};
use crate::workload::{Op, Shape};
use basalt_tests::verdict::{Called, Verdict};

/// Makes bdevs of NVMe namespaces.
const ATTACH: &str = "bdev_nvme_attach_controller";

/// How long a call may take: it waits for I/O to drain.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Makes a call; on the socket of this process unless it names another one.
pub fn call(own_socket: &Path, call: &Call) -> Result<Value> {
    let socket = call.socket.as_deref().unwrap_or(own_socket);
    let mut client = Client::connect(socket, CALL_TIMEOUT)?;
    client.call(&call.method, call.params.clone()).map_err(|error| anyhow!("{}: {error}", call.method))
}

/// Makes the calls that come first, and opens the bdev.
pub fn open(app: &App, socket: &Path, setup: &[Call], bdev: &str) -> Result<Arc<Bdev>> {
    for one in setup {
        call(socket, one)?;
    }
    let name = bdev.to_owned();
    let opened = app.call(move || Bdev::open(&name))?;
    opened.map_err(|errno| anyhow!("bdev {bdev} can't be opened: {errno}"))
}

/// Random I/O with faults, and the read-back.
pub fn verify(app: &App, socket: &Path, options: &Verify, seed: u64) -> Result<Verdict> {
    let bdev = open(app, socket, &options.common.setup, &options.common.bdev)?;
    let kept = Kept::load(options, bdev.num_blocks, seed)?;
    let kept_seed = kept.content_seed;
    let shared = Arc::new(share(bdev, options, seed, kept));
    let cores: Vec<u32> =
        app.cores().iter().copied().filter(|core| !options.idle_cores.contains(core)).collect();
    ensure!(!cores.is_empty(), "every core is in --idle-cores: none is left for I/O");

    if options.load.is_some() {
        read_back(app, &shared, &cores, options.depth, seed ^ 1)?;
        shared.lock().source = Source::Random { until: None };
    }
    let milestones = plan_faults(&shared, &options.fault);
    let random = Crew::start(app, &shared, &cores, options.depth, seed)?;
    for (fault, reached) in milestones {
        let left = shared.deadline.saturating_duration_since(Instant::now());
        let Ok(at) = reached.recv_timeout(left) else {
            process::give_up("the time is up before a fault could be made")
        };
        make(&shared, socket, &fault.call(), at);
    }
    shared.lock().end_after(options.ios);
    random.finish(shared.deadline + CALL_TIMEOUT)?;
    let now = || shared.lock().verdict.ios;
    options.then.iter().for_each(|one| make(&shared, socket, one, now()));

    if !options.until_failure {
        read_back(app, &shared, &cores, options.depth, seed)?;
    }
    options.ask.iter().for_each(|one| make(&shared, socket, one, now()));

    let (save, content_seed, power_cut) = (options.save.clone(), kept_seed, options.power_cut);
    app.call(move || {
        // The last Arc: the bdev is closed here, on the app thread.
        let shared = Arc::into_inner(shared).context("a worker is left")?;
        let bdev = Arc::clone(&shared.bdev);
        let state = shared.into_state();
        drop(bdev);
        Ok(state)
    })
    .flatten()
    .and_then(|state| keep(state, save, content_seed, power_cut))
}

/// Reads everything.
fn read_back(app: &App, shared: &Arc<Shared>, cores: &[u32], depth: usize, seed: u64) -> Result<()> {
    shared.lock().source = Source::ReadBack { next_lba: 0 };
    let crew = Crew::start(app, shared, cores, depth.min(4), mix(seed))?;
    crew.finish(Instant::now() + CALL_TIMEOUT)
}

/// What one run leaves to the next.
#[derive(Deserialize, Serialize)]
struct Kept {
    content_seed: u64,
    model: Model,
}

impl Kept {
    fn load(options: &Verify, num_blocks: u64, seed: u64) -> Result<Kept> {
        let Some(file) = &options.load else {
            return Ok(Kept { content_seed: seed, model: Model::new(num_blocks) });
        };
        let text = std::fs::read_to_string(file).with_context(|| format!("can't read {}", file.display()))?;
        let kept: Kept = serde_json::from_str(&text)?;
        ensure!(kept.model.num_blocks() == num_blocks, "the bdev has {num_blocks} blocks; it had others");
        Ok(kept)
    }
}

fn keep(state: State, save: Option<PathBuf>, content_seed: u64, power_cut: bool) -> Result<Verdict> {
    let State { mut model, verdict, .. } = state;
    if power_cut {
        model.lose_power();
    }
    if let Some(file) = save {
        std::fs::write(&file, serde_json::to_string(&Kept { content_seed, model })?)
            .with_context(|| format!("can't write {}", file.display()))?;
    }
    Ok(verdict)
}

fn share(bdev: Arc<Bdev>, options: &Verify, seed: u64, kept: Kept) -> Shared {
    let kinds = [Op::WriteZeroes, Op::Unmap, Op::Flush];
    let (num_blocks, block_size) = (bdev.num_blocks, bdev.block_size);
    let shape = Shape {
        num_blocks,
        block_size,
        max_blocks: (options.max_kib * 1024 / u64::from(block_size)).clamp(1, num_blocks),
        borders: options.borders.clone(),
        without: kinds.into_iter().filter(|op| !bdev.supports(*op)).collect(),
    };
    let state = State {
        model: kept.model,
        verdict: Verdict { seed, num_blocks, block_size, ..Verdict::default() },
        source: Source::Random { until: None },
        milestones: Vec::new(),
    };
    Shared {
        bdev,
        shape,
        content: Content::new(kept.content_seed),
        fua_reaches_it: !options.common.setup.iter().any(|call| call.method == ATTACH),
        unmap_may_keep: options.unmap_may_keep,
        until_failure: options.until_failure,
        deadline: Instant::now() + Duration::from_secs(options.seconds),
        state: Mutex::new(state),
    }
}

/// Has the workers tell when it is time for each fault.
fn plan_faults(shared: &Shared, faults: &[Fault]) -> Vec<(Fault, Receiver<u64>)> {
    let mut faults = faults.to_vec();
    faults.sort_by_key(|fault| fault.at);
    let mut state = shared.lock();
    let plan = |fault: Fault| {
        let (tell, told) = mpsc::channel();
        state.milestones.push((fault.at, tell));
        (fault, told)
    };
    faults.into_iter().map(plan).collect()
}

fn make(shared: &Shared, socket: &Path, one: &Call, at: u64) {
    let (result, error) = match call(socket, one) {
        Ok(result) => (result, None),
        Err(error) => (Value::Null, Some(format!("{error:#}"))),
    };
    shared.lock().verdict.calls.push(Called { method: one.method.clone(), at, result, error });
}

/// The workers of all cores.
struct Crew {
    threads: Vec<ThreadHandle>,
    done: Receiver<()>,
}

impl Crew {
    /// All channels are open before the first I/O is sent: it may take the last of some resource.
    fn start(app: &App, shared: &Arc<Shared>, cores: &[u32], depth: usize, seed: u64) -> Result<Crew> {
        let (tell, done) = mpsc::channel();
        let (mut threads, mut workers) = (Vec::new(), Vec::new());
        for &core in cores {
            let thread = app.spawn(&format!("worker_{core}"), core)?;
            let (shared, tell) = (Arc::clone(shared), tell.clone());
            let seed = mix(seed ^ u64::from(core + 1));
            let opened = process::call(&thread, move || {
                Worker::open(shared, core, depth, seed, tell).map(ThreadBound::new)
            })?;
            workers.push(opened.map_err(|errno| anyhow!("no channel or buffers on core {core}: {errno}"))?);
            threads.push(thread);
        }
        for (thread, worker) in threads.iter().zip(workers) {
            thread.send(move || worker.into_inner().begin())?;
        }
        Ok(Crew { threads, done })
    }

    fn finish(self, deadline: Instant) -> Result<()> {
        for _ in &self.threads {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.done.recv_timeout(left) {
                Ok(()) => {}
                // It hangs, and so would an orderly end.
                Err(RecvTimeoutError::Timeout) => process::give_up("I/O does not come back"),
                Err(RecvTimeoutError::Disconnected) => process::give_up("a worker is gone"),
            }
        }
        // What they left on their threads ends before the bdev is closed.
        for thread in &self.threads {
            process::call(thread, || ())?;
        }
        Ok(())
    }
}
