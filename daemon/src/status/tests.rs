//! What the status screen prints, as snapshots; the input is JSON as the daemon sends it.

use serde_json::{Value, json};

use super::model::{Array, Subsystem};
use super::render::{Snapshot, screen};
use crate::paint::Paint;

fn member(slot: u32, drive: &str, state: &str) -> Value {
    json!({ "slot": slot, "drive": drive, "uuid": "", "state": state, "read_errors": 0, "write_errors": 0 })
}

fn array(name: &str, level: &str, state: &str, members: &[Value]) -> Value {
    json!({ "name": name, "uuid": "3d2f5e0c-6d2b-5a53-9b0a-0d5f5f7a3f11", "level": level, "state": state,
        "num_blocks": 4_194_304, "block_size": 512, "chunk_kb": 64, "epoch": 1, "quiesces": 0,
        "dirty_regions": 0, "members": members, "sync": null, "jobs": [] })
}

fn export() -> Value {
    json!({ "nqn": "nqn.2026-11.io.basalt:data", "subtype": "NVMe", "allow_any_host": true, "hosts": [],
        "listen_addresses": [{ "trtype": "TCP", "adrfam": "IPv4", "traddr": "127.0.0.1", "trsvcid": "4420" }],
        "namespaces": [{ "nsid": 1, "bdev_name": "data", "name": "data" }] })
}

fn show(arrays: &[Value], exports: &[Value], paint: Paint) -> String {
    let arrays = arrays.iter().map(|a| serde_json::from_value::<Array>(a.clone()).unwrap()).collect();
    let exports = exports.iter().map(|e| serde_json::from_value::<Subsystem>(e.clone()).unwrap()).collect();
    screen(&Snapshot { arrays, exports }, paint)
}

#[test]
fn nothing_yet() {
    insta::assert_snapshot!(show(&[], &[], Paint::Off));
}

#[test]
fn all_well() {
    let members = ["d0", "d1", "d2", "d3"].iter().zip(0..).map(|(d, i)| member(i, d, "in_sync"));
    let healthy = array("data", "raid10", "active", &members.collect::<Vec<_>>());
    insta::assert_snapshot!(show(&[healthy], &[export()], Paint::Off));
}

#[test]
fn degraded_mirror() {
    let mut faulty = member(1, "d1", "faulty");
    faulty["write_errors"] = json!(1);
    let mut degraded = array("data", "raid1", "degraded", &[member(0, "d0", "in_sync"), faulty]);
    degraded["epoch"] = json!(3);
    insta::assert_snapshot!(show(&[degraded], &[export()], Paint::Off));
}

#[test]
fn three_way_mirror_says_what_it_still_tolerates() {
    let members = [member(0, "d0", "in_sync"), member(1, "d1", "in_sync"), member(2, "d2", "faulty")];
    let degraded = array("data", "raid1", "degraded", &members);
    insta::assert_snapshot!(show(&[degraded], &[], Paint::Off));
}

#[test]
fn missing_slot_and_spare() {
    let missing = json!({ "slot": 1, "drive": null, "uuid": null, "state": "missing" });
    let spare = json!({ "slot": null, "drive": "d9", "uuid": "", "state": "spare" });
    let mut waiting = array("data", "raid1", "assembling", &[member(0, "d0", "in_sync"), missing, spare]);
    waiting["why"] = json!(
        "array data: waits for d1 (slot 1), and then starts without; \
        to start it at once: basalt array start ARRAY --degraded"
    );
    insta::assert_snapshot!(show(&[waiting], &[], Paint::Off));
}

#[test]
fn a_split_array_says_what_each_drive_is() {
    let split = |slot, drive: &str, generation: &str| {
        let mut member = member(slot, drive, "split");
        member["verdict"] = json!(format!(
            "split: parts of its array went on without each other, this one as generation {generation}; \
             say which side to keep: basalt array resolve ARRAY --keep DRIVE"
        ));
        member
    };
    let mut array = array("data", "raid1", "assembling", &[split(0, "d0", "0a"), split(1, "d1", "0b")]);
    array["why"] = json!(
        "array data: is not started: it is split; these parts went on without each other: \
        d0 (generation 0a, epoch 3); d1 (generation 0b, epoch 3); \
        say which to keep: basalt array resolve ARRAY --keep DRIVE"
    );
    insta::assert_snapshot!(show(&[array], &[], Paint::Off));
}

#[test]
fn failed_and_stopped() {
    let failed = array("a", "raid0", "failed", &[member(0, "d0", "in_sync"), member(1, "d1", "faulty")]);
    let mut stopped =
        array("b", "raid1", "stopped", &[member(0, "d2", "in_sync"), member(1, "d3", "in_sync")]);
    stopped["why"] = json!("it was stopped; to start it: basalt array start ARRAY");
    insta::assert_snapshot!(show(&[failed, stopped], &[], Paint::Off));
}

#[test]
fn jobs_show_progress_or_why_they_wait() {
    let mut busy =
        array("data", "raid1", "active", &[member(0, "d0", "in_sync"), member(1, "d1", "in_sync")]);
    busy["jobs"] = json!([
        { "job": 1, "action": "check", "state": "running", "pause_reasons": [], "position_blocks": 1_048_576,
          "total_blocks": 4_194_304, "rate_bytes_per_s": 104_857_600, "eta_s": 80, "mismatches": 2 },
        { "job": 2, "action": "resync", "state": "paused", "pause_reasons": ["operator", "after other"],
          "position_blocks": 0, "total_blocks": 4_194_304, "rate_bytes_per_s": 0, "eta_s": null,
          "mismatches": 0 },
    ]);
    busy["dirty_regions"] = json!(3);
    insta::assert_snapshot!(show(&[busy], &[], Paint::Off));
}

#[test]
fn a_member_with_errors_is_pointed_out_while_all_is_well() {
    let mut erring = member(1, "d1", "in_sync");
    erring["read_errors"] = json!(4);
    let healthy = array("data", "raid1", "active", &[member(0, "d0", "in_sync"), erring]);
    insta::assert_snapshot!(show(&[healthy], &[], Paint::Off));
}

#[test]
fn colours_say_the_state() {
    let degraded =
        array("data", "raid1", "degraded", &[member(0, "d0", "in_sync"), member(1, "d1", "faulty")]);
    let painted = show(&[degraded], &[], Paint::On);
    assert!(painted.contains("\u{1b}[33mdegraded\u{1b}[0m"), "{painted}");
    assert!(painted.contains("\u{1b}[31mfaulty\u{1b}[0m"), "{painted}");
    assert!(painted.contains("\u{1b}[32min_sync\u{1b}[0m"), "{painted}");
}

#[test]
fn unknown_fields_do_not_break_an_older_client() {
    let mut newer = array("data", "raid1", "active", &[member(0, "d0", "in_sync")]);
    newer["from_the_future"] = json!({ "x": 1 });
    assert!(show(&[newer], &[], Paint::Off).contains("active"));
}

#[test]
fn ipv6_addresses_are_bracketed() {
    let mut export = export();
    export["listen_addresses"] =
        json!([{ "trtype": "TCP", "adrfam": "IPv6", "traddr": "::1", "trsvcid": "4420" }]);
    assert!(show(&[], &[export], Paint::Off).contains("tcp://[::1]:4420"));
}
