//! What the bdev must hold: per block the version that a read must find, what is in flight, and what a power
//! cut may bring back.

use std::collections::HashMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::content::{Version, ZEROS};

/// What a block may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Exactly this.
    Version(Version),
    /// One of these: a write of it failed, or it was unmapped on a bdev that may do with it what it likes.
    /// The first read decides: a value that was seen must not change again.
    OneOf(Vec<Version>),
}

/// What an I/O does to the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: a read.
    None,
    /// The blocks hold this afterwards.
    Becomes(Version),
    /// The same, also after a power cut.
    BecomesDurably(Version),
    /// The blocks are zeros or as they were afterwards.
    Unmapped,
    /// What was acknowledged before it began survives a power cut afterwards.
    Hardens,
}

impl Effect {
    fn modifies(self) -> bool {
        !matches!(self, Effect::None | Effect::Hardens)
    }
}

/// Names an I/O in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(u64);

#[derive(Debug)]
struct InFlight {
    ticket: Ticket,
    blocks: Range<u64>,
    effect: Effect,
    /// The model's clock when it began.
    begun: u64,
}

/// The model of a bdev. Kept in a file when nothing is in flight.
#[derive(Debug, Deserialize, Serialize)]
pub struct Model {
    certain: Vec<Version>,
    uncertain: HashMap<u64, Vec<Version>>,
    #[serde(skip)]
    in_flight: Vec<InFlight>,
    last_version: Version,
    last_ticket: u64,
    /// Counts I/Os that ended.
    clock: u64,
    /// What blocks held before writes that no flush has hardened yet, and when they were overwritten.
    overwritten: HashMap<u64, Vec<(u64, Version)>>,
}

impl Model {
    /// Of a bdev that reads as zeros.
    pub fn new(num_blocks: u64) -> Model {
        Model {
            certain: vec![ZEROS; usize::try_from(num_blocks).expect("fits into memory")],
            uncertain: HashMap::new(),
            in_flight: Vec::new(),
            last_version: ZEROS,
            last_ticket: 0,
            clock: 0,
            overwritten: HashMap::new(),
        }
    }

    pub fn num_blocks(&self) -> u64 {
        self.certain.len() as u64
    }

    /// A version that no block has held.
    pub fn new_version(&mut self) -> Version {
        self.last_version += 1;
        self.last_version
    }

    /// Takes `blocks` for an I/O. None if one in flight would make its outcome a matter of chance: only reads
    /// may overlap.
    pub fn begin(&mut self, blocks: Range<u64>, effect: Effect) -> Option<Ticket> {
        let clashes = |other: &InFlight| {
            let overlap = blocks.start < other.blocks.end && other.blocks.start < blocks.end;
            overlap && (effect.modifies() || other.effect.modifies())
        };
        if self.in_flight.iter().any(clashes) {
            return None;
        }
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.in_flight.push(InFlight { ticket, blocks, effect, begun: self.clock });
        Some(ticket)
    }

    /// What a block holds now. Of one that is being written: what it held before.
    pub fn expected(&self, lba: u64) -> Expected {
        match self.uncertain.get(&lba) {
            Some(versions) => Expected::OneOf(versions.clone()),
            None => Expected::Version(self.certain[lba as usize]),
        }
    }

    /// A block that held one of several was seen to hold this one.
    pub fn seen(&mut self, lba: u64, version: Version) {
        if self.uncertain.remove(&lba).is_some() {
            self.certain[lba as usize] = version;
        }
    }

    /// An I/O is over. One that failed may have reached any of its blocks, or none.
    pub fn end(&mut self, ticket: Ticket, succeeded: bool) {
        let at = self.in_flight.iter().position(|io| io.ticket == ticket).expect("it was begun");
        let io = self.in_flight.swap_remove(at);
        self.clock += 1;
        let version = match io.effect {
            Effect::None => return,
            Effect::Hardens if succeeded => return self.harden(io.begun),
            Effect::Hardens => return,
            Effect::Becomes(version) | Effect::BecomesDurably(version) => version,
            Effect::Unmapped => ZEROS,
        };
        for lba in io.blocks {
            match io.effect {
                _ if !succeeded => self.may_hold(lba, version),
                Effect::Unmapped => self.may_hold(lba, version),
                Effect::BecomesDurably(_) => {
                    self.overwritten.remove(&lba);
                    self.overwrite(lba, version);
                }
                _ => {
                    let held = self.may_be(lba).into_iter().map(|held| (self.clock, held));
                    self.overwritten.entry(lba).or_default().extend(held.collect::<Vec<_>>());
                    self.overwrite(lba, version);
                }
            }
        }
    }

