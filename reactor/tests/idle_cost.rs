//! What a core costs that has nothing to do but could have at any moment: an NVMe/TCP target with four drives and a
//! host that is connected (SPDK's own initiator, in the same process, so its polling counts too), and the RPC server.

mod harness;
#[path = "harness/spdk.rs"]
mod spdk;

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use reactor::executor::sleep;
use reactor::runtime::core_stats;
use serde_json::{Value, json};
use spdk_rs::rpc::listen;

const NQN: &str = "nqn.2026-11.io.basalt:idle";
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
    spdk::start(&target_with_a_host(&folder)).await;
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

fn target_with_a_host(folder: &std::path::Path) -> Vec<(&'static str, Value)> {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    let address =
        json!({"trtype": "TCP", "adrfam": "IPv4", "traddr": "127.0.0.1", "trsvcid": port.to_string()});
    let mut calls = vec![
        ("nvmf_create_transport", json!({"trtype": "TCP", "num_shared_buffers": 255, "buf_cache_size": 16})),
        ("nvmf_create_subsystem", json!({"nqn": NQN, "allow_any_host": true})),
    ];
    for drive in ["d0", "d1", "d2", "d3"] {
        let file = folder.join(drive);
        File::create(&file).and_then(|file| file.set_len(16 << 20)).expect("a file");
        calls.push(("bdev_uring_create", json!({"name": drive, "filename": file, "block_size": 4096})));
        calls.push(("nvmf_subsystem_add_ns", json!({"nqn": NQN, "namespace": {"bdev_name": drive}})));
    }
    calls.push(("nvmf_subsystem_add_listener", json!({"nqn": NQN, "listen_address": address})));
    let mut host = address;
    host["name"] = json!("host");
    host["subnqn"] = json!(NQN);
    calls.push(("bdev_nvme_attach_controller", host));
    calls
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
