//! What came of it: one JSON object.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// The most failures and mismatches that are told one by one.
const TOLD_MAX: usize = 10;

/// The answer of the program.
#[derive(Debug, Default, Serialize)]
pub struct Verdict {
    pub seed: u64,
    /// Host I/Os that were done, the final read-back included.
    pub ios: u64,
    /// Of them: those that failed.
    pub failed: u64,
    /// Blocks that did not hold what they must, and buffers whose surroundings were overwritten.
    pub mismatches: u64,
    pub num_blocks: u64,
    pub block_size: u32,
    /// By core: how many it did.
    pub by_core: BTreeMap<u32, u64>,
    pub by_op: BTreeMap<&'static str, u64>,
    pub first_failures: Vec<String>,
    pub first_mismatches: Vec<String>,
    /// The calls that were asked for, in the order in which they were made.
    pub calls: Vec<Called>,
}

/// A call and its answer.
#[derive(Debug, Serialize)]
pub struct Called {
    pub method: String,
    /// Host I/Os that were done when it was made.
    pub at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Verdict {
    pub fn done(&mut self, core: u32, op: &'static str) {
        self.ios += 1;
        *self.by_core.entry(core).or_default() += 1;
        *self.by_op.entry(op).or_default() += 1;
    }

    pub fn failure(&mut self, text: impl FnOnce() -> String) {
        self.failed += 1;
        if self.first_failures.len() < TOLD_MAX {
            self.first_failures.push(text());
        }
    }

    pub fn mismatch(&mut self, text: impl FnOnce() -> String) {
        self.mismatches += 1;
        if self.first_mismatches.len() < TOLD_MAX {
            self.first_mismatches.push(text());
        }
    }

    /// Whether the device did what it must.
    pub fn is_good(&self, may_fail: bool) -> bool {
        self.mismatches == 0
            && (may_fail || self.failed == 0)
            && self.calls.iter().all(|call| call.error.is_none())
    }
}
