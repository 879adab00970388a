//! What an array looks like from outside: the objects of `bdev_basalt_get_arrays`.

use std::sync::atomic::Ordering;

use raid::assembly::{ArrayFound, DriveFound};
use raid::{Array, Level, Slot};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::assemble::{Pending, Phase};
use super::drives::Drive;
use super::owner::About;
use super::params::Metadata;
use crate::device::Shared;

/// One array, as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct ArrayStatus {
    name: String,
    uuid: Uuid,
    level: String,
    layout: Option<String>,
    state: &'static str,
    /// Why it does not run, and what to do; null for one that runs.
    why: Option<String>,
    num_blocks: u64,
    block_size: u32,
    chunk_kb: u64,
    region_kb: u64,
    data_offset_kb: u64,
    /// `none` while nothing is written to the drives.
    metadata: &'static str,
    epoch: u64,
    quiesces: u64,
    dirty_regions: u64,
    members: Vec<MemberStatus>,
    sync: Option<Value>,
    jobs: Vec<Value>,
}

/// Figures of one array.
#[derive(Debug, Serialize)]
pub(crate) struct ArrayStats {
    pub name: String,
    pub epoch: u64,
    /// The newest epoch that every Channel and Shard plans with.
    pub settled: u64,
    pub quiesces: u64,
    pub channels: usize,
    pub shards: u16,
    pub marked_regions: u64,
}

/// One slot of an array.
#[derive(Debug, Serialize)]
struct MemberStatus {
    slot: u8,
    drive: Option<String>,
    uuid: Option<Uuid>,
    state: &'static str,
    read_errors: u32,
    write_errors: u32,
    /// Reads that failed and were repaired since the array was started.
    repairs: u32,
    /// Ranges that can't be read and could not be written again.
    bad_blocks: usize,
    /// What its drive is, in words, if the array does not run, or does not use it.
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<String>,
}

impl ArrayStatus {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its UUID, if any drive has told it.
    pub fn known_uuid(&self) -> Option<Uuid> {
        Some(self.uuid).filter(|uuid| !uuid.is_nil())
    }

    /// An array that does not run, as far as its drives tell.
    pub(super) fn of_pending(pending: &Pending) -> ArrayStatus {
        let (params, judged) = (&pending.params, pending.judged.as_ref());
        let leader = judged.and_then(ArrayFound::leader);
        let shape = leader.map(|leader| leader.shape);
        let kb = |blocks: u64| blocks * shape.map_or(0, |shape| u64::from(shape.block_size)) / 1024;
        let seen = |drive: &str| judged.and_then(|array| array.drives.iter().find(|one| one.drive == drive));
        let member = |(slot, drive): (usize, &Option<String>)| MemberStatus {
            slot: slot as u8,
            drive: drive.clone(),
            uuid: None,
            state: drive.as_deref().and_then(seen).map_or("missing", |found| found.verdict.state_name()),
            read_errors: 0,
            write_errors: 0,
            repairs: 0,
            bad_blocks: 0,
            verdict: drive.as_deref().and_then(seen).map(|found| found.verdict.to_string()),
        };
        ArrayStatus {
            name: params.name.clone(),
            uuid: judged.map_or_else(Uuid::nil, |array| Uuid::from_bytes(array.array.0)),
            level: shape.map_or_else(|| params.level.clone(), |shape| shape.level.to_string()),
            layout: params.layout.clone(),
            state: if pending.phase == Phase::Stopped { "stopped" } else { "assembling" },
            why: Some(pending.why.clone()),
            num_blocks: shape.map_or(0, |shape| shape.num_blocks),
            block_size: shape.map_or(0, |shape| shape.block_size),
            chunk_kb: shape.map_or(0, |shape| kb(shape.chunk_blocks)),
            region_kb: shape.map_or(0, |shape| kb(shape.region_blocks)),
            data_offset_kb: shape.map_or(0, |shape| kb(shape.data_offset_blocks)),
            metadata: "drives",
            epoch: leader.map_or(0, |leader| leader.epoch.0),
            quiesces: 0,
            dirty_regions: 0,
            members: params.members.iter().enumerate().map(member).collect(),
            sync: None,
            jobs: Vec::new(),
        }
    }

    pub fn of(about: &About, machine: &Array, shared: &Shared, drives: &[Option<Drive>]) -> ArrayStatus {
        let geometry = &shared.geometry;
        let kb = |blocks: u64| blocks * u64::from(geometry.block_size()) / 1024;
        ArrayStatus {
            name: about.params.name.clone(),
            uuid: about.uuid,
            level: geometry.level().to_string(),
            layout: match geometry.level() {
                Level::Raid10 { near } => Some(format!("near={near}")),
                Level::Concat | Level::Raid0 | Level::Raid1 => None,
            },
            state: machine.state().name(),
            why: None,
            num_blocks: geometry.num_blocks(),
            block_size: geometry.block_size(),
            chunk_kb: kb(geometry.chunk_blocks()),
            region_kb: kb(geometry.region_blocks()),
            data_offset_kb: kb(geometry.data_offset_blocks()),
            metadata: match about.params.metadata() {
                Metadata::Drives => "drives",
                Metadata::None => "none",
            },
            epoch: machine.view().epoch.0,
            quiesces: machine.quiesces(),
            dirty_regions: marked_regions(shared),
            members: (0..geometry.members())
                .map(|n| left_out(about, member(machine, Slot(n as u8), &drives[n])))
                .collect(),
            sync: None,
            jobs: Vec::new(),
        }
    }
}

/// A slot without a drive shows the one that was found and is not used: the member that is known to belong
/// there, or the one that was named for it.
fn left_out(about: &About, member: MemberStatus) -> MemberStatus {
    if member.drive.is_some() {
        return member;
    }
    let named = about.params.members.get(usize::from(member.slot)).and_then(Option::as_deref);
    let belongs = |found: &&DriveFound| found.verdict.slot() == Some(Slot(member.slot));
    let is_named = |found: &&DriveFound| found.verdict.slot().is_none() && Some(&found.drive[..]) == named;
    let all = &about.left_out;
    let Some(found) = all.iter().find(belongs).or_else(|| all.iter().find(is_named)) else { return member };
    MemberStatus {
        drive: Some(found.drive.clone()),
        state: found.verdict.state_name(),
        verdict: Some(found.verdict.to_string()),
        ..member
    }
}

/// Regions that are marked as being written to.
pub(super) fn marked_regions(shared: &Shared) -> u64 {
    shared.marked_regions.iter().map(|count| u64::from(count.load(Ordering::Relaxed))).sum()
}

fn member(machine: &Array, slot: Slot, drive: &Option<Drive>) -> MemberStatus {
    let member = &machine.members()[slot.index()];
    MemberStatus {
        slot: slot.0,
        drive: member.drive().map(str::to_owned),
        uuid: drive.as_ref().map(Drive::uuid),
        state: machine.member_state(slot).name(),
        read_errors: member.read_errors(),
        write_errors: member.write_errors(),
        repairs: member.repairs(),
        bad_blocks: machine
            .record()
            .map_or(0, |record| record.bad_blocks.iter().filter(|bad| bad.slot == slot).count()),
        verdict: None,
    }
}
