//! Faulty drives from YAML to the end of the daemon.

use std::time::Instant;

use crate::support::{LONG, Place, text};
use serde_json::{Value, json};

const MIRROR: &str = r#"
drives:
  - { name: f0, faulty: { over: d0 } }
  - { name: f1, faulty: { over: d1, volatile_cache: true } }
  - { name: d0, file: { path: d0.img, size: 32MiB } }
  - { name: d1, memory: { size: 32MiB } }
arrays:
  - { name: data, level: raid1, members: [f0, f1] }
"#;

/// Asks until the answer is as it should be.
fn wait_for(place: &Place, method: &str, params: Value, what: impl Fn(&Value) -> bool) {
    let begun = Instant::now();
    loop {
        let answer = place.call(method, params.clone());
        if what(&answer) {
            return;
        }
        assert!(begun.elapsed() < LONG, "waited in vain: {answer}");
    }
}

#[test]
fn a_member_that_vanishes_and_a_clean_end() {
    let place = Place::new();
    let daemon = place.run(MIRROR);
    let name = json!({ "name": "f1" });
    let report = place.call("bdev_basalt_faulty_get", name.clone());
    assert_eq!((&report["state"], &report["base"]), (&json!("present"), &json!("d1")));
    assert_eq!(report["volatile_cache"], true);
    assert_eq!(text(&place.cli("status")).0, 0);

    place.call("bdev_basalt_faulty_vanish", name.clone());
    wait_for(&place, "bdev_basalt_get_arrays", json!({}), |arrays| {
        arrays.to_string().contains("\"degraded\"")
    });
    // The array has let go of it.
    wait_for(&place, "bdev_basalt_faulty_get", name.clone(), |report| report["state"] == "absent");
    place.call("bdev_basalt_faulty_return", name.clone());
    place.call("bdev_basalt_faulty_power_cut", json!({ "name": "f1", "keep": "torn", "seed": 3 }));
    wait_for(&place, "bdev_basalt_faulty_get", name, |report| report["state"] == "absent");

    let said = daemon.stop_well();
    assert!(said.contains("drive f1: faults and a volatile cache over d1"), "{said}");
}

#[test]
fn a_base_that_is_taken_is_shown_in_the_yaml() {
    let place = Place::new();
    let mut daemon = place.start(
        "drives:\n  - { name: d1, memory: { size: 32MiB } }\n  - { name: d0, bdev: d1 }\n  \
         - { name: f0, faulty: { over: d1 } }\n  - { name: f1, faulty: { over: d0 } }\n",
    );
    assert!(!daemon.wait().success());
    assert!(daemon.said.contains("drive f1: faults over d0"), "{}", daemon.said);
    assert!(daemon.said.contains("claimed"), "{}", daemon.said);
}
