//! An operator has said which drive to keep: of a split array its side, of duplicates this one.

use std::collections::BTreeSet;

use thiserror::Error;

use super::lineage::Lineage;
use super::{ArrayFound, Candidate, DriveFound, Found, Standing, Verdict};
use super::{array_found, judge_array, twins, verdict_by};
use crate::format::superblock::HISTORY_MAX;
use crate::format::{Generation, RecordState, Superblock, Uuid16};
use crate::ids::{Slot, SlotSet};

/// Why nothing was chosen.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ResolveError {
    /// No such drive.
    #[error("drive {0} was not found, or has no good superblock; choose one of the array's drives")]
    NoSuchDrive(String),
    /// There is no choice to make.
    #[error("array {array} is not split, and {drive} has no duplicate; there is nothing to resolve")]
    NothingToResolve {
        /// The array.
        array: String,
        /// The drive.
        drive: String,
    },
    /// The drive was left behind by more than one side.
    #[error("{drive} is older than the split, and on no side; choose a drive of the side to keep: {of}")]
    NoSide {
        /// The drive.
        drive: String,
        /// The drives that are on a side.
        of: String,
    },
    /// The side lacks members, and which side those are on can't be told while they are away.
    #[error(
        "the side of {drive} does not hold all data without the members in slots {missing:?}: attach them"
    )]
    NotEnough {
        /// The drive.
        drive: String,
        /// Members in sync that are not here, or not on this side.
        missing: SlotSet,
    },
}

/// Chooses `keep`: its side of a split array, and it alone of its duplicates. `generation` is a new one, drawn at
/// random.
///
/// The array that comes back is led by the record to go on from. If it was split, that is a new record, to
/// be written to all members in sync before anything else: only that makes the choice last. It has the
/// rejected generations in its history, so that they are no split any more when they are seen again; and
/// in its table only members that are here and on the kept side, so that no other one is ever taken for one
/// that can be brought up to date by what logs say.
pub fn resolve(
    found: &[Found],
    keep: &str,
    generation: Generation,
    host: Uuid16,
    now_ms: u64,
) -> Result<ArrayFound, ResolveError> {
    let choice = Choice::of(found, keep).ok_or_else(|| ResolveError::NoSuchDrive(keep.to_owned()))?;
    let judged = judge_array(&choice.group, host, now_ms);
    let mut resolved = match &judged.standing {
        Standing::Led(_) if choice.twins.is_empty() => {
            return Err(ResolveError::NothingToResolve { array: judged.name, drive: keep.to_owned() });
        }
        Standing::Led(leader) if choice.twins.iter().all(|twin| choice.is_kept(twin, leader)) => judged,
        Standing::Led(leader) => choice.keep_side(leader, generation, host, now_ms)?,
        Standing::Split(sides) => {
            let side = sides.iter().find(|side| side.drives.iter().any(|drive| drive == keep));
            let all = || sides.iter().flat_map(|side| side.drives.clone()).collect::<Vec<_>>().join(", ");
            let side = side.ok_or_else(|| ResolveError::NoSide { drive: keep.to_owned(), of: all() })?;
            choice.keep_side(&side.head, generation, host, now_ms)?
        }
    };
    resolved.top_version = choice.top_version();
    let not_chosen = |twin: &Candidate<'_>| DriveFound {
        drive: twin.found.drive.clone(),
        verdict: Verdict::NotChosen { chosen: keep.to_owned() },
    };
    resolved.drives.extend(choice.twins.iter().map(not_chosen));
    resolved.drives.sort_by(|a, b| a.drive.cmp(&b.drive));
    Ok(resolved)
}

struct Choice<'a> {
    keep: &'a str,
    /// The drives of the array, by name, without `twins`.
    group: Vec<Candidate<'a>>,
    /// Drives that say that they are the member that `keep` is.
    twins: Vec<Candidate<'a>>,
    lineage: Lineage,
}

