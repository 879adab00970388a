//! Each rule of assembly by name, and random histories of arrays.

mod histories;
mod hosts;
mod rules;
mod splits;
mod starts;

use super::*;
use crate::array::ErrorLimits;
use crate::format::{Consistency, Features, Generation, Policy, Shape, ShutDown};
use crate::geometry::Level;
use crate::ids::Epoch;
use crate::view::OnFailed;

const BLOCKS: u64 = 65_536;
const HERE: Uuid16 = Uuid16([1; 16]);
const THERE: Uuid16 = Uuid16([2; 16]);
const NOW_MS: u64 = 1_000_000;

fn member(uuid: u8, state: RecordState) -> MemberRecord {
    MemberRecord {
        uuid: Uuid16([uuid; 16]),
        state,
        blocks: BLOCKS,
        flushes: true,
        drive: format!("d{}", uuid - 0xa0),
        serial: format!("S{}", uuid - 0xa0),
        ..MemberRecord::missing()
    }
}

/// The record of a mirror whose members are all in sync, as it is on the member in slot 0.
fn mirror(members: u8) -> Superblock {
    Superblock {
        features: Features::default(),
        version: 10,
        array: Uuid16([9; 16]),
        name: "data".to_owned(),
        slot: Slot(0),
        shape: Shape {
            level: Level::Raid1,
            block_size: 512,
            chunk_blocks: 0,
            region_blocks: 2048,
            data_offset_blocks: 16_384,
            num_blocks: BLOCKS - 16_384,
        },
        epoch: Epoch(1),
        generation: Generation(1),
        history: Vec::new(),
        shut_down: ShutDown::Unclean,
        policy: Policy {
            consistency: Consistency::Bitmap,
            on_failed: OnFailed::Error,
            limits: ErrorLimits::default(),
            member_timeout_ms: 10_000,
            start_degraded_after_ms: Some(30_000),
        },
        host: HERE,
        heartbeat_ms: NOW_MS - 5000,
        members: (0..members).map(|slot| member(0xa0 + slot, RecordState::InSync)).collect(),
        checkpoint: None,
        bad_blocks: Vec::new(),
        last_event: 0,
        events: Vec::new(),
    }
}

/// `record` after the members in `failed` were failed, in a generation of its own.
fn without(record: &Superblock, failed: &[u8], generation: u64) -> Superblock {
    let mut record = Superblock { version: record.version + 1, ..record.clone() };
    failed.iter().for_each(|slot| record.members[usize::from(*slot)].state = RecordState::Faulty);
    record.begin_generation(Generation(generation));
    record
}

/// The drive `d<slot>` with `record` on it as on the member in that slot.
fn drive(slot: u8, record: &Superblock) -> Found {
    drive_with(&format!("d{slot}"), [Ok(record.on(Slot(slot))), Err(Damage::NoMagic)])
}

fn drive_with(drive: &str, copies: [Result<Superblock, Damage>; 2]) -> Found {
    Found {
        drive: drive.to_owned(),
        blocks: BLOCKS,
        block_size: 512,
        copies,
        serial: String::new(),
        nguid: [0; 16],
    }
}

fn judged(found: &[Found]) -> Assembly {
    judge(found, HERE, NOW_MS)
}

/// The only array in `found`.
fn array(found: &[Found]) -> ArrayFound {
    let assembly = judged(found);
    assert_eq!(assembly.arrays.len(), 1);
    assembly.arrays.into_iter().next().unwrap()
}

fn verdicts(array: &ArrayFound) -> Vec<(&str, &Verdict)> {
    array.drives.iter().map(|found| (found.drive.as_str(), &found.verdict)).collect()
}

fn slots(slots: &[u8]) -> SlotSet {
    slots.iter().copied().map(Slot).collect()
}
