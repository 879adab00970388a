//! The bytes of a superblock. `docs/format.md` has them as a diagram; offsets are asserted here.

use std::mem::{offset_of, size_of};

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::SUPERBLOCK_BYTES;
use super::checksum::checksum;
use super::damage::{Damage, Impossible};
use super::superblock::{
    BAD_BLOCKS_MAX, BadBlock, Checkpoint, Consistency, EVENTS_MAX, EventRecord, Features, Generation,
    HISTORY_MAX, MemberRecord, Policy, RecordState, Shape, ShutDown, Superblock,
};
use super::uuid::Uuid16;
use crate::array::ErrorLimits;
use crate::geometry::Level;
use crate::ids::{Epoch, SLOTS_MAX, Slot};
use crate::view::OnFailed;

const MAGIC: [u8; 8] = *b"BasaltSB";
const FORMAT: u32 = 1;
pub(super) const CRC_OFFSET: usize = offset_of!(Image, head.crc32c);
/// In the place of a slot: none.
const NO_SLOT: u8 = 0xff;
/// In `member.flags`: it has a FLUSH.
const FLUSHES: u8 = 1;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Image {
    head: Head,
    members: [Member; SLOTS_MAX],
    bad_blocks: [Bad; BAD_BLOCKS_MAX],
    reserved_a: [u8; 96],
    events: [Event; EVENTS_MAX],
    reserved_b: [u8; 256],
    reserved_c: [u8; 12 * 1024 - 8],
    tail_version: U64,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Head {
    magic: [u8; 8],
    crc32c: U32,
    format: U32,
    incompatible: U64,
    read_only_compatible: U64,
    compatible: U64,
    version: U64,
    array: [u8; 16],
    name: [u8; 64],
    slot: u8,
    members: u8,
    level: u8,
    near: u8,
    block_size: U32,
    chunk_blocks: U64,
    region_blocks: U64,
    data_offset_blocks: U64,
    num_blocks: U64,
    epoch: U64,
    generation: U64,
    history_count: u8,
    shut_down: u8,
    on_failed: u8,
    consistency: u8,
    max_read_errors: U32,
    max_write_errors: U32,
    checkpoint_slot: u8,
    reserved_a: [u8; 3],
    member_timeout_ms: U64,
    start_degraded_after_ms: U64,
    checkpoint_position: U64,
    host: [u8; 16],
    heartbeat_ms: U64,
    last_event: U64,
    bad_block_count: U16,
    event_count: U16,
    reserved_b: [u8; 252],
    history: [U64; HISTORY_MAX],
    reserved_c: [u8; 3072],
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Member {
    uuid: [u8; 16],
    state: u8,
    flags: u8,
    reserved_a: [u8; 6],
    blocks: U64,
    read_errors: U32,
    write_errors: U32,
    nguid: [u8; 16],
    drive: [u8; 64],
    serial: [u8; 32],
    reserved_b: [u8; 104],
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Bad {
    lba: U64,
    blocks: U32,
    slot: u8,
    reserved: [u8; 3],
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Event {
    seq: U64,
    time_ms: U64,
    epoch: U64,
    code: U16,
    slot: u8,
    reserved: [u8; 5],
    detail: [u8; 16],
}

const _: () = assert!(size_of::<Image>() == SUPERBLOCK_BYTES);
const _: () = assert!(size_of::<Head>() == 4096 && offset_of!(Image, members) == 0x1000);
const _: () = assert!(size_of::<Member>() == 256 && offset_of!(Image, bad_blocks) == 0x3000);
const _: () = assert!(size_of::<Bad>() == 16 && offset_of!(Image, events) == 0x4000);
const _: () = assert!(size_of::<Event>() == 48 && offset_of!(Image, reserved_c) == 0x5000);
const _: () = assert!(offset_of!(Head, array) == 48 && offset_of!(Head, slot) == 128);
const _: () = assert!(offset_of!(Head, epoch) == 168 && offset_of!(Head, history) == 512);

/// The bytes of a copy, [`SUPERBLOCK_BYTES`] of them.
///
/// # Panics
/// When no array can have such a record ([`Superblock::check`]): writing it would be a bug.
pub fn encode(sb: &Superblock) -> Box<[u8]> {
    if let Err(impossible) = sb.check() {
        panic!("an impossible superblock was to be written: {impossible}");
    }
    image(sb)
}

/// The record in a copy's bytes, or why it is not to be believed. Accepts nothing but what [`encode`] writes,
/// except that bytes that are reserved here may be in use by features that may be ignored.
pub fn decode(bytes: &[u8]) -> Result<Superblock, Damage> {
    if bytes.get(..MAGIC.len()).is_some_and(|magic| magic != MAGIC) {
        return Err(Damage::NoMagic);
    }
    let short = Damage::Short { got: bytes.len(), wanted: SUPERBLOCK_BYTES };
    let (image, _) = Image::ref_from_prefix(bytes).map_err(|_| short)?;
    check_sum(image)?;
    if image.head.format != FORMAT {
        return Err(Damage::UnknownFormat(image.head.format.get()));
    }
    let unknown = features(&image.head).unknown();
    if unknown.incompatible != 0 {
        return Err(Damage::UnknownIncompatible(unknown.incompatible));
    }
    let sb = record(image)?;
    sb.check()?;
    if unknown == Features::default() {
        check_reserved(image, &sb)?;
    }
    Ok(sb)
}

/// What a copy says although [`decode`] refuses it, if that could be a record at all. For people to look at:
/// nothing may be decided by it.
pub fn salvage(bytes: &[u8]) -> Option<Superblock> {
    let (image, _) = Image::ref_from_prefix(bytes).ok()?;
    let sb = record(image).ok()?;
    sb.check().ok()?;
    Some(sb)
}

fn check_sum(image: &Image) -> Result<(), Damage> {
    let (found, wanted) = (image.head.crc32c.get(), checksum(image.as_bytes(), CRC_OFFSET));
    if found == wanted {
        return Ok(());
    }
    let (head, tail) = (image.head.version.get(), image.tail_version.get());
    Err(if head == tail { Damage::BadCrc { found, wanted } } else { Damage::Torn { head, tail } })
}

/// What is not in the record must be as [`encode`] leaves it; it is easiest seen by encoding again.
fn check_reserved(found: &Image, sb: &Superblock) -> Result<(), Impossible> {
    let (found, wanted) = (found.as_bytes(), image(sb));
    if found == &*wanted {
        return Ok(());
    }
    let differs = |at: &usize| found[*at] != wanted[*at];
    let offset = (CRC_OFFSET + size_of::<U32>()..SUPERBLOCK_BYTES).find(differs).unwrap_or(CRC_OFFSET);
    Err(Impossible::new("reserved", format!("byte {offset:#x} is {:#04x} and must be 0", found[offset])))
}

fn image(sb: &Superblock) -> Box<[u8]> {
    let mut bytes = vec![0u8; SUPERBLOCK_BYTES].into_boxed_slice();
    let image = Image::mut_from_bytes(&mut bytes).expect("it has the size of an image");
    fill_head(&mut image.head, sb);
    for (member, record) in image.members.iter_mut().zip(&sb.members) {
        fill_member(member, record);
    }
    for (bad, record) in image.bad_blocks.iter_mut().zip(&sb.bad_blocks) {
        *bad = Bad {
            lba: record.lba.into(),
            blocks: record.blocks.into(),
            slot: record.slot.0,
            reserved: [0; 3],
        };
    }
    for (event, record) in image.events.iter_mut().zip(&sb.events) {
        *event = Event {
            seq: record.seq.into(),
            time_ms: record.time_ms.into(),
            epoch: record.epoch.0.into(),
            code: record.code.into(),
            slot: record.slot.map_or(NO_SLOT, |slot| slot.0),
            reserved: [0; 5],
            detail: record.detail,
        };
    }
    image.tail_version = sb.version.into();
    image.head.crc32c = checksum(image.as_bytes(), CRC_OFFSET).into();
    bytes
}

fn fill_head(head: &mut Head, sb: &Superblock) {
    head.magic = MAGIC;
    head.format = FORMAT.into();
    head.incompatible = sb.features.incompatible.into();
    head.read_only_compatible = sb.features.read_only_compatible.into();
    head.compatible = sb.features.compatible.into();
    head.version = sb.version.into();
    head.array = sb.array.0;
    put_text(&mut head.name, &sb.name);
    head.slot = sb.slot.0;
    head.members = sb.members.len() as u8;
    (head.level, head.near) = level_code(sb.shape.level);
    head.block_size = sb.shape.block_size.into();
    head.chunk_blocks = sb.shape.chunk_blocks.into();
    head.region_blocks = sb.shape.region_blocks.into();
    head.data_offset_blocks = sb.shape.data_offset_blocks.into();
    head.num_blocks = sb.shape.num_blocks.into();
    head.epoch = sb.epoch.0.into();
    head.generation = sb.generation.0.into();
    head.history_count = sb.history.len() as u8;
    for (place, generation) in head.history.iter_mut().zip(&sb.history) {
        *place = generation.0.into();
    }
    head.shut_down = match sb.shut_down {
        ShutDown::Clean => 1,
        ShutDown::Unclean => 2,
    };
    fill_policy(head, &sb.policy);
    head.checkpoint_slot = sb.checkpoint.map_or(NO_SLOT, |checkpoint| checkpoint.slot.0);
    head.checkpoint_position = sb.checkpoint.map_or(0, |checkpoint| checkpoint.position_blocks).into();
    head.host = sb.host.0;
    head.heartbeat_ms = sb.heartbeat_ms.into();
    head.last_event = sb.last_event.into();
    head.bad_block_count = (sb.bad_blocks.len() as u16).into();
    head.event_count = (sb.events.len() as u16).into();
}

fn fill_policy(head: &mut Head, policy: &Policy) {
    head.on_failed = match policy.on_failed {
        OnFailed::Error => 1,
        OnFailed::Wait => 2,
    };
    head.consistency = match policy.consistency {
        Consistency::None => 1,
        Consistency::Bitmap => 2,
        Consistency::Log => 3,
    };
    head.max_read_errors = policy.limits.read.into();
    head.max_write_errors = policy.limits.write.into();
    head.member_timeout_ms = policy.member_timeout_ms.into();
    head.start_degraded_after_ms = policy.start_degraded_after_ms.unwrap_or(u64::MAX).into();
}

fn fill_member(member: &mut Member, record: &MemberRecord) {
    member.uuid = record.uuid.0;
    member.state = match record.state {
        RecordState::Missing => 0,
        RecordState::InSync => 1,
        RecordState::Rebuilding => 2,
        RecordState::Faulty => 3,
    };
    member.flags = if record.flushes { FLUSHES } else { 0 };
    member.blocks = record.blocks.into();
    member.read_errors = record.read_errors.into();
    member.write_errors = record.write_errors.into();
    member.nguid = record.nguid;
    put_text(&mut member.drive, &record.drive);
    put_text(&mut member.serial, &record.serial);
}

fn record(image: &Image) -> Result<Superblock, Impossible> {
    let head = &image.head;
    let history = first("history", &head.history, usize::from(head.history_count))?;
    let members = first("members", &image.members, usize::from(head.members))?;
    let bad_blocks = first("bad_blocks", &image.bad_blocks, usize::from(head.bad_block_count.get()))?;
    let events = first("events", &image.events, usize::from(head.event_count.get()))?;
    Ok(Superblock {
        features: features(head),
        version: head.version.get(),
        array: Uuid16(head.array),
        name: text("name", &head.name)?,
        slot: Slot(head.slot),
        shape: Shape {
            level: level(head.level, head.near)?,
            block_size: head.block_size.get(),
            chunk_blocks: head.chunk_blocks.get(),
            region_blocks: head.region_blocks.get(),
            data_offset_blocks: head.data_offset_blocks.get(),
            num_blocks: head.num_blocks.get(),
        },
        epoch: Epoch(head.epoch.get()),
        generation: Generation(head.generation.get()),
        history: history.iter().map(|generation| Generation(generation.get())).collect(),
        shut_down: match head.shut_down {
            1 => ShutDown::Clean,
            2 => ShutDown::Unclean,
            code => return Err(unknown("shut_down", code)),
        },
        policy: policy(head)?,
        host: Uuid16(head.host),
        heartbeat_ms: head.heartbeat_ms.get(),
        members: members.iter().map(member).collect::<Result<_, _>>()?,
        checkpoint: slot(head.checkpoint_slot)
            .map(|slot| Checkpoint { slot, position_blocks: head.checkpoint_position.get() }),
        bad_blocks: bad_blocks.iter().map(bad_block).collect(),
        last_event: head.last_event.get(),
        events: events.iter().map(event).collect(),
    })
}

fn features(head: &Head) -> Features {
    Features {
        compatible: head.compatible.get(),
        read_only_compatible: head.read_only_compatible.get(),
        incompatible: head.incompatible.get(),
    }
}

fn policy(head: &Head) -> Result<Policy, Impossible> {
    Ok(Policy {
        consistency: match head.consistency {
            1 => Consistency::None,
            2 => Consistency::Bitmap,
            3 => Consistency::Log,
            code => return Err(unknown("consistency", code)),
        },
        on_failed: match head.on_failed {
            1 => OnFailed::Error,
            2 => OnFailed::Wait,
            code => return Err(unknown("on_failed", code)),
        },
        limits: ErrorLimits { read: head.max_read_errors.get(), write: head.max_write_errors.get() },
        member_timeout_ms: head.member_timeout_ms.get(),
        start_degraded_after_ms: Some(head.start_degraded_after_ms.get()).filter(|ms| *ms != u64::MAX),
    })
}

fn member(member: &Member) -> Result<MemberRecord, Impossible> {
    Ok(MemberRecord {
        uuid: Uuid16(member.uuid),
        state: match member.state {
            0 => RecordState::Missing,
            1 => RecordState::InSync,
            2 => RecordState::Rebuilding,
            3 => RecordState::Faulty,
            code => return Err(unknown("member.state", code)),
        },
        blocks: member.blocks.get(),
        flushes: match member.flags {
            0 => false,
            FLUSHES => true,
            code => return Err(unknown("member.flags", code)),
        },
        read_errors: member.read_errors.get(),
        write_errors: member.write_errors.get(),
        drive: text("member.drive", &member.drive)?,
        serial: text("member.serial", &member.serial)?,
        nguid: member.nguid,
    })
}

fn bad_block(bad: &Bad) -> BadBlock {
    BadBlock { slot: Slot(bad.slot), lba: bad.lba.get(), blocks: bad.blocks.get() }
}

fn event(event: &Event) -> EventRecord {
    EventRecord {
        seq: event.seq.get(),
        time_ms: event.time_ms.get(),
        epoch: Epoch(event.epoch.get()),
        code: event.code.get(),
        slot: slot(event.slot),
        detail: event.detail,
    }
}

fn slot(code: u8) -> Option<Slot> {
    (code != NO_SLOT).then_some(Slot(code))
}

fn level_code(level: Level) -> (u8, u8) {
    match level {
        Level::Concat => (1, 0),
        Level::Raid0 => (2, 0),
        Level::Raid1 => (3, 0),
        Level::Raid10 { near } => (4, near),
    }
}

fn level(code: u8, near: u8) -> Result<Level, Impossible> {
    match (code, near) {
        (1, 0) => Ok(Level::Concat),
        (2, 0) => Ok(Level::Raid0),
        (3, 0) => Ok(Level::Raid1),
        (4, near) => Ok(Level::Raid10 { near }),
        _ => Err(Impossible::new("level", format!("there is no level {code} with near {near}"))),
    }
}

fn unknown(field: &'static str, code: u8) -> Impossible {
    Impossible::new(field, format!("there is no code {code}"))
}

fn first<'a, T>(field: &'static str, table: &'a [T], count: usize) -> Result<&'a [T], Impossible> {
    let too_many = || Impossible::new(field, format!("there are {count}, and room for {}", table.len()));
    table.get(..count).ok_or_else(too_many)
}

/// Text is a length byte, UTF-8, and zeros.
fn put_text(place: &mut [u8], text: &str) {
    place[0] = text.len() as u8;
    place[1..=text.len()].copy_from_slice(text.as_bytes());
}

fn text(field: &'static str, place: &[u8]) -> Result<String, Impossible> {
    let bytes = place.get(1..=usize::from(place[0]));
    let bytes = bytes.ok_or_else(|| Impossible::new(field, format!("it would have {} bytes", place[0])))?;
    let text = std::str::from_utf8(bytes);
    Ok(text.map_err(|error| Impossible::new(field, format!("it is not UTF-8: {error}")))?.to_owned())
}
