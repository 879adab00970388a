//! What the operator's thread knows of the system that it brings up.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::plan::{Learn, Step};

/// Arrays and drives, as far as the daemon has told.
#[derive(Debug, Default)]
pub struct Known {
    /// UUIDs of arrays of which something was found.
    uuids: BTreeMap<String, Uuid>,
    /// Arrays that run.
    running: BTreeSet<String>,
    /// File drives that were not there, and were made blank.
    new_drives: BTreeSet<String>,
    /// Drives that could not be opened.
    lost_drives: Vec<String>,
}

impl Known {
    /// Whether this array runs.
    pub fn runs(&self, array: &str) -> bool {
        self.running.contains(array)
    }

    /// Whether nothing of any array was found, and drives could not be opened: a start that is not worth going on
    /// with.
    pub fn found_nothing(&self) -> bool {
        !self.lost_drives.is_empty() && self.uuids.is_empty()
    }

    /// Drives that could not be opened.
    pub fn lost_drives(&self) -> &[String] {
        &self.lost_drives
    }

    /// A drive could not be opened.
    pub fn lost(&mut self, drive: &str) {
        self.lost_drives.push(drive.to_owned());
    }

    /// A file drive was made.
    pub fn made_new(&mut self, drive: &str) {
        self.new_drives.insert(drive.to_owned());
    }

    /// The members of a step that makes an array of which it must be said that they are new and blank: some are,
    /// and others are not.
    pub fn new_among_old<'a>(&self, step: &'a Step) -> Vec<&'a str> {
        let members: Vec<&str> =
            step.params["members"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let is_new = |member: &&str| self.new_drives.contains(*member);
        let new: Vec<&str> = members.iter().copied().filter(is_new).collect();
        if new.len() == members.len() { Vec::new() } else { new }
    }

    /// Takes in what a step has answered.
    pub fn learn(&mut self, step: &Step, result: &Value) {
        if let Some(Learn::Array(array)) = &step.learns {
            self.take_in(array, &result["uuid"], result["state"] == "running");
        }
    }

    /// Takes in an object of `bdev_basalt_get_arrays`.
    pub fn see(&mut self, array: &Value) {
        let runs = !matches!(array["state"].as_str(), None | Some("assembling" | "stopped"));
        if let Some(name) = array["name"].as_str() {
            self.take_in(name, &array["uuid"], runs);
        }
    }

    fn take_in(&mut self, name: &str, uuid: &Value, runs: bool) {
        let uuid = uuid.as_str().and_then(|text| Uuid::parse_str(text).ok()).filter(|uuid| !uuid.is_nil());
        if let Some(uuid) = uuid {
            self.uuids.insert(name.to_owned(), uuid);
        }
        if runs {
            self.running.insert(name.to_owned());
        } else {
            self.running.remove(name);
        }
    }

    /// The parameters of a step, with what only the running system knows.
    pub fn fill(&self, step: &Step) -> Value {
        let mut params = step.params.clone();
        for fill in &step.fills {
            let Some(uuid) = self.uuids.get(&fill.array) else { continue };
            let (parent, key) = fill.pointer.rsplit_once('/').expect("a JSON pointer begins with a slash");
            if let Some(parent) = params.pointer_mut(parent) {
                parent[key] = json!(fill.fact.render(*uuid));
            }
        }
        params
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array_step() -> Step {
        let config = basalt_config::parse(include_str!("../plan/yaml/mirror.yaml"), "test.yaml").unwrap();
        let plan = crate::plan::from_config(&config);
        plan.into_iter().find(|step| step.learns.is_some()).unwrap()
    }

    #[test]
    fn an_array_that_waits_is_known_and_does_not_run() {
        let (mut known, step) = (Known::default(), array_step());
        let uuid = "3d2f5e0c-6d2b-5a53-9b0a-0d5f5f7a3f11";
        known.lost("d0");
        assert!(known.found_nothing());
        known.learn(&step, &json!({ "uuid": uuid, "state": "assembling" }));
        assert!(!known.runs("data") && !known.found_nothing());
        known.see(&json!({ "name": "data", "uuid": uuid, "state": "degraded" }));
        assert!(known.runs("data"));
        known.see(&json!({ "name": "data", "uuid": uuid, "state": "stopped" }));
        assert!(!known.runs("data"));
    }

    #[test]
    fn an_array_without_any_drive_has_no_uuid() {
        let (mut known, step) = (Known::default(), array_step());
        known.lost("d0");
        known.learn(&step, &json!({ "uuid": null, "state": "assembling" }));
        known.see(&json!({ "name": "data", "uuid": Uuid::nil(), "state": "assembling" }));
        assert!(known.found_nothing());
    }

    #[test]
    fn new_drives_are_told_only_among_old_ones() {
        let (mut known, step) = (Known::default(), array_step());
        assert!(known.new_among_old(&step).is_empty());
        known.made_new("d1");
        assert_eq!(known.new_among_old(&step), ["d1"]);
        known.made_new("d0");
        assert!(known.new_among_old(&step).is_empty());
    }
}
