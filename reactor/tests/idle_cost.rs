//! What a core costs that has nothing to do but could have at any moment: an NVMe/TCP target with four drives
//! and a host that is connected (SPDK's own initiator, in the same process, so its polling counts too), and
//! the RPC server.

mod harness;
#[path = "harness/spdk.rs"]
mod spdk;
#[path = "harness/target.rs"]
mod target;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use reactor::executor::sleep;
use reactor::runtime::core_stats;
use spdk_rs::rpc::listen;

const MEASURED: Duration = Duration::from_secs(3);
const COST_MAX_PERCENT: f64 = 5.0;

#[test]
fn an_idle_core_costs_little() {
    let folder = tempfile::tempdir().expect("a folder");
    let cost = harness::runtime(&[0]).run(main(folder.path().to_owned())).expect("it starts").output;
    assert!(cost < COST_MAX_PERCENT, "{cost:.2} % of a core");
}

async fn main(folder: PathBuf) -> f64 {
    let server = listen(&folder.join("rpc.sock")).expect("it listens");
    let port = target::free_port();
    let config = [target::drives(Some(&folder)), target::target(port), target::host(port)].concat();
    spdk::start(&config).await;
    // Connecting is activity; then the core calms down.
    sleep(Duration::from_millis(500)).await;
    let (began, cpu) = (Instant::now(), cpu_time());
    let before = core_stats(0).await.expect("core 0 runs");
    sleep(MEASURED).await;
    let spent = cpu_time() - cpu;
    let cost = 100.0 * spent.as_secs_f64() / began.elapsed().as_secs_f64();
    let after = core_stats(0).await.expect("core 0 runs");
    let naps = after.naps - before.naps;
    let busy = 100.0 * (after.busy_ticks - before.busy_ticks) as f64
        / after.ticks_per_s as f64
        / MEASURED.as_secs_f64();
    println!("idle: {cost:.2} % of a core, {naps} naps, {busy:.2} % in rounds with work");
    drop(server);
    spdk::stop().await;
    cost
}

/// CPU time of all threads of this process, by the scheduler's own nanoseconds.
fn cpu_time() -> Duration {
    let tasks = fs::read_dir("/proc/self/task").expect("our threads");
    let nanos = tasks.filter_map(|task| {
        let schedstat = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        schedstat.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}
