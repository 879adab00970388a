//! The daemon's life, on real SPDK: start, refusals, stop.

use std::os::unix::fs::PermissionsExt;

use crate::support::{Place, basalt, text};
use rustix::process::Signal;
use serde_json::Value;

const MIRROR: &str = r#"
drives:
  - { name: d0, file: { path: d0.img, size: 64MiB } }
  - { name: d1, file: { path: d1.img, size: 64MiB } }
arrays:
  - { name: data, level: raid1, members: [d0, d1] }
exports:
  - { nqn: "nqn.2026-11.io.basalt:data", listen: ["tcp://127.0.0.1:{port}"], namespaces: [data] }
"#;

#[test]
fn a_mirror_comes_up_is_exported_and_goes_down() {
    let place = Place::new();
    let mut daemon = place.start(MIRROR);
    daemon.wait_for_line("drive d0: file");
    daemon.wait_for_line("array data: raid1 of d0 d1");
    let ready = daemon.wait_for_line("ready: ");
    assert!(
        ready.contains(&format!("nqn.2026-11.io.basalt:data at tcp://127.0.0.1:{}", place.port)),
        "{ready}"
    );

    let mode = std::fs::metadata(place.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(std::fs::metadata(place.path("d0.img")).unwrap().len(), 64 << 20);

    let (code, screen, _) = text(&place.cli("status"));
    assert_eq!(code, 0, "{screen}");
    for part in ["data  raid1, active", "d0", "d1", "in_sync", "1: data", "any, 0 connected"] {
        assert!(screen.contains(part), "`{part}` is missing:\n{screen}");
    }
    std::net::TcpStream::connect(("127.0.0.1", place.port)).unwrap();

    let said = daemon.stop_well();
    let at = |part: &str| said.find(part).unwrap_or_else(|| panic!("`{part}` is missing:\n{said}"));
    assert!(at("asked to stop") < at("stopped exports"));
    assert!(at("stopped exports") < at("stopped arrays"));
    assert!(at("stopped arrays") < at("stopped drives"));
    assert!(!place.socket().exists());
}

#[test]
fn identity_is_the_same_after_a_restart() {
    let place = Place::new();
    let identity = |place: &Place| {
        let subsystems = place.call("nvmf_get_subsystems", Value::Null);
        let export = subsystems.as_array().unwrap().iter().find(|s| s["subtype"] == "NVMe").unwrap().clone();
        let arrays = place.call("bdev_basalt_get_arrays", serde_json::json!({}));
        let of = |value: &Value| value.to_string();
        [
            of(&export["serial_number"]),
            of(&export["model_number"]),
            of(&export["min_cntlid"]),
            of(&export["max_cntlid"]),
            of(&export["namespaces"]),
            of(&arrays[0]["uuid"]),
        ]
    };
    let daemon = place.run(MIRROR);
    let before = identity(&place);
    daemon.stop_well();
    let daemon = place.run(MIRROR);
    assert_eq!(identity(&place), before);
    let uuid = before[5].trim_matches('"');
    assert!(before[4].contains(uuid), "the namespace has the array's uuid: {before:?}");
    assert!(before[4].contains(&uuid.replace('-', "").to_uppercase()), "and it is the nguid: {before:?}");
    daemon.stop_well();
}

#[test]
fn a_second_daemon_on_the_socket_is_refused_and_names_the_first() {
    let place = Place::new();
    let daemon = place.run(MIRROR);
    let mut second = place.start("");
    assert_eq!(second.wait().code(), Some(1), "{}", second.said);
    assert!(second.said.contains(&format!("process {} listens on", daemon.pid())), "{}", second.said);
    assert_eq!(text(&place.cli("status")).0, 0);
    daemon.stop_well();
}

#[test]
fn a_killed_daemon_leaves_a_socket_that_the_next_one_removes() {
    let place = Place::new();
    let mut daemon = place.run(MIRROR);
    daemon.signal(Signal::KILL);
    daemon.wait();
    let (code, _, error) = text(&place.cli("status"));
    assert_eq!(code, 1);
    assert!(error.contains("nobody answers"), "{error}");
    let daemon = place.run(MIRROR);
    assert!(daemon.said.contains("removed the stale socket"), "{}", daemon.said);
    daemon.stop_well();
}

#[test]
fn a_drive_that_another_daemon_uses_is_refused_at_its_line() {
    let first = Place::new();
    let daemon = first.run(MIRROR);
    let second = Place::new();
    let shared = first.path("d0.img");
    let mut refused = second.start(&format!(
        r#"
drives:
  - {{ name: own, file: {{ path: own.img, size: 64MiB }} }}
  - {{ name: shared, file: {{ path: "{}", size: 64MiB }} }}
"#,
        shared.display()
    ));
    assert_eq!(refused.wait().code(), Some(1), "{}", refused.said);
    for part in [
        &format!("process {}", daemon.pid()),
        "basalt.yaml:5:",
        "help: stop that process",
        "stopped drives: 1",
    ] {
        assert!(refused.said.contains(part), "`{part}` is missing:\n{}", refused.said);
    }
    assert_eq!(text(&first.cli("status")).0, 0);
    daemon.stop_well();
}

#[test]
fn a_refused_configuration_changes_nothing() {
    let place = Place::new();
    let mut daemon = place.start(&MIRROR.replace("d1.img, size", "no/such/folder/d1.img, size"));
    assert_eq!(daemon.wait().code(), Some(1), "{}", daemon.said);
    assert!(daemon.said.contains("mkdir -p"), "{}", daemon.said);
    assert!(!place.path("d0.img").exists() && !place.socket().exists());
}

#[test]
fn stopping_in_the_middle_of_the_start_takes_back_what_was_done() {
    let place = Place::new();
    let body = r#"
drives:
  - { name: d0, file: { path: d0.img, size: 64MiB } }
  - { name: late, bdev: NeverMade }
"#;
    let mut daemon = place.start(body);
    daemon.wait_for_line("drive d0: file");
    let said = daemon.stop_well();
    assert!(said.contains("asked to stop in the middle of the start"), "{said}");
    assert!(said.contains("stopped drives: 1"), "{said}");
}

#[test]
fn a_bdev_that_nobody_makes_is_an_error_at_its_line() {
    let place = Place::new();
    let mut daemon = place.start("drives:\n  - { name: late, bdev: NeverMade }\n");
    assert_eq!(daemon.wait().code(), Some(1), "{}", daemon.said);
    assert!(daemon.said.contains("no bdev 'NeverMade' appeared"), "{}", daemon.said);
    assert!(daemon.said.contains("basalt.yaml:3:"), "{}", daemon.said);
}

#[test]
fn a_bdev_that_somebody_makes_meanwhile_is_waited_for() {
    let place = Place::new();
    let mut daemon = place.start("drives:\n  - { name: late, bdev: ByHand }\n");
    daemon.wait_for_line("waiting for drive late: bdev ByHand");
    place.call(
        "bdev_malloc_create",
        serde_json::json!({ "name": "ByHand", "block_size": 512, "num_blocks": 2048 }),
    );
    daemon.wait_for_line("ready: 0 arrays; nothing exported");
    daemon.stop_well();
}

#[test]
fn what_was_made_by_hand_is_stopped_too() {
    let place = Place::new();
    let mut daemon = place.run(
        "drives:\n  - { name: m0, memory: { size: 16MiB } }\n  - { name: m1, memory: { size: 16MiB } }\n",
    );
    let (code, out, err) = text(&place.cli("array create hand --level raid1 --members m0,m1 --json"));
    assert_eq!(code, 0, "{err}");
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["name"], "hand");
    daemon.signal(Signal::INT);
    assert!(daemon.wait().success(), "{}", daemon.said);
    assert!(daemon.said.contains("stopped arrays: 1"), "{}", daemon.said);
}

#[test]
fn check_starts_nothing() {
    let place = Place::new();
    let file = place.write(MIRROR);
    let output = basalt().args(["check", "-c"]).arg(&file).output().unwrap();
    let (code, out, err) = text(&output);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("nothing speaks against starting it"), "{out}");
    assert!(!place.path("d0.img").exists() && !place.socket().exists());

    std::fs::write(&file, "drives: [{ name: d0, file: { path: d0.img, size: 1GB } }]\n").unwrap();
    let output = basalt().args(["check", "--json", "-c"]).arg(&file).output().unwrap();
    let (code, out, _) = text(&output);
    assert_eq!(code, 1);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&report["ok"], &report["findings"][0]["line"]), (&Value::Bool(false), &serde_json::json!(1)));
}
