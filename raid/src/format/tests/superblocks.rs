use proptest::prelude::*;

use super::*;
use crate::format::image::CRC_OFFSET;

/// An image whose fields were changed, with a checksum that fits again.
pub(super) fn sealed(mut bytes: Box<[u8]>) -> Box<[u8]> {
    let sum = crate::format::checksum::checksum(&bytes, CRC_OFFSET);
    bytes[CRC_OFFSET..CRC_OFFSET + 4].copy_from_slice(&sum.to_le_bytes());
    bytes
}

fn patched(at: usize, value: &[u8]) -> Result<Superblock, Damage> {
    let mut bytes = encode(&example());
    bytes[at..at + value.len()].copy_from_slice(value);
    decode(&sealed(bytes))
}

fn impossible(change: impl FnOnce(&mut Superblock)) -> &'static str {
    let mut sb = example();
    change(&mut sb);
    sb.check().expect_err("it should be impossible").field
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn what_was_encoded_is_decoded(seed: u64) {
        let sb = any_superblock(seed);
        prop_assert_eq!(sb.check(), Ok(()));
        prop_assert_eq!(decode(&encode(&sb)), Ok(sb));
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let bytes = encode(&any_superblock(11));
    let mut flipped = bytes.clone();
    for bit in 0..bytes.len() * 8 {
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(decode(&flipped).is_err(), "bit {bit}");
        flipped[bit / 8] ^= 1 << (bit % 8);
    }
    assert_eq!(flipped, bytes);
}

#[test]
fn every_cut_is_noticed() {
    let bytes = encode(&example());
    for len in 0..bytes.len() {
        assert_eq!(decode(&bytes[..len]), Err(Damage::Short { got: len, wanted: SUPERBLOCK_BYTES }));
    }
}

/// Two versions of a record, the newer one written up to some sector.
#[test]
fn every_tear_is_noticed_and_told() {
    let old = encode(&example());
    let new = encode(&Superblock { version: 8, last_event: 3, events: vec![], ..example() });
    for end in (512..SUPERBLOCK_BYTES).step_by(512) {
        let torn = [&new[..end], &old[end..]].concat();
        assert_eq!(decode(&torn), Err(Damage::Torn { head: 8, tail: 7 }), "torn at {end}");
        let torn = [&old[..end], &new[end..]].concat();
        assert_eq!(decode(&torn), Err(Damage::Torn { head: 7, tail: 8 }), "torn at {end}");
    }
}

#[test]
fn what_is_not_ours_is_told_from_what_is_too_new() {
    assert_eq!(decode(&[0; SUPERBLOCK_BYTES]), Err(Damage::NoMagic));
    assert_eq!(patched(12, &[2]), Err(Damage::UnknownFormat(2)));
    assert_eq!(patched(16, &[5]), Err(Damage::UnknownIncompatible(5)));
}

#[test]
fn unknown_features_that_may_be_ignored_are_kept_with_their_bytes_unchecked() {
    let mut sb = example();
    sb.features.compatible = 1 << 40;
    let mut bytes = encode(&sb);
    bytes[0x6000] = 1;
    assert_eq!(decode(&sealed(bytes)), Ok(sb));
}

#[test]
fn reserved_bytes_are_zeros() {
    let Err(Damage::Impossible(wrong)) = patched(0x6000, &[1]) else { panic!("accepted") };
    assert_eq!((wrong.field, wrong.why.as_str()), ("reserved", "byte 0x6000 is 0x01 and must be 0"));
    // After the end of a name, in an unused row, in a checkpoint that is not there.
    for at in [64 + 10, 0x1000 + 5 * 256, 0x3000 + 16 * 9, 0x4000 + 48 * 3, 216] {
        assert!(matches!(patched(at, &[1]), Err(Damage::Impossible(_))), "at {at:#x}");
    }
}

#[test]
fn codes_that_do_not_exist_are_refused_by_name() {
    let fields = [
        (64, 64, "name"),
        (65, 0xff, "name"),
        (65, 7, "name"),
        (128, 2, "slot"),
        (128, 9, "slot"),
        (129, 33, "members"),
        (130, 9, "level"),
        (131, 2, "level"),
        (184, 65, "history"),
        (185, 0, "shut_down"),
        (186, 3, "on_failed"),
        (187, 4, "consistency"),
        (196, 0, "checkpoint"),
        (256, 251, "bad_blocks"),
        (258, 81, "events"),
        (0x1010, 4, "member.state"),
        (0x1011, 2, "member.flags"),
    ];
    for (at, value, field) in fields {
        let Err(Damage::Impossible(wrong)) = patched(at, &[value]) else { panic!("{field} accepted") };
        assert_eq!(wrong.field, field);
    }
}

