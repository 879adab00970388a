//! The bring-up, and what was put off: steps that need an array that waits for its drives.
//!
//! ```text
//!   plan --step by step--> done
//!            |   needs an array that does not run
//!            v
//!          put off --the array runs--> done          looked after while the daemon is up
//!            ^                            |
//!            +---- the array came anew ---+          its namespace went when it was stopped
//! ```

use serde_json::{Value, json};

use super::known::Known;
use super::operator::{Called, Heed, Operator, Stop};
use crate::client::{Client, ClientError};
use crate::plan::{Learn, Made, Step};
use crate::status::named;

/// What the bring-up came to.
pub(super) enum Up {
    All(Later),
    Stopped,
    Failed,
}

/// What a step came to.
enum Carried {
    Out,
    Stopped,
    Failed,
}

/// What is left to do once the daemon is up.
#[derive(Default)]
pub(super) struct Later {
    known: Known,
    /// In their order.
    put_off: Vec<Step>,
    /// Of SPDK's notifications: the first that was not seen yet.
    next_notification: u64,
}

/// How many notifications one call brings.
const NOTIFICATIONS: usize = 256;

impl Later {
    /// Arrays that something waits for.
    pub fn waits_for(&self) -> Vec<&str> {
        let mut arrays: Vec<&str> =
            self.put_off.iter().flat_map(|step| step.needs.arrays()).map(String::as_str).collect();
        arrays.retain(|array| !self.known.runs(array));
        arrays.sort_unstable();
        arrays.dedup();
        arrays
    }
}

impl Operator {
    pub(super) fn bring_up(&self, client: &mut Client, made: &mut Vec<Made>) -> Up {
        let mut later = Later::default();
        for step in &self.plan {
            if let Ok(Stop) = self.stop.try_recv() {
                return Up::Stopped;
            }
            if !step.needs.are_met(|array| later.known.runs(array)) {
                later.put_off.push(step.clone());
                continue;
            }
            match self.carry_out(client, step, &mut later.known, made) {
                Carried::Out => {}
                Carried::Stopped => return Up::Stopped,
                Carried::Failed if step.may_fail => {
                    later.known.lost(step.makes.as_ref().map_or(&step.what, Made::name));
                }
                Carried::Failed => return Up::Failed,
            }
        }
        if later.known.found_nothing() {
            let lost = later.known.lost_drives().join(", ");
            self.progress.failed(&format!(
                "{lost} can't be used, and nothing of any array was found on the other drives"
            ));
            return Up::Failed;
        }
        // What came up to now is no news.
        self.registered(client, &mut later.next_notification);
        Up::All(later)
    }

    /// Carries out what was put off and can be done now. True if the daemon is to stop.
    pub(super) fn look_after(&self, client: &mut Client, later: &mut Later, made: &mut Vec<Made>) -> bool {
        let registered = self.registered(client, &mut later.next_notification);
        for step in self.plan.iter().filter(|step| shows_one_of(step, &registered)) {
            let is_put_off = later.put_off.iter().any(|other| other.what == step.what);
            if !is_put_off && lacks_namespace(client, step) {
                later.put_off.push(step.clone());
            }
        }
        if later.put_off.is_empty() {
            return false;
        }
        let Ok(arrays) = client.get::<Vec<Value>>("bdev_basalt_get_arrays", &json!({})) else { return false };
        arrays.iter().for_each(|array| later.known.see(array));
        let (now, not_yet): (Vec<Step>, Vec<Step>) =
            later.put_off.drain(..).partition(|step| step.needs.are_met(|array| later.known.runs(array)));
        later.put_off = not_yet;
        for step in &now {
            if let Carried::Stopped = self.carry_out(client, step, &mut later.known, made) {
                return true;
            }
        }
        if !now.is_empty() && later.put_off.is_empty() {
            self.progress.headline("nothing is waited for any more");
        }
        false
    }

