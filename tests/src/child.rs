//! Child processes: what they print is kept, waits are bounded, and none outlives its test.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// A running child. Dropping it kills it, and shows what it printed if the test has failed.
#[derive(Debug)]
pub struct Child {
    name: String,
    process: std::process::Child,
    stdout: Stream,
    stderr: Stream,
}

/// What a child printed to one stream, line by line, as it came.
#[derive(Debug)]
struct Stream {
    lines: Arc<Lines>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Lines {
    printed: Mutex<Printed>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Printed {
    lines: Vec<String>,
    ended: bool,
}

/// How a child ended, and all that it printed.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

impl Child {
    /// Starts it with no input.
    ///
    /// # Panics
    /// If it can't be started.
    pub fn spawn(name: &str, command: &mut Command) -> Child {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = Stream::of(process.stdout.take().expect("piped"));
        let stderr = Stream::of(process.stderr.take().expect("piped"));
        Child { name: name.to_owned(), process, stdout, stderr }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// If it has ended.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.rustix_pid(), signal).unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }

    /// Waits for a line of its standard error; None when it ended without one.
    ///
    /// # Panics
    /// After `timeout`.
    pub fn wait_for_line(&self, timeout: Duration, is_it: impl Fn(&str) -> bool) -> Option<String> {
        let deadline = Instant::now() + timeout;
        let lines = &self.stderr.lines;
        let mut printed = lines.lock();
        loop {
            if let Some(line) = printed.lines.iter().find(|line| is_it(line)) {
                return Some(line.clone());
            }
            if printed.ended {
                return None;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{} does not say it within {timeout:?}", self.name);
            printed = lines.changed.wait_timeout(printed, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What it printed to standard error up to now.
    pub fn stderr(&self) -> String {
        self.stderr.lines.lock().lines.join("\n")
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// After `timeout`.
    pub fn wait(mut self, timeout: Duration) -> Ended {
        self.wait_exit(timeout);
        let status = self.process.wait().expect("it has ended");
        Ended { status, stdout: self.stdout.whole(), stderr: self.stderr.whole() }
    }

    fn wait_exit(&self, timeout: Duration) {
        // Not reaped before `wait`, so that the id stays its own.
        let pidfd = pidfd_open(self.rustix_pid(), PidfdFlags::empty()).expect("a child of ours");
        let timeout_ts =
            Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: i64::from(timeout.subsec_nanos()) };
        let mut ended = [PollFd::new(&pidfd, PollFlags::IN)];
        let ready = poll(&mut ended, Some(&timeout_ts)).expect("poll");
        assert!(ready > 0, "{} (process {}) does not end within {timeout:?}", self.name, self.pid());
    }

    fn rustix_pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Ok(Some(_)) = self.process.try_wait() {
            // Ended already.
        } else {
            // Both fail only if it has ended in between.
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- {} said:\n{}\n{}---", self.name, self.stderr(), self.stdout.whole());
        }
    }
}

impl Stream {
    fn of(from: impl Read + Send + 'static) -> Stream {
        let lines = Arc::new(Lines::default());
        let fill = Arc::clone(&lines);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(from).split(b'\n') {
                let Ok(line) = line else { break };
                fill.lock().lines.push(String::from_utf8_lossy(&line).into_owned());
                fill.changed.notify_all();
            }
            fill.lock().ended = true;
            fill.changed.notify_all();
        });
        Stream { lines, reader: Some(reader) }
    }

    /// Everything, once the child has ended.
    fn whole(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("it does not panic");
        }
        self.lines.lock().lines.join("\n")
    }
}

impl Lines {
    fn lock(&self) -> MutexGuard<'_, Printed> {
        self.printed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
