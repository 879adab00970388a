//! What drives are to one another: from the superblocks of all drives that were found, which arrays there are,
//! whose record is to be believed, and what each drive is to its array.
//!
//! ```text
//!   drives --judge--> arrays:  Led by one record   --start--> Now, Degraded, Wait, NotEnough, Refused
//!     |                        Split into sides    --resolve, keeping one drive's side--> Led
//!     +-> others: blank, damaged, written by a later version
//! ```
//!
//! Records are knowledge, also those on drives that can't be used: a drive that is too small may still tell
//! that another one is stale. So all good records of an array take part in the choice of its leader.
//!
//! Everything here is a pure function of what was found; the order in which it was found does not matter.

mod host;
mod lineage;
mod resolve;
mod start;
#[cfg(test)]
mod tests;
mod verdict;

use std::collections::BTreeMap;

pub use host::{HostWatch, OtherHost, Sign};
pub use lineage::Side;
pub use resolve::{ResolveError, resolve};
pub use start::{Asked, Start, StartRefusal};
pub use verdict::{Kinship, Verdict};

use crate::format::{Damage, MemberRecord, RecordState, Superblock, Uuid16, newest_copy};
use crate::ids::{Slot, SlotSet};

/// A drive, and what its two superblock copies say.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Found {
    /// Its name; no two are alike.
    pub drive: String,
    /// Its size.
    pub blocks: u64,
    /// Bytes of its blocks.
    pub block_size: u32,
    /// Copies A and B, decoded.
    pub copies: [Result<Superblock, Damage>; 2],
    /// Its serial number; empty where it has none.
    pub serial: String,
    /// The namespace's NGUID; zeros where it has none.
    pub nguid: [u8; 16],
}

impl Found {
    /// The record that counts of its two copies.
    pub fn record(&self) -> Option<&Superblock> {
        self.copies[newest_copy(&self.copies)?].as_ref().ok()
    }
}

/// Everything that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Assembly {
    /// The arrays, by UUID.
    pub arrays: Vec<ArrayFound>,
    /// Drives of no array, by name.
    pub others: Vec<DriveFound>,
}

/// A drive and what it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DriveFound {
    /// Its name.
    pub drive: String,
    /// What it is.
    pub verdict: Verdict,
}

/// An array of which at least one record was found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ArrayFound {
    /// Its UUID.
    pub array: Uuid16,
    /// Its name, as the leader has it; of a split array, as the first side has it.
    pub name: String,
    /// Whose record is to be believed.
    pub standing: Standing,
    /// Its drives, by name.
    pub drives: Vec<DriveFound>,
    /// The greatest version on any of its drives. The next record that is written has a greater one, so that it
    /// also wins against what is on the drive that it is written to.
    pub top_version: u64,
    /// Another host runs it, or was cut off.
    pub other_host: Option<OtherHost>,
}

/// Whose record is to be believed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// This one's: all other records are its ancestors, or versions before it.
    Led(Box<Superblock>),
    /// Nobody's: parts of the array went on without each other. By generation.
    Split(Vec<Side>),
}

impl ArrayFound {
    /// The record that is to be believed.
    pub fn leader(&self) -> Option<&Superblock> {
        match &self.standing {
            Standing::Led(leader) => Some(leader),
            Standing::Split(_) => None,
        }
    }

    /// The slots whose member is here and in sync.
    pub fn in_sync(&self) -> SlotSet {
        let slot = |found: &DriveFound| match found.verdict {
            Verdict::InSync { slot } => Some(slot),
            _ => None,
        };
        self.drives.iter().filter_map(slot).collect()
    }

    /// The drive that is the member in `slot`, whatever its state.
    pub fn drive_in(&self, slot: Slot) -> Option<&str> {
        let found = self.drives.iter().find(|found| found.verdict.slot() == Some(slot))?;
        Some(&found.drive)
    }
}

/// A drive with a record that counts.
#[derive(Clone, Copy)]
struct Candidate<'a> {
    found: &'a Found,
    record: &'a Superblock,
}

/// Judges all drives that were found, on the host `host`, at `now_ms` by its clock (Unix time).
pub fn judge(found: &[Found], host: Uuid16, now_ms: u64) -> Assembly {
    let mut sorted: Vec<&Found> = found.iter().collect();
    sorted.sort_by(|a, b| a.drive.cmp(&b.drive));
    let mut groups: BTreeMap<Uuid16, Vec<Candidate<'_>>> = BTreeMap::new();
    let mut others = Vec::new();
    for found in sorted {
        match found.record() {
            Some(record) => groups.entry(record.array).or_default().push(Candidate { found, record }),
            None => others.push(DriveFound { drive: found.drive.clone(), verdict: stranger(found) }),
        }
    }
    let arrays = groups.into_values().map(|group| judge_array(&group, host, now_ms)).collect();
    Assembly { arrays, others }
}

