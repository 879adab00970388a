//! Metadata writes that hang, for less than `member_timeout`.

use basalt_tests::daemon::Daemon;
use basalt_tests::{machine, wait};
use raid::format::{COPY_OFFSETS, LOG_BYTES, LOG_OFFSET, SUPERBLOCK_BYTES};
use serde_json::{Value, json};

use crate::{Scene, faulty_mirror};

const BLOCK: u64 = 512;

fn body() -> String {
    faulty_mirror("60s")
}

fn hang_writes(daemon: &Daemon, offset: u64, bytes: u64) {
    let rule =
        json!({ "ops": ["write"], "lba": offset / BLOCK, "blocks": bytes / BLOCK, "do": { "hang": true } });
    daemon.call("bdev_basalt_faulty_inject", json!({ "name": "f1", "rule": rule }));
}

fn let_go(daemon: &Daemon) {
    daemon.call("bdev_basalt_faulty_clear", json!({ "name": "f1" }));
    daemon.call("bdev_basalt_faulty_release", json!({ "name": "f1" }));
}

fn held(daemon: &Daemon) -> u64 {
    let report = daemon.call("bdev_basalt_faulty_get", json!({ "name": "f1" }));
    match &report["held"] {
        Value::Array(held) => held.len() as u64,
        held => held.as_u64().unwrap_or_else(|| panic!("how many are held? {report:#}")),
    }
}

fn done(daemon: &Daemon, kind: &str) -> u64 {
    let stats = daemon.call("bdev_get_iostat", json!({ "name": "data" }));
    stats["bdevs"][0][kind].as_u64().expect("a count")
}

fn wait_held(daemon: &Daemon) {
    wait::until("a metadata write to hang", || match held(daemon) {
        0 => Err("none is held".to_owned()),
        _ => Ok(()),
    });
}

/// A mark that does not become durable holds back the writes that need it, and no reads.
#[test]
fn a_write_waits_for_its_mark() {
    let _alone = machine::alone();
    let scene = Scene::new();
    let daemon = scene.run(&body());
    hang_writes(&daemon, LOG_OFFSET, LOG_BYTES);
    let host = scene.place.model(1, &machine::last_core(2)).option("--ios", 1_000).spawn();
    wait_held(&daemon);
    wait::until("reads to go on", || match done(&daemon, "num_read_ops") {
        0 => Err("no read has come back".to_owned()),
        _ => Ok(()),
    });
    assert_eq!(done(&daemon, "num_write_ops"), 0, "no region has a durable mark");
    let_go(&daemon);
    let outcome = host.outcome();
    assert!(outcome.good, "{:#?}", outcome.verdict);
    assert!(done(&daemon, "num_write_ops") > 0);
    assert_eq!(daemon.array("data")["state"], "active");
    daemon.stop_well();
}

/// A record that nobody waits for holds back nothing; a failed member's, what missed it.
#[test]
fn only_what_needs_a_record_waits_for_it() {
    let _alone = machine::alone();
    let scene = Scene::new();
    let daemon = scene.run(&body());
    let superblocks = COPY_OFFSETS[1] + SUPERBLOCK_BYTES as u64 - COPY_OFFSETS[0];
    // Longer than it takes to the next heartbeat, however fast the machine is.
    let host = scene.place.model(1, &machine::last_core(2)).option("--ios", 100_000_000);
    let host = host.option("--seconds", 15).spawn();
    wait::until("writes", || match done(&daemon, "num_write_ops") {
        0..200 => Err("few writes".to_owned()),
        _ => Ok(()),
    });
    hang_writes(&daemon, COPY_OFFSETS[0], superblocks);
    // The next heartbeat.
    wait_held(&daemon);
    let before = (done(&daemon, "num_read_ops"), done(&daemon, "num_write_ops"));
    wait::until("I/O to go on", || {
        let now = (done(&daemon, "num_read_ops"), done(&daemon, "num_write_ops"));
        let goes_on = now.0 > before.0 + 200 && now.1 > before.1 + 200;
        if goes_on { Ok(()) } else { Err(format!("{before:?}, then {now:?}")) }
    });
    assert!(held(&daemon) > 0);
    assert_eq!(daemon.array("data")["state"], "active");
    // The failure of the other member must be recorded on the one that hangs: writes wait for that.
    let failed = daemon.call("bdev_basalt_fail_member", json!({ "name": "data", "drive": "f0" }));
    assert_eq!(failed["took_effect"], false, "{failed}");
    let_go(&daemon);
    daemon.wait_for_state("data", "degraded");
    let outcome = host.outcome();
    assert!(outcome.good, "{:#?}", outcome.verdict);
    daemon.stop_well();
}
