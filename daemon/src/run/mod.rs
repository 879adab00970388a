//! `basalt run`: the daemon, from a configuration to the last drive closed.
//!
//! ```text
//!   main thread                                        operator's thread (not pinned, may block)
//!     load, check, claim the socket
//!     engine: SPDK up, RPC listens   --socket ready-->   bring-up, step by step
//!       polls                                            "ready", waits
//!     a signal                       --stop----------->  exports, arrays, drives down
//!     engine: SPDK down              <--outcome--------  ends
//! ```

mod bring_up;
mod default;
mod engine;
mod failure;
mod handoff;
mod known;
mod operator;
mod progress;
pub mod socket;

use std::path::Path;

use anyhow::{Context, Result};
use basalt_config::{Colour, Config};

use crate::check::{self, Severity};
use crate::cli::Exit;
use crate::memory::machine::Machine;
use crate::paint::Paint;
use crate::{paths, plan, units};
use operator::Outcome;
use progress::Progress;
use socket::Claimable;

/// Runs the daemon in the foreground.
pub fn run(file: Option<&Path>, log: &str) -> Result<Exit> {
    let progress = Progress::new();
    start_log(log)?;
    let file = match file {
        Some(file) => file.to_owned(),
        None => default::file(&progress)?,
    };
    let config = match basalt_config::load(&file) {
        Ok(config) => config,
        Err(diagnostics) => {
            eprint!("{}", diagnostics.render(colour(progress.paint())));
            return Ok(Exit::Failed);
        }
    };
    let claimable = socket::claimable(&config.runtime.rpc_socket)?;
    let report = check::report(&config, &Machine::read()?);
    for finding in &report.findings {
        eprint!("{}", finding.render(colour(progress.paint())));
    }
    let Some(backing) = report.backing.filter(|_| report.passes()) else {
        let errors = report.findings.iter().filter(|finding| finding.severity == Severity::Error).count();
        progress.failed(&format!("{}: not started, nothing was changed", units::count(errors, "error")));
        return Ok(Exit::Failed);
    };
    if claimable == Claimable::Stale {
        progress.notice(&socket::remove_stale(&config.runtime.rpc_socket)?);
    }
    let plan = plan::from_config(&config);
    let outcome = engine::run(&config, backing, plan, ready_line(&config), progress)?;
    Ok(match outcome {
        Outcome::Stopped => {
            progress.headline("stopped");
            Exit::Done
        }
        Outcome::StartFailed | Outcome::StopIncomplete => Exit::Failed,
    })
}

/// What is there now, and where: the last line of a start.
fn ready_line(config: &Config) -> String {
    let socket = paths::absolute(&config.runtime.rpc_socket);
    let exports: Vec<String> = config
        .exports
        .iter()
        .map(|export| {
            let at: Vec<String> =
                export.listen.iter().map(|address| format!("tcp://{}", address.value)).collect();
            format!("{} at {}", export.nqn.as_str(), at.join(" "))
        })
        .collect();
    let arrays = units::count(config.arrays.len(), "array");
    let exports = if exports.is_empty() { "nothing exported".to_owned() } else { exports.join(", ") };
    format!("ready: {arrays}; {exports}; status: basalt --socket {} status", socket.display())
}

fn colour(paint: Paint) -> Colour {
    match paint {
        Paint::On => Colour::Always,
        Paint::Off => Colour::Never,
    }
}

fn start_log(level: &str) -> Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(level)
        .with_context(|| format!("`--log {level}` is no level; try error, warn, info, debug or trace"))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(Paint::for_stream(&std::io::stderr()) == Paint::On)
        .init();
    Ok(())
}
