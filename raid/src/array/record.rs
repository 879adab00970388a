//! The Array's record on the members: what is in their superblocks, and how far it is durable.

use std::ops::Range;
use std::sync::Arc;

use crate::format::{self, BadBlock, EventRecord, Generation, RecordState, ShutDown, Superblock};
use crate::ids::{Slot, SlotSet};
use crate::meta::{MetaIo, MetaWrite, Ticket, UnderWay};
use crate::replica::Replica;
use crate::view::View;

/// What an array's record begins with: a new one, or the one that was believed at assembly.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RecordSpec {
    /// The record. Its `slot` does not matter. A new array's has version 0 and epoch 0.
    pub record: Superblock,
    /// Per slot, which of its two copies must not be overwritten: it holds what is newest there.
    pub newest_copy: Vec<Option<u8>>,
    /// Where random generations are drawn from.
    pub seed: u64,
}

/// A record whose heartbeat is older than this is renewed.
pub(super) const HEARTBEAT_MS: u64 = 5_000;

/// Counters are written at most this often.
const COUNTERS_MS: u64 = 1_000;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Recorder {
    record: Superblock,
    replica: Replica,
    next_copy: Vec<u8>,
    /// Members whose newest copy may be in a volatile cache still, from before the process went: it has to be
    /// durable before the other copy is written.
    unsettled: SlotSet,
    under_way: UnderWay<(Slot, Write)>,
    seed: u64,
    /// Counters have changed since the record was changed last.
    counted: bool,
}

/// What a metadata I/O of the Recorder does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Write {
    /// It flushes what was found.
    Settle,
    /// It writes this copy.
    Copy(u8),
}

impl Recorder {
    pub fn new(spec: RecordSpec) -> Recorder {
        let members = spec.record.members.len();
        let found = (0..).map(Slot).zip(&spec.newest_copy).filter(|(_, copy)| copy.is_some());
        let next_copy = spec.newest_copy.iter().map(|copy| copy.map_or(0, |copy| 1 - copy)).collect();
        Recorder {
            replica: Replica::new(members, spec.record.version),
            record: spec.record,
            next_copy,
            unsettled: found.map(|(slot, _)| slot).collect(),
            under_way: UnderWay::default(),
            seed: spec.seed,
            counted: false,
        }
    }

    pub fn record(&self) -> &Superblock {
        &self.record
    }

    /// The membership has changed: the record follows, and gets the version that is returned. Losing a member
    /// begins a generation: whoever has the one before and goes on without us is recognised by it.
    pub fn change_view(&mut self, view: &View, lost: bool, now_ms: u64) -> u64 {
        for (slot, member) in (0..).map(Slot).zip(&mut self.record.members) {
            if member.is_filled() {
                let in_sync = view.in_sync.contains(slot);
                member.state = if in_sync { RecordState::InSync } else { RecordState::Faulty };
            }
        }
        if lost {
            let generation = self.draw();
            self.record.begin_generation(generation);
        }
        self.record.epoch = view.epoch;
        self.change(now_ms)
    }

    /// The slot is empty from now on. Goes with the next change.
    pub fn forget_member(&mut self, slot: Slot) {
        self.record.members[slot.index()] = format::MemberRecord::missing();
        self.record.bad_blocks.retain(|bad| bad.slot != slot);
    }

    /// Errors were counted; they are written when some time has passed, or with something else. A late report
    /// about a member that was forgotten is not.
    pub fn count_errors(&mut self, slot: Slot, read: u32, write: u32) {
        let member = &mut self.record.members[slot.index()];
        if !member.is_filled() {
            return;
        }
        (member.read_errors, member.write_errors) = (read, write);
        self.counted = true;
    }

    /// Records blocks that are lost on a member. False: there is no room for them.
    pub fn note_bad_block(&mut self, bad: BadBlock, now_ms: u64) -> bool {
        let covers = |known: &BadBlock| {
            let end = |bad: &BadBlock| bad.lba + u64::from(bad.blocks);
            known.slot == bad.slot && known.lba <= bad.lba && end(&bad) <= end(known)
        };
        if self.record.bad_blocks.iter().any(covers) {
            return true;
        }
        if self.record.bad_blocks.len() == format::superblock::BAD_BLOCKS_MAX {
            return false;
        }
        self.record.bad_blocks.push(bad);
        self.change(now_ms);
        true
    }

