//! The Shard: owns zones of an array on one core. It says who may write there directly, and keeps the part of
//! the dirty log that tells what was being written.
//!
//! ```text
//!   a region's leases:
//!                    mark is durable
//!     none ---Acquire---> Leased{holders} ---revoke---> Revoking{holders, waiting} ---last Release---> none
//!       |                   ^       |                                                     (or Leased again)
//!       | Acquire           |       +--- last Release ---> none (or Taken, for repairs alone)
//!       v                   |
//!     Zeroing ---zeros are on every member, flushed---> Marking ---durable---> Announcing ---acked---+
//!     (Unwritten only)                    (no mark yet) ^                     (was Unwritten)        |
//!                                            Acquire ---+                           Leased <---------+
//! ```
//!
//! Invariants:
//! - a lease is out only while the region's mark is durable on all in-sync members that can be reached
//!   (contract, clause 2);
//! - a mark is cleared only after every lease of the region came back, and a FLUSH that was submitted after
//!   that has succeeded on all members, none of which is missing;
//! - a Channel reads a region by another rule than before only once the Shard waits for nobody any more who
//!   has not heard of it.
//!
//! Everything that waits is looked at again after each event (`Shard::go_on`): no edge can be missed.

mod clean;
mod lease;
mod log;
pub mod region;
mod repair;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

pub use log::LogSpec;
pub use repair::{CopyError, CopyIo};

use crate::fault::Fault;
use crate::format::RegionState;
use crate::geometry::Geometry;
use crate::ids::{ChannelId, Epoch, LeaseGen, RegionId, ShardId, Slot, SlotSet};
use crate::meta::{MetaIo, MetaWrite, Ticket, UnderWay};
use crate::msg::{Planner, ReadRule, Rules, ToArray, ToChannel, ToShard};
use crate::view::View;
use clean::Cleaner;
use lease::Leases;
use log::Log;
use repair::Repairs;

/// A message or order that a Shard wants carried out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FromShard {
    /// To a Channel; one that is closed by now does not mind.
    Channel(ChannelId, ToChannel),
    /// To the Array.
    Array(ToArray),
    /// Metadata I/O; its answer goes to [`Shard::io_done`].
    Io(MetaIo),
    /// A copy between members; its answer goes to [`Shard::copy_done`].
    Copy(CopyIo),
}

/// What a Shard is made with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ShardSpec {
    /// Who it is.
    pub id: ShardId,
    /// The array's shape.
    pub geometry: Arc<Geometry>,
    /// Its part of the dirty log; None for an array that keeps none.
    pub log: Option<LogSpec>,
    /// How long a region is left alone before its mark is cleared: at least this, at most twice.
    pub idle_ms: u64,
}

/// The machine that owns zones of an array.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shard {
    id: ShardId,
    geometry: Arc<Geometry>,
    view: Option<Arc<View>>,
    log: Option<Log>,
    channels: BTreeSet<ChannelId>,
    /// Channels that are told the rules once the log is as durable as it was found.
    joining: BTreeSet<ChannelId>,
    /// Whether the log, as it was found, is durable.
    opened: bool,
    /// Regions with a lease out, or on the way to one; all others are free.
    regions: BTreeMap<RegionId, Leases>,
    /// Those of them that are on the way to one.
    pending: BTreeSet<RegionId>,
    /// The generation of the last grant, over all regions.
    last_lease: LeaseGen,
    /// The number of the last change of a rule.
    last_change: u64,
    cleaner: Cleaner,
    under_way: UnderWay<Errand>,
    /// What is to be written again on members that could not read it.
    repairs: BTreeMap<RegionId, Repairs>,
    copies: UnderWay<RegionId>,
    /// The newest View before which nothing is in flight, as it was told to the Array.
    drained: Epoch,
    outbox: VecDeque<FromShard>,
}

