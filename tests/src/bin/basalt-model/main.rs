//! Tests a bdev against a model in memory.
//!
//! ```text
//!   main thread        polls the app thread      conductor thread: calls, faults, waits
//!   pinned threads     poll one worker per core -> host (the only unsafe code) -> SPDK's bdev layer -> the array
//!                                 \-> model: what each block must hold, and who may touch it now
//! ```
//!
//! The array is in this process (Basalt's module is linked in), or behind SPDK's NVMe initiator: the calls of
//! `--setup` decide. `basalt-model verify --help` tells the rest.

mod conductor;
mod content;
mod host;
mod latency;
mod model;
mod options;
mod process;
mod rng;
mod worker;
mod workload;

use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use basalt_bdev as _;
use clap::Parser;
use options::{Command, Common, Options};
use process::Setup;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_env("BASALT_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    end_on_panic();
    match run(Options::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("basalt-model: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    let folder = tempfile::tempdir().context("a folder for the RPC socket")?;
    let socket = folder.path().join("model.sock");
    match command {
        Command::Verify(options) => {
            let seed = options.seed.unwrap_or_else(seed_of_the_clock);
            let (setup, may_fail) = (setup(&options.common, &socket), options.may_fail);
            let verdict = process::run(&setup, move |app| conductor::verify(app, &socket, &options, seed))?;
            println!("{}", serde_json::to_string(&verdict)?);
            Ok(if verdict.is_good(may_fail) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Latency(options) => {
            let setup = setup(&options.common, &socket);
            let report = process::run(&setup, move |app| latency::measure(app, &socket, &options))?;
            println!("{}", serde_json::to_string(&report)?);
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Other threads would wait for ever for one that has panicked. Not by `exit`, which runs destructors under them.
fn end_on_panic() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tell(panic);
        std::process::abort();
    }));
}

fn setup(common: &Common, socket: &Path) -> Setup {
    Setup {
        cores: common.cores.clone(),
        memory_mib: common.memory_mib,
        socket: socket.to_owned(),
        bdev_ios: common.bdev_ios,
        bdev_ios_per_thread: common.bdev_ios_per_thread,
    }
}

fn seed_of_the_clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}
