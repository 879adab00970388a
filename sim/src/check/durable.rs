//! What is durable on the drives, worked out from the bytes that a power cut would leave at the worst: the
//! membership before a View is published and a write is acknowledged that missed a member (clause 1), the
//! marks before a write into a region and until all of it is durable (clause 2), event numbers (clause 10).

use raid::format::{self, COPY_OFFSETS, LOG_OFFSET, RecordState, RegionState, Superblock};
use raid::meta::{MetaIo, MetaWrite};
use raid::{Slot, SlotSet, View};

use super::{Checked, Rule, ensure};
use crate::disk::Disk;
use crate::host::Request;
use crate::net::Node;
use crate::world::World;

/// The superblock that counts on a drive if the power goes now, kept until its bytes change.
#[derive(Debug, Default)]
pub(crate) struct RecordCache {
    seen: Option<u64>,
    decoded: [Option<(u64, Option<Superblock>)>; 2],
    newest: Option<Superblock>,
    had_one: bool,
}

impl RecordCache {
    /// The newest copy that nothing unsettled touches. What is unsettled can only bring a newer one.
    fn look(&mut self, disk: &Disk) -> Option<&Superblock> {
        if self.seen != Some(disk.meta_version) {
            self.seen = Some(disk.meta_version);
            let settled = (0..2).filter(|copy| is_settled(disk, *copy)).collect::<Vec<_>>();
            for copy in &settled {
                self.decode(disk, *copy);
            }
            let records = settled.iter().filter_map(|copy| self.decoded[*copy].as_ref()?.1.as_ref());
            self.newest = records.max_by_key(|record| record.version).cloned();
        }
        self.had_one |= self.newest.is_some();
        self.newest.as_ref()
    }

    fn decode(&mut self, disk: &Disk, copy: usize) {
        let version = disk.durable_version();
        if self.decoded[copy].as_ref().is_none_or(|(seen, _)| *seen != version) {
            let bytes = disk.durable_bytes(COPY_OFFSETS[copy], format::SUPERBLOCK_BYTES);
            self.decoded[copy] = Some((version, format::decode(&bytes).ok()));
        }
    }
}

fn is_settled(disk: &Disk, copy: usize) -> bool {
    let len = format::SUPERBLOCK_BYTES as u64;
    !disk.unsettled().any(|piece| piece.touches(COPY_OFFSETS[copy], len))
}

/// Where the byte of a region is, by the page about the format.
fn byte_of(region: u32) -> u64 {
    let (zone, within) = (u64::from(region) / 16, u64::from(region) % 16);
    let (page, index) = (zone % 256, zone / 256 * 16 + within);
    LOG_OFFSET + page * 4096 + index / 480 * 512 + 32 + index % 480
}

fn is_mark(byte: u8) -> bool {
    matches!(
        RegionState::from_byte(byte),
        Some(RegionState::Dirty | RegionState::NeedSync { .. } | RegionState::Syncing { .. })
    )
}

impl World {
    pub(crate) fn keeps_metadata(&self) -> bool {
        self.profile.metadata.is_some()
    }

    pub(crate) fn has_log(&self) -> bool {
        self.keeps_metadata() && self.layout.is_redundant()
    }

    /// The record that counts on `slot` if the power goes now.
    pub(crate) fn durable_record(&mut self, slot: Slot) -> Option<&Superblock> {
        self.records[slot.index()].look(&self.disks[slot.index()])
    }

    /// A drive that ever had a whole superblock has one.
    pub(crate) fn check_copies_whole(&mut self, slot: Slot) -> Checked {
        let is_whole = self.durable_record(slot).is_some() || !self.records[slot.index()].had_one;
        ensure(is_whole, Rule::Superblock, || {
            format!("a power cut now may leave m{slot} without a superblock: both copies are being written")
        })
    }

