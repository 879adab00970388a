//! Every level and block size against the model, in one process, on drives in memory: also with members that
//! fail in the middle, in each way in which a member can fail.

use basalt_tests::model::Run;
use basalt_tests::shapes::{self, ARRAY, Shape};
use basalt_tests::verdict::Verdict;
use basalt_tests::{daemon, machine};
use serde_json::{Value, json};

const IOS: u64 = 8_000;
const FAULT_AT: u64 = 3_000;

/// Random I/O to a whole array.
fn whole(shape: &Shape, block_size: u32, cores: usize) {
    let _alone = machine::alone();
    let verdict = shape.run(block_size, cores, &[]).option("--ios", IOS).must_pass();
    assert_eq!(verdict.block_size, block_size);
    let kinds: Vec<&str> = verdict.by_op.keys().map(String::as_str).collect();
    assert_eq!(kinds, ["flush", "read", "unmap", "write", "write_fua", "write_zeroes"]);
    assert!(verdict.by_core.values().all(|ios| *ios > 0), "{:?}", verdict.by_core);
    let array = array(&verdict);
    assert_eq!(array["state"], "active");
    assert_eq!(array["quiesces"], 0);
    assert_eq!(event_kinds(&verdict), ["array_started"]);
}

/// The array as it was at the end.
fn array(verdict: &Verdict) -> &Value {
    &verdict.answer("bdev_basalt_get_arrays")[0]
}

fn event_kinds(verdict: &Verdict) -> Vec<String> {
    daemon::event_kinds(verdict.answer("bdev_basalt_get_events"))
}

macro_rules! whole {
    ($($name:ident: $shape:expr;)*) => {
        /// Each shape with both block sizes, on two cores and on one.
        mod whole_array {
            use super::*;
            $(mod $name {
                use super::*;
                #[test]
                fn blocks_of_512() {
                    whole(&$shape, 512, 2);
                }
                #[test]
                fn blocks_of_4096() {
                    whole(&$shape, 4096, 1);
                }
            })*
        }
    };
}

whole! {
    concat: shapes::CONCAT;
    raid0: shapes::RAID0;
    raid1: shapes::RAID1;
    raid1_of_three: shapes::RAID1_OF_THREE;
    raid10_of_three: shapes::RAID10_OF_THREE;
    raid10_of_four: shapes::RAID10_OF_FOUR;
    raid10_of_five: shapes::RAID10_OF_FIVE;
    raid10_near_three: shapes::RAID10_NEAR_THREE;
    raid0_of_raid1s: shapes::RAID0_OF_RAID1S;
    raid1_of_raid0s: shapes::RAID1_OF_RAID0S;
    unequal_members: shapes::UNEQUAL;
    without_metadata: shapes::WITHOUT_METADATA;
}

/// A member that goes in the middle; `fault` names it, `cause` is what the event must say.
fn degraded(shape: &Shape, faulty: &[usize], fault: impl Fn(Run, &str) -> Run, cause: &str) -> Verdict {
    let _alone = machine::alone();
    let run = shape.run(512, 2, faulty).option("--ios", IOS);
    let verdict = fault(run, &shape.member(1, faulty)).must_pass();
    let array = array(&verdict);
    assert_eq!(array["state"], "degraded", "{array:#}");
    assert_ne!(array["members"][1]["state"], "in_sync", "{array:#}");
    assert_eq!(event_kinds(&verdict), ["array_started", "member_failed", "array_degraded"]);
    let text =
        verdict.answer("bdev_basalt_get_events")["events"][1]["text"].as_str().expect("words").to_owned();
    assert!(text.contains(cause), "{text}");
    verdict
}

fn by_command(shape: &Shape) {
    let fail = |run: Run, drive: &str| {
        run.fault(FAULT_AT, "bdev_basalt_fail_member", json!({ "name": ARRAY, "drive": drive }))
    };
    let verdict = degraded(shape, &[], fail, "failed by command");
    assert_eq!(array(&verdict)["members"][1]["state"], "faulty");
}

fn hot_removed(shape: &Shape) {
    let remove = |run: Run, drive: &str| run.fault(FAULT_AT, "bdev_malloc_delete", json!({ "name": drive }));
    let verdict = degraded(shape, &[], remove, "the drive is gone");
    assert_eq!(array(&verdict)["members"][1]["state"], "missing");
}

/// Makes the drive fail the next `count` I/Os of a kind.
fn inject(run: Run, drive: &str, io_type: &str, count: u32) -> Run {
    let params = json!({ "name": drive, "io_type": io_type, "error_type": "failure", "num": count });
    run.fault(FAULT_AT, "bdev_error_inject_error", params)
}

fn write_error(shape: &Shape) {
    let verdict = degraded(shape, &[1], |run, drive| inject(run, drive, "write", 1), "a write failed");
    assert_eq!(array(&verdict)["members"][1]["write_errors"], 1);
}

fn flush_error(shape: &Shape) {
    let verdict = degraded(shape, &[1], |run, drive| inject(run, drive, "flush", 1), "a flush failed");
    assert_eq!(array(&verdict)["members"][1]["write_errors"], 1);
}

/// Answered by the other copy and counted: the member stays.
fn few_read_errors(shape: &Shape) {
    let _alone = machine::alone();
    let run = shape.run(512, 2, &[1]).option("--ios", IOS);
    let verdict = inject(run, &shape.member(1, &[1]), "read", 7).must_pass();
    let array = array(&verdict);
    assert_eq!(array["state"], "active", "{array:#}");
    assert_eq!(array["members"][1]["read_errors"], 7, "{array:#}");
    assert_eq!(event_kinds(&verdict), ["array_started"]);
}

