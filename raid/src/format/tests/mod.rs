//! Tests of the format: made-up records, and what they must stand.

mod broken;
mod golden;
mod log_pages;
mod regions;
mod superblocks;
mod writers;

use super::*;
use crate::array::ErrorLimits;
use crate::geometry::{GeometrySpec, Level};
use crate::ids::{Epoch, Slot};
use crate::view::OnFailed;

/// SplitMix64: the same seed makes the same record.
struct Draw(u64);

impl Draw {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.word() % end
    }

    fn of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len() as u64) as usize]
    }

    fn bytes16(&mut self) -> [u8; 16] {
        (u128::from(self.word()) << 64 | u128::from(self.word())).to_le_bytes()
    }

    fn text(&mut self, least: u64, most: u64) -> String {
        let wanted = least + self.below(most - least + 1);
        let mut text: String = (0..wanted).map(|_| self.of(&['a', 'Z', '7', '-', ' ', 'é', '片'])).collect();
        while text.len() as u64 > most {
            text.pop();
        }
        text
    }
}

/// A possible record, different for each seed.
fn any_superblock(seed: u64) -> Superblock {
    let draw = &mut Draw(seed);
    let count = 2 + draw.below(31);
    let near = 2 + draw.below(count - 1) as u8;
    let level = draw.of(&[Level::Concat, Level::Raid0, Level::Raid1, Level::Raid10 { near }]);
    let members = any_members(draw, level, count as usize);
    let shape = any_shape(draw, level, &members);
    let filled: Vec<Slot> =
        (0..members.len() as u8).map(Slot).filter(|s| members[s.index()].is_filled()).collect();
    let events = draw.below(81);
    let last_event = events + draw.below(3) * draw.below(1 << 40);
    let rebuilding = (0..members.len()).find(|slot| members[*slot].state == RecordState::Rebuilding);
    Superblock {
        features: Features {
            compatible: draw.of(&[0, 0, 1 << 63]),
            read_only_compatible: draw.of(&[0, 0, 6]),
            incompatible: 0,
        },
        version: 1 + draw.word() / 2,
        array: Uuid16(draw.bytes16()),
        name: draw.text(1, 63),
        slot: draw.of(&filled),
        shape,
        epoch: Epoch(draw.word()),
        generation: Generation(draw.word()),
        history: (0..draw.below(65)).map(|_| Generation(draw.word())).collect(),
        shut_down: draw.of(&[ShutDown::Clean, ShutDown::Unclean]),
        policy: Policy {
            consistency: draw.of(&[Consistency::None, Consistency::Bitmap, Consistency::Log]),
            on_failed: draw.of(&[OnFailed::Error, OnFailed::Wait]),
            limits: ErrorLimits { read: draw.word() as u32, write: draw.word() as u32 },
            member_timeout_ms: draw.word(),
            start_degraded_after_ms: draw.of(&[None, Some(0), Some(30_000)]),
        },
        host: Uuid16(draw.bytes16()),
        heartbeat_ms: draw.word(),
        checkpoint: rebuilding.map(|slot| Checkpoint {
            slot: Slot(slot as u8),
            position_blocks: draw.below(shape.num_blocks + 1),
        }),
        bad_blocks: (0..draw.below(251))
            .map(|_| {
                let slot = draw.of(&filled);
                let room = members[slot.index()].blocks - shape.data_offset_blocks;
                let blocks = 1 + draw.below(room.min(1 << 31));
                let lba = shape.data_offset_blocks + draw.below(room - blocks + 1);
                BadBlock { slot, lba, blocks: blocks as u32 }
            })
            .collect(),
        last_event,
        events: (0..events)
            .map(|index| EventRecord {
                seq: last_event - events + 1 + index,
                time_ms: draw.word(),
                epoch: Epoch(draw.word()),
                code: draw.word() as u16,
                slot: draw.of(&[None, Some(Slot(0)), Some(Slot(count as u8 - 1))]),
                detail: draw.bytes16(),
            })
            .collect(),
        members,
    }
}

