//! I/O on one core, and what owns its region on the other: the Array is on the app thread's core, zones
//! alternate between the Shards of both. Debug builds check that each object is touched on its own thread
//! only: without those checks this would test little, so it is there in debug builds only.
#![cfg(debug_assertions)]

use basalt_tests::machine;
use basalt_tests::shapes::{self, ARRAY, Shape};
use basalt_tests::verdict::Verdict;
use serde_json::json;

const IOS: u64 = 10_000;
const FAULT_AT: u64 = 4_000;

/// From the core that is not the app thread's, and from no other.
fn from_the_second_core(shape: &Shape, fault: Option<(&str, serde_json::Value)>) -> Verdict {
    let _alone = machine::alone();
    assert_eq!(machine::cores(2), "0,1", "this test needs two cores");
    let mut run = shape.run(512, 2, &[]).option("--ios", IOS).option("--idle-cores", 0);
    if let Some((method, params)) = fault {
        run = run.fault(FAULT_AT, method, params);
    }
    let verdict = run.must_pass();
    assert_eq!(verdict.by_core.keys().copied().collect::<Vec<u32>>(), [1]);
    verdict
}

#[test]
fn leases_of_all_zones_are_had_from_one_core() {
    for shape in [shapes::RAID1, shapes::RAID10_OF_FIVE, shapes::RAID0_OF_RAID1S] {
        from_the_second_core(&shape, None);
    }
}

#[test]
fn a_failure_is_decided_on_the_other_core() {
    let fail = json!({ "name": ARRAY, "drive": "m1" });
    let verdict = from_the_second_core(&shapes::RAID1, Some(("bdev_basalt_fail_member", fail)));
    assert_eq!(verdict.answer("bdev_basalt_get_arrays")[0]["state"], "degraded");
}

#[test]
fn a_drive_is_removed_on_the_other_core() {
    let gone = json!({ "name": "m1" });
    let verdict = from_the_second_core(&shapes::RAID10_OF_FOUR, Some(("bdev_malloc_delete", gone)));
    assert_eq!(verdict.answer("bdev_basalt_get_arrays")[0]["state"], "degraded");
}

/// Members fail on both cores at once, several times over: no acknowledged write is lost, whoever reads it.
#[test]
fn writes_of_one_core_are_read_on_the_other_while_members_go() {
    let _alone = machine::alone();
    let members: Vec<u64> = (1..5).collect();
    for shape in [shapes::RAID10_NEAR_THREE, shapes::RAID10_OF_FIVE] {
        let mut run = shape.run(512, 2, &[]).option("--ios", IOS);
        let tolerated = if shape == shapes::RAID10_NEAR_THREE { 2 } else { 1 };
        for (n, member) in members.iter().take(tolerated).enumerate() {
            let drive = json!({ "name": format!("m{member}") });
            run = run.fault(FAULT_AT + 1000 * n as u64, "bdev_malloc_delete", drive);
        }
        let verdict = run.must_pass();
        assert_eq!(verdict.answer("bdev_basalt_get_arrays")[0]["state"], "degraded");
    }
}