#[test]
fn impossible_records_are_refused_by_name() {
    assert_eq!(impossible(|sb| sb.version = 0), "version");
    assert_eq!(impossible(|sb| sb.array = Uuid16::NIL), "array");
    assert_eq!(impossible(|sb| sb.name.clear()), "name");
    assert_eq!(impossible(|sb| sb.name = "x".repeat(64)), "name");
    assert_eq!(impossible(|sb| sb.name = "a\u{1b}[31m".to_owned()), "name");
    assert_eq!(impossible(|sb| sb.members[1].uuid = sb.members[0].uuid), "members");
    assert_eq!(impossible(|sb| sb.members[0].state = RecordState::Faulty), "members");
    assert_eq!(impossible(|sb| sb.members[0].uuid = Uuid16::NIL), "member.uuid");
    assert_eq!(impossible(|sb| sb.members[2].read_errors = 1), "member.state");
    assert_eq!(impossible(|sb| sb.members[0].blocks = u64::MAX), "member.blocks");
    assert_eq!(impossible(|sb| sb.members[0].serial = "x".repeat(32)), "member.serial");
    assert_eq!(impossible(|sb| sb.members.resize(40, MemberRecord::missing())), "members");
    assert_eq!(impossible(|sb| sb.members.truncate(1)), "shape");
    assert_eq!(impossible(|sb| sb.shape.data_offset_blocks = 16), "data_offset_blocks");
    assert_eq!(impossible(|sb| sb.shape.data_offset_blocks = u64::MAX), "data_offset_blocks");
    assert_eq!(impossible(|sb| sb.shape.num_blocks += 1), "shape");
    assert_eq!(impossible(|sb| sb.shape.num_blocks = 0), "shape");
    assert_eq!(impossible(|sb| sb.shape.region_blocks = 3), "shape");
    assert_eq!(impossible(|sb| sb.shape.chunk_blocks = 128), "chunk_blocks");
    assert_eq!(impossible(|sb| sb.history.push(sb.generation)), "history");
    assert_eq!(impossible(|sb| sb.history = (0..65).map(Generation).collect()), "history");
    let never = |sb: &mut Superblock| sb.policy.start_degraded_after_ms = Some(u64::MAX);
    assert_eq!(impossible(never), "start_degraded_after_ms");
    assert_eq!(impossible(|sb| sb.bad_blocks[0].lba = 16_383), "bad_blocks");
    assert_eq!(impossible(|sb| sb.bad_blocks[0].lba = u64::MAX), "bad_blocks");
    assert_eq!(impossible(|sb| sb.bad_blocks[0].slot = Slot(2)), "bad_blocks");
    assert_eq!(impossible(|sb| sb.bad_blocks[0].blocks = 0), "bad_blocks");
    assert_eq!(impossible(|sb| sb.last_event = 3), "events");
    assert_eq!(impossible(|sb| sb.last_event = 0), "events");
    assert_eq!(impossible(|sb| sb.last_event = u64::MAX), "events");
    assert_eq!(impossible(|sb| sb.events[0].slot = Some(Slot(3))), "events");
    let at_end = Checkpoint { slot: Slot(1), position_blocks: 2_080_769 };
    assert_eq!(impossible(|sb| sb.checkpoint = Some(at_end)), "checkpoint");
    assert_eq!(
        impossible(|sb| {
            sb.members[1].state = RecordState::Rebuilding;
            sb.checkpoint = Some(at_end);
        }),
        "checkpoint"
    );
}

#[test]
#[should_panic(expected = "an impossible superblock was to be written: version is impossible")]
fn an_impossible_record_is_never_written() {
    encode(&Superblock { version: 0, ..example() });
}

#[test]
fn the_geometry_has_the_recorded_size_even_when_members_are_larger_now() {
    let mut sb = example();
    sb.members[0].blocks *= 2;
    sb.members[1] = MemberRecord::missing();
    sb.bad_blocks.clear();
    assert_eq!(sb.check(), Ok(()));
    assert_eq!(sb.geometry().unwrap().num_blocks(), 2_080_768);
}

#[test]
fn a_new_generation_remembers_the_ones_before() {
    let mut sb = example();
    let old = sb.clone();
    (0..70).for_each(|n| sb.begin_generation(Generation(n)));
    assert_eq!((sb.generation, sb.history.len(), sb.history[0]), (Generation(69), 64, Generation(68)));
    assert!(!old.is_ancestor_of(&sb), "forgotten after 64 generations");
    let mut next = old.clone();
    next.begin_generation(Generation(1));
    assert!(old.is_ancestor_of(&next) && old.is_ancestor_of(&old) && !next.is_ancestor_of(&old));
}

#[test]
fn of_two_copies_the_newer_good_one_counts() {
    let of = |version| Ok(Superblock { version, ..example() });
    assert_eq!(newest_copy(&[of(7), of(8)]), Some(1));
    assert_eq!(newest_copy(&[of(8), of(7)]), Some(0));
    assert_eq!(newest_copy(&[of(7), of(7)]), Some(0));
    assert_eq!(newest_copy(&[Err(Damage::NoMagic), of(1)]), Some(1));
    assert_eq!(newest_copy(&[of(1), Err(Damage::UnknownFormat(2))]), None);
    assert_eq!(newest_copy(&[Err(Damage::UnknownIncompatible(1)), of(9)]), None);
    assert_eq!(newest_copy(&[Err(Damage::NoMagic), Err(Damage::NoMagic)]), None);
}

#[test]
fn what_a_damaged_copy_says_can_be_looked_at() {
    let mut bytes = encode(&example());
    assert_eq!(salvage(&bytes), Some(example()));
    bytes[500] ^= 1;
    assert!(decode(&bytes).is_err());
    assert_eq!(salvage(&bytes), Some(example()));
    bytes[129] = 200;
    assert_eq!(salvage(&bytes), None);
    assert_eq!(salvage(&bytes[..100]), None);
}
