//! `basalt run` as a child process, in a folder of its own, with a socket and a port of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::child::{Child, Ended};
use crate::machine;
use crate::model::Run;
use crate::rpc::{CallError, Client};
use crate::wait::{self, PATIENCE};

/// What hosts attach.
pub const NQN: &str = "nqn.2026-11.io.basalt:test";

/// A folder for a configuration, its drives and its socket. Gone when dropped.
#[derive(Debug)]
pub struct Place {
    folder: TempDir,
    /// A port of 127.0.0.1 that was free a moment ago.
    pub port: u16,
}

impl Place {
    /// A new one.
    ///
    /// # Panics
    /// Without a folder for temporary files.
    #[allow(clippy::new_without_default, reason = "it makes a folder")]
    pub fn new() -> Place {
        Place { folder: tempfile::tempdir().expect("a folder"), port: machine::free_port() }
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The daemon's socket.
    pub fn socket(&self) -> PathBuf {
        self.path("basalt.sock")
    }

    /// Writes a configuration: `runtime` gets the socket, and no huge pages unless it speaks of them; `{port}`
    /// becomes the port.
    pub fn write(&self, runtime: &str, body: &str) -> PathBuf {
        let file = self.path("basalt.yaml");
        let body = body.replace("{port}", &self.port.to_string());
        let pages = if runtime.contains("hugepages") { "" } else { "hugepages: off, " };
        let text = format!("runtime: {{ {pages}rpc_socket: basalt.sock, {runtime} }}\n{body}");
        std::fs::write(&file, text).expect("a file in our folder");
        file
    }

    /// Starts a daemon and waits until it serves.
    ///
    /// # Panics
    /// If it ends before.
    pub fn run(&self, runtime: &str, body: &str) -> Daemon {
        let daemon = self.start(runtime, body);
        let ready = daemon.child.wait_for_line(PATIENCE, |line| line.contains("ready: "));
        assert!(ready.is_some(), "it ended: {}", daemon.child.stderr());
        daemon
    }

    /// Starts a daemon.
    pub fn start(&self, runtime: &str, body: &str) -> Daemon {
        let file = self.write(runtime, body);
        Daemon {
            child: Child::spawn("basalt run", basalt().arg("run").arg("-c").arg(file)),
            socket: self.socket(),
        }
    }

    /// YAML that exports `namespaces` on the port.
    pub fn export(namespaces: &[&str]) -> String {
        let namespaces = namespaces.join(", ");
        format!(
            "exports:\n  - nqn: {NQN}\n    listen: [\"tcp://127.0.0.1:{{port}}\"]\n    hosts: any\n    \
             namespaces: [{namespaces}]\n"
        )
    }

    /// Runs `basalt LINE` against this place's daemon.
    ///
    /// # Panics
    /// If it can't be started.
    pub fn cli(&self, line: &str) -> Answer {
        let output = basalt().arg("--socket").arg(self.socket()).args(line.split(' ')).output();
        let output = output.expect("the program runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Answer {
            code: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// Runs `basalt LINE`, which must succeed; what it printed.
    ///
    /// # Panics
    /// If it does not.
    pub fn cli_well(&self, line: &str) -> String {
        let answer = self.cli(line);
        assert_eq!(answer.code, 0, "basalt {line}: {answer:#?}");
        answer.stdout
    }

    /// A run of the tester on namespace `nsid`, through SPDK's NVMe initiator, on `cores` (such as `1`).
    pub fn model(&self, nsid: usize, cores: &str) -> Run {
        let bdev = format!("host0n{nsid}");
        // Without this the initiator answers a FLUSH by itself.
        let run = Run::on_cores(&bdev, cores).setup("bdev_nvme_set_options", json!({ "enable_flush": true }));
        let run = run.setup("bdev_nvme_attach_controller", self.attach_params());
        // The initiator splits at chunks, and refuses I/O that becomes more requests than its queue has
        // (512).
        run.option("--max-kib", 1024)
    }

    /// What `bdev_nvme_attach_controller` takes.
    pub fn attach_params(&self) -> Value {
        json!({
            "name": "host0", "trtype": "TCP", "adrfam": "IPv4", "traddr": "127.0.0.1",
            "trsvcid": self.port.to_string(), "subnqn": NQN, "hostnqn": "nqn.2026-11.io.basalt:host",
        })
    }
}

/// What a command has answered.
#[derive(Debug)]
pub struct Answer {
    /// Its exit code.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

/// The program, before its arguments.
pub fn basalt() -> Command {
    let mut command = Command::new(machine::daemon());
    command.env_remove("BASALT_SOCKET").env("NO_COLOR", "1");
    command
}

/// A daemon that was started. Dropping it kills it.
#[derive(Debug)]
pub struct Daemon {
    /// The process.
    pub child: Child,
    socket: PathBuf,
}

impl Daemon {
    /// A JSON-RPC call.
    pub fn try_call(&self, method: &str, params: Value) -> Result<Value, CallError> {
        Client::connect(&self.socket, PATIENCE)?.call(method, params)
    }

    /// A JSON-RPC call that must not be refused.
    ///
    /// # Panics
    /// If it is.
    pub fn call(&self, method: &str, params: Value) -> Value {
        self.try_call(method, params).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// An array, as `bdev_basalt_get_arrays` shows it.
    pub fn array(&self, name: &str) -> Value {
        self.call("bdev_basalt_get_arrays", json!({ "name": name }))[0].take()
    }

    /// The kinds of an array's events, which must be numbered without gaps.
    ///
    /// # Panics
    /// If they are not.
    pub fn event_kinds(&self, array: &str) -> Vec<String> {
        event_kinds(&self.call("bdev_basalt_get_events", json!({ "name": array })))
    }

    /// Waits until an array is in `state`, and answers what it then looks like.
    ///
    /// # Panics
    /// If it does not come to that.
    pub fn wait_for_state(&self, array: &str, state: &str) -> Value {
        wait::until(&format!("{array} to be {state}"), || {
            let array = self.array(array);
            if array["state"] == state { Ok(array) } else { Err(array.to_string()) }
        })
    }

    /// Waits until `array` is a namespace for hosts.
    ///
    /// # Panics
    /// If it does not come to that.
    pub fn wait_for_export(&self, array: &str) {
        wait::until(&format!("{array} to be exported"), || {
            let subsystems = self.call("nvmf_get_subsystems", Value::Null);
            let one = subsystems.as_array().and_then(|all| all.iter().find(|one| one["nqn"] == NQN)).cloned();
            let one = one.unwrap_or_default();
            let is_in = one["namespaces"].to_string().contains(&format!("\"{array}\""));
            let listens = one["listen_addresses"].as_array().is_some_and(|all| !all.is_empty());
            if is_in && listens { Ok(()) } else { Err(one.to_string()) }
        });
    }

    /// Kills it, as a crash would; what it said.
    pub fn kill(self) -> String {
        self.child.signal(Signal::KILL);
        self.child.wait(PATIENCE).stderr
    }

    /// CPU time that it has used, all threads together.
    pub fn cpu_time(&self) -> Duration {
        cpu_time(self.child.pid())
    }

    /// Asks it to stop, and waits for its end.
    pub fn stop(self, signal: Signal) -> Stopped {
        self.child.signal(signal);
        let begun = Instant::now();
        let ended = self.child.wait(PATIENCE);
        Stopped { ended, took: begun.elapsed(), socket_is_left: self.socket.exists() }
    }

    /// Asks it to stop; panics unless it does so in order.
    pub fn stop_well(self) {
        let stopped = self.stop(Signal::TERM);
        assert!(stopped.ended.status.success(), "{stopped:#?}");
        assert!(!stopped.socket_is_left, "{stopped:#?}");
    }
}

/// How a daemon stopped.
#[derive(Debug)]
pub struct Stopped {
    /// Exit code and what it said.
    pub ended: Ended,
    /// From the signal to the end.
    pub took: Duration,
    /// Its socket is still there.
    pub socket_is_left: bool,
}

/// The kinds in an answer of `bdev_basalt_get_events`, which must be numbered without gaps.
///
/// # Panics
/// If they are not.
pub fn event_kinds(answer: &Value) -> Vec<String> {
    let events = answer["events"].as_array().expect("a list of events");
    let numbers: Vec<u64> = events.iter().filter_map(|event| event["seq"].as_u64()).collect();
    assert!(numbers.iter().copied().eq(1..=events.len() as u64), "gaps in {numbers:?}");
    events.iter().filter_map(|event| event["kind"].as_str().map(str::to_owned)).collect()
}

/// User and system time of a process: fields 14 and 15 of `/proc/PID/stat`, proc(5).
fn cpu_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process lives");
    let (_, after_name) = stat.rsplit_once(')').expect("a name in brackets");
    let ticks: u64 =
        after_name.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}
