//! The command line against a daemon that runs: changes, answers, refusals, exit codes.

use crate::support::{Place, text};
use serde_json::Value;

const MIRROR: &str = r#"
drives:
  - { name: m0, memory: { size: 32MiB } }
  - { name: m1, memory: { size: 32MiB } }
  - { name: m2, memory: { size: 32MiB } }
arrays:
  - { name: data, level: raid1, members: [m0, m1] }
"#;

/// The command's only JSON document.
fn json(place: &Place, line: &str, code: i32) -> Value {
    let (got, out, err) = text(&place.cli(&format!("{line} --json")));
    assert_eq!(got, code, "{line}: {err}");
    serde_json::from_str(&out).unwrap_or_else(|e| panic!("{line}: {e}: {out}"))
}

#[test]
fn failing_a_member_shows_everywhere() {
    let place = Place::new();
    let daemon = place.run(MIRROR);
    let before = json(&place, "status", 0)["arrays"][0].clone();
    assert_eq!((before["state"].as_str(), before["level"].as_str()), (Some("active"), Some("raid1")));

    let change = json(&place, "member fail data m1", 0);
    assert!(change["epoch"].as_u64() > before["epoch"].as_u64(), "{change}");

    let after = json(&place, "status", 3)["arrays"][0].clone();
    assert_eq!(after["state"], "degraded");
    assert_eq!(after["members"][1]["state"], "faulty");
    let (code, screen, _) = text(&place.cli("status data"));
    assert_eq!(code, 3);
    assert!(screen.contains("the next lost member may lose data"), "{screen}");
    assert!(screen.contains("`basalt events data` tells"), "{screen}");

    let events = json(&place, "events data", 0);
    let numbers: Vec<u64> =
        events["events"].as_array().unwrap().iter().map(|e| e["seq"].as_u64().unwrap()).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    assert!(events["events"].as_array().unwrap().iter().any(|e| e["drive"] == "m1"), "{events}");
    let last = numbers.last().unwrap();
    let since = json(&place, &format!("events data --since {}", last - 1), 0);
    assert_eq!(since["events"].as_array().unwrap().len(), 1);
    daemon.stop_well();
}

#[test]
fn the_last_good_member_is_not_failed() {
    let place = Place::new();
    let daemon = place.run(MIRROR);
    json(&place, "member fail data m0", 0);
    let refused = json(&place, "member fail data m1", 1);
    assert!(refused["error"]["message"].as_str().is_some_and(|m| !m.is_empty()), "{refused}");
    assert_eq!(json(&place, "status", 3)["arrays"][0]["members"][1]["state"], "in_sync");
    daemon.stop_well();
}

#[test]
fn what_comes_later_says_so() {
    let place = Place::new();
    let daemon = place.run(MIRROR);
    json(&place, "member fail data m1", 0);
    for line in ["member add data m2", "sync start data", "member replace data m0 --with m2"] {
        let refused = json(&place, line, 1);
        let message = refused["error"]["message"].as_str().unwrap();
        assert!(message.contains("come"), "{line}: {message}");
    }
    daemon.stop_well();
}

#[test]
fn arrays_are_made_shown_and_deleted() {
    let place = Place::new();
    let daemon = place
        .run("drives:\n  - { name: a, memory: { size: 32MiB } }\n  - { name: b, memory: { size: 32MiB } }\n");
    json(&place, "array create pair --level raid0 --members a,b --chunk 16KiB", 0);
    let shown = json(&place, "array show pair", 0);
    assert_eq!((&shown["chunk_kb"], shown["level"].as_str()), (&serde_json::json!(16), Some("raid0")));
    let twice = json(&place, "array create pair --level raid0 --members a,b", 1);
    assert!(twice["error"]["message"].as_str().unwrap().contains("pair"), "{twice}");
    json(&place, "array delete pair", 0);
    assert_eq!(json(&place, "status", 0)["arrays"], serde_json::json!([]));
    json(&place, "array create pair --level raid1 --members a,b", 0);
    daemon.stop_well();
}

#[test]
fn refusals_name_what_is_there_and_change_nothing() {
    let place = Place::new();
    let daemon = place.run(MIRROR);
    let before = json(&place, "status", 0);
    let (code, _, error) = text(&place.cli("member fail data m9"));
    assert_eq!((code, error.trim()), (1, "error: there is no 'm9' here; there is: m0, m1"));
    for line in [
        "member fail nothing m0",
        "array create data --level raid1 --members m0,m1",
        "array create x --level raid1 --members m0",
        "array create x --level raid7 --members m0,m1",
        "array create x --level raid1 --members m2,m2",
        "array delete nothing",
        "array show nothing",
        "status nothing",
        "events nothing",
    ] {
        let refused = json(&place, line, 1);
        assert!(refused["error"]["message"].as_str().is_some_and(|m| m.len() > 5), "{line}: {refused}");
    }
    assert_eq!(json(&place, "status", 0), before);
    daemon.stop_well();
}

#[test]
fn without_a_daemon_every_command_says_what_to_start() {
    let place = Place::new();
    for line in ["status", "events", "array show data", "member fail data m0", "sync pause data"] {
        let (code, _, error) = text(&place.cli(line));
        assert_eq!(code, 1, "{line}");
        assert!(error.contains("there is no socket") && error.contains("basalt run"), "{line}: {error}");
    }
    assert_eq!(text(&place.cli("frobnicate")).0, 2);
}