    /// These blocks of a member can be read again.
    pub fn forget_bad_blocks(&mut self, slot: Slot, blocks: Range<u64>, now_ms: u64) {
        let before = self.record.bad_blocks.len();
        self.record.bad_blocks.retain(|bad| {
            let end = bad.lba + u64::from(bad.blocks);
            bad.slot != slot || bad.lba < blocks.start || blocks.end < end
        });
        if self.record.bad_blocks.len() < before {
            self.change(now_ms);
        }
    }

    pub fn set_shut_down(&mut self, shut_down: ShutDown, now_ms: u64) -> u64 {
        self.record.shut_down = shut_down;
        self.change(now_ms)
    }

    pub fn on_time(&mut self, now_ms: u64) {
        if self.deadline_ms() <= now_ms {
            self.change(now_ms);
        }
    }

    pub fn deadline_ms(&self) -> u64 {
        self.record.heartbeat_ms + if self.counted { COUNTERS_MS } else { HEARTBEAT_MS }
    }

    fn change(&mut self, now_ms: u64) -> u64 {
        self.counted = false;
        self.record.heartbeat_ms = now_ms;
        self.record.version = self.replica.change();
        self.record.version
    }

    /// Whether `version` is durable on all of `targets`.
    pub fn is_durable(&self, version: u64, targets: SlotSet) -> bool {
        self.replica.durable(targets) >= version
    }

    /// Those of `targets` on which `version` is not durable yet.
    pub fn missing_on(&self, version: u64, targets: SlotSet) -> SlotSet {
        targets.iter().filter(|slot| !self.is_durable(version, SlotSet::from_iter([*slot]))).collect()
    }

    /// Begins to write the record to one of `targets` that lacks its newest version. `events`: the newest ones,
    /// numbered, those that are about to be told included.
    pub fn begin(&mut self, view: &View, events: impl FnOnce() -> Vec<EventRecord>) -> Option<MetaIo> {
        let slot = self.replica.begin(view.recorders())?;
        let flush = view.flushes.contains(slot);
        if flush && self.unsettled.contains(slot) {
            let ticket = self.under_way.begin(view.epoch, (slot, Write::Settle));
            return Some(MetaIo { ticket, slot, write: None, flush });
        }
        let copy = self.next_copy[slot.index()];
        self.record.slot = slot;
        self.record.events = events();
        if let Some(newest) = self.record.events.last() {
            self.record.last_event = newest.seq;
        }
        let ticket = self.under_way.begin(view.epoch, (slot, Write::Copy(copy)));
        let bytes = Arc::from(format::encode(&self.record));
        let offset = format::COPY_OFFSETS[usize::from(copy)];
        Some(MetaIo { ticket, slot, write: Some(MetaWrite::Bytes { offset, bytes }), flush })
    }

    /// The I/O has ended; the member it went to. One that failed leaves its copy in doubt, and the other as it
    /// was: the next one goes to the same place.
    pub fn end(&mut self, ticket: Ticket, is_durable: bool, is_transient: bool) -> Slot {
        let (slot, write) = self.under_way.end(ticket);
        let is_settled = write == Write::Settle && is_durable;
        match write {
            Write::Settle if is_settled => self.unsettled.remove(slot),
            Write::Copy(copy) if is_durable => self.next_copy[slot.index()] = 1 - copy,
            _ => {}
        }
        match is_transient || is_settled {
            true => self.replica.end_transient(slot),
            false => self.replica.end(slot, is_durable),
        }
        slot
    }

    /// Whether a write to `slot` is under way.
    pub fn is_writing(&self, slot: Slot) -> bool {
        self.replica.is_writing(slot)
    }

    /// A generation that the history does not know.
    fn draw(&mut self) -> Generation {
        loop {
            let generation = self.draw_any();
            if generation != self.record.generation && !self.record.history.contains(&generation) {
                return generation;
            }
        }
    }

    fn draw_any(&mut self) -> Generation {
        // splitmix64 (Steele, Lea, Flood 2014): any driver-given seed will do.
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Generation(z ^ (z >> 31))
    }
}
