//! Who went on from whom: generations as a family tree.

use std::collections::{BTreeMap, BTreeSet};

use super::Candidate;
use crate::format::{Generation, Superblock};

/// One part of a split array.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Side {
    /// Its newest record.
    pub head: Superblock,
    /// Its drives: those that are of this side and of no other.
    pub drives: Vec<String>,
}

/// For each generation that some record is of, the generations of records that it went on from.
///
/// A record remembers only so many generations; with what the records in between remember, one that was away
/// for longer is still known.
pub(super) struct Lineage(BTreeMap<Generation, BTreeSet<Generation>>);

impl Lineage {
    pub(super) fn of(records: &[&Superblock]) -> Lineage {
        let mut ancestors: BTreeMap<Generation, BTreeSet<Generation>> = BTreeMap::new();
        for record in records {
            ancestors.entry(record.generation).or_default().extend(&record.history);
        }
        let known: BTreeSet<Generation> = ancestors.keys().copied().collect();
        ancestors.values_mut().for_each(|past| past.retain(|generation| known.contains(generation)));
        // Each round follows one more step back; the longest way has as many as there are generations.
        for _ in 0..known.len() {
            let before = ancestors.clone();
            for past in ancestors.values_mut() {
                let further = past.iter().flat_map(|generation| &before[generation]).copied();
                let further: Vec<Generation> = further.collect();
                past.extend(further);
            }
            if ancestors == before {
                break;
            }
        }
        Lineage(ancestors)
    }

    /// Whether `younger` is of the same generation as `older`, or went on from it.
    pub(super) fn leads_to(&self, older: Generation, younger: Generation) -> bool {
        older == younger || self.0.get(&younger).is_some_and(|past| past.contains(&older))
    }

    /// The generations that no other one went on from. (Two that went on from one another, which no array makes,
    /// are both heads.)
    fn heads(&self) -> Vec<Generation> {
        let all = || self.0.keys().copied();
        let is_head =
            |one: &Generation| all().all(|other| !self.leads_to(*one, other) || self.leads_to(other, *one));
        all().filter(is_head).collect()
    }
}

/// The record that all others led to; None when there is more than one such.
pub(super) fn leader<'a>(records: &[&'a Superblock]) -> Option<&'a Superblock> {
    match Lineage::of(records).heads()[..] {
        [generation] => newest_of(records, generation),
        _ => None,
    }
}

/// The newest record of a generation. Records of one version differ in their slot only: the first one is taken.
fn newest_of<'a>(records: &[&'a Superblock], generation: Generation) -> Option<&'a Superblock> {
    let of = records.iter().copied().filter(|record| record.generation == generation);
    of.max_by_key(|record| (record.version, std::cmp::Reverse(record.slot)))
}

/// The sides of a split array, by generation.
pub(super) fn sides(group: &[Candidate<'_>]) -> Vec<Side> {
    let records: Vec<&Superblock> = group.iter().map(|candidate| candidate.record).collect();
    let lineage = Lineage::of(&records);
    let heads = lineage.heads();
    let side = |head: &Generation| {
        let only_here = |candidate: &&Candidate<'_>| {
            let of = |side: &&Generation| lineage.leads_to(candidate.record.generation, **side);
            heads.iter().filter(of).eq([head])
        };
        let drives = group.iter().filter(only_here).map(|candidate| candidate.found.drive.clone());
        let head = newest_of(&records, *head).expect("a generation has a record").clone();
        Side { head, drives: drives.collect() }
    };
    heads.iter().map(side).collect()
}
