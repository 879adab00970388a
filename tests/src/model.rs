//! Runs of `basalt-model verify`: the property tester in a process of its own.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::child::Child;
use crate::machine;
use crate::verdict::Verdict;

/// Beyond what the program allows itself.
const TIMEOUT: Duration = Duration::from_secs(180);

/// A run, before it is started.
#[derive(Debug)]
pub struct Run {
    command: Command,
}

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit code says that all is well.
    pub good: bool,
    /// What it printed.
    pub verdict: Verdict,
}

impl Run {
    /// I/O to this bdev, from the first `cores` cores (fewer if there are not as many).
    pub fn on(bdev: &str, cores: usize) -> Run {
        Run::on_cores(bdev, &machine::cores(cores))
    }

    /// I/O to this bdev, from these cores, such as `0,1`.
    pub fn on_cores(bdev: &str, cores: &str) -> Run {
        let mut command = Command::new(machine::model());
        command.args(["verify", "--bdev", bdev, "--cores", cores]);
        if let Some(seed) = std::env::var_os("BASALT_SEED") {
            command.arg("--seed").arg(seed);
        }
        Run { command }
    }

    /// Another option of the program.
    pub fn option(mut self, name: &str, value: impl ToString) -> Run {
        self.command.arg(name).arg(value.to_string());
        self
    }

    /// A switch of the program.
    pub fn switch(mut self, name: &str) -> Run {
        self.command.arg(name);
        self
    }

    /// A call to make first.
    pub fn setup(self, method: &str, params: Value) -> Run {
        self.option("--setup", json!({ "method": method, "params": params }))
    }

    /// A drive in memory.
    pub fn malloc(self, name: &str, mib: u64, block_size: u32) -> Run {
        let num_blocks = (mib << 20) / u64::from(block_size);
        let params = json!({ "name": name, "num_blocks": num_blocks, "block_size": block_size });
        self.setup("bdev_malloc_create", params)
    }

    /// A call to make after `at` I/Os, under load.
    pub fn fault(self, at: u64, method: &str, params: Value) -> Run {
        self.option("--fault", json!({ "at": at, "method": method, "params": params }))
    }

    /// A call to make after `at` I/Os, under load, to another process.
    pub fn fault_there(self, at: u64, socket: &Path, method: &str, params: Value) -> Run {
        self.option("--fault", json!({ "at": at, "socket": socket, "method": method, "params": params }))
    }

    /// A call to make at the end.
    pub fn ask(self, method: &str, params: Value) -> Run {
        self.option("--ask", json!({ "method": method, "params": params }))
    }

    /// Starts it.
    pub fn spawn(mut self) -> Running {
        let shown = format!("{:?}", self.command);
        Running { child: Child::spawn("basalt-model", &mut self.command), shown }
    }

    /// Runs it.
    pub fn run(self) -> Outcome {
        self.spawn().outcome()
    }

    /// Runs it; panics unless everything was as it must be.
    pub fn must_pass(self) -> Verdict {
        let outcome = self.run();
        assert!(outcome.good, "the model disagrees: {:#?}", outcome.verdict);
        outcome.verdict
    }
}

/// A run that was started.
#[derive(Debug)]
pub struct Running {
    child: Child,
    shown: String,
}

impl Running {
    /// Waits for its end.
    ///
    /// # Panics
    /// If it ends without a verdict, or does not end.
    pub fn outcome(self) -> Outcome {
        let ended = self.child.wait(TIMEOUT);
        let verdict = serde_json::from_str(&ended.stdout);
        let verdict = verdict.unwrap_or_else(|error| {
            panic!(
                "no verdict ({}, {error}) from {}\n{}\n{}",
                ended.status, self.shown, ended.stdout, ended.stderr
            )
        });
        Outcome { good: ended.status.success(), verdict }
    }
}