/// What a drive without a record that counts is.
fn stranger(found: &Found) -> Verdict {
    let damages = found.copies.each_ref().map(|copy| copy.as_ref().err());
    let seen = || damages.into_iter().flatten();
    if let Some(newer) = seen().find(|damage| damage.is_too_new()) {
        return Verdict::TooNew(newer.clone());
    }
    match damages {
        [Some(a), Some(b)] if !(a.is_nothing() && b.is_nothing()) => {
            Verdict::Damaged { copies: Box::new([a.clone(), b.clone()]) }
        }
        _ => Verdict::Blank,
    }
}

fn judge_array(group: &[Candidate<'_>], host: Uuid16, now_ms: u64) -> ArrayFound {
    let records: Vec<&Superblock> = group.iter().map(|candidate| candidate.record).collect();
    match lineage::leader(&records) {
        Some(leader) => {
            let standing = Standing::Led(Box::new(leader.clone()));
            array_found(group, standing, |candidate| verdict_by(leader, candidate), host, now_ms)
        }
        None => {
            let split =
                |candidate: &Candidate<'_>| Verdict::Split { generation: candidate.record.generation };
            array_found(group, Standing::Split(lineage::sides(group)), split, host, now_ms)
        }
    }
}

/// The array as it stands, each drive judged by `verdict` unless it has a twin.
fn array_found(
    group: &[Candidate<'_>],
    standing: Standing,
    verdict: impl Fn(&Candidate<'_>) -> Verdict,
    host: Uuid16,
    now_ms: u64,
) -> ArrayFound {
    let judged = |candidate: &Candidate<'_>| {
        let of = twins(group, candidate);
        let verdict = if of.is_empty() {
            verdict(candidate)
        } else {
            Verdict::Duplicate { kinship: kinship(group, candidate, &of), of }
        };
        DriveFound { drive: candidate.found.drive.clone(), verdict }
    };
    let first = match &standing {
        Standing::Led(leader) => leader,
        Standing::Split(sides) => &sides[0].head,
    };
    let records = || group.iter().map(|candidate| candidate.record);
    ArrayFound {
        array: first.array,
        name: first.name.clone(),
        drives: group.iter().map(judged).collect(),
        top_version: records().map(|record| record.version).max().unwrap_or(0),
        other_host: OtherHost::in_records(records(), first, host, now_ms),
        standing,
    }
}

/// Other drives with the same member UUID.
fn twins(group: &[Candidate<'_>], candidate: &Candidate<'_>) -> Vec<String> {
    let uuid = candidate.record.member().uuid;
    let others = group.iter().filter(|other| other.found.drive != candidate.found.drive);
    let twins = others.filter(|other| other.record.member().uuid == uuid);
    twins.map(|twin| twin.found.drive.clone()).collect()
}

fn kinship(group: &[Candidate<'_>], candidate: &Candidate<'_>, twins: &[String]) -> Kinship {
    let Candidate { found, record } = candidate;
    let is_it = |serial: &str, nguid: [u8; 16]| match (found.nguid, nguid) {
        (mine, other) if mine != [0; 16] && other != [0; 16] => Some(mine == other),
        _ if !found.serial.is_empty() && !serial.is_empty() => Some(found.serial == serial),
        _ => None,
    };
    let same_drive = |other: &Candidate<'_>| {
        twins.contains(&other.found.drive) && is_it(&other.found.serial, other.found.nguid) == Some(true)
    };
    let recorded = record.member();
    match is_it(&recorded.serial, recorded.nguid) {
        _ if group.iter().any(same_drive) => Kinship::SameDrive,
        Some(true) => Kinship::Original,
        Some(false) => Kinship::Copy,
        None => Kinship::Unknown,
    }
}

/// What the leader's table makes of a drive whose record is the leader's ancestor, or a version before it.
fn verdict_by(leader: &Superblock, candidate: &Candidate<'_>) -> Verdict {
    let Candidate { found, record } = candidate;
    let slot = record.slot;
    let known = |entry: &&MemberRecord| entry.is_filled() && entry.uuid == record.member().uuid;
    let Some(entry) = leader.members.get(slot.index()).filter(known) else {
        return Verdict::Replaced { slot };
    };
    if found.block_size != leader.shape.block_size {
        return Verdict::WrongBlockSize { has: found.block_size, needs: leader.shape.block_size };
    }
    if found.blocks < entry.blocks {
        return Verdict::TooSmall { blocks: found.blocks, needed_blocks: entry.blocks };
    }
    match entry.state {
        RecordState::InSync => Verdict::InSync { slot },
        RecordState::Rebuilding => Verdict::Rebuilding { slot },
        RecordState::Faulty | RecordState::Missing => Verdict::Stale { slot },
    }
}
