//! Arrays outlive their daemon: what the drives remember, over clean stops, crashes and wrong drives.

#[path = "durable/crashes.rs"]
mod crashes;
#[path = "durable/errors.rs"]
mod errors;
#[path = "durable/hangs.rs"]
mod hangs;
#[path = "durable/members.rs"]
mod members;
#[path = "durable/refusals.rs"]
mod refusals;
#[path = "durable/splits.rs"]
mod splits;

use std::path::PathBuf;

use basalt_tests::daemon::{Daemon, Place};
use basalt_tests::machine;
use serde_json::{Value, json};

const DRIVE_MIB: usize = 16;

/// YAML with a mirror `data` of file drives, exported. `keys`: more keys of the array.
fn mirror(drives: &[&str], keys: &str) -> String {
    let mut body = files(drives);
    body += &format!(
        "arrays:\n  - {{ name: data, level: raid1, members: [{}], region: 64KiB, {keys} }}\n",
        drives.join(", ")
    );
    body + &Place::export(&["data"])
}

/// YAML with a mirror `data` of two drives `f0` and `f1` that fail on command, exported.
fn faulty_mirror(member_timeout: &str) -> String {
    let mut body = files(&["d0", "d1"]);
    (0..2).for_each(|n| body += &format!("  - {{ name: f{n}, faulty: {{ over: d{n} }} }}\n"));
    let keys = format!("region: 64KiB, member_timeout: {member_timeout}");
    body += &format!("arrays: [{{ name: data, level: raid1, members: [f0, f1], {keys} }}]\n");
    body + &Place::export(&["data"])
}

/// YAML with file drives of their names.
fn files(drives: &[&str]) -> String {
    let drive =
        |name: &&str| format!("  - {{ name: {name}, file: {{ path: {name}.img, size: {DRIVE_MIB}MiB }} }}\n");
    "drives:\n".to_owned() + &drives.iter().map(drive).collect::<String>()
}

/// A folder, and in it what the array must hold.
struct Scene {
    place: Place,
}

impl Scene {
    fn new() -> Scene {
        Scene { place: Place::new() }
    }

    fn run(&self, body: &str) -> Daemon {
        self.place.run("cores: [0]", body)
    }

    fn start(&self, body: &str) -> Daemon {
        self.place.start("cores: [0]", body)
    }

    fn img(&self, drive: &str) -> PathBuf {
        self.place.path(&format!("{drive}.img"))
    }

    /// Takes a drive's file away; [`Scene::bring_back`] undoes it.
    fn take_away(&self, drive: &str) {
        std::fs::rename(self.img(drive), self.place.path(&format!("{drive}.away"))).expect("our file");
    }

    fn bring_back(&self, drive: &str) {
        std::fs::rename(self.place.path(&format!("{drive}.away")), self.img(drive)).expect("our file");
    }

    /// A host reads everything that it has written in earlier turns, then does `ios` I/Os, then reads everything.
    fn host(&self, ios: u64) {
        self.host_keeping("model.json", ios);
    }

    /// The same with another memory of what was written.
    fn host_keeping(&self, memory: &str, ios: u64) {
        let memory = self.place.path(memory);
        let run = self.place.model(1, &machine::last_core(2)).option("--ios", ios);
        let run = if memory.exists() { run.option("--load", memory.display()) } else { run };
        run.option("--save", memory.display()).must_pass();
    }

    fn remember_as(&self, memory: &str) {
        std::fs::copy(self.place.path("model.json"), self.place.path(memory)).expect("our file");
    }
}

/// `state` of each member, by slot.
fn member_states(array: &Value) -> Vec<&str> {
    let members = array["members"].as_array().expect("members");
    members.iter().map(|member| member["state"].as_str().expect("a state")).collect()
}

/// What is said of the drive of a member.
fn verdict<'a>(array: &'a Value, drive: &str) -> &'a str {
    let members = array["members"].as_array().expect("members");
    let member = members.iter().find(|member| member["drive"] == drive);
    member
        .and_then(|member| member["verdict"].as_str())
        .unwrap_or_else(|| panic!("no word on {drive}: {array:#}"))
}

/// The numbers of all events that are kept, which have no gaps.
fn event_numbers(daemon: &Daemon) -> Vec<u64> {
    let answer = daemon.call("bdev_basalt_get_events", json!({ "name": "data" }));
    let events = answer["events"].as_array().expect("events");
    let numbers: Vec<u64> = events.iter().map(|event| event["seq"].as_u64().expect("numbered")).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "gaps in {numbers:?}");
    numbers
}
