//! A real daemon for tests: its own folder, socket and port, ordinary memory, one core; ended with its test.
//!
//! Waiting is always for a line, an exit or an answer, and always bounded.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// More than any start or stop takes, also on a machine under load.
pub const LONG: Duration = Duration::from_secs(60);

/// A folder with a configuration in it.
pub struct Place {
    folder: tempfile::TempDir,
    /// A port of loopback that was free a moment ago.
    pub port: u16,
}

impl Place {
    /// A new folder, and a port for it.
    pub fn new() -> Place {
        Place { folder: tempfile::tempdir().unwrap(), port: free_port() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn socket(&self) -> PathBuf {
        self.path("basalt.sock")
    }

    /// Writes `basalt.yaml`: `body` after a `runtime` for tests. `{port}` in it becomes the port.
    pub fn write(&self, body: &str) -> PathBuf {
        let runtime = "runtime: { memory: 256MiB, hugepages: off, rpc_socket: basalt.sock }\n";
        let file = self.path("basalt.yaml");
        std::fs::write(&file, runtime.to_owned() + &body.replace("{port}", &self.port.to_string())).unwrap();
        file
    }

    /// Starts a daemon with `body`, and waits until it is ready.
    pub fn run(&self, body: &str) -> Daemon {
        let mut daemon = self.start(body);
        daemon.wait_for_line("ready: ");
        daemon
    }

    /// Starts a daemon with `body`.
    pub fn start(&self, body: &str) -> Daemon {
        Daemon::start(&self.write(body))
    }

    /// A JSON-RPC call to this place's daemon, which must not refuse it.
    pub fn call(&self, method: &str, params: serde_json::Value) -> serde_json::Value {
        let mut client = basalt::client::Client::connect(&self.socket()).unwrap();
        client.call(method, &params, LONG).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// Runs the command line against this place's daemon.
    pub fn cli(&self, line: &str) -> Output {
        let socket = self.socket();
        basalt().arg("--socket").arg(socket).args(line.split(' ')).output().unwrap()
    }
}

/// A port below those that the kernel gives to connections, and another one at each call.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(64);
    loop {
        let n = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 12_000 + u16::try_from(n % 20_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The binary under test.
pub fn basalt() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_basalt"));
    command.env_remove("BASALT_SOCKET").env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// A daemon that runs, or ran.
pub struct Daemon {
    child: Child,
    lines: Receiver<String>,
    /// All of stderr so far.
    pub said: String,
}

impl Daemon {
    pub fn start(config: &Path) -> Daemon {
        let mut child = basalt()
            .args(["run", "--log", "info", "-c"])
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Daemon { child, lines, said: String::new() }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line of stderr that contains `text`.
    pub fn wait_for_line(&mut self, text: &str) -> String {
        let deadline = Instant::now() + LONG;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("no line with `{text}`; the daemon said:\n{}", self.said);
            };
            self.said += &line;
            self.said.push('\n');
            if line.contains(text) {
                return line;
            }
        }
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits until it has ended, and takes in all that it said.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + LONG;
        // stderr closes when the process ends, so its last line comes first.
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.said += &(line + "\n"),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return self.child.wait().unwrap(),
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                    panic!("the daemon does not end; it said:\n{}", self.said)
                }
            }
        }
    }

    /// Stops it as an operator would, which must go well; answers all that it said.
    pub fn stop_well(mut self) -> String {
        self.signal(Signal::TERM);
        let status = self.wait();
        assert!(status.success(), "{status}; the daemon said:\n{}", self.said);
        std::mem::take(&mut self.said)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// What a command printed, as text.
pub fn text(output: &Output) -> (i32, String, String) {
    let read = |mut bytes: &[u8]| {
        let mut text = String::new();
        bytes.read_to_string(&mut text).unwrap();
        text
    };
    (output.status.code().unwrap_or(-1), read(&output.stdout), read(&output.stderr))
}
