//! SPDK on its reactors: brought up to an RPC server that answers, and down again. What runs on it is the
//! operator's affair.

use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use basalt_bdev as _;
use basalt_config::{Config, Drive, DriveKind, Idle, NvmeTransport};
use basalt_drives as _;
use reactor::executor::{spawn_local, timeout};
use reactor::idle::IdlePolicy;
use reactor::runtime::Runtime;
use reactor::shutdown;
use spdk_rs::Errno;
use spdk_rs::env::{EnvOptions, HugePages};
use spdk_rs::{rpc, subsystem};

use super::handoff::{self, Taker};
use super::operator::{Operator, Outcome, Stop};
use super::progress::Progress;
use crate::memory::backing::Backing;
use crate::plan::{Step, options};
use crate::units;

/// SPDK's subsystems have nothing left to wait for when they are finished.
const FINI_TIMEOUT: Duration = Duration::from_secs(15);

/// Runs SPDK until the operator is through.
pub fn run(
    config: &Config,
    backing: Backing,
    plan: Vec<Step>,
    ready: String,
    progress: Progress,
) -> Result<Outcome> {
    let (stop, stops) = channel();
    let (go, gone) = channel();
    let (giver, outcome) = handoff::pair();
    let operator =
        Operator { socket: config.runtime.rpc_socket.value.clone(), plan, stop: stops, ready, progress };
    // Made before the environment pins this thread to a core that polls: it would inherit that core.
    let thread = std::thread::Builder::new().name("operator".to_owned()).spawn(move || {
        if gone.recv().is_ok() {
            giver.give(operator.work());
        }
    })?;
    let life = Life {
        startup: options::startup_json(config).to_string(),
        socket: config.runtime.rpc_socket.value.clone(),
        up: up_line(config, backing),
        stop,
        go,
        outcome,
        progress,
    };
    spdk_rs::log::forward_to_tracing();
    let finished =
        Runtime::builder().env(env_options(config, backing)).idle(idle_policy(config)).run(life.live())?;
    let outcome = finished.output?;
    if thread.join().is_err() {
        bail!("the operator's thread panicked; its message is above");
    }
    if !finished.stuck_threads.is_empty() {
        progress.failed(&format!("SPDK threads that did not exit: {}", finished.stuck_threads.join(", ")));
        return Ok(Outcome::StopIncomplete);
    }
    Ok(outcome)
}

/// What the main future needs.
struct Life {
    startup: String,
    socket: PathBuf,
    up: String,
    stop: Sender<Stop>,
    go: Sender<()>,
    outcome: Taker<Outcome>,
    progress: Progress,
}

impl Life {
    /// From subsystems that are down to subsystems that are down.
    async fn live(self) -> Result<Outcome> {
        spawn_local(pass_on_stop(self.stop, self.progress)).detach();
        let served = serve(&self.startup, &self.socket, self.go, &self.up, self.outcome, self.progress).await;
        let finished = timeout(FINI_TIMEOUT, ended(subsystem::fini)).await;
        let outcome = served?;
        match finished {
            Ok(Ok(())) => Ok(outcome),
            Ok(Err(errno)) => bail!("SPDK's subsystems could not be finished: {errno}"),
            Err(elapsed) => {
                self.progress.failed(&format!("finishing SPDK's subsystems: {elapsed}; going on without"));
                Ok(Outcome::StopIncomplete)
            }
        }
    }
}

/// From the first subsystem started to the RPC server closed.
async fn serve(
    startup: &str,
    socket: &std::path::Path,
    go: Sender<()>,
    up: &str,
    outcome: Taker<Outcome>,
    progress: Progress,
) -> Result<Outcome> {
    ended(|done| subsystem::load_config(startup, done))
        .await
        .context("SPDK refused its start-up options; its reason is in the log above")?;
    ended(subsystem::init).await.context(
        "SPDK's subsystems did not start; the reason is in the log above. If memory is short: \
         `runtime: { memory: 512MiB }` or more",
    )?;
    let _server = rpc::listen(socket)?;
    progress.done(up);
    go.send(()).context("the operator's thread has ended")?;
    outcome.take().await.context("the operator's thread ended without an outcome")
}

/// Begins something that calls back, and waits for the call.
async fn ended(
    begin: impl FnOnce(Box<dyn FnOnce(Result<(), Errno>)>) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let (giver, taker) = handoff::pair();
    begin(Box::new(move |result| giver.give(result)))?;
    taker.take().await.unwrap_or(Err(Errno::ECANCELED))
}

/// Tells the operator of the first wish to stop; the second ends the process.
async fn pass_on_stop(stop: Sender<Stop>, progress: Progress) {
    let requests = shutdown::requests();
    if requests.reached(1).await.is_err() || stop.send(Stop).is_err() {
        return;
    }
    if requests.reached(2).await.is_ok() {
        progress.failed("asked again: ending at once, with what is still open");
        std::process::exit(1);
    }
}

fn env_options(config: &Config, backing: Backing) -> EnvOptions {
    let huge = backing == Backing::HugePages;
    let is_pcie = |drive: &Drive| match &drive.kind {
        DriveKind::Nvme { transport, .. } => matches!(transport.value, NvmeTransport::Pcie(_)),
        _ => false,
    };
    EnvOptions {
        name: "basalt".to_owned(),
        cores: config.runtime.cores.value.clone(),
        main_core: None,
        memory_mib: u32::try_from(config.runtime.memory.get() >> 20).ok(),
        huge_pages: if huge { HugePages::Required } else { HugePages::Off },
        // vfio-user hands our memory to the drive's process as files: few, or identify times out. Always, so
        // that such a drive can be attached by RPC too.
        single_file_segments: huge,
        // No files in the hugetlbfs: a kill -9 would leave them, and the memory with them.
        in_memory: huge,
        pci: config.drives.iter().any(is_pcie),
        eal_arguments: eal_arguments(),
    }
}

/// DPDK prints for itself, past our log: notices only when our log tells everything too.
fn eal_arguments() -> Vec<String> {
    let everything = tracing::enabled!(tracing::Level::DEBUG);
    if everything { Vec::new() } else { vec!["--log-level=lib.eal:error".to_owned()] }
}

fn idle_policy(config: &Config) -> IdlePolicy {
    match config.runtime.idle.value {
        Idle::Adaptive => IdlePolicy::Adaptive,
        Idle::Poll => IdlePolicy::Poll,
    }
}

fn up_line(config: &Config, backing: Backing) -> String {
    let cores: Vec<String> = config.runtime.cores.iter().map(u32::to_string).collect();
    let memory = units::size(config.runtime.memory.get());
    let from = match backing {
        Backing::HugePages => "huge pages",
        Backing::Ordinary => "ordinary memory",
    };
    format!(
        "SPDK is up: core {}, {memory} of {from}, socket {}",
        cores.join(" "),
        config.runtime.rpc_socket.display()
    )
}
