//! SPDK can be started once per process, so each test of it runs its body in a process of its own: the test
//! program starts itself again, for that one test.

use std::io::Read;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Names the test whose body a process is to run.
const WHICH: &str = "SPDK_RS_TEST";
/// Said by the process that runs the body: if the names differed it would find no test, and call that a
/// success.
const BEGUN: &str = "the body of the test begins";
/// A process that is not done by then is killed.
const DEADLINE: Duration = Duration::from_secs(60);

/// The name of the test that this stands in, as the test harness knows it: its path without the crate.
macro_rules! test_name {
    () => {{
        fn here() {}
        let path = std::any::type_name_of_val(&here);
        path.split_once("::").expect("a crate").1.trim_end_matches("::here")
    }};
}

/// Runs the body of test `name` in a process of its own. Its end is passed on.
pub fn in_own_process(name: &str, body: impl FnOnce()) {
    if let Some((status, output)) = elsewhere(name, body) {
        assert!(status.success(), "{name}: {status}\n{output}");
    }
}

/// As [`in_own_process`], with a body that must panic or abort, saying `words`.
pub fn dies_in_own_process(name: &str, words: &str, body: impl FnOnce()) {
    if let Some((status, output)) = elsewhere(name, body) {
        assert!(!status.success(), "{name}: lived on\n{output}");
        assert!(output.contains(words), "{name}: died, but not saying {words:?}: {status}\n{output}");
    }
}

/// In the process for `name`: runs the body and returns `None`. Elsewhere: starts that process and waits for
/// its end.
fn elsewhere(name: &str, body: impl FnOnce()) -> Option<(ExitStatus, String)> {
    if std::env::var(WHICH).is_ok_and(|which| which == name) {
        eprintln!("{BEGUN}");
        body();
        return None;
    }
    let itself = std::env::current_exe().expect("the path of this program");
    let mut child = Command::new(itself)
        .args([name, "--exact", "--nocapture"])
        .env(WHICH, name)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a process for the test");
    let mut errors = child.stderr.take().expect("it was piped");
    let (send, output) = mpsc::channel();
    thread::spawn(move || {
        let mut text = Vec::new();
        errors.read_to_end(&mut text).expect("the output of the test");
        // Nobody listens any more if it took too long.
        let _ = send.send(String::from_utf8_lossy(&text).into_owned());
    });
    let output = output.recv_timeout(DEADLINE).unwrap_or_else(|_| {
        child.kill().expect("to end the test");
        format!("{BEGUN}, and did not end within {DEADLINE:?}")
    });
    let status = child.wait().expect("to wait for the test");
    assert!(output.contains(BEGUN), "{name}: nothing was run: {status}\n{output}");
    Some((status, output))
}
