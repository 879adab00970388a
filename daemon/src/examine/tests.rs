//! What `examine` prints of images that are made here, as snapshots.

use std::fs::File;
use std::os::unix::fs::FileExt;

use raid::format::{
    BadBlock, COPY_OFFSETS, Checkpoint, Consistency, EventRecord, Features, Generation, LOG_OFFSET, LogPage,
    MemberRecord, Policy, RecordState, RegionState, Shape, ShutDown, Superblock, Uuid16, encode, log,
};
use raid::view::OnFailed;
use raid::{Epoch, Level, RegionId, Slot};
use serde_json::Value;
use tempfile::NamedTempFile;

use super::sight::{Log, Sight, look};
use super::{json, render};
use crate::paint::Paint;

const DRIVE_BYTES: u64 = 64 << 20;

fn member(slot: u8, state: RecordState) -> MemberRecord {
    MemberRecord {
        uuid: Uuid16([0xa0 + slot; 16]),
        state,
        blocks: DRIVE_BYTES / 4096,
        flushes: slot != 2,
        read_errors: 3 * u32::from(slot),
        write_errors: u32::from(state == RecordState::Faulty),
        drive: format!("nvme{slot}"),
        serial: if slot == 0 { String::new() } else { format!("S-{slot}") },
        nguid: [slot; 16],
    }
}

fn superblock(version: u64) -> Superblock {
    let members = vec![
        member(0, RecordState::InSync),
        member(1, RecordState::Faulty),
        member(2, RecordState::Rebuilding),
        MemberRecord::missing(),
    ];
    let event = |seq: u64| EventRecord {
        seq,
        time_ms: 1_795_225_509_061 + seq * 1000,
        epoch: Epoch(seq - 7),
        code: 3,
        slot: (seq == 10).then_some(Slot(1)),
        detail: [seq as u8; 16],
    };
    Superblock {
        features: Features { compatible: 0x10, ..Features::default() },
        version,
        array: Uuid16(*b"\x01\x23\x45\x67\x89\xab\x4d\xef\x81\x23\x45\x67\x89\xab\xcd\xef"),
        name: "data".to_owned(),
        slot: Slot(0),
        shape: Shape {
            level: Level::Raid10 { near: 2 },
            block_size: 4096,
            chunk_blocks: 16,
            region_blocks: 256,
            data_offset_blocks: 2048,
            num_blocks: 2 * (16_384 - 2048),
        },
        epoch: Epoch(3),
        generation: Generation(0xfeed),
        history: (1..6).map(Generation).collect(),
        shut_down: ShutDown::Unclean,
        policy: Policy {
            consistency: Consistency::Bitmap,
            on_failed: OnFailed::Wait,
            limits: raid::array::ErrorLimits { read: 20, write: 1 },
            member_timeout_ms: 10_000,
            start_degraded_after_ms: Some(90_000),
        },
        host: Uuid16([0x77; 16]),
        heartbeat_ms: 1_795_225_509_061,
        members,
        checkpoint: Some(Checkpoint { slot: Slot(2), position_blocks: 14_336 }),
        bad_blocks: vec![BadBlock { slot: Slot(0), lba: 4000, blocks: 8 }],
        last_event: 10,
        events: vec![event(9), event(10)],
    }
}

/// A drive whose copies have versions 7 and 6, with a log.
fn drive() -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    file.as_file().set_len(DRIVE_BYTES).unwrap();
    let sb = superblock(7);
    write(file.as_file(), COPY_OFFSETS[0], &encode(&sb));
    write(file.as_file(), COPY_OFFSETS[1], &encode(&superblock(6)));
    let mut pages = vec![LogPage::new(); usize::from(log::PAGES)];
    let states = [RegionState::Clean, RegionState::Dirty, RegionState::NeedSync { source: Slot(0) }];
    for (region, state) in (20..).map(RegionId).zip(states) {
        let place = log::place(region);
        pages[usize::from(place.page)].set(place.index, state);
    }
    for (number, page) in pages.iter().enumerate() {
        let at = LOG_OFFSET + (number * log::PAGE_BYTES) as u64;
        write(file.as_file(), at, &page.encode(sb.array, number as u16));
    }
    file
}

