//! Upstream's bdevperf, a tool that nobody here wrote, verifies our arrays: on one core and on two, in an
//! application that has no reactor of ours.

use basalt_tests::bdevperf::{self, Calls, Job};
use basalt_tests::machine;
use serde_json::json;

fn array(level: &str, members: usize) -> Calls {
    let names: Vec<String> = (0..members).map(|n| format!("m{n}")).collect();
    let params = json!({ "name": "data", "level": level, "members": names });
    Calls::default().mallocs(members, 32).call("bdev_basalt_create", params)
}

fn verify(level: &str, members: usize, cores: usize, io_bytes: u32) {
    let _alone = machine::alone();
    let arguments = format!("-w verify -U -t 1 -q 32 -o {io_bytes}");
    let jobs = bdevperf::run(&array(level, members), cores, &arguments);
    let expected = machine::cores(cores).split(',').count();
    let mut cores: Vec<u64> = jobs.iter().map(|job| job.core_mask).collect();
    cores.dedup();
    assert_eq!(cores.len(), expected, "a job on each core: {jobs:?}");
    let good = |job: &Job| job.iops > 0.0 && job.failed == 0.0 && job.timed_out == 0.0;
    assert!(jobs.iter().all(good), "{jobs:?}");
}

macro_rules! verify {
    ($($name:ident: $level:literal of $members:literal;)*) => {
        $(mod $name {
            #[test]
            fn on_one_core_across_chunks() {
                super::verify($level, $members, 1, 196_608);
            }
            #[test]
            fn on_two_cores() {
                super::verify($level, $members, 2, 4096);
            }
        })*
    };
}

verify! {
    raid0: "raid0" of 3;
    raid1: "raid1" of 2;
    raid10: "raid10" of 4;
    raid10_odd: "raid10" of 3;
}