    fn overwrite(&mut self, lba: u64, version: Version) {
        self.uncertain.remove(&lba);
        self.certain[lba as usize] = version;
    }

    /// A flush that began at `begun` has succeeded.
    fn harden(&mut self, begun: u64) {
        self.overwritten.retain(|_, held| {
            held.retain(|(at, _)| *at > begun);
            !held.is_empty()
        });
    }

    /// The power was cut: what no flush had hardened may be there or not.
    pub fn lose_power(&mut self) {
        for (lba, held) in std::mem::take(&mut self.overwritten) {
            held.into_iter().for_each(|(_, version)| self.may_hold(lba, version));
        }
    }

    /// What a block may hold now.
    fn may_be(&self, lba: u64) -> Vec<Version> {
        self.uncertain.get(&lba).cloned().unwrap_or_else(|| vec![self.certain[lba as usize]])
    }

    fn may_hold(&mut self, lba: u64, version: Version) {
        let certain = self.certain[lba as usize];
        if !self.uncertain.contains_key(&lba) && certain == version {
            return;
        }
        let versions = self.uncertain.entry(lba).or_insert_with(|| vec![certain]);
        if !versions.contains(&version) {
            versions.push(version);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(model: &mut Model, blocks: Range<u64>) -> Version {
        let version = model.new_version();
        let ticket = model.begin(blocks, Effect::Becomes(version)).unwrap();
        model.end(ticket, true);
        version
    }

    #[test]
    fn only_reads_overlap() {
        let mut model = Model::new(100);
        let read = model.begin(0..10, Effect::None).unwrap();
        assert!(model.begin(5..6, Effect::None).is_some());
        assert!(model.begin(9..20, Effect::Becomes(1)).is_none());
        let write = model.begin(10..20, Effect::Becomes(1)).unwrap();
        assert!(model.begin(19..30, Effect::None).is_none());
        assert!(model.begin(0..100, Effect::Unmapped).is_none());
        model.end(read, true);
        model.end(write, true);
        assert!(model.begin(6..20, Effect::Unmapped).is_some());
    }

    #[test]
    fn a_write_counts_when_it_is_over() {
        let mut model = Model::new(10);
        let ticket = model.begin(2..4, Effect::Becomes(7)).unwrap();
        assert_eq!(model.expected(2), Expected::Version(ZEROS));
        model.end(ticket, true);
        assert_eq!(model.expected(2), Expected::Version(7));
        assert_eq!(model.expected(4), Expected::Version(ZEROS));
    }

    #[test]
    fn what_failed_may_hold_old_or_new_until_it_was_seen_or_written() {
        let mut model = Model::new(10);
        let old = written(&mut model, 0..10);
        let new = model.new_version();
        let ticket = model.begin(0..2, Effect::Becomes(new)).unwrap();
        model.end(ticket, false);
        assert_eq!(model.expected(0), Expected::OneOf(vec![old, new]));
        model.seen(0, new);
        assert_eq!(model.expected(0), Expected::Version(new));
        let newest = written(&mut model, 1..2);
        assert_eq!(model.expected(1), Expected::Version(newest));
    }

    #[test]
    fn a_power_cut_brings_back_what_no_flush_has_hardened() {
        let mut model = Model::new(10);
        let hardened = written(&mut model, 0..4);
        let flush = model.begin(0..0, Effect::Hardens).unwrap();
        let late = written(&mut model, 0..1);
        model.end(flush, true);
        let durable = model.new_version();
        let ticket = model.begin(1..2, Effect::BecomesDurably(durable)).unwrap();
        model.end(ticket, true);
        let (lost, last) = (written(&mut model, 2..3), written(&mut model, 2..3));
        model.lose_power();
        assert_eq!(model.expected(0), Expected::OneOf(vec![late, hardened]));
        assert_eq!(model.expected(1), Expected::Version(durable));
        assert_eq!(model.expected(2), Expected::OneOf(vec![last, hardened, lost]));
        assert_eq!(model.expected(3), Expected::Version(hardened));
    }

    #[test]
    fn an_unmapped_block_holds_zeros_or_what_it_held() {
        let mut model = Model::new(10);
        let version = written(&mut model, 0..1);
        let ticket = model.begin(0..2, Effect::Unmapped).unwrap();
        model.end(ticket, true);
        assert_eq!(model.expected(0), Expected::OneOf(vec![version, ZEROS]));
        assert_eq!(model.expected(1), Expected::Version(ZEROS), "it was zeros before");
    }
}