    /// Makes the call of a step, and tells what came of it.
    fn carry_out(
        &self,
        client: &mut Client,
        step: &Step,
        known: &mut Known,
        made: &mut Vec<Made>,
    ) -> Carried {
        let params = known.fill(step);
        let is_new = is_new_file(step);
        match self.call(client, step.method, &params, step.timeout, &step.what, Heed::Stop) {
            Called::Answered(Ok(result)) => {
                made.extend(step.makes.clone());
                known.learn(step, &result);
                if let (true, Some(drive)) = (is_new, &step.makes) {
                    known.made_new(drive.name());
                }
                match &step.learns {
                    Some(Learn::Array(array)) => self.tell_array(client, step, array, &result, known),
                    None => self.progress.done(&step.what),
                }
                Carried::Out
            }
            Called::Answered(Err(error)) => {
                // A call that ran out of time may still have made it.
                if matches!(error, ClientError::TimedOut { .. }) {
                    made.extend(step.makes.clone());
                }
                self.report(step, &params, &error);
                Carried::Failed
            }
            Called::Stopped => {
                made.extend(step.makes.clone());
                Carried::Stopped
            }
        }
    }

    /// An array was asked for: does it run, and is it whole?
    fn tell_array(&self, client: &mut Client, step: &Step, array: &str, result: &Value, known: &Known) {
        if known.runs(array) {
            self.progress.done(&step.what);
        } else {
            let why = named(result["why"].as_str().unwrap_or("it does not say why"), array);
            self.progress.notice(&format!("{} does not run yet: {why}", step.what));
        }
        if known.runs(array) && !is_degraded(client, array) {
            return;
        }
        if known.runs(array) {
            self.progress.notice(&format!("array {array} runs degraded: see basalt status {array}"));
        }
        let new = known.new_among_old(step).join(", ");
        if !new.is_empty() {
            self.progress.notice(&format!(
                "array {array}: the file of {new} was not there; it was made new, and is blank. If {new} was a \
                 member, stop, and bring its file back before the array goes on without it"
            ));
        }
    }

    /// Names of bdevs that came since the last look; `next`: see [`Later`]. Stopped and started again, an array
    /// is another bdev of the same name.
    fn registered(&self, client: &mut Client, next: &mut u64) -> Vec<String> {
        let mut names = Vec::new();
        loop {
            let params = json!({ "id": *next, "max": NOTIFICATIONS });
            let Ok(page) = client.get::<Vec<Value>>("notify_get_notifications", &params) else {
                return names;
            };
            let Some(last) = page.last().and_then(|one| one["id"].as_u64()) else { return names };
            *next = last + 1;
            let came = page.iter().filter(|one| one["type"] == "bdev_register");
            names.extend(came.filter_map(|one| one["ctx"].as_str().map(str::to_owned)));
        }
    }
}

fn is_degraded(client: &mut Client, array: &str) -> bool {
    let arrays = client.get::<Vec<Value>>("bdev_basalt_get_arrays", &json!({ "name": array }));
    arrays.is_ok_and(|arrays| arrays.first().is_some_and(|array| array["state"] == "degraded"))
}

/// Whether the step makes a namespace of one of these arrays.
fn shows_one_of(step: &Step, arrays: &[String]) -> bool {
    step.method == "nvmf_subsystem_add_ns" && step.needs.arrays().iter().any(|array| arrays.contains(array))
}

/// Whether the namespace that the step makes is not there.
fn lacks_namespace(client: &mut Client, step: &Step) -> bool {
    let Ok(subsystems) = client.get::<Vec<Value>>("nvmf_get_subsystems", &Value::Null) else { return false };
    let nsid = &step.params["namespace"]["nsid"];
    let subsystem = subsystems.iter().find(|subsystem| subsystem["nqn"] == step.params["nqn"]);
    let namespaces = subsystem.and_then(|subsystem| subsystem["namespaces"].as_array());
    namespaces.is_some_and(|all| all.iter().all(|namespace| namespace["nsid"] != *nsid))
}

/// Whether the step will make a file that is not there.
fn is_new_file(step: &Step) -> bool {
    step.method == "bdev_basalt_file_create"
        && step.params["path"].as_str().is_some_and(|path| !std::path::Path::new(path).exists())
}
