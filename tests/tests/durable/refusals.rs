//! Drives with something else on them, and damaged ones.

use basalt_tests::daemon::Place;
use basalt_tests::wait::PATIENCE;
use basalt_tests::{machine, medium};

use crate::{DRIVE_MIB, Scene, files, member_states, mirror};

/// A drive file with `bytes` at `at`, zeros elsewhere.
fn with(scene: &Scene, drive: &str, at: u64, bytes: &[u8]) {
    let file = std::fs::File::create(scene.img(drive)).expect("a drive file");
    file.set_len((DRIVE_MIB as u64) << 20).expect("a sparse file");
    medium::write(&scene.img(drive), at, bytes);
}

#[test]
fn foreign_data_is_refused_and_overwritten_on_command_only() {
    let _alone = machine::alone();
    for (at, magic, what) in
        [(1080, &b"\x53\xef"[..], "ext4 file system"), (512, b"EFI PART", "GPT partition table")]
    {
        let scene = Scene::new();
        with(&scene, "d0", at, magic);
        let before = std::fs::read(scene.img("d0")).expect("a drive file");
        let refused = scene.start(&mirror(&["d0", "d1"], "")).child.wait(PATIENCE);
        assert_eq!(refused.status.code(), Some(1), "{}", refused.stderr);
        for part in [what, "existing: overwrite", "basalt.yaml:6:"] {
            assert!(refused.stderr.contains(part), "`{part}` is missing: {}", refused.stderr);
        }
        assert!(before == std::fs::read(scene.img("d0")).expect("a drive file"), "{what}: changed");

        let daemon = scene.run(&files(&["d0", "d1"]));
        let create = "array create data --level raid1 --members d0,d1";
        let refused = scene.place.cli(create);
        assert!(refused.code == 1 && refused.stderr.contains(what), "{refused:?}");
        scene.place.cli_well(&format!("{create} --overwrite"));
        assert_eq!(daemon.array("data")["state"], "active");
        daemon.stop_well();
    }
}

#[test]
fn drives_of_another_array_are_refused() {
    let _alone = machine::alone();
    let scene = Scene::new();
    scene.run(&mirror(&["d0", "d1"], "")).stop_well();
    let daemon = scene.run(&files(&["d0", "d1"]));
    let refused = scene.place.cli("array create other --level raid1 --members d0,d1");
    assert!(refused.code == 1 && refused.stderr.contains("is a member of array 'data'"), "{refused:?}");
    scene.place.cli_well("array create data --level raid1 --members d0,d1 --existing assemble");
    assert_eq!(daemon.array("data")["state"], "active");
    daemon.stop_well();
}

/// The drives hold garbage, and hosts read zeros where they have not written.
#[test]
fn what_was_never_written_reads_as_zeros() {
    let _alone = machine::alone();
    let scene = Scene::new();
    for drive in ["d0", "d1"] {
        medium::fill_with_garbage(&scene.img(drive), DRIVE_MIB << 20, 0x5eed);
    }
    // To start the daemon, and to have an export to put the array into.
    let body = files(&["d0", "d1", "x"])
        + "arrays:\n  - { name: other, level: concat, members: [x] }\n"
        + &Place::export(&["other"]);
    let daemon = scene.run(&body);
    scene.place.cli_well("array create data --level raid1 --members d0,d1 --region 64KiB --overwrite");
    let namespace = serde_json::json!({
        "nqn": basalt_tests::daemon::NQN, "namespace": { "bdev_name": "data", "nsid": 2 }
    });
    daemon.call("nvmf_subsystem_add_ns", namespace);
    let memory = scene.place.path("model.json");
    // The model begins with zeros everywhere; what is not written is read at the end.
    let run = scene.place.model(2, &machine::last_core(2)).option("--ios", 60);
    run.option("--save", memory.display()).must_pass();
    daemon.stop_well();
    // What is unwritten is remembered.
    let daemon = scene.run(&mirror(&["d0", "d1"], ""));
    scene.host(300);
    daemon.stop_well();
}

#[test]
fn one_damaged_copy_of_a_superblock_is_no_loss_and_two_are_a_verdict() {
    let _alone = machine::alone();
    let scene = Scene::new();
    let body = mirror(&["d0", "d1"], "start_degraded_after: 1s");
    let daemon = scene.run(&body);
    scene.host(600);
    daemon.stop_well();

    let (d0, d1) = (scene.img("d0"), scene.img("d1"));
    let newest = medium::newest(&d1).expect("a superblock");
    medium::damage(&d1, 1 - newest);
    let daemon = scene.run(&body);
    assert_eq!(daemon.array("data")["state"], "active");
    scene.host(200);
    daemon.stop_well();

    medium::damage(&d1, 0);
    medium::damage(&d1, 1);
    assert!(medium::newest(&d1).is_none() && medium::newest(&d0).is_some());
    let examined = scene.place.cli(&format!("examine {}", d1.display()));
    assert_eq!(examined.code, 1, "{examined:?}");
    let daemon = scene.run(&body);
    let array = daemon.array("data");
    assert_eq!(array["state"], "assembling", "{array:#}");
    assert_eq!(member_states(&array), ["in_sync", "faulty"], "{array:#}");
    let status = scene.place.cli("status").stdout;
    assert!(status.contains("d1: damaged: copy A of its superblock"), "{status}");
    daemon.wait_for_state("data", "degraded");
    daemon.wait_for_export("data");
    scene.host(200);
    daemon.stop_well();
}

#[test]
fn a_drive_that_has_shrunk_is_not_used() {
    let _alone = machine::alone();
    let scene = Scene::new();
    let body = mirror(&["d0", "d1"], "start_degraded_after: never");
    let daemon = scene.run(&body);
    scene.host(500);
    daemon.stop_well();
    let file = std::fs::OpenOptions::new().write(true).open(scene.img("d1")).expect("a drive file");
    file.set_len(12 << 20).expect("it can be cut");
    let daemon = scene.run(&body.replace("d1.img, size: 16MiB", "d1.img, size: 12MiB"));
    let array = daemon.array("data");
    assert_eq!(array["state"], "assembling", "{array:#}");
    assert!(crate::verdict(&array, "d1").contains("too small: it has 24576 blocks"), "{array:#}");
    scene.place.cli_well("array start data --degraded");
    daemon.wait_for_export("data");
    scene.host(200);
    daemon.stop_well();
}
