//! A start with drives missing: what can run runs, what can't says why, and hosts see it when it comes.

use serde_json::{Value, json};

use crate::support::{Place, text};

const FAR: &str = r#"
drives:
  - { name: m0, file: { path: m0.img, size: 32MiB } }
arrays:
  - { name: far, level: concat, members: [m0] }
exports:
  - { nqn: "nqn.2026-11.io.basalt:far", listen: ["tcp://127.0.0.1:{port}"], namespaces: [far] }
"#;

/// Two mirrors, one of them with a drive on the other daemon; both exported together.
fn near(far_port: u16) -> String {
    format!(
        r#"
drives:
  - {{ name: t0, nvme: {{ tcp: "127.0.0.1:{far_port}", nqn: "nqn.2026-11.io.basalt:far" }} }}
  - {{ name: d0, file: {{ path: d0.img, size: 24MiB }} }}
  - {{ name: d1, file: {{ path: d1.img, size: 24MiB }} }}
  - {{ name: d2, file: {{ path: d2.img, size: 24MiB }} }}
arrays:
  - {{ name: near, level: raid1, members: [t0, d0], start_degraded_after: never }}
  - {{ name: own, level: raid1, members: [d1, d2] }}
exports:
  - nqn: nqn.2026-11.io.basalt:both
    listen: ["tcp://127.0.0.1:{{port}}"]
    namespaces: [near, own]
"#
    )
}

fn namespaces(place: &Place) -> Vec<(u64, String)> {
    let subsystems = place.call("nvmf_get_subsystems", Value::Null);
    let all = subsystems.as_array().unwrap().iter().flat_map(|one| one["namespaces"].as_array());
    let pair = |one: &Value| (one["nsid"].as_u64().unwrap(), one["bdev_name"].as_str().unwrap().to_owned());
    all.flatten().map(pair).collect()
}

#[test]
fn what_can_run_runs_and_the_rest_comes_later() {
    let (far_place, place) = (Place::new(), Place::new());
    let far_daemon = far_place.run(FAR);
    let body = near(far_place.port);
    place.run(&body).stop_well();
    far_daemon.stop_well();

    let mut daemon = place.start(&body);
    let ready = daemon.wait_for_line("ready: ");
    assert!(ready.contains("exports wait for array near"), "{ready}");
    let lost = daemon.said.find("basalt.yaml:4:").expect("the place of the drive that is lost");
    let array = daemon.said.find("array near: raid1 of t0 d0 does not run yet").expect("the array waits");
    assert!(lost < array, "{}", daemon.said);
    assert!(daemon.said.contains("basalt array start near --degraded"), "{}", daemon.said);
    assert_eq!(namespaces(&place), [(2, "own".to_owned())]);
    let (code, screen, _) = text(&place.cli("status"));
    assert!(code == 3 && screen.contains("near  raid1, assembling"), "{screen}");
    assert!(screen.contains("own  raid1, active"), "{screen}");

    let (code, _, error) = text(&place.cli("array start near --degraded"));
    assert_eq!(code, 0, "{error}");
    daemon.wait_for_line("nothing is waited for any more");
    assert_eq!(namespaces(&place), [(1, "near".to_owned()), (2, "own".to_owned())]);
    daemon.stop_well();
}

#[test]
fn an_array_that_was_stopped_and_started_is_shown_to_hosts_again() {
    let place = Place::new();
    let mut daemon = place.run(FAR);
    let identity = place.call("nvmf_get_subsystems", Value::Null)[1]["namespaces"].clone();
    // The second one is stopped and started before anybody looks.
    for _ in 0..2 {
        assert_eq!(text(&place.cli("array stop far")).0, 0);
        assert_eq!(namespaces(&place), []);
        assert_eq!(text(&place.cli("array start far")).0, 0);
        daemon.wait_for_line("export nqn.2026-11.io.basalt:far: namespace 1 is array far");
        daemon.wait_for_line("nothing is waited for any more");
    }
    assert_eq!(place.call("nvmf_get_subsystems", Value::Null)[1]["namespaces"], identity);
    let state = place.call("bdev_basalt_get_arrays", json!({}))[0]["state"].clone();
    assert_eq!(state, "active");
    daemon.stop_well();
}
