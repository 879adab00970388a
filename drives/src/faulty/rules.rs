//! The rules of one drive, and which of them fires.

use super::rule::{Fault, Request, Rule};
use serde::Serialize;
use std::time::{Duration, Instant};

/// Names a rule of a drive; never used again.
pub type RuleId = u64;

#[derive(Debug, Default)]
pub(crate) struct Rules {
    injected: u64,
    /// In the order of their injection.
    list: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    id: RuleId,
    rule: Rule,
    since: Instant,
    /// I/Os that matched.
    seen: u64,
    /// I/Os that it fired at.
    hits: u64,
}

/// Whether a rule may still fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Vigour {
    Active,
    /// It fired `count` times.
    Spent,
    /// `for_ms` are over.
    Expired,
}

/// A rule, for `get`.
#[derive(Debug, Serialize)]
pub(crate) struct RuleReport {
    pub rule: RuleId,
    #[serde(flatten)]
    pub what: Rule,
    pub state: Vigour,
    pub seen: u64,
    pub hits: u64,
}

impl Rules {
    pub fn inject(&mut self, rule: Rule, now: Instant) -> RuleId {
        self.injected += 1;
        self.list.push(Entry { id: self.injected, rule, since: now, seen: 0, hits: 0 });
        self.injected
    }

    /// Strikes one rule, or all; how many there were.
    pub fn clear(&mut self, which: Option<RuleId>) -> usize {
        let before = self.list.len();
        self.list.retain(|entry| which.is_some_and(|id| id != entry.id));
        before - self.list.len()
    }

    pub fn contains(&self, id: RuleId) -> bool {
        self.list.iter().any(|entry| entry.id == id)
    }

    /// The first rule that fires at this I/O. Those before it have seen the I/O, those after it have not.
    pub fn judge(&mut self, io: &Request, now: Instant) -> Option<(RuleId, Fault)> {
        let fires = |entry: &mut Entry| entry.rule.matches(io) && entry.fires(now);
        let entry = self.list.iter_mut().find_map(|entry| fires(entry).then_some(entry))?;
        Some((entry.id, entry.rule.fault))
    }

    pub fn report(&self, now: Instant) -> Vec<RuleReport> {
        let report = |entry: &Entry| RuleReport {
            rule: entry.id,
            what: entry.rule.clone(),
            state: entry.vigour(now),
            seen: entry.seen,
            hits: entry.hits,
        };
        self.list.iter().map(report).collect()
    }
}

impl Entry {
    fn vigour(&self, now: Instant) -> Vigour {
        let over = |ms| now.saturating_duration_since(self.since) >= Duration::from_millis(ms);
        if self.rule.count.is_some_and(|count| self.hits >= count) {
            Vigour::Spent
        } else if self.rule.for_ms.is_some_and(over) {
            Vigour::Expired
        } else {
            Vigour::Active
        }
    }

    /// An I/O matches.
    fn fires(&mut self, now: Instant) -> bool {
        if self.vigour(now) != Vigour::Active {
            return false;
        }
        self.seen += 1;
        let fires = self.seen > self.rule.after;
        self.hits += u64::from(fires);
        fires
    }
}
