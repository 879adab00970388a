//! Blocks that a member could not read.

use super::*;

const MEDIA: Fault = Fault::of(FaultKind::Media);
const LBA: u64 = REGION.0 as u64 * 64 + 5;

fn repair(slot: u8) -> ToShard {
    ToShard::Repair { slot: Slot(slot), lba: LBA, blocks: 2 }
}

/// The copies among what was sent, and what else there was; log writes are answered.
fn copies(shard: &mut Shard) -> (Vec<CopyIo>, Vec<FromShard>) {
    let mut rest = answer_all(shard);
    let copies = rest.extract_if(.., |message| matches!(message, FromShard::Copy(_)));
    let copies = copies.map(|message| if let FromShard::Copy(io) = message { io } else { unreachable!() });
    (copies.collect(), rest)
}

fn only_copy(shard: &mut Shard) -> CopyIo {
    let (copies, _) = copies(shard);
    assert_eq!(copies.len(), 1, "{copies:?}");
    copies[0]
}

#[test]
fn they_are_written_again_from_the_other_copy_under_a_mark() {
    let mut shard = logged(RegionState::Clean, None);
    shard.on_message(repair(1), 0);
    let (mark, rest) = orders(&mut shard);
    assert_eq!((slots_of(&mark), rest), (vec![0, 1], vec![]), "the mark first");
    mark.into_iter().for_each(|io| shard.io_done(io.ticket, Ok(()), 0));
    let copy = only_copy(&mut shard);
    assert_eq!((copy.from, copy.to, copy.from_lba, copy.blocks), (Slot(0), Slot(1), 16_384 + LBA, 2));
    shard.copy_done(copy.ticket, Ok(()), 0);
    let repaired = ToArray::Repaired { slot: Slot(1), lba: 16_384 + LBA, blocks: 2 };
    assert_eq!(sent(&mut shard), [FromShard::Array(repaired)]);
    assert!(!shard.is_leased(REGION));
}

#[test]
fn writers_give_the_region_back_first_and_wait_until_it_is_repaired() {
    let mut shard = logged(RegionState::Clean, None);
    shard.on_message(acquire(A), 0);
    answer_all(&mut shard);
    shard.on_message(repair(1), 0);
    assert_eq!(copies(&mut shard), (vec![], vec![revoked(A, 1)]));
    shard.on_message(acquire(B), 0);
    assert_eq!(copies(&mut shard), (vec![], vec![]));
    shard.on_message(release(A, 1), 0);
    let copy = only_copy(&mut shard);
    shard.on_message(acquire(A), 0);
    assert_eq!(copies(&mut shard), (vec![], vec![]));
    shard.copy_done(copy.ticket, Ok(()), 0);
    let (_, rest) = copies(&mut shard);
    assert!(rest.contains(&granted(A, 2)) && rest.contains(&granted(B, 3)), "{rest:?}");
}

#[test]
fn what_can_not_be_written_is_told_as_a_bad_block() {
    let mut shard = logged(RegionState::Clean, None);
    shard.on_message(repair(1), 0);
    let copy = only_copy(&mut shard);
    shard.copy_done(copy.ticket, Err(CopyError::Write(MEDIA)), 0);
    let unrepaired = ToArray::Unrepaired { slot: Slot(1), lba: 16_384 + LBA, blocks: 2, fault: MEDIA };
    assert_eq!(sent(&mut shard), [FromShard::Array(unrepaired)]);
    assert!(!shard.is_leased(REGION));
}

/// sim seed 359: what the source held had been read, and another copy was put in its place.
#[test]
fn where_copies_may_differ_only_the_source_is_copied_and_never_to() {
    let mut shard = logged(RegionState::Dirty, Some(Slot(1)));
    assert_eq!(shard.region_state(REGION), Some(RegionState::NeedSync { source: Slot(1) }));
    shard.on_message(repair(1), 0);
    assert_eq!(copies(&mut shard).0, []);
    shard.on_message(repair(0), 0);
    let copy = only_copy(&mut shard);
    assert_eq!((copy.from, copy.to), (Slot(1), Slot(0)));
}

#[test]
fn what_nobody_can_read_is_left() {
    let mut shard = logged(RegionState::Clean, None);
    shard.on_message(repair(1), 0);
    let copy = only_copy(&mut shard);
    shard.copy_done(copy.ticket, Err(CopyError::Read(MEDIA)), 0);
    assert_eq!(copies(&mut shard), (vec![], vec![]));
    assert!(!shard.is_leased(REGION));
}

#[test]
fn an_aborted_copy_is_sent_again_and_the_same_blocks_are_repaired_once() {
    let mut shard = logged(RegionState::Clean, None);
    shard.on_message(repair(1), 0);
    shard.on_message(repair(1), 0);
    let copy = only_copy(&mut shard);
    shard.copy_done(copy.ticket, Err(CopyError::Write(Fault::of(FaultKind::Aborted))), 0);
    let again = only_copy(&mut shard);
    shard.copy_done(again.ticket, Ok(()), 0);
    assert_eq!(copies(&mut shard).0, []);
}

/// sim seed 1182: the copy landed on what a Channel with an older View had written there.
#[test]
fn a_copy_to_a_member_that_goes_out_is_waited_for_all_the_same() {
    let mut shard = logged(RegionState::Clean, None);
    shard.on_message(repair(1), 0);
    let copy = only_copy(&mut shard);
    shard.on_message(acquire(A), 0);
    view(&mut shard, 2, &[0]);
    let (_, rest) = copies(&mut shard);
    let drained = FromShard::Array(ToArray::Drained(Planner::Shard(ShardId(0)), Epoch(2)));
    assert!(!rest.contains(&granted(A, 1)) && !rest.contains(&drained), "{rest:?}");
    shard.copy_done(copy.ticket, Err(CopyError::Write(MEDIA)), 0);
    let (_, rest) = copies(&mut shard);
    assert!(rest.contains(&granted(A, 1)) && rest.contains(&drained), "{rest:?}");
}
