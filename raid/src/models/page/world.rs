//! What surrounds the Shard: members, a Channel, an Array, and what is on its way between them.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use crate::fault::{Fault, FaultKind};
use crate::format::{DecodedPage, LogPage, RegionState, Uuid16, log, merge};
use crate::geometry::{Geometry, GeometrySpec, Level};
use crate::ids::{ChannelId, Epoch, LeaseGen, RegionId, ShardId, Slot, SlotSet};
use crate::meta::{MetaIo, MetaWrite};
use crate::msg::{ReadRule, ToArray, ToChannel, ToShard};
use crate::shard::{FromShard, LogSpec, Shard, ShardSpec};
use crate::view::{OnFailed, View};

pub const REGIONS: usize = 2;
const MEMBERS: usize = 2;
const CHANNEL: ChannelId = ChannelId(1);
const ARRAY: Uuid16 = Uuid16([7; 16]);
const IDLE_MS: u64 = 1000;

/// What the members hold of a region's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Data {
    /// The same, durably, on all members of the array.
    Same,
    /// A write is in flight, or in caches: flushed on these members. Writes are numbered.
    Volatile { write: u8, flushed: SlotSet },
    /// Some member may lack a write for good: a crash came in between, or the member was out.
    Differs,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Disk {
    page: Arc<[u8]>,
    /// Region 1, which begins as Unwritten, was zeroed.
    pub is_zeroed: bool,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Flight {
    io: MetaIo,
    /// It has taken effect on the drive.
    pub is_there: bool,
    /// Writes that had completed when it was sent: what its FLUSH is good for.
    covers: [Option<u8>; REGIONS],
}

/// How much of the bounds is used up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Spent {
    pub acquires: u8,
    pub writes: u8,
    pub faults: u8,
    pub tears: u8,
    pub sweeps: u8,
    pub crashes: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum End {
    Running,
    Quitting,
    Flushed,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub struct World {
    shard: Shard,
    pub disks: [Disk; MEMBERS],
    pub flights: Vec<Flight>,
    /// The Array's.
    pub view: View,
    pub from_array: VecDeque<ToShard>,
    pub from_channel: VecDeque<ToShard>,
    pub to_channel: VecDeque<ToChannel>,
    pub to_array: VecDeque<ToArray>,
    /// The Channel's: how it reads, once it was told.
    pub rules: Option<[Option<ReadRule>; REGIONS]>,
    leases: [Option<LeaseGen>; REGIONS],
    wants: [bool; REGIONS],
    pub writing: [bool; REGIONS],
    pub data: [Data; REGIONS],
    /// Sources that some reader was told, before or after a crash.
    sources: [Option<Slot>; REGIONS],
    /// A reader was told another source, or none, while members differ; or reads zeros from what is written.
    pub went_back: bool,
    /// Zeros landed on what was written.
    pub is_wiped: bool,
    end: End,
    now_ms: u64,
    pub spent: Spent,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let states = |slot: u8| [0, 1].map(|region| self.on_disk(Slot(slot), region));
        let in_memory = [0, 1].map(|region| self.shard.region_state(RegionId(region)));
        f.debug_struct("World")
            .field("on_disk", &[states(0), states(1)])
            .field("in_memory", &in_memory)
            .field("view", &self.view)
            .field("to_channel", &self.to_channel)
            .field("from_channel", &self.from_channel)
            .field("leases", &self.leases)
            .field("wants", &self.wants)
            .field("writing", &self.writing)
            .field("data", &self.data)
            .field("sources", &self.sources)
            .field("flights", &self.flights.len())
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

/// Whether a start after a crash knows from `state` that members may differ.
pub fn is_mark(state: RegionState) -> bool {
    !matches!(state, RegionState::Clean | RegionState::Unwritten)
}

fn geometry() -> Arc<Geometry> {
    let spec = GeometrySpec {
        level: Level::Raid1,
        block_size: 512,
        member_blocks: vec![Some(16_384 + 128); MEMBERS],
        chunk_blocks: 0,
        region_blocks: Some(64),
        data_offset_blocks: 16_384,
    };
    let geometry = spec.build().expect("a possible shape");
    assert_eq!(geometry.regions() as usize, REGIONS);
    Arc::new(geometry)
}

fn shard(page: LogPage, crashed: Option<Slot>) -> Shard {
    let log = LogSpec { array: ARRAY, members: MEMBERS, pages: BTreeMap::from([(0, page)]), crashed };
    Shard::new(ShardSpec { id: ShardId(0), geometry: geometry(), log: Some(log), idle_ms: IDLE_MS })
}

fn view(epoch: Epoch, in_sync: SlotSet, unrecordable: SlotSet) -> View {
    View {
        epoch,
        in_sync,
        reachable: in_sync,
        attached: in_sync,
        flushes: in_sync,
        unrecordable,
        on_failed: OnFailed::Error,
    }
}

impl World {
    /// Region 0 is Clean, region 1 was never written; the Channel has heard how to read.
    pub fn new() -> World {
        let mut page = LogPage::new();
        page.set(0, RegionState::Clean);
        let disk = Disk { page: Arc::from(&page.encode(ARRAY, 0)[..]), is_zeroed: false };
        let mut world = World {
            shard: shard(page, None),
            disks: [disk.clone(), disk],
            flights: Vec::new(),
            view: view(Epoch(0), SlotSet::first(MEMBERS), SlotSet::EMPTY),
            from_array: VecDeque::new(),
            from_channel: VecDeque::new(),
            to_channel: VecDeque::new(),
            to_array: VecDeque::new(),
            rules: None,
            leases: [None; REGIONS],
            wants: [false; REGIONS],
            writing: [false; REGIONS],
            data: [Data::Same; REGIONS],
            sources: [None; REGIONS],
            went_back: false,
            is_wiped: false,
            end: End::Running,
            now_ms: 0,
            spent: Spent::default(),
        };
        world.open();
        world.settle();
        world
    }

    fn open(&mut self) {
        self.publish(self.view.in_sync, self.view.unrecordable);
        self.from_channel.push_back(ToShard::ChannelOpened(CHANNEL));
    }

    fn publish(&mut self, in_sync: SlotSet, unrecordable: SlotSet) {
        self.view = view(self.view.epoch.next(), in_sync, unrecordable);
        self.from_array.push_back(ToShard::View(Arc::new(self.view.clone())));
    }

    /// Everything that is on its way arrives, well and in the order in which it was sent.
    fn settle(&mut self) {
        while self.moves() {
            if !self.from_array.is_empty() {
                self.deliver_from_array();
            } else if !self.from_channel.is_empty() {
                self.deliver_from_channel();
            } else if !self.to_channel.is_empty() {
                self.deliver_to_channel();
            } else if !self.to_array.is_empty() {
                self.deliver_to_array();
            } else {
                self.land(0);
                self.done(0);
            }
        }
    }

    pub fn moves(&self) -> bool {
        let queued = !self.from_array.is_empty() || !self.from_channel.is_empty();
        queued || !self.to_channel.is_empty() || !self.to_array.is_empty() || !self.flights.is_empty()
    }

    /// Whether somebody waits for an answer of the Shard.
    pub fn waits(&self) -> bool {
        let opens = self.rules.is_none() && self.end == End::Running && self.view.can_record();
        opens || self.wants.contains(&true) || self.end == End::Quitting && self.view.can_record()
    }

    pub fn on_disk(&self, slot: Slot, region: usize) -> RegionState {
        let page = DecodedPage::decode(&self.disks[slot.index()].page, ARRAY, 0, MEMBERS);
        page.get(region).unwrap_or(RegionState::NeedSync { source: slot })
    }

    /// Every set of members with which the array could go on.
    pub fn survivors(&self) -> Vec<SlotSet> {
        let sets = [[0].as_slice(), &[1], &[0, 1]];
        let sets = sets.map(|slots| slots.iter().copied().map(Slot).collect::<SlotSet>());
        sets.into_iter().filter(|set| set.minus(self.view.in_sync).is_empty()).collect()
    }

    /// What these members' pages say together.
    pub fn merged(&self, members: SlotSet) -> Vec<RegionState> {
        let page = |slot: Slot| DecodedPage::decode(&self.disks[slot.index()].page, ARRAY, 0, MEMBERS);
        let pages: Vec<DecodedPage> = members.iter().map(page).collect();
        merge(&pages, members.iter().next().expect("somebody is left"))
    }

    /// Regions that the Channel may write to, as far as the Shard knows.
    pub fn leased(&self) -> impl Iterator<Item = usize> {
        let granted = |region: usize| {
            self.to_channel.iter().any(
                |message| matches!(message, ToChannel::Grant { region: of, .. } if of.0 as usize == region),
            )
        };
        (0..REGIONS).filter(move |region| self.leases[*region].is_some() || granted(*region))
    }

    fn tell_shard(&mut self, message: ToShard) {
        self.shard.on_message(message, self.now_ms);
        self.pump();
    }

    /// What the Shard has sent is on its way.
    fn pump(&mut self) {
        while let Some(message) = self.shard.take_message() {
            match message {
                FromShard::Channel(_, message) => self.to_channel.push_back(message),
                FromShard::Array(message) => self.to_array.push_back(message),
                FromShard::Copy(io) => unreachable!("nobody has asked for a repair: {io:?}"),
                FromShard::Io(io) => {
                    let completed = |region: usize| match self.data[region] {
                        Data::Volatile { write, .. } if !self.writing[region] => Some(write),
                        _ => None,
                    };
                    let covers = std::array::from_fn(completed);
                    let is_there = io.write.is_none();
                    self.flights.push(Flight { io, is_there, covers });
                }
            }
        }
    }

    pub fn may_acquire(&self, region: usize) -> bool {
        let is_open = self.rules.is_some() && self.end == End::Running;
        is_open && !self.wants[region] && self.leases[region].is_none()
    }

    pub fn acquire(&mut self, region: usize) {
        self.spent.acquires += 1;
        self.wants[region] = true;
        let region = RegionId(region as u32);
        self.from_channel.push_back(ToShard::Acquire { channel: CHANNEL, region });
    }

    pub fn may_write(&self, region: usize) -> bool {
        self.leases[region].is_some() && !self.writing[region]
    }

    pub fn write(&mut self, region: usize) {
        self.spent.writes += 1;
        self.writing[region] = true;
        let is_missed = self.view.in_sync.len() < MEMBERS || self.data[region] == Data::Differs;
        let write = Data::Volatile { write: self.spent.writes, flushed: SlotSet::EMPTY };
        self.data[region] = if is_missed { Data::Differs } else { write };
    }

    pub fn written(&mut self, region: usize) {
        self.writing[region] = false;
    }

    pub fn deliver_from_array(&mut self) {
        let message = self.from_array.pop_front().expect("there is one");
        self.tell_shard(message);
    }

    pub fn deliver_from_channel(&mut self) {
        let message = self.from_channel.pop_front().expect("there is one");
        self.tell_shard(message);
    }

    pub fn deliver_to_array(&mut self) {
        match self.to_array.pop_front().expect("there is one") {
            ToArray::Unrecorded { slot, .. } if self.view.recorders().contains(slot) => self.fail(slot),
            ToArray::ShardFlushed(_) => self.end = End::Flushed,
            _ => {}
        }
    }

    /// The Array takes the member out, unless it is the last one.
    fn fail(&mut self, slot: Slot) {
        if self.view.in_sync.len() == 1 {
            return self.publish(self.view.in_sync, SlotSet::from_iter([slot]));
        }
        self.lose(self.view.in_sync.without(slot));
        self.publish(self.view.in_sync.without(slot), SlotSet::EMPTY);
    }

    /// From now on only `left` have what is written.
    fn lose(&mut self, left: SlotSet) {
        if left.len() < MEMBERS {
            let missed = self.data.iter_mut().filter(|data| **data != Data::Same);
            missed.for_each(|data| *data = Data::Differs);
        }
    }

    pub fn deliver_to_channel(&mut self) {
        match self.to_channel.pop_front().expect("there is one") {
            ToChannel::Rules(rules) => {
                self.rules = Some([None; REGIONS]);
                let rule_of = |region: usize| {
                    let rule = rules.regions.iter().find(|(of, _)| of.0 as usize == region);
                    rule.map(|(_, rule)| *rule)
                };
                (0..REGIONS).for_each(|region| self.read_by(region, rule_of(region)));
            }
            ToChannel::Rule { region, rule, change, .. } => {
                self.read_by(region.0 as usize, rule);
                self.from_channel.push_back(ToShard::RuleSeen { channel: CHANNEL, region, change });
            }
            ToChannel::Grant { region, lease } => {
                let region = region.0 as usize;
                (self.wants[region], self.leases[region]) = (false, Some(lease));
                let reads_zeros = self.rules.is_none_or(|rules| rules[region] == Some(ReadRule::Zeros));
                self.went_back |= reads_zeros;
            }
            ToChannel::Denied { region } => self.wants[region.0 as usize] = false,
            ToChannel::GiveBackIfIdle { region, lease } | ToChannel::Revoke { region, lease } => {
                let at = region.0 as usize;
                if self.leases[at] == Some(lease) && !self.writing[at] {
                    self.leases[at] = None;
                    self.from_channel.push_back(ToShard::Release { channel: CHANNEL, region, lease });
                }
            }
            ToChannel::View(_) | ToChannel::Settled(_) | ToChannel::Kept { .. } => {
                unreachable!("a Shard does not say this")
            }
        }
    }

    fn read_by(&mut self, region: usize, rule: Option<ReadRule>) {
        self.rules.as_mut().expect("it was told all of them")[region] = rule;
        let source = match rule {
            Some(ReadRule::From(source)) => Some(source),
            Some(ReadRule::Zeros) | None => None,
        };
        let before = self.sources[region];
        // Who is away, or has lost the page, can't be read from.
        let is_here = before.is_some_and(|before| self.view.in_sync.contains(before));
        self.went_back |= is_here && source != before;
        // Nobody may read from any member where they differ since a crash.
        let crashed = self.spent.crashes > 0 && self.view.in_sync.len() > 1;
        self.went_back |= crashed && self.data[region] == Data::Differs && source.is_none();
        self.sources[region] = source.or(before);
    }

    /// The write of a page damages what is on the drive.
    pub fn tear(&mut self, n: usize) {
        self.spent.tears += 1;
        self.disks[self.flights[n].io.slot.index()].page = Arc::from(&[0; log::PAGE_BYTES][..]);
    }

    pub fn may_tear(&self, n: usize) -> bool {
        let flight = &self.flights[n];
        !flight.is_there && matches!(flight.io.write, Some(MetaWrite::Bytes { .. }))
    }

    pub fn land(&mut self, n: usize) {
        let flight = &mut self.flights[n];
        flight.is_there = true;
        let disk = &mut self.disks[flight.io.slot.index()];
        match &flight.io.write {
            Some(MetaWrite::Bytes { offset, bytes }) => {
                assert_eq!((*offset, bytes.len()), (crate::format::LOG_OFFSET, log::PAGE_BYTES));
                disk.page = Arc::clone(bytes);
            }
            Some(MetaWrite::Zeroes { .. }) => {
                self.is_wiped |= self.data[1] != Data::Same && self.view.in_sync.contains(flight.io.slot);
                disk.is_zeroed = true;
            }
            None => {}
        }
    }

    pub fn done(&mut self, n: usize) {
        let flight = self.flights.remove(n);
        for (data, covered) in self.data.iter_mut().zip(flight.covers) {
            if let Data::Volatile { write, flushed } = data
                && covered == Some(*write)
            {
                flushed.insert(flight.io.slot);
                if flushed.len() == MEMBERS {
                    *data = Data::Same;
                }
            }
        }
        self.shard.io_done(flight.io.ticket, Ok(()), self.now_ms);
        self.pump();
    }

    pub fn failed(&mut self, n: usize, kind: FaultKind) {
        self.spent.faults += 1;
        let flight = self.flights.remove(n);
        self.shard.io_done(flight.io.ticket, Err(Fault::of(kind)), self.now_ms);
        self.pump();
    }

    /// Whether the Shard wants to be called when time has passed.
    pub fn sweeps_next(&self) -> bool {
        self.shard.deadline_ms().is_some()
    }

    pub fn sweep(&mut self) {
        self.spent.sweeps += 1;
        self.now_ms = self.shard.deadline_ms().expect("it was asked before").max(self.now_ms);
        self.shard.on_time(self.now_ms);
        self.pump();
    }

    pub fn may_quit(&self) -> bool {
        self.end == End::Running && !self.writing.contains(&true) && !self.wants.contains(&true)
    }

    pub fn quit(&mut self) {
        self.end = End::Quitting;
        self.leases = [None; REGIONS];
        self.to_channel.clear();
        self.from_channel.push_back(ToShard::ChannelClosed(CHANNEL));
        self.from_channel.push_back(ToShard::Quit);
    }

    /// All stops; what is on the drives stays. The array starts again with `survivors`.
    pub fn crash(&mut self, survivors: SlotSet) {
        let was_flushed = self.end == End::Flushed;
        let merged = self.merged(survivors);
        let generation =
            |slot: Slot| DecodedPage::decode(&self.disks[slot.index()].page, ARRAY, 0, MEMBERS).generation();
        let mut page = LogPage::new();
        page.generation = survivors.iter().filter_map(generation).max().unwrap_or(0);
        merged.into_iter().enumerate().for_each(|(index, state)| page.set(index, state));
        let crashed = survivors.iter().next().filter(|_| !was_flushed);
        let volatile = self.data.iter_mut().filter(|data| **data != Data::Same);
        volatile.for_each(|data| *data = Data::Differs);
        let spent = Spent { crashes: self.spent.crashes + 1, ..self.spent.clone() };
        let (disks, data, sources) = (self.disks.clone(), self.data, self.sources);
        let view = view(self.view.epoch, survivors, SlotSet::EMPTY);
        *self = World {
            shard: shard(page, crashed),
            disks,
            data,
            sources,
            view,
            flights: Vec::new(),
            from_array: VecDeque::new(),
            from_channel: VecDeque::new(),
            to_channel: VecDeque::new(),
            to_array: VecDeque::new(),
            rules: None,
            leases: [None; REGIONS],
            wants: [false; REGIONS],
            writing: [false; REGIONS],
            went_back: self.went_back,
            is_wiped: self.is_wiped,
            end: End::Running,
            now_ms: 0,
            spent,
        };
        self.open();
    }
}
