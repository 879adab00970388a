//! SPDK starts once in a process, so each test has a process of its own.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::lab::Lab;

/// Names the test that a process is there for.
const WHICH: &str = "BASALT_DRIVES_TEST";
const DEADLINE: Duration = Duration::from_secs(120);

/// Runs `body` with SPDK up, in a process of its own: this program again, told to run the test `name` only.
pub fn in_lab(name: &str, body: impl FnOnce(&mut Lab)) {
    if std::env::var(WHICH).is_ok_and(|which| which == name) {
        let mut lab = Lab::start();
        body(&mut lab);
        return lab.stop();
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(WHICH, name)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let output = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stderr.read_to_end(&mut bytes).map(|_| String::from_utf8_lossy(&bytes).into_owned())
    });
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > DEADLINE {
            child.kill().unwrap();
        }
        std::thread::park_timeout(Duration::from_millis(5));
    };
    let output = output.join().unwrap().unwrap();
    assert!(status.success(), "{name}: {status}\n{output}");
}
