//! What makes a superblock possible.

use std::collections::BTreeSet;

use super::DATA_OFFSET_MIN;
use super::damage::Impossible;
use super::superblock::{
    BAD_BLOCKS_MAX, BadBlock, EVENTS_MAX, HISTORY_MAX, MemberRecord, NAME_BYTES, RecordState, SERIAL_BYTES,
    Superblock,
};
use super::uuid::Uuid16;
use crate::ids::{SLOTS_MAX, Slot};

/// No drive has more blocks, so that sums of a few block numbers never overflow.
const BLOCKS_MAX: u64 = 1 << 56;

type Checked = Result<(), Impossible>;

pub(super) fn check(sb: &Superblock) -> Checked {
    ensure(sb.version > 0, "version", || "versions begin with 1".to_owned())?;
    ensure(sb.array != Uuid16::NIL, "array", || "it is nil".to_owned())?;
    name("name", &sb.name, NAME_BYTES)?;
    ensure(!sb.name.is_empty(), "name", || "it is empty".to_owned())?;
    check_members(sb)?;
    check_shape(sb)?;
    check_history(sb)?;
    let never = sb.policy.start_degraded_after_ms == Some(u64::MAX);
    ensure(!never, "start_degraded_after_ms", || "never is written as None".to_owned())?;
    check_checkpoint(sb)?;
    limit("bad_blocks", sb.bad_blocks.len(), BAD_BLOCKS_MAX)?;
    sb.bad_blocks.iter().try_for_each(|bad| check_bad_block(sb, bad))?;
    check_events(sb)
}

fn ensure(possible: bool, field: &'static str, why: impl FnOnce() -> String) -> Checked {
    if possible { Ok(()) } else { Err(Impossible::new(field, why())) }
}

fn limit(field: &'static str, got: usize, most: usize) -> Checked {
    ensure(got <= most, field, || format!("there are {got}, and room for {most}"))
}

/// Names are printed on terminals and in JSON.
fn name(field: &'static str, text: &str, most: usize) -> Checked {
    ensure(text.len() <= most, field, || format!("it has {} bytes, and room for {most}", text.len()))?;
    let control = text.chars().any(char::is_control);
    ensure(!control, field, || format!("{text:?} has control characters"))
}

fn check_members(sb: &Superblock) -> Checked {
    limit("members", sb.members.len(), SLOTS_MAX)?;
    let uuids = sb.members.iter().filter(|member| member.is_filled()).map(|member| member.uuid);
    let distinct: BTreeSet<Uuid16> = uuids.clone().collect();
    ensure(distinct.len() == uuids.count(), "members", || "two of them have the same UUID".to_owned())?;
    for (slot, member) in sb.members.iter().enumerate() {
        check_member(member)
            .map_err(|wrong| Impossible::new(wrong.field, format!("in slot {slot}: {}", wrong.why)))?;
    }
    let filled = sb.members.get(sb.slot.index()).is_some_and(MemberRecord::is_filled);
    ensure(filled, "slot", || format!("slot {} of {} has no member", sb.slot, sb.members.len()))?;
    let any = !sb.slots_in(RecordState::InSync).is_empty();
    ensure(any, "members", || "none is in sync: nobody would hold the data".to_owned())
}

fn check_member(member: &MemberRecord) -> Checked {
    if !member.is_filled() {
        let empty = *member == MemberRecord::missing();
        return ensure(empty, "member.state", || "it is missing, and still has a member".to_owned());
    }
    ensure(member.uuid != Uuid16::NIL, "member.uuid", || "it is nil".to_owned())?;
    let blocks = member.blocks;
    ensure(blocks <= BLOCKS_MAX, "member.blocks", || format!("{blocks} is more than a drive can have"))?;
    name("member.drive", &member.drive, NAME_BYTES)?;
    name("member.serial", &member.serial, SERIAL_BYTES)
}

fn check_shape(sb: &Superblock) -> Checked {
    let shape = &sb.shape;
    let offset = shape.data_offset_blocks.saturating_mul(u64::from(shape.block_size));
    ensure((DATA_OFFSET_MIN..=BLOCKS_MAX).contains(&offset), "data_offset_blocks", || {
        format!("data would begin at byte {offset}; the metadata ends at {DATA_OFFSET_MIN}")
    })?;
    let geometry = sb.geometry().map_err(|error| Impossible::new("shape", error.to_string()))?;
    let chunk = geometry.chunk_blocks();
    ensure(chunk == shape.chunk_blocks, "chunk_blocks", || "the level has no chunks; it must be 0".to_owned())
}

fn check_history(sb: &Superblock) -> Checked {
    limit("history", sb.history.len(), HISTORY_MAX)?;
    let mut seen: BTreeSet<_> = sb.history.iter().collect();
    let distinct = seen.insert(&sb.generation) && seen.len() == sb.history.len() + 1;
    ensure(distinct, "history", || "a generation is in it twice".to_owned())
}

fn check_checkpoint(sb: &Superblock) -> Checked {
    let Some(checkpoint) = sb.checkpoint else { return Ok(()) };
    let rebuilding = state_of(sb, checkpoint.slot) == Some(RecordState::Rebuilding);
    ensure(rebuilding, "checkpoint", || format!("the member in slot {} is not rebuilding", checkpoint.slot))?;
    let inside = checkpoint.position_blocks <= sb.shape.num_blocks;
    ensure(inside, "checkpoint", || format!("{} is past the array's end", checkpoint.position_blocks))
}

fn check_bad_block(sb: &Superblock, bad: &BadBlock) -> Checked {
    let blocks = sb.members.get(bad.slot.index()).map_or(0, |member| member.blocks);
    let end = bad.lba.checked_add(u64::from(bad.blocks));
    let inside = bad.lba >= sb.shape.data_offset_blocks && end.is_some_and(|end| end <= blocks);
    ensure(inside && bad.blocks > 0, "bad_blocks", || {
        let BadBlock { slot, lba, blocks } = bad;
        format!("{blocks} blocks at {lba} of slot {slot} are not in its data area")
    })
}

fn check_events(sb: &Superblock) -> Checked {
    limit("events", sb.events.len(), EVENTS_MAX)?;
    let count = sb.events.len() as u64;
    let first = sb.last_event.checked_sub(count).map(|before| before + 1);
    let numbered = first.is_some_and(|first| {
        sb.events.iter().enumerate().all(|(index, event)| event.seq == first + index as u64)
    });
    ensure(numbered, "events", || {
        format!("their numbers are not the {count} up to {} without gaps", sb.last_event)
    })?;
    let known = |slot: Slot| slot.index() < sb.members.len();
    let slots = sb.events.iter().all(|event| event.slot.is_none_or(known));
    ensure(slots, "events", || "one is about a slot that does not exist".to_owned())
}

fn state_of(sb: &Superblock, slot: Slot) -> Option<RecordState> {
    sb.members.get(slot.index()).map(|member| member.state)
}
