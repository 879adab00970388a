//! Every level and block size against the model over NVMe/TCP: a daemon on file drives, SPDK's initiator in
//! another process; also with members that fail in the middle, in each way in which a member can fail.

use basalt_tests::daemon::{Daemon, Place};
use basalt_tests::machine;
use basalt_tests::shapes::{self, Shape};
use serde_json::json;

const IOS: u64 = 2_500;
const FAULT_AT: u64 = 1_000;

const SHAPES: [(&str, Shape); 11] = [
    ("concat", shapes::CONCAT),
    ("raid0", shapes::RAID0),
    ("raid1", shapes::RAID1),
    ("raid1_of_three", shapes::RAID1_OF_THREE),
    ("raid10_of_three", shapes::RAID10_OF_THREE),
    ("raid10_of_four", shapes::RAID10_OF_FOUR),
    ("raid10_of_five", shapes::RAID10_OF_FIVE),
    ("raid10_near_three", shapes::RAID10_NEAR_THREE),
    ("raid0_of_raid1s", shapes::RAID0_OF_RAID1S),
    ("raid1_of_raid0s", shapes::RAID1_OF_RAID0S),
    ("unequal_members", shapes::UNEQUAL),
];

/// One daemon with an array of each shape, all of them namespaces of one subsystem.
fn daemon_with_all(place: &Place, block_size: u32, cores: usize) -> Daemon {
    let (mut drives, mut arrays) = ("drives:\n".to_owned(), "arrays:\n".to_owned());
    for (name, shape) in SHAPES {
        let (more_drives, more_arrays) = shape.yaml(name, block_size);
        drives += &more_drives;
        arrays += &more_arrays;
    }
    let names: Vec<&str> = SHAPES.iter().map(|(name, _)| *name).collect();
    let runtime = format!("cores: [{}]", machine::cores(cores));
    place.run(&runtime, &(drives + &arrays + &Place::export(&names)))
}

/// Random I/O to each array in turn.
fn whole(block_size: u32, daemon_cores: usize, model_cores: &str) {
    let _alone = machine::alone();
    let place = Place::new();
    let daemon = daemon_with_all(&place, block_size, daemon_cores);
    for (nsid, (name, shape)) in (1..).zip(SHAPES) {
        let mut run = place.model(nsid, model_cores).option("--ios", IOS);
        for border in shape.borders(block_size) {
            run = run.option("--border", border);
        }
        let verdict = run.must_pass();
        let array = daemon.array(name);
        assert_eq!(
            (verdict.block_size, array["num_blocks"].as_u64()),
            (block_size, Some(verdict.num_blocks))
        );
        let kinds: Vec<&str> = verdict.by_op.keys().map(String::as_str).collect();
        assert_eq!(kinds, ["flush", "read", "unmap", "write", "write_fua", "write_zeroes"], "{name}");
        assert_eq!(array["state"], "active", "{name}");
        assert_eq!(array["quiesces"], 0, "{name}");
        assert_eq!(daemon.event_kinds(name), ["array_started"], "{name}");
    }
    daemon.stop_well();
}

#[test]
fn every_level_in_blocks_of_512_on_two_cores() {
    whole(512, 2, &machine::cores(2));
}

#[test]
fn every_level_in_blocks_of_4096_on_one_core() {
    whole(4096, 1, &machine::last_core(2));
}

/// How a member goes; each with what the event must say.
#[derive(Clone, Copy, Debug)]
enum Way {
    Command,
    HotRemoval,
    WriteError,
    ReadErrors,
}

/// An array of each redundant level, made by hand on a running daemon, so that a drive can be wrapped to
/// fail.
fn member_fails(way: Way) {
    let _alone = machine::alone();
    let place = Place::new();
    let mut body = "drives:\n".to_owned();
    for n in 0..6 {
        body += &format!("  - {{ name: d{n}, file: {{ path: d{n}.img, size: 16MiB }} }}\n");
    }
    let body =
        body + "arrays: [{ name: other, level: concat, members: [d5] }]\n" + &Place::export(&["other"]);
    let daemon = place.run(&format!("cores: [{}]", machine::cores(2)), &body);
    let faulty = match way {
        Way::Command | Way::HotRemoval => "d1",
        Way::WriteError | Way::ReadErrors => "EE_d1",
    };
    if faulty != "d1" {
        daemon.call("bdev_error_create", json!({ "base_name": "d1" }));
    }
    let (level, members) = match way {
        Way::Command | Way::WriteError => ("raid1", vec!["d0", faulty]),
        Way::HotRemoval | Way::ReadErrors => ("raid10", vec!["d0", faulty, "d2", "d3"]),
    };
    let params = json!({ "name": "data", "level": level, "members": members, "region_kb": 64 });
    daemon.call("bdev_basalt_create", params);
    let namespace =
        json!({ "nqn": basalt_tests::daemon::NQN, "namespace": { "bdev_name": "data", "nsid": 2 } });
    daemon.call("nvmf_subsystem_add_ns", namespace);

    let inject =
        |io_type, count| json!({ "name": faulty, "io_type": io_type, "error_type": "failure", "num": count });
    let (method, params, cause) = match way {
        Way::Command => {
            ("bdev_basalt_fail_member", json!({ "name": "data", "drive": faulty }), "failed by command")
        }
        Way::HotRemoval => ("bdev_basalt_file_delete", json!({ "name": faulty }), "the drive is gone"),
        Way::WriteError => ("bdev_error_inject_error", inject("write", 1), "a write failed"),
        Way::ReadErrors => ("bdev_error_inject_error", inject("read", 1000), "too many read errors"),
    };
    let run = place.model(2, &machine::cores(2)).option("--ios", IOS * 2);
    run.fault_there(FAULT_AT, &place.socket(), method, params).must_pass();

    assert_eq!(daemon.array("data")["state"], "degraded", "{way:?}");
    assert_eq!(daemon.event_kinds("data"), ["array_started", "member_failed", "array_degraded"], "{way:?}");
    let events = daemon.call("bdev_basalt_get_events", json!({ "name": "data" }));
    let text = events["events"][1]["text"].as_str().expect("words");
    assert!(text.contains(cause), "{way:?}: {text}");
    daemon.stop_well();
}

#[test]
fn a_member_is_failed_by_command() {
    member_fails(Way::Command);
}

#[test]
fn a_member_is_removed() {
    member_fails(Way::HotRemoval);
}

#[test]
fn a_member_fails_a_write() {
    member_fails(Way::WriteError);
}

#[test]
fn a_member_fails_reads() {
    member_fails(Way::ReadErrors);
}
