//! Mirrors that a host runs, word by word: the real [`Array`] over superblock copies on drives, a Channel, and
//! what is on its way between them. What a drive holds is written with [`format::encode`] and read with
//! [`format::decode`], and a start is what assembly makes of it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::Array;
use crate::array::{ArraySpec, ErrorLimits, FromArray, RecordSpec};
use crate::assembly::{ArrayFound, Asked, Found, Start, Verdict, judge};
use crate::fault::{Fault, FaultKind};
use crate::format::{
    self, Consistency, Damage, Features, Generation, MemberRecord, Policy, RecordState, Shape, ShutDown,
    Superblock, Uuid16, newest_copy,
};
use crate::geometry::{Geometry, GeometrySpec, Level};
use crate::ids::{ChannelId, Epoch, Slot, SlotSet};
use crate::meta::{MetaIo, MetaWrite, Ticket};
use crate::msg::{FaultClass, Planner, ToArray, ToChannel};
use crate::view::{OnFailed, View};

pub const HOSTS: [Uuid16; 2] = [Uuid16([1; 16]), Uuid16([2; 16])];
const CHANNEL: ChannelId = ChannelId(1);
const BLOCKS: u64 = 20_000;
const LIMITS: ErrorLimits = ErrorLimits { read: 20, write: 1 };

/// The two superblock copies of a drive; None: damaged, or never written.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Drive {
    pub copies: [Option<Arc<Superblock>>; 2],
}

impl fmt::Debug for Drive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let copy = |record: &Arc<Superblock>| {
            let in_sync = record.slots_in(RecordState::InSync);
            let history: Vec<String> = record.history.iter().map(Generation::to_string).collect();
            format!("v{} {in_sync:?} {} after {history:?}", record.version, record.generation)
        };
        f.debug_list().entries(self.copies.iter().map(|record| record.as_ref().map(copy))).finish()
    }
}

impl Drive {
    /// What assembly sees of it, as the drive of the member in `slot`.
    pub fn found(&self, slot: Slot) -> Found {
        let copy = |n: usize| self.copies[n].as_deref().cloned().ok_or(Damage::NoMagic);
        Found {
            drive: name(slot),
            blocks: BLOCKS,
            block_size: 512,
            copies: [copy(0), copy(1)],
            serial: String::new(),
            nguid: [0; 16],
        }
    }

    /// The record that counts.
    pub fn record(&self) -> Option<&Arc<Superblock>> {
        self.copies.iter().flatten().max_by_key(|record| record.version)
    }
}

fn name(slot: Slot) -> String {
    format!("d{slot}")
}

/// The slot of the member that was made on `drive`.
pub fn slot_of(drive: &str) -> Slot {
    Slot(drive.trim_start_matches('d').parse().expect("drives are named by slot"))
}

/// A clean mirror of new drives.
pub fn new_drives(members: usize) -> Vec<Drive> {
    let geometry = geometry(members);
    let member = |slot: u8| MemberRecord {
        uuid: Uuid16([slot + 1; 16]),
        state: RecordState::InSync,
        blocks: BLOCKS,
        flushes: true,
        drive: name(Slot(slot)),
        ..MemberRecord::missing()
    };
    let record = Superblock {
        features: Features::default(),
        version: 1,
        array: Uuid16([9; 16]),
        name: "data".to_owned(),
        slot: Slot(0),
        shape: Shape::of(&geometry),
        epoch: Epoch(1),
        generation: Generation(1),
        history: Vec::new(),
        shut_down: ShutDown::Clean,
        policy: Policy {
            consistency: Consistency::Bitmap,
            on_failed: OnFailed::Error,
            limits: LIMITS,
            member_timeout_ms: 10_000,
            start_degraded_after_ms: None,
        },
        host: HOSTS[0],
        heartbeat_ms: 0,
        members: (0..members as u8).map(member).collect(),
        checkpoint: None,
        bad_blocks: Vec::new(),
        last_event: 0,
        events: Vec::new(),
    };
    let slots = (0..members as u8).map(Slot);
    slots.map(|slot| Drive { copies: [Some(Arc::new(record.on(slot))), None] }).collect()
}

