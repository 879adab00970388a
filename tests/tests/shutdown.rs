//! SIGINT and SIGTERM: the daemon stops exports, then arrays, then drives, in bounded time, also while a host writes.

use std::path::Path;
use std::time::Duration;

use basalt_tests::daemon::{Daemon, Place, Stopped};
use basalt_tests::machine;
use basalt_tests::wait;
use rustix::process::Signal;
use serde_json::json;

/// Nothing has to wait for a timeout on the way down.
const BOUND: Duration = Duration::from_secs(20);

const DRIVES: &str = "
drives:
  - { name: d0, file: { path: d0.img, size: 24MiB } }
  - { name: d1, file: { path: d1.img, size: 24MiB } }
  - { name: d2, file: { path: d2.img, size: 24MiB } }
  - { name: d3, file: { path: d3.img, size: 24MiB } }
arrays:
  - { name: left, level: raid1, members: [d0, d1] }
  - { name: right, level: raid1, members: [d2, d3] }
  - { name: data, level: raid0, members: [left, right] }
";

/// Members have their data after this.
const METADATA_BYTES: usize = 8 << 20;

fn start(place: &Place) -> Daemon {
    let runtime = format!("cores: [{}]", machine::cores(2));
    place.run(&runtime, &(DRIVES.to_owned() + &Place::export(&["data"])))
}

/// Exit code 0, in time, no socket left, and everything stopped in order.
fn assert_orderly(stopped: &Stopped) {
    assert_eq!(stopped.ended.status.code(), Some(0), "{stopped:#?}");
    assert!(stopped.took < BOUND, "{stopped:#?}");
    assert!(!stopped.socket_is_left, "{stopped:#?}");
    let said = &stopped.ended.stderr;
    let at = |text: &str| said.find(text).unwrap_or_else(|| panic!("`{text}` is missing:\n{said}"));
    assert!(at("asked to stop") < at("stopped exports"));
    assert!(at("stopped exports") < at("stopped arrays: 3"));
    assert!(at("stopped arrays: 3") < at("stopped drives: 4"));
}

/// Both copies hold the same: no write was left half done.
fn assert_mirrored(place: &Place, one: &str, other: &str) {
    let data = |name: &str| {
        let path: &Path = &place.path(name);
        std::fs::read(path).expect("a drive file").split_off(METADATA_BYTES)
    };
    let (one_data, other_data) = (data(one), data(other));
    assert!(one_data.iter().any(|byte| *byte != 0), "{one} was written");
    let differs = one_data.iter().zip(&other_data).position(|(a, b)| a != b);
    assert_eq!((differs, one_data.len()), (None, other_data.len()), "{one} and {other} differ");
}

/// A host that writes all the time when the signal comes.
fn under_io(signal: Signal) {
    let _alone = machine::alone();
    let place = Place::new();
    let daemon = start(&place);
    let host = place.model(1, &machine::cores(2)).option("--ios", u32::MAX).switch("--until-failure").spawn();
    wait::until("the host to write", || {
        let stats = daemon.call("bdev_get_iostat", json!({ "name": "data" }));
        match stats["bdevs"][0]["num_write_ops"].as_u64() {
            Some(writes) if writes > 500 => Ok(()),
            writes => Err(format!("{writes:?} writes")),
        }
    });
    let stopped = daemon.stop(signal);
    assert_orderly(&stopped);
    let verdict = host.outcome().verdict;
    assert!(verdict.failed > 0, "it lost its target: {verdict:#?}");
    assert_eq!(verdict.mismatches, 0, "{verdict:#?}");
    assert_mirrored(&place, "d0.img", "d1.img");
    assert_mirrored(&place, "d2.img", "d3.img");
}

#[test]
fn sigterm_under_io() {
    under_io(Signal::TERM);
}

#[test]
fn sigint_under_io() {
    under_io(Signal::INT);
}

/// Nothing was ever connected.
#[test]
fn sigint_when_idle() {
    let _alone = machine::alone();
    let place = Place::new();
    assert_orderly(&start(&place).stop(Signal::INT));
}

/// A degraded array, and a drive that is gone, are no reason to hang.
#[test]
fn sigterm_when_degraded() {
    let _alone = machine::alone();
    let place = Place::new();
    let daemon = start(&place);
    daemon.call("bdev_basalt_fail_member", json!({ "name": "left", "drive": "d1" }));
    daemon.call("bdev_basalt_file_delete", json!({ "name": "d3" }));
    wait::until("both mirrors to be degraded", || {
        let arrays = daemon.call("bdev_basalt_get_arrays", json!({}));
        let degraded = arrays.as_array().expect("a list").iter().filter(|one| one["state"] == "degraded");
        if degraded.count() == 2 { Ok(()) } else { Err(arrays.to_string()) }
    });
    place.model(1, &machine::last_core(2)).option("--ios", 500).must_pass();
    let stopped = daemon.stop(Signal::TERM);
    assert_eq!(stopped.ended.status.code(), Some(0), "{stopped:#?}");
    assert!(stopped.took < BOUND && !stopped.socket_is_left, "{stopped:#?}");
}