impl<'a> Choice<'a> {
    fn of(found: &'a [Found], keep: &'a str) -> Option<Choice<'a>> {
        let candidates = found.iter().filter_map(|found| Some(Candidate { found, record: found.record()? }));
        let mut group: Vec<Candidate<'_>> = candidates.collect();
        let kept = *group.iter().find(|one| one.found.drive == keep)?;
        group.retain(|one| one.record.array == kept.record.array);
        group.sort_by(|a, b| a.found.drive.cmp(&b.found.drive));
        let records: Vec<&Superblock> = group.iter().map(|one| one.record).collect();
        let lineage = Lineage::of(&records);
        let names = twins(&group, &kept);
        let (twins, group) = group.into_iter().partition(|one| names.contains(&one.found.drive));
        Some(Choice { keep, group, twins, lineage })
    }

    /// Every record, also those that are not kept.
    fn records(&self) -> impl Iterator<Item = &'a Superblock> {
        self.group.iter().chain(&self.twins).map(|one| one.record)
    }

    fn top_version(&self) -> u64 {
        self.records().map(|record| record.version).max().unwrap_or(0)
    }

    fn is_kept(&self, one: &Candidate<'_>, head: &Superblock) -> bool {
        self.lineage.leads_to(one.record.generation, head.generation)
    }

    /// The array when it goes on from `head`, without whoever does not lead to it.
    fn keep_side(
        &self,
        head: &Superblock,
        generation: Generation,
        host: Uuid16,
        now_ms: u64,
    ) -> Result<ArrayFound, ResolveError> {
        let verdict = |one: &Candidate<'_>| {
            if self.is_kept(one, head) {
                verdict_by(head, one)
            } else {
                Verdict::Diverged { slot: one.record.slot }
            }
        };
        let standing = |leader: &Superblock| Standing::Led(Box::new(leader.clone()));
        let mut array = array_found(&self.group, standing(head), verdict, host, now_ms);
        let in_sync = array.in_sync();
        let served = head.geometry().is_ok_and(|geometry| geometry.is_served_by(in_sync));
        let (Some(slot), true) = (in_sync.iter().next(), served) else {
            let missing = head.slots_in(RecordState::InSync).minus(in_sync);
            return Err(ResolveError::NotEnough { drive: self.keep.to_owned(), missing });
        };
        let known: SlotSet = self.group.iter().filter_map(|one| verdict(one).slot()).collect();
        array.standing = standing(&Superblock { slot, ..self.record_to_go_on_from(head, known, generation) });
        Ok(array)
    }

    /// `head`, with the members in `known` only, and whoever is rejected in its past.
    fn record_to_go_on_from(&self, head: &Superblock, known: SlotSet, generation: Generation) -> Superblock {
        let mut leader = head.clone();
        leader.version = self.top_version().saturating_add(1);
        leader.epoch = self.records().map(|record| record.epoch).max().unwrap_or(head.epoch);
        leader.begin_generation(generation);
        let is_rejected = |record: &&Superblock| !self.lineage.leads_to(record.generation, head.generation);
        remember(&mut leader, self.records().filter(is_rejected));
        let slots = (0..leader.members.len()).map(|slot| Slot(slot as u8));
        slots.filter(|slot| !known.contains(*slot)).for_each(|slot| leader.clear_slot(slot));
        leader
    }
}

/// Puts the generations of `rejected`, and those that led to them, behind the newest of `leader`'s history.
fn remember<'a>(leader: &mut Superblock, rejected: impl Iterator<Item = &'a Superblock>) {
    let known: BTreeSet<Generation> = leader.history.iter().copied().chain([leader.generation]).collect();
    let all =
        rejected.flat_map(|record| [record.generation].into_iter().chain(record.history.iter().copied()));
    let news: BTreeSet<Generation> = all.filter(|generation| !known.contains(generation)).collect();
    leader.history.splice(1..1, news);
    leader.history.truncate(HISTORY_MAX);
}
