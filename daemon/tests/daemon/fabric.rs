//! Two daemons: the arrays of one are the drives of the other, over NVMe/TCP.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Place, text};

fn target(hosts: &str) -> String {
    format!(
        r#"
drives:
  - {{ name: m0, memory: {{ size: 32MiB }} }}
  - {{ name: m1, memory: {{ size: 32MiB }} }}
arrays:
  - {{ name: far, level: raid1, members: [m0, m1] }}
exports:
  - nqn: nqn.2026-11.io.basalt:far
    listen: ["tcp://127.0.0.1:{{port}}"]
    hosts: {hosts}
    namespaces: [far]
"#
    )
}

/// A mirror of a drive on the target's array and of memory.
fn initiator(port: u16) -> String {
    format!(
        r#"
drives:
  - {{ name: t0, nvme: {{ tcp: "127.0.0.1:{port}", nqn: "nqn.2026-11.io.basalt:far" }} }}
  - {{ name: m0, memory: {{ size: 32MiB }} }}
arrays:
  - {{ name: near, level: raid1, members: [t0, m0] }}
"#
    )
}

#[test]
fn an_exported_array_is_found_attached_and_recognised() {
    let (far, near) = (Place::new(), Place::new());
    let target_daemon = far.run(&target("any"));
    let initiator_daemon = near.run(&initiator(far.port));

    let drive = near.call("bdev_get_bdevs", json!({ "name": "t0n1" }))[0].clone();
    let array = far.call("bdev_basalt_get_arrays", json!({ "name": "far" }))[0].clone();
    assert_eq!(drive["uuid"], array["uuid"]);
    assert_eq!(drive["num_blocks"], array["num_blocks"]);
    let controller = &drive["driver_specific"]["nvme"][0]["ctrlr_data"];
    assert_eq!(controller["model_number"], "Basalt");

    let (_, screen, _) = text(&far.cli("status"));
    assert!(screen.contains("any, 1 connected"), "{screen}");

    // The drive's name of the YAML stands for its only namespace.
    let (code, out, err) = text(&near.cli("member fail near t0"));
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("failed t0n1 in near (epoch "), "{out}");
    initiator_daemon.stop_well();
    target_daemon.stop_well();
}

#[test]
fn the_discovery_service_names_the_export() {
    let (far, near) = (Place::new(), Place::new());
    let target_daemon = far.run(&target("any"));
    let host = near.run("");
    near.call(
        "bdev_nvme_start_discovery",
        json!({ "name": "found", "trtype": "TCP", "adrfam": "IPv4", "traddr": "127.0.0.1",
            "trsvcid": far.port.to_string(), "wait_for_attach": true }),
    );
    let bdevs = near.call("bdev_get_bdevs", Value::Null);
    let export = &bdevs[0]["driver_specific"]["nvme"][0]["trid"]["subnqn"];
    assert_eq!((&bdevs[0]["name"], export), (&json!("found0n1"), &json!("nqn.2026-11.io.basalt:far")));
    near.call("bdev_nvme_stop_discovery", json!({ "name": "found" }));
    host.stop_well();
    target_daemon.stop_well();
}

#[test]
fn a_host_that_is_not_listed_is_kept_out() {
    let (far, near) = (Place::new(), Place::new());
    let listed = "[\"nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555\"]";
    let target_daemon = far.run(&target(listed));
    let (_, screen, _) = text(&far.cli("status"));
    assert!(screen.contains("1 listed, 0 connected"), "{screen}");

    let mut refused = near.start(&initiator(far.port));
    assert_eq!(refused.wait().code(), Some(1), "{}", refused.said);
    assert!(refused.said.contains("basalt.yaml:4:"), "{}", refused.said);
    assert!(refused.said.contains("help: see whether a target listens there"), "{}", refused.said);
    target_daemon.stop_well();
}

#[test]
fn a_drive_that_is_not_there_is_an_error_at_its_line() {
    let place = Place::new();
    // Nobody listens on this place's port.
    let mut refused = place.start(&initiator(place.port));
    assert_eq!(refused.wait().code(), Some(1), "{}", refused.said);
    assert!(refused.said.contains("basalt.yaml:4:"), "{}", refused.said);
    assert!(!place.socket().exists());
}

#[test]
fn a_stop_that_waits_says_for_what_and_a_second_wish_ends_it() {
    let (far, near) = (Place::new(), Place::new());
    let target_daemon = far.run(&target("any"));
    let mut initiator_daemon = near.run(&initiator(far.port));
    target_daemon.signal(Signal::STOP);
    initiator_daemon.signal(Signal::TERM);
    initiator_daemon.wait_for_line("waiting for array near to stop");
    initiator_daemon.signal(Signal::TERM);
    assert_eq!(initiator_daemon.wait().code(), Some(1), "{}", initiator_daemon.said);
    assert!(initiator_daemon.said.contains("asked again: ending at once"), "{}", initiator_daemon.said);
    target_daemon.signal(Signal::CONT);
    target_daemon.stop_well();
}
