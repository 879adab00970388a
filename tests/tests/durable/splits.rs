//! Halves that went on without each other, clones, and other hosts.

use basalt_tests::{machine, medium};
use raid::format::{ShutDown, Uuid16};

use crate::{Scene, mirror, verdict};

const NEVER: &str = "start_degraded_after: never";

/// Starts the mirror on one of its drives only, and writes.
fn go_on_with(scene: &Scene, here: &str, away: &str, memory: &str) {
    scene.take_away(away);
    let daemon = scene.run(&mirror(&["d0", "d1"], NEVER));
    scene.place.cli_well("array start data --degraded");
    daemon.wait_for_export("data");
    scene.host_keeping(memory, 600);
    daemon.stop_well();
    std::fs::remove_file(scene.img(away)).expect("the blank that was made");
    scene.bring_back(away);
    assert!(medium::newest(&scene.img(here)).is_some());
}

#[test]
fn halves_that_went_on_apart_are_not_merged() {
    let _alone = machine::alone();
    let scene = Scene::new();
    let body = mirror(&["d0", "d1"], NEVER);
    let daemon = scene.run(&body);
    scene.host(1_000);
    daemon.stop_well();
    scene.remember_as("side0.json");
    scene.remember_as("side1.json");
    go_on_with(&scene, "d0", "d1", "side0.json");
    go_on_with(&scene, "d1", "d0", "side1.json");
    let before = ["d0", "d1"].map(|drive| std::fs::read(scene.img(drive)).expect("a drive file"));

    let daemon = scene.run(&body);
    let array = daemon.array("data");
    assert_eq!(array["state"], "assembling", "{array:#}");
    for drive in ["d0", "d1"] {
        assert!(verdict(&array, drive).contains("went on without each other"), "{array:#}");
    }
    for line in ["array start data", "array start data --degraded"] {
        let refused = scene.place.cli(line);
        assert_eq!(refused.code, 1, "{line}: {refused:?}");
        assert!(refused.stderr.contains("it is split"), "{line}: {refused:?}");
    }
    let status = scene.place.cli("status").stdout;
    assert!(status.contains("basalt array resolve data --keep d0"), "{status}");
    let now = ["d0", "d1"].map(|drive| std::fs::read(scene.img(drive)).expect("a drive file"));
    assert!(before == now, "nothing was written while nobody had decided");

    scene.place.cli_well("array resolve data --keep d1");
    daemon.wait_for_export("data");
    scene.host_keeping("side1.json", 400);
    daemon.stop_well();
    let data = raid::format::DATA_OFFSET_MIN as usize;
    let rejected = std::fs::read(scene.img("d0")).expect("a drive file");
    assert!(before[0][data..] == rejected[data..], "the side that was not kept is as it was");

    // The choice lasts.
    let daemon = scene.run(&body);
    assert_eq!(daemon.array("data")["state"], "degraded");
    scene.host_keeping("side1.json", 200);
    daemon.stop_well();
}

#[test]
fn of_a_member_and_its_clone_none_is_used_until_one_is_chosen() {
    let _alone = machine::alone();
    let scene = Scene::new();
    let body = mirror(&["d0", "d1", "d2"], NEVER);
    let daemon = scene.run(&body);
    scene.host(800);
    daemon.stop_well();
    std::fs::copy(scene.img("d1"), scene.img("d2")).expect("a clone");
    let daemon = scene.run(&body);
    let array = daemon.array("data");
    assert_eq!(array["state"], "assembling", "{array:#}");
    assert!(verdict(&array, "d1").contains("a duplicate: d2 says"), "{array:#}");
    assert!(verdict(&array, "d2").contains("a duplicate: d1 says"), "{array:#}");
    scene.place.cli_well("array resolve data --keep d1");
    daemon.wait_for_export("data");
    scene.host(300);
    daemon.stop_well();
}

#[test]
fn a_second_daemon_on_the_same_drives_is_refused() {
    let _alone = machine::alone();
    let (scene, other) = (Scene::new(), Scene::new());
    let daemon = scene.run(&mirror(&["d0", "d1"], ""));
    let body = mirror(&["d0", "d1"], "");
    let theirs = |name: &str| format!("path: {}", scene.img(name).display());
    let body = body.replace("path: d0.img", &theirs("d0")).replace("path: d1.img", &theirs("d1"));
    let refused = other.start(&body).child.wait(basalt_tests::wait::PATIENCE);
    assert_eq!(refused.status.code(), Some(1), "{}", refused.stderr);
    let pid = format!("process {}", daemon.child.pid());
    assert!(refused.stderr.contains(&pid), "{}", refused.stderr);
    assert_eq!(daemon.array("data")["state"], "active");
    scene.host(200);
    daemon.stop_well();
}

#[test]
fn an_array_of_another_host_is_left_alone_until_forced() {
    let _alone = machine::alone();
    let scene = Scene::new();
    let body = mirror(&["d0", "d1"], "");
    let daemon = scene.run(&body);
    scene.host(500);
    daemon.stop_well();
    for drive in ["d0", "d1"] {
        medium::change(&scene.img(drive), |record| {
            record.host = Uuid16([7; 16]);
            record.shut_down = ShutDown::Unclean;
        });
    }
    let daemon = scene.run(&body);
    let array = daemon.array("data");
    assert_eq!(array["state"], "assembling", "{array:#}");
    for line in ["array start data", "array start data --degraded"] {
        let refused = scene.place.cli(line);
        assert_eq!(refused.code, 1, "{line}: {refused:?}");
        assert!(refused.stderr.contains("--force"), "{line}: {refused:?}");
    }
    // It looks for a heartbeat of the other host first.
    scene.place.cli_well("array start data --force");
    daemon.wait_for_export("data");
    scene.host(200);
    daemon.stop_well();
}