/// What a metadata I/O is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Errand {
    Page { number: u16, slot: Slot },
    Zero { region: RegionId, slot: Slot },
    Flush { slot: Slot, batch: u64 },
}

impl Errand {
    fn slot(self) -> Slot {
        match self {
            Errand::Page { slot, .. } | Errand::Zero { slot, .. } | Errand::Flush { slot, .. } => slot,
        }
    }
}

impl Shard {
    /// A Shard with all its regions free.
    pub fn new(spec: ShardSpec) -> Shard {
        let regions = spec.geometry.regions();
        let log = spec.log.map(|log| Log::new(log, regions));
        let dirty = log.iter().flat_map(Log::all).filter(|(_, state)| *state == RegionState::Dirty);
        Shard {
            id: spec.id,
            geometry: spec.geometry,
            view: None,
            cleaner: Cleaner::new(spec.idle_ms, dirty.map(|(region, _)| region)),
            log,
            channels: BTreeSet::new(),
            joining: BTreeSet::new(),
            opened: false,
            regions: BTreeMap::new(),
            pending: BTreeSet::new(),
            last_lease: LeaseGen(0),
            last_change: 0,
            under_way: UnderWay::default(),
            repairs: BTreeMap::new(),
            copies: UnderWay::default(),
            drained: Epoch(0),
            outbox: VecDeque::new(),
        }
    }

    /// Who this is.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// The View that is planned with; None before the first.
    pub fn view(&self) -> Option<&Arc<View>> {
        self.view.as_ref()
    }

    /// A message to send or an order to carry out, oldest first.
    pub fn take_message(&mut self) -> Option<FromShard> {
        self.outbox.pop_front()
    }

    /// Whether some Channel may have direct writes in flight in `region`.
    pub fn is_leased(&self, region: RegionId) -> bool {
        self.regions.contains_key(&region)
    }

    /// Number of regions that are marked in the log; without a log, of those that are leased.
    pub fn marked_regions(&self) -> u32 {
        self.log.as_ref().map_or(self.regions.len() as u32, Log::marked)
    }

    /// What the log says of `region`; None without a log.
    pub fn region_state(&self, region: RegionId) -> Option<RegionState> {
        Some(self.log.as_ref()?.state(region))
    }

    /// Handles a message.
    pub fn on_message(&mut self, message: ToShard, now_ms: u64) {
        match message {
            ToShard::View(view) => self.swap(view),
            ToShard::ChannelOpened(channel) => {
                self.channels.insert(channel);
                self.joining.insert(channel);
            }
            ToShard::Acquire { channel, region } => self.acquire(channel, region),
            ToShard::Release { channel, region, lease } => self.release(channel, region, Some(lease)),
            ToShard::RuleSeen { channel, region, change } => self.rule_seen(channel, region, change),
            ToShard::Repair { slot, lba, blocks } => {
                self.want_repair(self.geometry.region_of(lba), slot, lba, blocks);
            }
            ToShard::ChannelClosed(channel) => self.close(channel),
            ToShard::Quit => self.cleaner.quit(),
        }
        self.go_on(now_ms);
    }

    /// A metadata I/O has ended.
    pub fn io_done(&mut self, ticket: Ticket, result: Result<(), Fault>, now_ms: u64) {
        let errand = self.under_way.end(ticket);
        let is_transient = result.is_err_and(Fault::is_transient);
        match errand {
            Errand::Page { number, slot } => {
                let log = self.log.as_mut().expect("it has pages");
                match is_transient {
                    true => log.end_transient(number, slot),
                    false => log.end(number, slot, result.is_ok()),
                }
            }
            Errand::Zero { region, slot } => self.zeroed(region, slot, result),
            Errand::Flush { slot, batch } => self.cleaner.flushed(batch, slot, result),
        }
        if let Err(fault) = result
            && !is_transient
        {
            let failed = ToArray::Unrecorded { slot: errand.slot(), fault };
            self.outbox.push_back(FromShard::Array(failed));
        }
        self.go_on(now_ms);
    }

