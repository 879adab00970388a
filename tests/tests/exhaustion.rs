//! Running out of bdev_ios and buffers: everything slows down, and nothing fails.

use basalt_tests::daemon::Place;
use basalt_tests::machine;
use basalt_tests::model::Run;
use basalt_tests::shapes::{self, ARRAY, Shape};
use serde_json::json;

const IOS: u64 = 6_000;

/// As few bdev_ios as SPDK starts with.
fn smallest_pool(run: Run, per_thread: u32) -> Run {
    run.option("--ios", IOS).option("--bdev-ios", 127).option("--bdev-ios-per-thread", per_thread)
}

/// Hosts of one core hold most of the pool, so that the children of their I/Os wait for one another all the
/// time.
fn short_of_bdev_ios(shape: &Shape) -> Run {
    smallest_pool(shape.run(512, 1, &[]).option("--depth", 100), 4)
}

/// Hosts want more bdev_ios than there are, on each core: they hold all of them and wait for more, and
/// whatever comes free goes to one that waits.
fn hosts_hold_all(run: Run, per_thread: u32) -> Run {
    smallest_pool(run.option("--depth", 150).option("--memory-mib", 2048), per_thread)
}

fn hosts_of_two_cores_hold_all(shape: &Shape) -> Run {
    hosts_hold_all(shape.run(512, 2, &[]), 4)
}

const LEVELS: [Shape; 3] = [shapes::RAID0, shapes::RAID1_OF_THREE, shapes::RAID10_OF_THREE];
const NESTED: [Shape; 2] = [shapes::RAID0_OF_RAID1S, shapes::RAID1_OF_RAID0S];

#[test]
fn children_wait_for_bdev_ios_that_hosts_hold() {
    let _alone = machine::alone();
    for shape in LEVELS {
        short_of_bdev_ios(&shape).must_pass();
    }
}

/// Two threads with an empty pool, and nothing of their own but what each array keeps in reserve.
#[test]
fn two_cores_take_what_there_is() {
    let _alone = machine::alone();
    for shape in LEVELS {
        smallest_pool(shape.run(512, 2, &[]).option("--depth", 48), 4).must_pass();
    }
}

#[test]
fn hosts_hold_every_bdev_io_and_wait_for_more() {
    let _alone = machine::alone();
    for shape in LEVELS {
        hosts_of_two_cores_hold_all(&shape).must_pass();
    }
}

/// Each I/O needs a bdev_io for itself, one for the array below, and one there for the drive.
#[test]
fn an_array_of_arrays_has_one_in_reserve_at_every_height() {
    let _alone = machine::alone();
    for shape in NESTED {
        hosts_of_two_cores_hold_all(&shape).must_pass();
    }
}

/// Seven arrays, and threads that keep no more than one bdev_io: the reserves come from the pool.
#[test]
fn three_arrays_one_on_the_other() {
    let _alone = machine::alone();
    let drives: Vec<String> = (0..8).map(|n| format!("m{n}")).collect();
    let pairs: Vec<String> = (0..4).map(|n| format!("pair{n}")).collect();
    let array = |run: Run, name: &str, level: &str, members: &[String]| {
        run.setup("bdev_basalt_create", json!({ "name": name, "level": level, "members": members }))
    };
    for cores in [1, 2] {
        let mut run = Run::on(ARRAY, cores);
        for drive in &drives {
            run = run.malloc(drive, 36, 512);
        }
        for (pair, drives) in pairs.iter().zip(drives.chunks(2)) {
            run = array(run, pair, "raid1", drives);
        }
        run = array(run, "low0", "raid10", &pairs[..2]);
        run = array(run, "low1", "raid10", &pairs[2..]);
        run = array(run, ARRAY, "concat", &["low0".to_owned(), "low1".to_owned()]);
        hosts_hold_all(run, 1).must_pass();
    }
}

#[test]
fn a_member_fails_meanwhile() {
    let _alone = machine::alone();
    let runs = [
        short_of_bdev_ios(&shapes::RAID1_OF_THREE),
        hosts_of_two_cores_hold_all(&shapes::RAID1_OF_THREE),
        hosts_of_two_cores_hold_all(&shapes::RAID10_OF_FOUR),
    ];
    // The first slot is where what is in reserve was kept.
    for (run, member) in runs.into_iter().zip(["m1", "m0", "m0"]) {
        let verdict = run.fault(IOS / 3, "bdev_malloc_delete", json!({ "name": member })).must_pass();
        assert_eq!(verdict.answer("bdev_basalt_get_arrays")[0]["state"], "degraded");
    }
}

#[test]
fn a_drive_of_a_lower_array_fails_meanwhile() {
    let _alone = machine::alone();
    let mirrors = hosts_of_two_cores_hold_all(&shapes::RAID0_OF_RAID1S);
    mirrors.fault(IOS / 3, "bdev_malloc_delete", json!({ "name": "m0" })).must_pass();
    // With it the whole lower array fails, and its I/O with it.
    let stripes = hosts_of_two_cores_hold_all(&shapes::RAID1_OF_RAID0S);
    let verdict = stripes.fault(IOS / 3, "bdev_malloc_delete", json!({ "name": "m0" })).must_pass();
    assert_eq!(verdict.answer("bdev_basalt_get_arrays")[0]["state"], "degraded");
}

/// The pool is empty, and each thread lives on what it keeps.
#[test]
fn two_cores_share_an_empty_pool() {
    let _alone = machine::alone();
    for shape in [shapes::RAID0, shapes::RAID1_OF_THREE] {
        let run = shape.run(512, 2, &[]).option("--ios", IOS).option("--depth", 100);
        run.option("--bdev-ios", 399).option("--bdev-ios-per-thread", 64).must_pass();
    }
}

/// The least memory that a daemon runs with, and more data in flight than it has buffers for.
#[test]
fn a_small_daemon_takes_a_deep_queue() {
    let _alone = machine::alone();
    let place = Place::new();
    let body = "
drives:
  - { name: d0, file: { path: d0.img, size: 40MiB } }
  - { name: d1, file: { path: d1.img, size: 40MiB } }
arrays:
  - { name: data, level: raid1, members: [d0, d1] }
";
    let daemon = place.run("memory: 256MiB, cores: [0]", &(body.to_owned() + &Place::export(&["data"])));
    place.model(1, &machine::cores(2)).option("--ios", 2_000).option("--depth", 128).must_pass();
    assert_eq!(daemon.array("data")["state"], "active");
    daemon.stop_well();
}
