//! The bring-up as data: from a [`Config`] to an ordered list of JSON-RPC calls, each with the place in the
//! YAML that asks for it. An operator could type the same list; nothing here does I/O.
//!
//! ```text
//!            options                       drives -> arrays -> exports
//!   SPDK's start-up state (before          its running state: `run::operator` calls one step after the other
//!   the subsystems are initialised)
//!
//!   stopping goes the other way:           exports -> arrays -> drives       (plan::teardown)
//! ```

mod arrays;
mod drives;
mod exports;
pub mod options;
pub mod teardown;
#[cfg(test)]
mod tests;

use std::time::Duration;

use basalt_config::{Config, Place};
use serde_json::Value;
use uuid::Uuid;

use crate::identity;

pub use drives::bdev_name;
pub use teardown::Made;

/// One call of the bring-up.
#[derive(Debug, Clone)]
pub struct Step {
    /// What it is for, as a progress line: `array data: raid1 of d0 d1`.
    pub what: String,
    /// The JSON-RPC method.
    pub method: &'static str,
    /// Its parameters, but for what `fills` puts in.
    pub params: Value,
    /// Values that only the running system knows.
    pub fills: Vec<Fill>,
    /// What the rest of the list needs to know of the answer.
    pub learns: Option<Learn>,
    /// How long it may take.
    pub timeout: Duration,
    /// Where the YAML asks for it.
    pub place: Place,
    /// What it makes, that stopping takes back.
    pub makes: Option<Made>,
    /// Arrays that must run before it can be done; it is put off until they do.
    pub needs: Needs,
    /// The start goes on when it fails: arrays that can tell whether they may do without it will.
    pub may_fail: bool,
}

/// Arrays that a step needs to run. An array may wait for its drives long after everything else is up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Needs {
    /// None.
    #[default]
    Nothing,
    /// Each of these.
    All(Vec<String>),
    /// One of these: hosts are not shown something empty.
    Any(Vec<String>),
}

impl Needs {
    /// Whether the step can be done, as far as arrays are concerned.
    pub fn are_met(&self, runs: impl Fn(&str) -> bool) -> bool {
        match self {
            Needs::Nothing => true,
            Needs::All(arrays) => arrays.iter().all(|array| runs(array)),
            Needs::Any(arrays) => arrays.iter().any(|array| runs(array)),
        }
    }

    /// The arrays that it names.
    pub fn arrays(&self) -> &[String] {
        match self {
            Needs::Nothing => &[],
            Needs::All(arrays) | Needs::Any(arrays) => arrays,
        }
    }
}

/// A parameter that is known once an array runs: the array's UUID may come from its members' superblocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fill {
    /// Where it goes: a JSON pointer (RFC 6901) into the parameters. Its parent exists.
    pub pointer: &'static str,
    /// The array that it is about.
    pub array: String,
    /// What of it.
    pub fact: Fact,
}

/// A fact about an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// Its UUID, with dashes.
    Uuid,
    /// Its UUID as an NGUID.
    Nguid,
}

impl Fact {
    /// As the text that goes into the parameters.
    pub fn render(self, array: Uuid) -> String {
        match self {
            Fact::Uuid => array.hyphenated().to_string(),
            Fact::Nguid => identity::nguid(array),
        }
    }
}

/// What is remembered of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Learn {
    /// `result.uuid` is the UUID of this array, and `result.state` tells whether it runs.
    Array(String),
}

/// Time for calls that only change state in memory.
const QUICK: Duration = Duration::from_secs(10);
/// Time for calls that open a drive, talk to a controller, or read from members.
const SLOW: Duration = Duration::from_secs(60);

/// The whole list for `config`: drives, then arrays (those that are members of others first), then exports.
pub fn from_config(config: &Config) -> Vec<Step> {
    let mut steps = drives::steps(config);
    steps.extend(arrays::steps(config));
    steps.extend(exports::steps(config));
    steps
}