fn geometry(members: usize) -> Arc<Geometry> {
    static GEOMETRIES: [OnceLock<Arc<Geometry>>; 5] = [const { OnceLock::new() }; 5];
    let build = || {
        let spec = GeometrySpec {
            level: Level::Raid1,
            block_size: 512,
            member_blocks: vec![Some(BLOCKS); members],
            chunk_blocks: 0,
            region_blocks: Some(64),
            data_offset_blocks: 16_384,
        };
        Arc::new(spec.build().expect("a possible shape"))
    };
    Arc::clone(GEOMETRIES[members].get_or_init(build))
}

/// What assembly says of the drives in `slots`; None: nothing is on them.
pub fn judged(drives: &[Drive], slots: SlotSet, host: Uuid16) -> Option<ArrayFound> {
    judge(&found(drives, slots), host, 0).arrays.pop()
}

pub fn found(drives: &[Drive], slots: SlotSet) -> Vec<Found> {
    slots.iter().map(|slot| drives[slot.index()].found(slot)).collect()
}

/// Whether an operator can start it.
pub fn is_startable(array: &ArrayFound) -> bool {
    matches!(array.start(Asked::Force, 0, 0), Start::Now | Start::Degraded { .. })
}

/// Every set of some of `slots`.
pub fn subsets(slots: SlotSet) -> impl Iterator<Item = SlotSet> {
    let all: Vec<Slot> = slots.iter().collect();
    (1u32..1 << all.len()).map(move |bits| {
        let chosen = all.iter().enumerate().filter(|(n, _)| bits >> n & 1 == 1);
        chosen.map(|(_, slot)| *slot).collect()
    })
}

/// A superblock write.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Flight {
    ticket: Ticket,
    pub slot: Slot,
    copy: usize,
    record: Arc<Superblock>,
    pub at: Progress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Progress {
    Sent,
    /// The copy is damaged.
    Torn,
    /// The copy is whole and durable.
    Landed,
}

/// A host that runs the array.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Host {
    pub array: Array,
    /// What it was started from.
    pub led_by: Arc<Superblock>,
    /// The members that it was started with.
    pub present: SlotSet,
    pub flights: Vec<Flight>,
    pub to_channel: VecDeque<ToChannel>,
    pub to_array: VecDeque<ToArray>,
    /// The Channel's.
    pub view: Option<Arc<View>>,
    settled: Epoch,
    reports: u64,
    kept: Vec<(Slot, u64)>,
    pub is_finished: bool,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flights = self.flights.iter();
        let flights = flights.map(|flight| (flight.slot, flight.copy, flight.record.epoch, flight.at));
        f.debug_struct("Host")
            .field("array_view", self.array.view())
            .field("published", &self.array.published().epoch)
            .field("channel_view", &self.view)
            .field("flights", &flights.collect::<Vec<_>>())
            .field("to_array", &self.to_array)
            .field("settled", &self.settled)
            .field("kept", &self.kept)
            .finish_non_exhaustive()
    }
}

