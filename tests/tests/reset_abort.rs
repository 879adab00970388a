//! Resets and aborts under I/O: upstream's bdevperf resets the array, upstream's `abort` aborts commands over
//! NVMe/TCP.

use std::process::Command;
use std::time::Duration;

use basalt_tests::bdevperf::{self, Calls};
use basalt_tests::child::Child;
use basalt_tests::daemon::{NQN, Place};
use basalt_tests::machine;
use serde_json::json;

const TIMEOUT: Duration = Duration::from_secs(90);

const MIRROR: &str = "
drives:
  - { name: d0, file: { path: d0.img, size: 32MiB } }
  - { name: d1, file: { path: d1.img, size: 32MiB } }
arrays:
  - { name: data, level: raid1, members: [d0, d1] }
";

/// bdevperf's `reset` verifies, with a reset in each job's queue all the time.
#[test]
fn resets_under_verified_io() {
    let _alone = machine::alone();
    for (level, members) in [("raid0", json!(["m0", "m1"])), ("raid1", json!(["m0", "m1"]))] {
        let params = json!({ "name": "data", "level": level, "members": members });
        let calls = Calls::default().mallocs(2, 32).call("bdev_basalt_create", params);
        let jobs = bdevperf::run(&calls, 2, "-w reset -t 2 -q 16 -o 4096");
        assert!(jobs.iter().all(|job| job.iops > 0.0 && job.failed == 0.0), "{level}: {jobs:?}");
    }
}

/// What `abort` prints at its end.
#[derive(Debug)]
struct Aborted {
    completed: u64,
    failed: u64,
    submitted: u64,
    successful: u64,
    aborts_failed: u64,
}

impl Aborted {
    /// `NS: ... I/O completed: 175928, failed: 6`, `CTRLR: ... abort submitted 54953, failed to submit
    /// 120981`,
    /// `success 4069, unsuccessful 50884, failed 0`.
    fn from_output(output: &str) -> Aborted {
        let number = |line_with: &str, after: &str| -> u64 {
            let line = output.lines().find(|line| line.contains(line_with));
            let line = line.unwrap_or_else(|| panic!("no `{line_with}` in: {output}"));
            let (_, rest) = line.split_once(after).expect("the words before a number");
            let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
            digits.parse().expect("a number")
        };
        Aborted {
            completed: number("I/O completed:", "I/O completed:"),
            failed: number("I/O completed:", ", failed:"),
            submitted: number("abort submitted", "abort submitted"),
            successful: number("unsuccessful", "success"),
            aborts_failed: number("unsuccessful", ", failed"),
        }
    }
}

#[test]
fn aborts_over_tcp() {
    let _alone = machine::alone();
    let place = Place::new();
    // The tool wants core 0.
    let runtime = format!("cores: [{}]", machine::last_core(2));
    let daemon = place.run(&runtime, &(MIRROR.to_owned() + &Place::export(&["data"])));

    let mut abort = Command::new(machine::spdk().join("build/examples/abort"));
    abort.args("--no-huge -s 256 -c 0x1 -q 64 -w randrw -M 50 -o 4096 -t 2".split(' '));
    let port = place.port;
    abort.arg("-r").arg(format!("trtype:TCP adrfam:IPv4 traddr:127.0.0.1 trsvcid:{port} subnqn:{NQN}"));
    let ended = Child::spawn("abort", &mut abort).wait(TIMEOUT);
    assert!(ended.status.success(), "{}\n{}", ended.stdout, ended.stderr);
    let aborted = Aborted::from_output(&ended.stdout);
    assert!(aborted.completed > 0 && aborted.submitted > 0, "{aborted:?}");
    assert_eq!(aborted.aborts_failed, 0, "{aborted:?}");
    assert!(aborted.failed <= aborted.successful, "only what was aborted fails: {aborted:?}");

    let array = daemon.array("data");
    assert_eq!(array["state"], "active");
    for member in array["members"].as_array().expect("a list") {
        assert_eq!((&member["read_errors"], &member["write_errors"]), (&json!(0), &json!(0)), "{array:#}");
    }
    daemon.stop_well();
}