fn many_read_errors(shape: &Shape) {
    let verdict =
        degraded(shape, &[1], |run, drive| inject(run, drive, "read", 1000), "too many read errors");
    let errors = array(&verdict)["members"][1]["read_errors"].as_u64().expect("a number");
    assert!(errors >= 20, "{errors} read errors");
}

macro_rules! redundant {
    ($($name:ident: $shape:expr;)*) => {
        /// Each redundant shape with each way to lose a member: no host I/O fails, and all data is whole.
        mod member_fails {
            $(mod $name {
                use super::super::*;
                #[test]
                fn by_command() {
                    super::super::by_command(&$shape);
                }
                #[test]
                fn hot_removed() {
                    super::super::hot_removed(&$shape);
                }
                #[test]
                fn write_error() {
                    super::super::write_error(&$shape);
                }
                #[test]
                fn flush_error() {
                    super::super::flush_error(&$shape);
                }
                #[test]
                fn few_read_errors() {
                    super::super::few_read_errors(&$shape);
                }
                #[test]
                fn many_read_errors() {
                    super::super::many_read_errors(&$shape);
                }
            })*
        }
    };
}

redundant! {
    raid1: shapes::RAID1;
    raid1_of_three: shapes::RAID1_OF_THREE;
    raid10_of_three: shapes::RAID10_OF_THREE;
    raid10_of_four: shapes::RAID10_OF_FOUR;
    raid10_of_five: shapes::RAID10_OF_FIVE;
    raid10_near_three: shapes::RAID10_NEAR_THREE;
}

/// As many members as the level tolerates, one after the other.
#[test]
fn two_of_three_copies_are_lost() {
    let _alone = machine::alone();
    for shape in [shapes::RAID1_OF_THREE, shapes::RAID10_NEAR_THREE] {
        let run = shape.run(512, 2, &[]).option("--ios", IOS);
        let run = run.fault(FAULT_AT, "bdev_malloc_delete", json!({ "name": shape.member(1, &[]) }));
        let fail = json!({ "name": ARRAY, "drive": shape.member(2, &[]) });
        let verdict = run.fault(FAULT_AT * 2, "bdev_basalt_fail_member", fail).must_pass();
        assert_eq!(array(&verdict)["state"], "degraded");
        let kinds = event_kinds(&verdict);
        assert_eq!(kinds, ["array_started", "member_failed", "array_degraded", "member_failed"]);
    }
}

/// The lower array loses a member, and the upper one does not notice.
#[test]
fn a_nested_array_degrades_below() {
    let _alone = machine::alone();
    let run = shapes::RAID0_OF_RAID1S.run(512, 2, &[]).option("--ios", IOS);
    let run = run.fault(FAULT_AT, "bdev_malloc_delete", json!({ "name": "m1" }));
    let verdict = run.ask("bdev_basalt_get_arrays", json!({ "name": "low0" })).must_pass();
    assert_eq!(array(&verdict)["state"], "degraded", "the last question was about the lower one");
    assert_eq!(event_kinds(&verdict), ["array_started"], "of the upper one");
}

/// The lower array fails as a whole, and the upper one goes on without it.
#[test]
fn a_nested_array_fails_below() {
    let _alone = machine::alone();
    let run = shapes::RAID1_OF_RAID0S.run(512, 2, &[]).option("--ios", IOS);
    let verdict = run.fault(FAULT_AT, "bdev_malloc_delete", json!({ "name": "m1" })).must_pass();
    assert_eq!(array(&verdict)["state"], "degraded");
    assert_eq!(event_kinds(&verdict), ["array_started", "member_failed", "array_degraded"]);
}

/// Without redundancy what was lost fails, and what is there stays right.
#[test]
fn a_lost_member_without_redundancy_fails_its_blocks_only() {
    let _alone = machine::alone();
    for shape in [shapes::CONCAT, shapes::RAID0] {
        let run = shape.run(512, 2, &[]).option("--ios", IOS).switch("--may-fail");
        let verdict = run.fault(FAULT_AT, "bdev_malloc_delete", json!({ "name": "m1" })).must_pass();
        assert!(verdict.failed > 0);
        assert_eq!(array(&verdict)["state"], "failed");
        assert_eq!(event_kinds(&verdict), ["array_started", "member_failed", "array_failed"]);
    }
}

/// Errors of the last good member fail the I/O, not the member.
#[test]
fn the_last_good_member_stays() {
    let _alone = machine::alone();
    let shape = shapes::RAID1;
    let run = shape.run(512, 2, &[0, 1]).option("--ios", IOS).switch("--may-fail");
    let run = inject(run, &shape.member(1, &[1]), "write", 1);
    let verdict = inject(run, &shape.member(0, &[0]), "write", 10).must_pass();
    assert!((1..=10).contains(&verdict.failed), "{} failed", verdict.failed);
    let array = array(&verdict);
    assert_eq!(array["state"], "degraded");
    let in_sync = array["members"].as_array().expect("a list").iter().filter(|m| m["state"] == "in_sync");
    assert_eq!(in_sync.count(), 1, "{array:#}");
}

/// The tester itself: a drive that corrupts what it writes is found out.
#[test]
fn corruption_is_found() {
    let _alone = machine::alone();
    let run = shapes::RAID0.run(512, 1, &[1]).option("--ios", IOS);
    let corrupt = json!({
        "name": "EE_m1", "io_type": "write", "error_type": "corrupt_data", "num": 50,
        "corrupt_offset": 100, "corrupt_value": 7,
    });
    let outcome = run.fault(FAULT_AT, "bdev_error_inject_error", corrupt).run();
    assert!(!outcome.good && outcome.verdict.mismatches > 0, "{:#?}", outcome.verdict);
    let first = &outcome.verdict.first_mismatches[0];
    assert!(first.contains("for 100 bytes, not version"), "{first}");
}