    /// Time has passed.
    pub fn on_time(&mut self, now_ms: u64) {
        self.go_on(now_ms);
    }

    /// When [`Shard::on_time`] is to be called at the latest.
    pub fn deadline_ms(&self) -> Option<u64> {
        self.cleaner.deadline_ms()
    }

    /// Members that metadata is written to.
    fn targets(&self) -> SlotSet {
        self.view.as_ref().map_or(SlotSet::EMPTY, |view| view.recorders())
    }

    /// Members that a mark must be durable on before a write: also those that can't be written it to.
    fn marked_on(&self) -> SlotSet {
        self.view.as_ref().map_or(SlotSet::EMPTY, |view| view.usable())
    }

    fn epoch(&self) -> Epoch {
        self.view.as_ref().map_or(Epoch(0), |view| view.epoch)
    }

    fn swap(&mut self, view: Arc<View>) {
        let planner = Planner::Shard(self.id);
        self.outbox.push_back(FromShard::Array(ToArray::Swapped(planner, view.epoch)));
        self.view = Some(view);
    }

    /// Looks at everything that waits.
    fn go_on(&mut self, now_ms: u64) {
        if self.view.is_none() {
            return;
        }
        self.advance_regions();
        self.advance_repairs();
        self.clean(now_ms);
        self.write_pages();
        self.open();
        self.tell_drained();
    }

    fn write_pages(&mut self) {
        let targets = self.targets();
        while let Some((number, slot, write)) = self.log.as_mut().and_then(|log| log.begin(targets)) {
            self.submit(Errand::Page { number, slot }, Some(write));
        }
    }

    /// Channels read by the rules only once these are durable: a source that is forgotten in a crash could
    /// be another one after it.
    fn open(&mut self) {
        let targets = self.targets();
        self.opened |= self.log.as_ref().is_none_or(|log| log.is_all_durable(targets));
        if !self.opened || self.joining.is_empty() {
            return;
        }
        let regions = self.log.iter().flat_map(Log::all);
        let regions = regions.filter_map(|(id, state)| Some((id, rule_of(state)?))).collect();
        let rules = Arc::new(Rules { epoch: self.epoch(), regions });
        for channel in std::mem::take(&mut self.joining) {
            let rules = ToChannel::Rules(Arc::clone(&rules));
            self.outbox.push_back(FromShard::Channel(channel, rules));
        }
    }

    fn tell_drained(&mut self) {
        let epoch = self.epoch();
        let oldest = self.under_way.oldest().into_iter().chain(self.copies.oldest()).min();
        if self.drained < epoch && oldest.is_none_or(|oldest| oldest >= epoch) {
            self.drained = epoch;
            let planner = Planner::Shard(self.id);
            self.outbox.push_back(FromShard::Array(ToArray::Drained(planner, epoch)));
        }
    }

    fn submit(&mut self, errand: Errand, write: Option<MetaWrite>) {
        let view = self.view.as_ref().expect("I/O is planned under a View");
        let slot = errand.slot();
        let flush = view.flushes.contains(slot);
        let ticket = self.under_way.begin(view.epoch, errand);
        self.outbox.push_back(FromShard::Io(MetaIo { ticket, slot, write, flush }));
    }

    fn close(&mut self, channel: ChannelId) {
        self.channels.remove(&channel);
        self.joining.remove(&channel);
        self.drop_channel(channel);
    }
}

/// How Channels read a region in `state`; None: from any in-sync copy.
fn rule_of(state: RegionState) -> Option<ReadRule> {
    match state {
        RegionState::Unwritten => Some(ReadRule::Zeros),
        RegionState::Clean | RegionState::Dirty => None,
        RegionState::NeedSync { source } | RegionState::Syncing { source } => Some(ReadRule::From(source)),
    }
}

#[cfg(test)]
mod tests;