fn write(file: &File, at: u64, bytes: &[u8]) {
    file.write_all_at(bytes, at).unwrap();
}

/// The same whatever the file is called.
fn seen(file: &NamedTempFile) -> Sight {
    Sight { path: "d0.img".to_owned(), ..look(file.path()).unwrap() }
}

fn text(file: &NamedTempFile) -> String {
    render::report(&seen(file), Paint::Off)
}

#[test]
fn a_member() {
    insta::assert_snapshot!(text(&drive()));
}

#[test]
fn a_member_as_json() {
    insta::assert_json_snapshot!(json::report(&seen(&drive())));
}

#[test]
fn a_torn_copy_a_damaged_log_and_a_file_system_over_it() {
    let file = drive();
    write(file.as_file(), COPY_OFFSETS[0], &encode(&superblock(8))[..4096]);
    write(file.as_file(), LOG_OFFSET + 4096 + 100, b"x");
    write(file.as_file(), 1080, b"\x53\xef");
    insta::assert_snapshot!(text(&file));
}

#[test]
fn both_copies_damaged() {
    let file = drive();
    COPY_OFFSETS.iter().for_each(|at| write(file.as_file(), at + 500, b"x"));
    insta::assert_snapshot!(text(&file));
    let report = json::report(&seen(&file));
    assert_eq!((&report["superblock"], &report["salvaged"]["version"]), (&Value::Null, &Value::from(7)));
}

#[test]
fn a_member_that_was_cut_short_and_whose_log_was_never_written() {
    let file = drive();
    write(file.as_file(), LOG_OFFSET, &vec![0; 1 << 20]);
    file.as_file().set_len(DRIVE_BYTES / 2).unwrap();
    assert_eq!(seen(&file).log, Log::None);
    let text = text(&file);
    assert!(text.contains("it is smaller than the member was"), "{text}");
    assert!(text.contains("none was written"), "{text}");
}

#[test]
fn drives_that_are_no_members() {
    let file = NamedTempFile::new().unwrap();
    let empty = text(&file);
    file.as_file().set_len(DRIVE_BYTES).unwrap();
    let zeros = text(&file);
    write(file.as_file(), DRIVE_BYTES - 8192, &0xa92b_4efcu32.to_le_bytes());
    let md = text(&file);
    write(file.as_file(), 512, b"EFI PART");
    write(file.as_file(), DRIVE_BYTES - 8192, &[0; 4]);
    let gpt = text(&file);
    write(file.as_file(), 512, b"whatever");
    insta::assert_snapshot!([empty, zeros, md, gpt, text(&file)].join("\n"));
}

#[test]
fn a_newer_format_is_not_called_damaged() {
    let file = drive();
    for (at, version) in COPY_OFFSETS.into_iter().zip([7, 6]) {
        let mut sb = superblock(version);
        sb.features.incompatible = 2;
        write(file.as_file(), at, &encode(&sb));
    }
    let text = text(&file);
    assert!(text.contains("uses incompatible features that this version does not know (bits 0x2)"), "{text}");
    assert!(text.contains("it belongs to another version of Basalt"), "{text}");
}

#[test]
fn what_is_no_drive_is_refused_with_a_remedy() {
    let refusal = |path: &std::path::Path| format!("{:#}", look(path).err().expect("refused"));
    let folder = tempfile::tempdir().unwrap();
    assert!(refusal(folder.path()).contains("neither a file nor a block device; give the path"));
    assert!(refusal(&folder.path().join("x")).contains("cannot look at"));
}

#[test]
fn examining_changes_nothing() {
    let file = drive();
    let before = std::fs::read(file.path()).unwrap();
    text(&file);
    assert!(before == std::fs::read(file.path()).unwrap());
}
