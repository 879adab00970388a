use super::*;

const IN_SYNC: [Verdict; 3] =
    [Verdict::InSync { slot: Slot(0) }, Verdict::InSync { slot: Slot(1) }, Verdict::InSync { slot: Slot(2) }];

#[test]
fn nothing_found_is_no_array() {
    assert_eq!(judged(&[]), Assembly::default());
}

#[test]
fn of_the_two_copies_on_a_drive_the_newer_good_one_counts() {
    let old = mirror(2);
    let new = without(&old, &[1], 2);
    for copies in [[Ok(old.clone()), Ok(new.clone())], [Ok(new.clone()), Ok(old.clone())]] {
        let array = array(&[drive_with("d0", copies)]);
        assert_eq!(array.leader(), Some(&new));
    }
    let torn = Err(Damage::Torn { head: 12, tail: 11 });
    assert_eq!(array(&[drive_with("d0", [torn, Ok(old.clone())])]).leader(), Some(&old));
}

#[test]
fn drives_of_no_array_are_told_apart() {
    let crc = Damage::BadCrc { found: 1, wanted: 2 };
    let found = [
        drive_with("d0", [Err(Damage::NoMagic), Err(Damage::NoMagic)]),
        drive_with("d1", [Err(crc.clone()), Err(Damage::NoMagic)]),
        drive_with("d2", [Err(Damage::UnknownIncompatible(4)), Err(crc.clone())]),
        drive_with("d3", [Ok(mirror(2)), Err(Damage::UnknownFormat(2))]),
    ];
    let assembly = judged(&found);
    assert_eq!(assembly.arrays, []);
    let verdicts: Vec<&Verdict> = assembly.others.iter().map(|other| &other.verdict).collect();
    let damaged = Verdict::Damaged { copies: Box::new([crc, Damage::NoMagic]) };
    let newer = [Damage::UnknownIncompatible(4), Damage::UnknownFormat(2)].map(Verdict::TooNew);
    assert_eq!(verdicts, [&Verdict::Blank, &damaged, &newer[0], &newer[1]]);
}

#[test]
fn members_that_agree_are_all_in_sync() {
    let record = mirror(3);
    let array = array(&[drive(2, &record), drive(0, &record), drive(1, &record)]);
    assert_eq!(verdicts(&array), [("d0", &IN_SYNC[0]), ("d1", &IN_SYNC[1]), ("d2", &IN_SYNC[2])]);
    assert_eq!((array.in_sync(), array.drive_in(Slot(1))), (slots(&[0, 1, 2]), Some("d1")));
}

#[test]
fn the_record_that_all_others_led_to_leads_whatever_the_versions() {
    let before = mirror(3);
    let after = without(&before, &[2], 2);
    let ahead = Superblock { version: 99, ..before.clone() };
    let array = array(&[drive(0, &after), drive(1, &before), drive(2, &ahead)]);
    assert_eq!(array.leader().unwrap().generation, Generation(2));
    assert_eq!(array.top_version, 99, "what is written next must win against what is on d2");
}

/// The record of a change never reached d1, and nothing was acknowledged without it.
#[test]
fn who_is_in_sync_in_the_leaders_table_is_in_sync_with_an_older_record_too() {
    let before = mirror(3);
    let after = without(&before, &[2], 2);
    let array = array(&[drive(0, &after), drive(1, &before), drive(2, &before)]);
    assert_eq!(array.drives[1].verdict, IN_SYNC[1]);
    assert_eq!(array.drives[2].verdict, Verdict::Stale { slot: Slot(2) });
    assert_eq!(array.drive_in(Slot(2)), Some("d2"));
}

#[test]
fn who_is_rebuilding_in_the_leaders_table_goes_on_rebuilding() {
    let mut record = mirror(2);
    record.members[1].state = RecordState::Rebuilding;
    let array = array(&[drive(0, &record), drive(1, &record)]);
    assert_eq!(array.drives[1].verdict, Verdict::Rebuilding { slot: Slot(1) });
}

