//! Who is a member is known from the drives, not from the YAML.

use basalt_tests::daemon::Place;
use basalt_tests::{machine, medium};
use raid::format::RecordState;

use crate::{Scene, event_numbers, files, member_states, mirror};

const PAIR: [&str; 2] = ["d0", "d1"];

#[test]
fn a_failed_member_stays_out_over_stops_and_crashes() {
    let _alone = machine::alone();
    let scene = Scene::new();
    let body = mirror(&PAIR, "");
    let daemon = scene.run(&body);
    scene.host(1_200);
    let uuid = daemon.array("data")["uuid"].clone();
    scene.place.cli_well("member fail data d1");
    scene.host(800);
    let mut last = *event_numbers(&daemon).last().expect("events");
    daemon.stop_well();
    assert_eq!(medium::superblock(&scene.img("d0")).members[1].state, RecordState::Faulty);

    for crash in [false, true, true] {
        let daemon = scene.run(&body);
        let array = daemon.array("data");
        assert_eq!((&array["uuid"], &array["state"]), (&uuid, &"degraded".into()), "{array:#}");
        assert_eq!(member_states(&array)[0], "in_sync");
        assert_eq!(member_states(&array)[1], "stale", "{array:#}");
        let stderr = daemon.child.stderr();
        assert!(stderr.contains("array data runs degraded"), "{stderr}");
        assert!(stderr.contains("stale: the array went on without the member in slot 1"), "{stderr}");
        let status = scene.place.cli("status");
        assert!(status.code == 3 && status.stdout.contains("d1: stale: "), "{status:?}");
        scene.host(300);
        let numbers = event_numbers(&daemon);
        let new = numbers.iter().filter(|number| **number > last).count() as u64;
        assert!(new > 0 && *numbers.last().expect("events") == last + new, "{last}: {numbers:?}");
        last += new;
        if crash {
            daemon.kill();
        } else {
            daemon.stop_well();
        }
    }
}

#[test]
fn drives_are_known_in_any_order_and_under_any_name() {
    let _alone = machine::alone();
    let scene = Scene::new();
    let daemon = scene.run(&mirror(&["d0", "d1", "d2"], ""));
    scene.host(1_000);
    let uuid = daemon.array("data")["uuid"].clone();
    daemon.stop_well();
    for (from, to) in [("d0", "x"), ("d1", "y"), ("d2", "z")] {
        std::fs::rename(scene.img(from), scene.img(to)).expect("our file");
    }
    let daemon = scene.run(&mirror(&["z", "x", "y"], ""));
    let array = daemon.array("data");
    assert_eq!((&array["uuid"], &array["state"]), (&uuid, &"active".into()));
    let drives: Vec<&str> = (0..3).filter_map(|slot| array["members"][slot]["drive"].as_str()).collect();
    assert_eq!(drives, ["x", "y", "z"], "by slot, whatever the file says");
    scene.host(500);
    daemon.stop_well();
}

#[test]
fn a_missing_member_is_waited_for_and_then_done_without() {
    let _alone = machine::alone();
    let scene = Scene::new();
    let body = mirror(&PAIR, "start_degraded_after: 2s");
    let daemon = scene.run(&body);
    scene.host(1_000);
    daemon.stop_well();
    scene.take_away("d1");
    let daemon = scene.run(&body);
    let said = daemon.child.stderr();
    assert!(said.contains("waits for d1 (slot 1), and then starts without"), "{said}");
    assert!(said.contains("basalt array start data --degraded"), "{said}");
    assert!(said.contains("the file of d1 was not there; it was made new"), "{said}");
    assert!(said.contains("exports wait for array data"), "{said}");
    daemon.wait_for_state("data", "degraded");
    daemon.wait_for_export("data");
    scene.host(500);
    daemon.stop_well();
}

#[test]
fn never_means_that_an_operator_decides_and_the_exports_come_then() {
    let _alone = machine::alone();
    let scene = Scene::new();
    let body = mirror(&PAIR, "start_degraded_after: never");
    let daemon = scene.run(&body);
    scene.host(1_000);
    daemon.stop_well();
    scene.take_away("d1");

    // It may also be stopped while it waits.
    let daemon = scene.run(&body);
    assert_eq!(daemon.array("data")["state"], "assembling");
    let status = scene.place.cli("status");
    assert_eq!(status.code, 3);
    assert!(status.stdout.contains("start_degraded_after: never"), "{}", status.stdout);
    assert!(status.stdout.contains("d1: not a member: there is no superblock on it"), "{}", status.stdout);
    daemon.stop_well();

    let daemon = scene.run(&body);
    let refused = scene.place.cli("array start data");
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("waits for d1"), "{refused:?}");
    scene.place.cli_well("array start data --degraded");
    daemon.wait_for_export("data");
    scene.host(300);
    daemon.stop_well();
}

#[test]
fn a_member_that_comes_late_is_taken_at_once() {
    let _alone = machine::alone();
    let scene = Scene::new();
    let body = mirror(&PAIR, "start_degraded_after: never");
    scene.run(&body).stop_well();
    scene.take_away("d1");
    // Its folder is gone, as when a file system is not mounted.
    let elsewhere = body.replace("path: d1.img", "path: gone/d1.img");
    let daemon = scene.run(&elsewhere);
    let said = daemon.child.stderr();
    assert!(said.contains("there is no folder"), "{said}");
    assert!(said.contains("its array starts without it, if it can"), "{said}");
    assert_eq!(daemon.array("data")["state"], "assembling");
    scene.bring_back("d1");
    let size = crate::DRIVE_MIB << 20;
    let params = serde_json::json!({ "name": "d1", "path": scene.img("d1"), "size_bytes": size });
    daemon.call("bdev_basalt_file_create", params);
    daemon.wait_for_state("data", "active");
    daemon.wait_for_export("data");
    scene.host(300);
    daemon.stop_well();
}

#[test]
fn stopped_started_and_deleted_by_command() {
    let _alone = machine::alone();
    let scene = Scene::new();
    let body = mirror(&PAIR, "");
    let daemon = scene.run(&body);
    scene.host(800);
    scene.place.cli_well("array stop data");
    assert_eq!(daemon.array("data")["state"], "stopped");
    let status = scene.place.cli("status");
    assert!(status.stdout.contains("to start it: basalt array start data"), "{}", status.stdout);
    scene.place.cli_well("array start data");
    assert_eq!(daemon.array("data")["state"], "active");
    daemon.wait_for_export("data");
    scene.host(300);

    scene.place.cli_well("array delete data");
    daemon.stop_well();
    for drive in PAIR {
        assert_eq!(medium::newest(&scene.img(drive)), None, "{drive} has forgotten it");
    }
}

#[test]
fn nested_arrays_stop_and_start_with_their_daemon() {
    let _alone = machine::alone();
    let scene = Scene::new();
    let body = files(&["d0", "d1", "d2", "d3"]).replace("16MiB", "24MiB")
        + "arrays:\n  - { name: left, level: raid1, members: [d0, d1] }\n  \
           - { name: right, level: raid1, members: [d2, d3] }\n  \
           - { name: data, level: raid0, members: [left, right] }\n"
        + &Place::export(&["data"]);
    let daemon = scene.run(&body);
    let said = daemon.child.stderr();
    assert!(!said.contains("it was made new"), "all is new, which is nothing to tell: {said}");
    scene.host(800);
    daemon.stop_well();
    let daemon = scene.run(&body);
    scene.host(300);
    daemon.kill();
    let daemon = scene.run(&body);
    scene.host(300);
    daemon.stop_well();
}
