//! An NVMe/TCP target with four drives, and the host's side of it, as configuration.

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;

use serde_json::{Value, json};

const NQN: &str = "nqn.2026-11.io.basalt:idle";
const DRIVES: [&str; 4] = ["d0", "d1", "d2", "d3"];

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port()
}

/// Four drives: files in this folder, or memory.
pub fn drives(folder: Option<&Path>) -> Vec<(&'static str, Value)> {
    let file = |folder: &Path, drive: &str| {
        let file = folder.join(drive);
        File::create(&file).and_then(|file| file.set_len(16 << 20)).expect("a file");
        ("bdev_uring_create", json!({"name": drive, "filename": file, "block_size": 4096}))
    };
    let memory =
        |drive: &str| ("bdev_malloc_create", json!({"name": drive, "num_blocks": 256, "block_size": 4096}));
    DRIVES.map(|drive| folder.map_or_else(|| memory(drive), |folder| file(folder, drive))).to_vec()
}

/// Exports the drives on this port.
pub fn target(port: u16) -> Vec<(&'static str, Value)> {
    let mut calls = vec![
        ("nvmf_create_transport", json!({"trtype": "TCP", "num_shared_buffers": 255, "buf_cache_size": 16})),
        ("nvmf_create_subsystem", json!({"nqn": NQN, "allow_any_host": true})),
    ];
    for (number, drive) in DRIVES.iter().enumerate() {
        // Not the drive's own identity, so that the host may be in this process, too.
        let nguid = format!("626173616C74{number:020}");
        let namespace = json!({"bdev_name": drive, "nguid": nguid});
        calls.push(("nvmf_subsystem_add_ns", json!({"nqn": NQN, "namespace": namespace})));
    }
    calls.push(("nvmf_subsystem_add_listener", json!({"nqn": NQN, "listen_address": address(port)})));
    calls
}

/// Connects to the target on this port; its first drive is the bdev `hostn1`.
pub fn host(port: u16) -> Vec<(&'static str, Value)> {
    let mut host = address(port);
    host["name"] = json!("host");
    host["subnqn"] = json!(NQN);
    vec![("bdev_nvme_attach_controller", host)]
}

fn address(port: u16) -> Value {
    json!({"trtype": "TCP", "adrfam": "IPv4", "traddr": "127.0.0.1", "trsvcid": port.to_string()})
}