#[test]
fn whom_the_leaders_table_does_not_know_was_replaced() {
    let before = mirror(2);
    let mut after = without(&before, &[1], 2);
    after.members[1] = member(0xad, RecordState::InSync);
    let mut empty = after.clone();
    empty.clear_slot(Slot(1));
    for after in [after, empty] {
        let array = array(&[drive(0, &after), drive(1, &before)]);
        assert_eq!(array.drives[1].verdict, Verdict::Replaced { slot: Slot(1) });
    }
}

#[test]
fn of_two_drives_that_are_one_member_none_is_used() {
    let record = mirror(2);
    let mut clone = drive(1, &record);
    clone.drive = "copy".to_owned();
    let array = array(&[drive(0, &record), drive(1, &record), clone]);
    let kinship = Kinship::Unknown;
    let duplicate = |of: &str| Verdict::Duplicate { of: vec![of.to_owned()], kinship };
    let expected = [("copy", &duplicate("d1")), ("d0", &IN_SYNC[0]), ("d1", &duplicate("copy"))];
    assert_eq!(verdicts(&array), expected);
    assert_eq!(array.in_sync(), slots(&[0]));
}

/// A namespace on two paths, and an image that was copied, are the same by their superblocks.
#[test]
fn serial_number_and_nguid_tell_what_kind_of_duplicate_it_is() {
    let kinships = |one: (&str, u8), other: (&str, u8)| {
        let record = mirror(2);
        let drives = [("a", one), ("b", other)].map(|(name, (serial, nguid))| Found {
            drive: name.to_owned(),
            serial: serial.to_owned(),
            nguid: [nguid; 16],
            ..drive(1, &record)
        });
        let kinship = |found: &DriveFound| match found.verdict {
            Verdict::Duplicate { kinship, .. } => kinship,
            _ => panic!("{found}"),
        };
        array(&drives).drives.iter().map(kinship).collect::<Vec<_>>()
    };
    assert_eq!(kinships(("S1", 0), ("S7", 0)), [Kinship::Original, Kinship::Copy]);
    assert_eq!(kinships(("S1", 5), ("S1", 5)), [Kinship::SameDrive; 2]);
    assert_eq!(kinships(("S1", 5), ("S1", 6)), [Kinship::Original; 2], "two namespaces of one drive");
    assert_eq!(kinships(("", 0), ("", 0)), [Kinship::Unknown; 2]);
}

#[test]
fn a_drive_that_shrank_or_was_reformatted_is_not_used_but_believed() {
    let before = mirror(3);
    let mut small = drive(0, &without(&before, &[2], 2));
    small.blocks = BLOCKS - 1;
    let mut coarse = drive(1, &before);
    coarse.block_size = 4096;
    let array = array(&[small, coarse, drive(2, &before)]);
    let verdicts: Vec<Verdict> = array.drives.iter().map(|found| found.verdict.clone()).collect();
    assert_eq!(verdicts[0], Verdict::TooSmall { blocks: BLOCKS - 1, needed_blocks: BLOCKS });
    assert_eq!(verdicts[1], Verdict::WrongBlockSize { has: 4096, needs: 512 });
    assert_eq!(verdicts[2], Verdict::Stale { slot: Slot(2) }, "d0 can't be used, and still knows");
}

#[test]
fn a_larger_drive_is_fine() {
    let mut large = drive(0, &mirror(2));
    large.blocks *= 2;
    assert_eq!(array(&[large]).drives[0].verdict, IN_SYNC[0]);
}

#[test]
fn arrays_do_not_mix() {
    let other = Superblock { array: Uuid16([8; 16]), name: "other".to_owned(), ..mirror(2) };
    let assembly = judged(&[drive(0, &mirror(2)), drive(1, &other)]);
    let names: Vec<&str> = assembly.arrays.iter().map(|array| array.name.as_str()).collect();
    assert_eq!(names, ["other", "data"], "by UUID");
}

#[test]
fn verdicts_name_place_reason_and_remedy() {
    let before = mirror(2);
    let array = array(&[drive(0, &without(&before, &[1], 2)), drive(1, &before)]);
    assert_eq!(
        array.drives[1].to_string(),
        "d1: stale: the array went on without the member in slot 1; to bring it up to date: \
         basalt member add ARRAY DRIVE"
    );
    let split = Verdict::Split { generation: Generation(5) };
    assert!(split.to_string().ends_with("basalt array resolve ARRAY --keep DRIVE"));
}
