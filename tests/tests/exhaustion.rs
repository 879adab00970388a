//! Running out of bdev_ios and buffers: everything slows down, and nothing fails.

use basalt_tests::daemon::Place;
use basalt_tests::machine;
use basalt_tests::model::Run;
use basalt_tests::shapes::{self, Shape};
use serde_json::json;

const IOS: u64 = 6_000;

/// Hosts hold most of the pool, so that the children of their I/Os wait for one another all the time.
fn short_of_bdev_ios(shape: &Shape) -> Run {
    let run = shape.run(512, 1, &[]).option("--ios", IOS).option("--depth", 100);
    run.option("--bdev-ios", 127).option("--bdev-ios-per-thread", 4)
}

#[test]
fn children_wait_for_bdev_ios_that_hosts_hold() {
    let _alone = machine::alone();
    for shape in [shapes::RAID0, shapes::RAID1_OF_THREE, shapes::RAID10_OF_THREE] {
        short_of_bdev_ios(&shape).must_pass();
    }
}

#[test]
fn a_member_fails_meanwhile() {
    let _alone = machine::alone();
    let run = short_of_bdev_ios(&shapes::RAID1_OF_THREE);
    let verdict = run.fault(IOS / 3, "bdev_malloc_delete", json!({ "name": "m1" })).must_pass();
    assert_eq!(verdict.answer("bdev_basalt_get_arrays")[0]["state"], "degraded");
}

/// The pool is empty, and each thread lives on what it keeps.
#[test]
fn two_cores_share_an_empty_pool() {
    let _alone = machine::alone();
    for shape in [shapes::RAID0, shapes::RAID1_OF_THREE] {
        let run = shape.run(512, 2, &[]).option("--ios", IOS).option("--depth", 100);
        run.option("--bdev-ios", 399).option("--bdev-ios-per-thread", 128).must_pass();
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
