//! Members that do not answer, and blocks that can't be read.

use basalt_tests::daemon::Daemon;
use basalt_tests::machine;
use raid::format::{LOG_BYTES, LOG_OFFSET};
use serde_json::{Value, json};

use crate::{Scene, faulty_mirror};

const BLOCK: u64 = 512;

fn body() -> String {
    faulty_mirror("2s")
}

fn inject(daemon: &Daemon, rule: Value) {
    daemon.call("bdev_basalt_faulty_inject", json!({ "name": "f1", "rule": rule }));
}

fn is_told(daemon: &Daemon, kind: &str, text: &str) -> bool {
    let events = daemon.call("bdev_basalt_get_events", json!({ "name": "data" }));
    let events = events["events"].as_array().expect("a list").clone();
    events
        .iter()
        .any(|event| event["kind"] == kind && event["text"].as_str().is_some_and(|t| t.contains(text)))
}

/// No host I/O fails, and none waits for longer than it takes to find out.
fn goes_on_without_f1(daemon: &Daemon, scene: &Scene, rule: Value) {
    inject(daemon, rule);
    let host = scene.place.model(1, &machine::last_core(2)).option("--ios", 2_000).spawn();
    let outcome = host.outcome();
    assert!(outcome.good, "{:#?}", outcome.verdict);
    assert_eq!(daemon.array("data")["state"], "degraded");
    assert!(is_told(daemon, "member_failed", "did not answer for member_timeout"));
}

#[test]
fn a_member_that_answers_nothing_is_failed_and_io_goes_on() {
    let _alone = machine::alone();
    let scene = Scene::new();
    let daemon = scene.run(&body());
    goes_on_without_f1(&daemon, &scene, json!({ "ops": ["read", "write", "flush"], "do": { "hang": true } }));
    daemon.stop_well();
}

/// The member answers hosts, but its dirty log can't be written: the writes that need it go on without it.
#[test]
fn a_member_whose_log_hangs_for_too_long_is_failed_and_writes_go_on() {
    let _alone = machine::alone();
    let scene = Scene::new();
    let daemon = scene.run(&body());
    let (lba, blocks) = (LOG_OFFSET / BLOCK, LOG_BYTES / BLOCK);
    let rule = json!({ "ops": ["write"], "lba": lba, "blocks": blocks, "do": { "hang": true } });
    goes_on_without_f1(&daemon, &scene, rule);
    daemon.stop_well();
}

/// Reads are answered by the other member, the blocks are written again, and reads there are good from then on.
#[test]
fn what_a_member_can_not_read_is_written_there_again() {
    let _alone = machine::alone();
    let scene = Scene::new();
    let daemon = scene.run(&body());
    scene.host_keeping("before", 2_000);
    inject(&daemon, json!({ "ops": ["read"], "count": 5, "do": { "error": "media_read" } }));
    scene.host_keeping("before", 2_000);
    let array = daemon.array("data");
    let member = &array["members"][1];
    assert_eq!((&array["state"], &member["state"]), (&json!("active"), &json!("in_sync")), "{array:#}");
    assert_eq!((&member["read_errors"], &member["bad_blocks"]), (&json!(5), &json!(0)), "{array:#}");
    assert!(member["repairs"].as_u64().is_some_and(|repairs| repairs > 0), "{array:#}");
    daemon.stop_well();
}

/// Blocks that can't be written either are on record, and remembered.
#[test]
fn what_can_not_be_written_again_is_a_bad_block() {
    let _alone = machine::alone();
    let scene = Scene::new();
    let daemon = scene.run(&body());
    scene.host_keeping("before", 2_000);
    // Beyond the metadata: block 0 of the array's data.
    let (lba, blocks) = (raid::format::DATA_OFFSET_MIN / BLOCK, 64);
    for op in ["read", "write"] {
        let error = if op == "read" { "media_read" } else { "media_write" };
        inject(&daemon, json!({ "ops": [op], "lba": lba, "blocks": blocks, "do": { "error": error } }));
    }
    // Each time everything is read, from one member or the other.
    let is_found = (0..10).any(|_| {
        scene.host_keeping("before", 0);
        daemon.array("data")["members"][1]["bad_blocks"] != json!(0)
    });
    let array = daemon.array("data");
    assert!(is_found && array["state"] == "active", "{array:#}");
    daemon.stop_well();
    let daemon = scene.run(&body());
    let member = daemon.array("data")["members"][1].clone();
    assert!(member["bad_blocks"].as_u64().is_some_and(|count| count > 0), "{member:#}");
    daemon.stop_well();
}
