//! What the bdev must hold: per block the version that a read must find, and what is in flight.

use std::collections::HashMap;
use std::ops::Range;

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
    /// The blocks are zeros or as they were afterwards.
    Unmapped,
}

impl Effect {
    fn modifies(self) -> bool {
        self != Effect::None
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
}

/// The model of a bdev.
#[derive(Debug)]
pub struct Model {
    certain: Vec<Version>,
    uncertain: HashMap<u64, Vec<Version>>,
    in_flight: Vec<InFlight>,
    last_version: Version,
    last_ticket: u64,
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
        self.in_flight.push(InFlight { ticket, blocks, effect });
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
        let version = match io.effect {
            Effect::None => return,
            Effect::Becomes(version) => version,
            Effect::Unmapped => ZEROS,
        };
        for lba in io.blocks {
            if succeeded && io.effect != Effect::Unmapped {
                self.uncertain.remove(&lba);
                self.certain[lba as usize] = version;
            } else {
                self.may_hold(lba, version);
            }
        }
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
    fn an_unmapped_block_holds_zeros_or_what_it_held() {
        let mut model = Model::new(10);
        let version = written(&mut model, 0..1);
        let ticket = model.begin(0..2, Effect::Unmapped).unwrap();
        model.end(ticket, true);
        assert_eq!(model.expected(0), Expected::OneOf(vec![version, ZEROS]));
        assert_eq!(model.expected(1), Expected::Version(ZEROS), "it was zeros before");
    }
}