fn any_members(draw: &mut Draw, level: Level, count: usize) -> Vec<MemberRecord> {
    let in_sync = draw.below(count as u64) as usize;
    let may_miss = matches!(level, Level::Raid1 | Level::Raid10 { .. });
    (0..count)
        .map(|slot| {
            let state = match draw.below(8) {
                _ if slot == in_sync => RecordState::InSync,
                0 => RecordState::Rebuilding,
                1 => RecordState::Faulty,
                2 | 3 if may_miss => return MemberRecord::missing(),
                _ => RecordState::InSync,
            };
            MemberRecord {
                uuid: Uuid16(draw.bytes16()),
                state,
                blocks: (1 << 20) + draw.below(1 << 36),
                flushes: draw.below(2) == 0,
                read_errors: draw.word() as u32,
                write_errors: draw.word() as u32,
                drive: draw.text(0, 63),
                serial: draw.text(0, 31),
                nguid: draw.bytes16(),
            }
        })
        .collect()
}

fn any_shape(draw: &mut Draw, level: Level, members: &[MemberRecord]) -> Shape {
    let block_size = draw.of(&[512, 4096]);
    let data_offset_blocks = DATA_OFFSET_MIN / u64::from(block_size) + draw.below(4096);
    let spec = GeometrySpec {
        level,
        block_size,
        member_blocks: members.iter().map(|member| member.is_filled().then_some(member.blocks)).collect(),
        chunk_blocks: 1 << draw.below(11),
        region_blocks: None,
        data_offset_blocks,
    };
    let mut shape = Shape::of(&spec.build().expect("a possible shape"));
    if level == Level::Raid1 {
        shape.num_blocks -= draw.below(shape.num_blocks);
    }
    shape
}

/// A small record with known fields, as tests and the documentation show it.
fn example() -> Superblock {
    let member = |slot: u8, state| MemberRecord {
        uuid: Uuid16([0xa0 + slot; 16]),
        state,
        blocks: 2_097_152,
        flushes: true,
        read_errors: 0,
        write_errors: u32::from(state == RecordState::Faulty),
        drive: format!("d{slot}"),
        serial: format!("SERIAL-{slot}"),
        nguid: [0xc0 + slot; 16],
    };
    Superblock {
        features: Features::default(),
        version: 7,
        array: Uuid16(*b"\x01\x23\x45\x67\x89\xab\x4d\xef\x81\x23\x45\x67\x89\xab\xcd\xef"),
        name: "data".to_owned(),
        slot: Slot(0),
        shape: Shape {
            level: Level::Raid1,
            block_size: 512,
            chunk_blocks: 0,
            region_blocks: 2048,
            data_offset_blocks: 16_384,
            num_blocks: 2_080_768,
        },
        epoch: Epoch(3),
        generation: Generation(0x1111_2222_3333_4444),
        history: vec![Generation(0x5555_6666_7777_8888)],
        shut_down: ShutDown::Unclean,
        policy: Policy {
            consistency: Consistency::Bitmap,
            on_failed: OnFailed::Error,
            limits: ErrorLimits { read: 20, write: 1 },
            member_timeout_ms: 10_000,
            start_degraded_after_ms: Some(30_000),
        },
        host: Uuid16([0x77; 16]),
        heartbeat_ms: 1_795_225_509_061,
        members: vec![
            member(0, RecordState::InSync),
            member(1, RecordState::Faulty),
            MemberRecord::missing(),
        ],
        checkpoint: None,
        bad_blocks: vec![BadBlock { slot: Slot(1), lba: 20_000, blocks: 8 }],
        last_event: 2,
        events: vec![EventRecord {
            seq: 2,
            time_ms: 1_795_225_509_061,
            epoch: Epoch(3),
            code: 2,
            slot: Some(Slot(1)),
            detail: *b"\x01\0\x02\x80\0\0\0\0\0\0\0\0\0\0\0\0",
        }],
    }
}

/// A page in which every state occurs.
fn example_page() -> LogPage {
    let mut page = LogPage::new();
    page.generation = 5;
    page.set(0, RegionState::Clean);
    page.set(1, RegionState::Dirty);
    page.set(16, RegionState::NeedSync { source: Slot(2) });
    page.set(479, RegionState::Syncing { source: Slot(1) });
    page.set(480, RegionState::Clean);
    page.set(log::PAGE_REGIONS - 1, RegionState::Dirty);
    page
}