impl Host {
    /// Starts what was found, as the daemon does; it is known to be startable.
    pub fn start(found: &ArrayFound, drives: &[Drive], host: Uuid16, seed: u64) -> Host {
        let leader = found.leader().expect("an array that starts has one");
        let mut record = leader.clone();
        record.version = record.version.max(found.top_version);
        (record.shut_down, record.host) = (ShutDown::Unclean, host);
        let in_sync = |slot: Slot| {
            found
                .drives
                .iter()
                .find(|one| one.verdict == Verdict::InSync { slot })
                .map(|one| slot_of(&one.drive))
        };
        let slots = || (0..drives.len() as u8).map(Slot);
        let copy_of = |slot: Slot| newest_copy(&drives[in_sync(slot)?.index()].found(slot).copies);
        let spec = ArraySpec {
            geometry: geometry(drives.len()),
            drives: slots().map(|slot| in_sync(slot).map(name)).collect(),
            flushes: SlotSet::first(drives.len()),
            on_failed: OnFailed::Error,
            limits: LIMITS,
            shards: 0,
            record: Some(RecordSpec {
                record,
                newest_copy: slots().map(|slot| copy_of(slot).map(|copy| copy as u8)).collect(),
                seed,
            }),
        };
        let mut host = Host {
            array: Array::new(spec, 0),
            led_by: Arc::new(leader.clone()),
            present: found.in_sync(),
            flights: Vec::new(),
            to_channel: VecDeque::new(),
            to_array: VecDeque::from([ToArray::ChannelOpened(CHANNEL)]),
            view: None,
            settled: Epoch(0),
            reports: 0,
            kept: Vec::new(),
            is_finished: false,
        };
        host.pump();
        host
    }

    /// What the Array has ordered is on its way.
    pub fn pump(&mut self) {
        while let Some(order) = self.array.take_order() {
            match order {
                FromArray::Channel(_, message) => self.to_channel.push_back(message),
                // What a crash left is durable in this world: there is no cache to settle.
                FromArray::Io(io) if io.write.is_none() => self.array.io_done(io.ticket, Ok(()), 0),
                FromArray::Io(io) => self.send(io),
                FromArray::Finished => self.is_finished = true,
                FromArray::Shard(..) | FromArray::CloseMember(_) => {}
                FromArray::ResetMember(slot) => unreachable!("slot {slot} has not timed out"),
            }
        }
    }

    fn send(&mut self, MetaIo { ticket, slot, write, flush }: MetaIo) {
        assert!(flush, "a record is flushed");
        let Some(MetaWrite::Bytes { offset, bytes }) = write else { unreachable!("a record is bytes") };
        let copy = format::COPY_OFFSETS.iter().position(|at| *at == offset).expect("a copy's place");
        let record = Arc::new(format::decode(&bytes).expect("what is written can be read"));
        assert_eq!(record.slot, slot);
        let is_alone = self.flights.iter().all(|flight| flight.slot != slot);
        assert!(is_alone, "two records are written to slot {slot} at once");
        self.flights.push(Flight { ticket, slot, copy, record, at: Progress::Sent });
    }

    /// The next message reaches the Array.
    pub fn deliver_to_array(&mut self) {
        let message = self.to_array.pop_front().expect("there is one");
        self.array.on_message(message, 0);
        self.pump();
    }

    /// The next message reaches the Channel.
    pub fn deliver_to_channel(&mut self) {
        match self.to_channel.pop_front().expect("there is one") {
            ToChannel::View(view) => {
                let (planner, epoch) = (Planner::Channel(CHANNEL), view.epoch);
                let newest = self.view.as_ref().map_or(Epoch(0), |view| view.epoch);
                assert!(epoch > newest, "Views come in order");
                self.to_array.extend([ToArray::Swapped(planner, epoch), ToArray::Drained(planner, epoch)]);
                self.view = Some(view);
            }
            ToChannel::Settled(epoch) => self.settled = self.settled.max(epoch),
            ToChannel::Kept { slot, report } => self.kept.push((slot, report)),
            other => unreachable!("the Array does not say {other:?}"),
        }
    }

    /// The write tears the copy.
    pub fn tear(&mut self, n: usize, drives: &mut [Drive]) {
        let flight = &mut self.flights[n];
        flight.at = Progress::Torn;
        drives[flight.slot.index()].copies[flight.copy] = None;
    }

    /// The write is durable.
    pub fn land(&mut self, n: usize, drives: &mut [Drive]) {
        let flight = &mut self.flights[n];
        flight.at = Progress::Landed;
        drives[flight.slot.index()].copies[flight.copy] = Some(Arc::clone(&flight.record));
    }

