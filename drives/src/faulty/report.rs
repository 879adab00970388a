//! What a faulty drive says about itself: the answer of `bdev_basalt_faulty_get`.

use super::cache::LIMIT_BYTES;
use super::rule::Op;
use super::rules::{RuleId, RuleReport};
use super::state::{Counters, Drive, Fate, Held};
use serde::Serialize;
use std::time::Instant;
use uuid::Uuid;

/// Where the drive's bdev is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Whereabouts {
    /// There.
    Present,
    /// Its users have been told to close it.
    Leaving,
    /// Not there; it can return.
    Absent,
}

/// All times are in milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    name: String,
    base: String,
    uuid: Uuid,
    state: Whereabouts,
    volatile_cache: bool,
    rules: Vec<RuleReport>,
    /// I/Os that rules keep from going on, the oldest first.
    held: Vec<HeldReport>,
    /// None without a volatile cache.
    cache: Option<CacheReport>,
    counters: Counters,
}

#[derive(Debug, Serialize)]
struct HeldReport {
    rule: RuleId,
    op: Op,
    lba: u64,
    blocks: u64,
    /// SPDK's number of the thread.
    thread: Option<String>,
    age_ms: u64,
    /// `hangs`, `delayed`, or on its way out of here: `released`, `aborted`.
    state: &'static str,
}

/// What was not flushed.
#[derive(Debug, Serialize)]
struct CacheReport {
    writes: u64,
    /// Blocks as often as they were written.
    blocks: u64,
    bytes: u64,
    limit_bytes: u64,
}

impl Report {
    pub fn of(drive: &Drive, whereabouts: Whereabouts) -> Report {
        let now = Instant::now();
        let state = drive.state();
        let size = state.cache.as_ref().map(|cache| cache.size());
        Report {
            name: drive.options.name.clone(),
            base: drive.options.base.clone(),
            uuid: drive.uuid,
            state: whereabouts,
            volatile_cache: drive.is_cached(),
            rules: state.rules.report(now),
            held: state.held.values().map(|held| HeldReport::of(held, now)).collect(),
            cache: size.map(|(writes, blocks)| CacheReport {
                writes,
                blocks,
                bytes: blocks * u64::from(drive.info.block_size),
                limit_bytes: LIMIT_BYTES,
            }),
            counters: state.counters,
        }
    }
}

impl HeldReport {
    fn of(held: &Held, now: Instant) -> HeldReport {
        HeldReport {
            rule: held.rule,
            op: held.io.op,
            lba: held.io.lba,
            blocks: held.io.blocks,
            thread: held.thread.map(|thread| thread.to_string()),
            age_ms: now.saturating_duration_since(held.since).as_millis() as u64,
            state: match held.fate {
                Fate::Hangs => "hangs",
                Fate::Until(_) => "delayed",
                Fate::Released => "released",
                Fate::Aborted => "aborted",
            },
        }
    }
}
