//! A thread that does not exit is named, and does not hold up the end for longer than allowed.

mod harness;

use std::time::{Duration, Instant};

use spdk_rs::cpuset::CpuSet;
use spdk_rs::thread::ThreadHandle;

#[test]
fn stuck() {
    let began = Instant::now();
    let runtime = harness::runtime(&[0]).exit_limit(Duration::from_millis(200));
    let finished = runtime
        .run(async {
            let handle = ThreadHandle::spawn("forgotten", &CpuSet::all()).expect("a thread");
            // Never dropped, so the thread is never asked to exit.
            std::mem::forget(handle);
            "done"
        })
        .expect("it starts");
    assert_eq!(finished.output, "done");
    assert_eq!(finished.stuck_threads, ["forgotten (core 0)"]);
    assert!(began.elapsed() < Duration::from_secs(20));
}
