//! Clean and unclean ends are told apart, and what was in flight is made to agree.

use basalt_tests::{machine, medium, wait};
use raid::format::ShutDown;
use serde_json::json;

use crate::{Scene, event_numbers, mirror};

#[test]
fn clean_and_unclean_ends_are_told_apart() {
    let _alone = machine::alone();
    let scene = Scene::new();
    let body = mirror(&["d0", "d1"], "");
    let daemon = scene.run(&body);
    scene.host(600);
    assert_eq!(medium::superblock(&scene.img("d0")).shut_down, ShutDown::Unclean);
    daemon.stop_well();
    assert_eq!(medium::superblock(&scene.img("d0")).shut_down, ShutDown::Clean);
    assert_eq!(medium::superblock(&scene.img("d1")).shut_down, ShutDown::Clean);

    let daemon = scene.run(&body);
    let array = daemon.array("data");
    assert_eq!(array["dirty_regions"], 0, "{array:#}");
    let memory = scene.place.path("model.json");
    let host = scene
        .place
        .model(1, &machine::last_core(2))
        .option("--ios", u32::MAX)
        .switch("--until-failure")
        .option("--load", memory.display())
        .option("--save", memory.display())
        .spawn();
    wait::until("the host to write", || {
        let stats = daemon.call("bdev_get_iostat", json!({ "name": "data" }));
        let writes = stats["bdevs"][0]["num_write_ops"].as_u64();
        if writes.is_some_and(|writes| writes > 300) { Ok(()) } else { Err(format!("{writes:?} writes")) }
    });
    let numbers = event_numbers(&daemon);
    daemon.kill();
    let verdict = host.outcome().verdict;
    assert!(verdict.failed > 0 && verdict.mismatches == 0, "{verdict:#?}");
    assert_eq!(medium::superblock(&scene.img("d0")).shut_down, ShutDown::Unclean);

    let daemon = scene.run(&body);
    let array = daemon.array("data");
    assert_eq!(array["state"], "active");
    assert!(array["dirty_regions"].as_u64() > Some(0), "{array:#}");
    let status = scene.place.cli("status").stdout;
    assert!(status.contains("regions dirty"), "{status}");
    assert_eq!(event_numbers(&daemon)[..numbers.len()], numbers);
    // Read, written and read again: each block old or new, and then it stays.
    scene.host(600);
    daemon.stop_well();
    let daemon = scene.run(&body);
    scene.host(100);
    daemon.stop_well();
}

#[test]
fn regions_are_cleaned_when_they_have_been_idle() {
    let _alone = machine::alone();
    let scene = Scene::new();
    let body = mirror(&["d0", "d1"], "");
    let daemon = scene.run(&body);
    scene.host(400);
    wait::until("the regions to be cleaned", || {
        let dirty = daemon.array("data")["dirty_regions"].as_u64();
        if dirty == Some(0) { Ok(()) } else { Err(format!("{dirty:?} are dirty")) }
    });
    daemon.kill();
    let daemon = scene.run(&body);
    assert_eq!(daemon.array("data")["dirty_regions"], 0, "nothing was being written");
    scene.host(200);
    daemon.stop_well();
}
