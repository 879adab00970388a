//! Upstream's bdevperf with Basalt's module linked in, by `scripts/bdevperf`.

use std::fmt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::child::Child;
use crate::machine;

/// It builds a library if need be.
const BUILD_TIMEOUT: Duration = Duration::from_secs(600);
/// Beyond the time that it is told to run.
const TIMEOUT: Duration = Duration::from_secs(90);

/// What one core did, as bdevperf tells it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Job {
    /// Bit per core.
    pub core_mask: u64,
    /// I/Os per second.
    pub iops: f64,
    /// Failed I/Os per second.
    pub failed: f64,
    /// Timed out I/Os per second.
    pub timed_out: f64,
}

/// A JSON configuration: calls that make the bdevs.
#[derive(Clone, Debug, Default)]
pub struct Calls(Vec<Value>);

impl Calls {
    /// Another call.
    pub fn call(mut self, method: &str, params: Value) -> Calls {
        self.0.push(json!({ "method": method, "params": params }));
        self
    }

    /// Drives in memory, `m0`, `m1`, ..., of 512-byte blocks.
    pub fn mallocs(mut self, count: usize, mib: u64) -> Calls {
        for n in 0..count {
            let params = json!({ "name": format!("m{n}"), "num_blocks": mib * 2048, "block_size": 512 });
            self = self.call("bdev_malloc_create", params);
        }
        self
    }
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        json!({ "subsystems": [{ "subsystem": "bdev", "config": self.0 }] }).fmt(f)
    }
}

/// Runs it on the bdev `data` that `calls` make, on `cores` cores, each of which sends I/O; `arguments` are
/// bdevperf's own.
///
/// # Panics
/// If it fails, or says something else than expected.
pub fn run(calls: &Calls, cores: usize, arguments: &str) -> Vec<Job> {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("config.json");
    std::fs::write(&config, calls.to_string()).expect("a file in our folder");
    let mut command = Command::new(program());
    command.arg("--json").arg(&config).arg("-r").arg(folder.path().join("rpc.sock"));
    command.args(["--no-huge", "-s", "1024", "--disable-cpumask-locks", "-T", "data", "-C"]);
    command.arg("-m").arg(format!("[{}]", machine::cores(cores)));
    command.args(arguments.split_whitespace());
    let ended = Child::spawn("bdevperf", &mut command).wait(TIMEOUT);
    assert!(ended.status.success(), "bdevperf: {}\n{}\n{}", ended.status, ended.stdout, ended.stderr);
    jobs(&ended.stdout)
}

/// `Job: ... (Core Mask 0x2, ...`, and later ` name : runtime IOPS MiB/s Fail/s TO/s Average min max`.
fn jobs(output: &str) -> Vec<Job> {
    let mut jobs = Vec::new();
    let mut core_mask = None;
    for line in output.lines() {
        if let Some((_, rest)) = line.split_once("(Core Mask 0x") {
            let digits = rest.split(',').next().expect("there is always a first");
            core_mask = u64::from_str_radix(digits, 16).ok();
        } else if let (Some(mask), Some((_, figures))) = (core_mask, line.split_once(" : ")) {
            let figures: Vec<f64> = figures.split_whitespace().filter_map(|word| word.parse().ok()).collect();
            assert_eq!(figures.len(), 8, "{line}");
            jobs.push(Job { core_mask: mask, iops: figures[1], failed: figures[3], timed_out: figures[4] });
            core_mask = None;
        }
    }
    jobs
}

fn program() -> String {
    let script = machine::root().join("scripts/bdevperf");
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    let mut build = Command::new(Path::new(&script));
    build.arg("--build").env("PROFILE", profile);
    let ended = Child::spawn("scripts/bdevperf", &mut build).wait(BUILD_TIMEOUT);
    assert!(ended.status.success(), "{}", ended.stderr);
    ended.stdout.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_table_is_understood() {
        let output = "\
 Device Information          : runtime(s)       IOPS      MiB/s     Fail/s     TO/s    Average        min        max
Job: data (Core Mask 0x1, workload: verify, depth: 32, IO size: 4096)
\t Verification LBA range: start 0x0 length 0xc00
\t data                :       2.00   68221.28     266.49       0.00     0.00     466.46      16.37   20296.19
Job: data (Core Mask 0x2, workload: verify, depth: 32, IO size: 4096)
\t Verification LBA range: start 0xc00 length 0xc00
\t data                :       2.00   75244.46     293.92       1.50     0.00     423.52      20.12   16257.15
 ====
 Total                       :             143465.75     560.41       0.00     0.00     443.96      16.37   20296.19";
        let job = |core_mask, iops, failed| Job { core_mask, iops, failed, timed_out: 0.0 };
        assert_eq!(jobs(output), [job(1, 68221.28, 0.0), job(2, 75244.46, 1.5)]);
    }
}
