//! What `basalt-model verify` answers: one JSON object.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The most failures and mismatches that are told one by one.
const TOLD_MAX: usize = 10;

/// The answer.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Verdict {
    /// Gives the same I/O again (in the same order on one core).
    pub seed: u64,
    /// Host I/Os that were done, the final read-back included.
    pub ios: u64,
    /// Of them: those that failed.
    pub failed: u64,
    /// Blocks that did not hold what they must, and buffers whose surroundings were overwritten.
    pub mismatches: u64,
    /// The bdev's size.
    pub num_blocks: u64,
    /// The bdev's block size.
    pub block_size: u32,
    /// By core: how many it did.
    pub by_core: BTreeMap<u32, u64>,
    /// By kind: how many were done.
    pub by_op: BTreeMap<String, u64>,
    /// Some of those that failed.
    pub first_failures: Vec<String>,
    /// Some of what did not match.
    pub first_mismatches: Vec<String>,
    /// The calls that were asked for, in the order in which they were made.
    pub calls: Vec<Called>,
}

/// A call and its answer.
#[derive(Debug, Serialize, Deserialize)]
pub struct Called {
    /// What was called.
    pub method: String,
    /// Host I/Os that were done when it was called.
    pub at: u64,
    /// Its answer.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub result: Value,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Verdict {
    /// Counts an I/O.
    pub fn done(&mut self, core: u32, op: &str) {
        self.ios += 1;
        *self.by_core.entry(core).or_default() += 1;
        match self.by_op.get_mut(op) {
            Some(count) => *count += 1,
            None => drop(self.by_op.insert(op.to_owned(), 1)),
        }
    }

    /// Counts one that failed.
    pub fn failure(&mut self, text: impl FnOnce() -> String) {
        self.failed += 1;
        if self.first_failures.len() < TOLD_MAX {
            self.first_failures.push(text());
        }
    }

    /// Counts something that does not match.
    pub fn mismatch(&mut self, text: impl FnOnce() -> String) {
        self.mismatches += 1;
        if self.first_mismatches.len() < TOLD_MAX {
            self.first_mismatches.push(text());
        }
    }

    /// Whether the device did what it must.
    pub fn is_good(&self, may_fail: bool) -> bool {
        let calls = self.calls.iter().all(|call| call.error.is_none());
        self.mismatches == 0 && (may_fail || self.failed == 0) && calls
    }

    /// The answer to the last call of `method`.
    ///
    /// # Panics
    /// If it was not called.
    pub fn answer(&self, method: &str) -> &Value {
        let call = self.calls.iter().rev().find(|call| call.method == method);
        &call.unwrap_or_else(|| panic!("{method} was not called: {:?}", self.calls)).result
    }
}