    /// The write is answered.
    pub fn answer(&mut self, n: usize, fault: Option<FaultKind>) {
        let flight = self.flights.remove(n);
        self.array.io_done(flight.ticket, fault.map_or(Ok(()), |kind| Err(Fault::of(kind))), 0);
        self.pump();
    }

    /// The drive is gone, and what was on its way there fails.
    pub fn lose(&mut self, slot: Slot) {
        self.array.member_gone(slot, 0);
        self.pump();
    }

    /// A write failed on `slot`: the number of the report about it.
    pub fn report(&mut self, slot: Slot) -> u64 {
        self.reports += 1;
        let report = self.reports;
        let (class, fault) = (FaultClass::Write, Fault::of(FaultKind::Media));
        self.to_array.push_back(ToArray::Report { channel: CHANNEL, report, slot, class, fault });
        report
    }

    /// Members that a write that is planned now goes to; None: it waits, or fails.
    pub fn writes_to(&self) -> Option<SlotSet> {
        let view = self.view.as_ref().filter(|view| !view.is_frozen() && view.can_record())?;
        Some(view.usable())
    }

    /// Whether a write that missed `slot` may be acknowledged: everybody plans without the member by now.
    pub fn may_acknowledge(&self, slot: Slot) -> bool {
        let without = |view: &Arc<View>| !view.in_sync.contains(slot) && view.epoch <= self.settled;
        self.view.as_ref().is_some_and(without)
    }

    /// Whether a write that missed `slot` fails: the member stays, or is frozen in.
    pub fn must_fail(&self, slot: Slot, report: u64) -> bool {
        let is_frozen = |view: &Arc<View>| view.in_sync.contains(slot) && !view.reachable.contains(slot);
        self.view.as_ref().is_some_and(is_frozen)
            || self.kept.iter().any(|kept| kept.0 == slot && kept.1 >= report)
    }

    pub fn moves(&self) -> bool {
        !self.flights.is_empty() || !self.to_array.is_empty() || !self.to_channel.is_empty()
    }

    /// No Channel is left, and the array ends.
    pub fn finish(&mut self) {
        self.array.on_message(ToArray::ChannelClosed(CHANNEL), 0);
        self.array.finish(0);
        self.pump();
    }

    /// Everything on its way arrives in order, until `records` records were written. False: all stops there.
    pub fn settle(&mut self, drives: &mut [Drive], records: usize) -> bool {
        let mut left = records;
        while self.moves() {
            if !self.to_array.is_empty() {
                self.deliver_to_array();
            } else if !self.to_channel.is_empty() {
                self.deliver_to_channel();
            } else if left == 0 {
                return false;
            } else {
                left -= 1;
                self.land(0, drives);
                self.answer(0, None);
            }
        }
        true
    }

    /// Members that count on what is published and lack it. What a start has found is not published by it.
    pub fn lacks_published(&self, drives: &[Drive]) -> SlotSet {
        let published = self.array.published();
        if published.epoch == self.led_by.epoch {
            return SlotSet::EMPTY;
        }
        let has = |slot: &Slot| {
            let record = drives[slot.index()].record();
            record.is_some_and(|record| {
                let in_sync = record.slots_in(RecordState::InSync);
                record.epoch > published.epoch
                    || (record.epoch, in_sync) == (published.epoch, published.in_sync)
            })
        };
        let targets = published.recorders().and(self.array.view().recorders());
        targets.iter().filter(|slot| !has(slot)).collect()
    }

    /// Whether the generation says what it must: a new one when a member was lost or the start was degraded; and
    /// the one that was found is in the past.
    pub fn generation_is_right(&self) -> bool {
        let record = self.array.record().expect("it has one");
        let all = SlotSet::first(record.members.len());
        let lost = self.array.view().in_sync != all || self.present != all;
        let is_new = record.generation != self.led_by.generation;
        (is_new || !lost) && self.led_by.is_ancestor_of(record)
    }
}