    /// `view` is published: it is in the superblock of every member that is to have it.
    pub(crate) fn check_published(&mut self, view: &View) -> Checked {
        if !self.keeps_metadata() {
            return Ok(());
        }
        for slot in view.usable().iter() {
            let excused =
                view.unrecordable.contains(slot) && self.membership.blame[slot.index()].meta_errors > 0;
            let recorded = self.durable_record(slot).map(|r| (r.epoch, r.slots_in(RecordState::InSync)));
            let is_there = recorded.is_some_and(|recorded| recorded == (view.epoch, view.in_sync));
            ensure(excused || is_there, Rule::NotRecorded, || {
                format!("View {} is published, and a power cut leaves {recorded:?} on m{slot}", view.epoch)
            })?;
        }
        Ok(())
    }

    /// A write is about to be acknowledged by a Channel that plans with `view`: no member that counts still
    /// calls one in sync that the write has missed; and what it missed is marked.
    pub(crate) fn check_miss_recorded(&mut self, request: &Request, view: &View) -> Checked {
        if !self.has_log() || view.in_sync == self.filled {
            return Ok(());
        }
        let last = self.layout.region_of(request.lba + request.blocks - 1);
        for region in self.layout.region_of(request.lba)..=last {
            let of_region = self.layout.blocks_of(region);
            let blocks = request.lba.max(of_region.start)..(request.lba + request.blocks).min(of_region.end);
            let holders = blocks.flat_map(|lba| self.layout.places(lba).iter().map(|place| place.0));
            let holders: SlotSet = holders.collect();
            let missed = holders.and(self.filled).minus(view.in_sync);
            // One that took the data and failed to flush it is another matter.
            let said = |slot: Slot, there| request.reached.contains(&(region, slot, there));
            let lacks = |slot: &Slot| !said(*slot, true) || said(*slot, false);
            let missed: SlotSet = missed.iter().filter(lacks).collect();
            if !missed.is_empty() {
                let recorders = view.recorders().and(self.array.published().recorders());
                self.check_missed(region, missed, recorders)?;
            }
        }
        Ok(())
    }

    fn check_missed(&mut self, region: u32, missed: SlotSet, recorders: SlotSet) -> Checked {
        for slot in recorders.iter() {
            let believed = self.durable_record(slot).map(|r| r.slots_in(RecordState::InSync).and(missed));
            ensure(believed.is_some_and(SlotSet::is_empty), Rule::NotRecorded, || {
                format!("a write that missed {missed:?} is acknowledged; m{slot} calls {believed:?} in sync")
            })?;
            ensure(self.is_marked(slot, region), Rule::NotMarked, || {
                format!("a write into region {region} that missed {missed:?} has no mark on m{slot}")
            })?;
        }
        self.owed[region as usize] = true;
        Ok(())
    }

    /// Whether every content that a power cut may leave on `slot` has a mark for `region`.
    pub(crate) fn is_marked(&self, slot: Slot, region: u32) -> bool {
        let (disk, at) = (&self.disks[slot.index()], byte_of(region));
        let pending = |piece: crate::disk::Piece| {
            let touches = piece.touches(at, 1);
            !touches || is_mark(piece.bytes[(at - piece.offset) as usize])
        };
        is_mark(disk.durable_byte(at)) && disk.unsettled().all(pending)
    }

    /// A write into `region` is submitted by a Channel that plans with `view`.
    pub(crate) fn check_marked(&self, region: u32, view: &View) -> Checked {
        // Without those that are out by a View that is durable: they count no more.
        let counts = view.usable().and(self.array.published().usable());
        let bare = self.has_log().then(|| counts.iter().find(|slot| !self.is_marked(*slot, region)));
        ensure(bare.flatten().is_none(), Rule::NotMarked, || {
            format!(
                "a write into region {region}, whose mark a power cut may leave off m{:?}",
                bare.flatten()
            )
        })
    }

