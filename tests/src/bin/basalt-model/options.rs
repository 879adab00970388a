//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};
use serde::Deserialize;
use serde_json::Value;

/// Tests a bdev against a model in memory, from an SPDK process of its own.
#[derive(Debug, Parser)]
pub struct Options {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Random I/O against the model; prints a verdict as JSON; exit code 1 unless all is well.
    Verify(Verify),
    /// Latency of single reads: after a pause, and one after the other; prints JSON.
    Latency(Latency),
}

/// The process and the bdev.
#[derive(Debug, Args)]
pub struct Common {
    /// The bdev.
    #[arg(long)]
    pub bdev: String,
    /// A call to make first, as {"method": ..., "params": {...}}; may be repeated.
    #[arg(long, value_name = "JSON")]
    pub setup: Vec<Call>,
    /// Cores, such as 0,1: the first has the app thread, all do I/O.
    #[arg(long, value_delimiter = ',', default_value = "0")]
    pub cores: Vec<u32>,
    /// Memory without huge pages, in MiB.
    #[arg(long, default_value_t = 1024)]
    pub memory_mib: u32,
    /// bdev_ios of the process; few of them make I/O wait for one another.
    #[arg(long, default_value_t = 16384)]
    pub bdev_ios: u32,
    /// How many of them each SPDK thread keeps.
    #[arg(long, default_value_t = 256)]
    pub bdev_ios_per_thread: u32,
}

#[derive(Debug, Args)]
pub struct Verify {
    #[command(flatten)]
    pub common: Common,
    /// A new one, from the clock, without this.
    #[arg(long)]
    pub seed: Option<u64>,
    /// I/Os to do; more if a fault comes late.
    #[arg(long, default_value_t = 20_000)]
    pub ios: u64,
    /// Stop after this time, whatever is left to do.
    #[arg(long, default_value_t = 60)]
    pub seconds: u64,
    /// I/Os in flight on each core.
    #[arg(long, default_value_t = 16)]
    pub depth: usize,
    /// Cores that do no I/O: their shards are used from the others.
    #[arg(long, value_delimiter = ',')]
    pub idle_cores: Vec<u32>,
    /// The largest read or write, in KiB.
    #[arg(long, default_value_t = 3072)]
    pub max_kib: u64,
    /// Blocks at which something begins, to be tried more often.
    #[arg(long = "border", value_name = "LBA")]
    pub borders: Vec<u64>,
    /// An unmapped block may hold what it held; without this it must read as zeros.
    #[arg(long)]
    pub unmap_may_keep: bool,
    /// Failed I/Os are no reason for a bad verdict: the level has no redundancy.
    #[arg(long)]
    pub may_fail: bool,
    /// End when an I/O has failed, without the read-back: the target is about to go.
    #[arg(long)]
    pub until_failure: bool,
    /// A file with what the bdev must hold, from an earlier run: all of it is read first.
    #[arg(long, value_name = "FILE")]
    pub load: Option<PathBuf>,
    /// Keep what the bdev must hold in this file, at the end.
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// The end is a power cut: what no flush has hardened may be lost.
    #[arg(long)]
    pub power_cut: bool,
    /// A call to make after that many I/Os, as {"at": N, "method": ..., "params": {...}, "socket": PATH}; the
    /// socket is that of another process if one is given; may be repeated.
    #[arg(long, value_name = "JSON")]
    pub fault: Vec<Fault>,
    /// A call to make after the I/O and before the read-back; may be repeated.
    #[arg(long, value_name = "JSON")]
    pub then: Vec<Call>,
    /// A call to make at the end, for its answer; may be repeated.
    #[arg(long, value_name = "JSON")]
    pub ask: Vec<Call>,
}

#[derive(Debug, Args)]
pub struct Latency {
    #[command(flatten)]
    pub common: Common,
    /// Pauses, each followed by one read.
    #[arg(long, default_value_t = 5)]
    pub pauses: u32,
    /// The length of a pause.
    #[arg(long, default_value_t = 500)]
    pub pause_ms: u64,
    /// How long to read, one I/O at a time, after that.
    #[arg(long, default_value_t = 1000)]
    pub busy_ms: u64,
}

/// A JSON-RPC call.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    pub method: String,
    #[serde(default)]
    pub params: Value,
    pub socket: Option<PathBuf>,
}

/// A call in the middle of the I/O.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    pub at: u64,
    pub method: String,
    #[serde(default)]
    pub params: Value,
    pub socket: Option<PathBuf>,
}

impl Fault {
    pub fn call(&self) -> Call {
        Call { method: self.method.clone(), params: self.params.clone(), socket: self.socket.clone() }
    }
}

impl FromStr for Call {
    type Err = serde_json::Error;
    fn from_str(text: &str) -> Result<Call, serde_json::Error> {
        serde_json::from_str(text)
    }
}

impl FromStr for Fault {
    type Err = serde_json::Error;
    fn from_str(text: &str) -> Result<Fault, serde_json::Error> {
        serde_json::from_str(text)
    }
}
