//! Signals to a process of its own lead to a clean end.

mod harness;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use reactor::executor::{sleep, timeout};
use reactor::shutdown;
use rustix::process::{Pid, Signal, kill_process};

/// Set in the child.
const ROLE: &str = "REACTOR_TEST_CHILD";
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn signals_end_the_process_cleanly() {
    if std::env::var_os(ROLE).is_some() {
        return child();
    }
    let process = Process::start("signals_end_the_process_cleanly");
    process.expect("ready");
    process.signal(Signal::TERM);
    process.expect("first wish");
    process.signal(Signal::INT);
    process.expect("second wish");
    process.expect("third wish");
    process.expect("finished, stuck: []");
    process.end();
}

/// Waits for two signals, then wishes for the end itself. Each wait begins after the wish it waits for may
/// have come.
fn child() {
    let finished = harness::runtime(&[0])
        .run(async {
            println!("ready");
            shutdown::requested().await;
            println!("first wish");
            shutdown::requests().reached(2).await.expect("the runtime lives");
            println!("second wish");
            shutdown::request("the test");
            sleep(Duration::from_millis(1)).await;
            timeout(PATIENCE, shutdown::requests().reached(3)).await.expect("in time").expect("it came");
            shutdown::requested().await;
            println!("third wish");
        })
        .expect("it starts");
    println!("finished, stuck: {:?}", finished.stuck_threads);
}

struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    fn start(test: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("our own path"))
            .args(["--exact", test, "--nocapture"])
            .env(ROLE, "1")
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Process { child, lines }
    }

    /// Waits for a line that ends so (the test harness may have begun it).
    #[track_caller]
    fn expect(&self, wanted: &str) {
        let next =
            || self.lines.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("no {wanted:?}: {error}"));
        while !next().ends_with(wanted) {}
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("it lives");
    }

    fn end(mut self) {
        // The pipe closes when the process ends.
        while self.lines.recv_timeout(PATIENCE).is_ok() {}
        let status = self.child.wait().expect("its status");
        assert!(status.success(), "{status}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Of use only when the test fails; else the child has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