    /// A machine submits a metadata I/O.
    pub(crate) fn check_meta(&mut self, owner: Node, io: &MetaIo) -> Checked {
        let disk = &self.disks[io.slot.index()];
        ensure(!disk.closed, Rule::Drained, || format!("{io:?} goes to a drive that was closed"))?;
        let flushes = self.profile.flushes.contains(io.slot);
        ensure(io.flush == flushes, Rule::NotDurable, || {
            format!("metadata without its flush: m{}", io.slot)
        })?;
        if let (Node::Shard(_), Some(MetaWrite::Bytes { offset, bytes })) = (owner, &io.write) {
            let page = (offset - LOG_OFFSET) / 4096;
            for region in (0..self.layout.regions()).filter(|region| u64::from(region / 16) % 256 == page) {
                let byte = bytes[(byte_of(region) - offset) as usize];
                let was_marked = is_mark(self.disks[io.slot.index()].durable_byte(byte_of(region)));
                if was_marked && !is_mark(byte) {
                    self.coverage.saw(crate::coverage::Seen::MarkCleared);
                    self.check_cleared(owner, region)?;
                }
            }
        }
        Ok(())
    }

    /// The mark of `region` is about to be cleared somewhere: no member has missed an acknowledged write there,
    /// and everything that was written is durable on all that count.
    fn check_cleared(&self, owner: Node, region: u32) -> Checked {
        let Node::Shard(shard) = owner else { unreachable!("only Shards clear marks") };
        ensure(!self.owed[region as usize], Rule::NotMarked, || {
            format!("the mark of region {region} is cleared; a member has missed a write there")
        })?;
        let view = self.shard_views[usize::from(shard.0)].as_ref();
        let in_sync = view.map_or(SlotSet::EMPTY, |view| view.in_sync);
        let first = self.layout.blocks_of(region).start;
        for lba in self.layout.blocks_of(region) {
            for (slot, at) in self.layout.places(lba).iter().filter(|place| in_sync.contains(place.0)) {
                let disk = &self.disks[slot.index()];
                let keeps = disk.durable(*at);
                ensure(keeps == disk.content(*at), Rule::NotDurable, || {
                    format!("the mark of region {region} is cleared; block {lba} is in the cache of m{slot}")
                })?;
                let is_right = self.oracle.is_current(lba, keeps, self.oracle.now());
                ensure(is_right, Rule::NotDurable, || {
                    format!("the mark of region {region} is cleared; m{slot} keeps {keeps:?} as block {lba}")
                })?;
            }
        }
        let in_flight = self.disks.iter().flat_map(|disk| &disk.pending);
        let mut in_flight = in_flight.filter(|pending| pending.region == Some(region));
        ensure(in_flight.next().is_none(), Rule::NotMarked, || {
            format!(
                "the mark of region {region} (from block {first}) is cleared with a write in flight there"
            )
        })
    }

    /// Event `seq` is told: its number is in the superblock of every member that is to have it.
    pub(crate) fn check_numbered(&mut self, seq: u64) -> Checked {
        if !self.keeps_metadata() {
            return Ok(());
        }
        let view = View::clone(self.array.published());
        for slot in view.recorders().iter() {
            let last = self.durable_record(slot).map_or(0, |record| record.last_event);
            ensure(last >= seq, Rule::Events, || {
                format!("event {seq} is told, and a power cut leaves event {last} as the last one on m{slot}")
            })?;
        }
        Ok(())
    }
}

impl World {
    /// The state of `region` in a piece of the log.
    pub(crate) fn state_in(piece: &crate::disk::Piece, region: u32) -> Option<RegionState> {
        let at = byte_of(region);
        let byte = || piece.bytes[(at - piece.offset) as usize];
        piece.touches(at, 1).then(byte).and_then(RegionState::from_byte)
    }

    /// What a power cut leaves as the state of `region` on `slot`.
    pub(crate) fn durable_state(&self, slot: Slot, region: u32) -> Option<RegionState> {
        RegionState::from_byte(self.disks[slot.index()].durable_byte(byte_of(region)))
    }
}
