//! The Channel: turns host I/O into member I/O on the thread that received it.
//!
//! A driver keeps one [`HostIo`] per host I/O and asks [`Channel::next`] what to do until it says
//! [`Step::Wait`] or [`Step::Done`]; it feeds back [`Channel::child_done`] and [`Channel::on_message`], and
//! after each of them runs the I/Os of [`Channel::take_ready`] and sends what [`Channel::take_message`] has.
//! One message is handled, and its ready I/Os are run, before the next: a granted lease must not be revoked
//! under the writes that waited for it.
//!
//! Invariants:
//! - a write goes to every in-sync member of its View, or it waits until the View without the member that
//!   it missed has settled, or it fails (contract, clause 1);
//! - a direct write into a region of a redundant array is counted under that region's lease; one that missed
//!   a member until that has settled, because a Shard that has not heard of it may clear the region's mark;
//! - `Drained(n)` is said only when no segment that was planned under an older View is in flight.

mod balance;
mod inflight;
mod io;
mod leases;
mod overdue;
mod plan;
mod rules;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

pub use io::{CHILDREN_MAX, Child, HostIo, Move, Op, Step};

use crate::fault::{Fault, FaultKind};
use crate::geometry::Geometry;
use crate::ids::{ChannelId, Epoch, IoId, RegionId, SLOTS_MAX, ShardId, Slot};
use crate::msg::{FaultClass, Planner, ReadRule, ToArray, ToChannel, ToShard};
use crate::view::{OnFailed, View};
use balance::ReadBalance;
use inflight::InFlight;
use io::{Cut, Phase};
use leases::{Entry, LeaseTable, Returned};
use overdue::Overdue;
use plan::Plan;
use rules::Rules;

/// A message that a Channel wants sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FromChannel {
    /// To the Array.
    Array(ToArray),
    /// To a Shard.
    Shard(ShardId, ToShard),
}

/// The per-thread machine of an array.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Channel {
    id: ChannelId,
    geometry: Arc<Geometry>,
    shards: u16,
    /// None until the Array has registered this Channel, and every Shard has told its rules: I/O waits.
    view: Option<Arc<View>>,
    /// The View that came before the rules were complete, or that is older than they are.
    early_view: Option<Arc<View>>,
    rules: Rules,
    /// No View before this one may be planned with: the rules are not true of it.
    rules_epoch: Epoch,
    /// Rules that are true of a View that is still to come.
    late_rules: VecDeque<LateRule>,
    /// Shards that have not told their rules yet.
    rules_due: u16,
    settled: Epoch,
    inflight: InFlight,
    leases: LeaseTable,
    reads: ReadBalance,
    overdue: Overdue,
    reports: u64,
    /// Per slot: the last report about which the Array said that the member stays.
    kept: [u64; SLOTS_MAX],
    waiting_view: Vec<IoId>,
    waiting_settled: Vec<IoId>,
    waiting_lease: BTreeMap<RegionId, Vec<IoId>>,
    ready: VecDeque<IoId>,
    outbox: VecDeque<FromChannel>,
}

impl Channel {
    /// A new Channel. It says [`ToArray::ChannelOpened`], and queues I/O until the first View arrives.
    pub fn new(id: ChannelId, geometry: Arc<Geometry>, shards: u16) -> Channel {
        let is_redundant = geometry.is_redundant();
        let regions = if is_redundant { geometry.regions() } else { 0 };
        let rules_due = if is_redundant { shards } else { 0 };
        let opened = (0..rules_due).map(|n| FromChannel::Shard(ShardId(n), ToShard::ChannelOpened(id)));
        let outbox = std::iter::once(FromChannel::Array(ToArray::ChannelOpened(id))).chain(opened).collect();
        Channel {
            id,
            geometry,
            shards,
            view: None,
            early_view: None,
            rules: Rules::new(regions),
            rules_epoch: Epoch(0),
            late_rules: VecDeque::new(),
            rules_due,
            settled: Epoch(0),
            inflight: InFlight::default(),
            leases: LeaseTable::new(regions),
            reads: ReadBalance::default(),
            overdue: Overdue::new(MEMBER_TIMEOUT_MS),
            reports: 0,
            kept: [0; SLOTS_MAX],
            waiting_view: Vec::new(),
            waiting_settled: Vec::new(),
            waiting_lease: BTreeMap::new(),
            ready: VecDeque::new(),
            outbox,
        }
    }

    /// The same, for an array whose members may take this long to answer.
    #[must_use]
    pub fn with_member_timeout(mut self, timeout_ms: u64) -> Channel {
        self.overdue = Overdue::new(timeout_ms);
        self
    }

    /// Time has passed: members that do not answer are reported.
    pub fn on_time(&mut self, now_ms: u64) {
        for slot in self.overdue.on_time(now_ms).iter() {
            self.tell_array(ToArray::TimedOut { slot });
        }
    }

    /// When [`Channel::on_time`] is to be called at the latest.
    pub fn deadline_ms(&self) -> u64 {
        self.overdue.deadline_ms()
    }

    /// Who this is.
    pub fn id(&self) -> ChannelId {
        self.id
    }

    /// The View that is planned with; None before the first.
    pub fn view(&self) -> Option<&Arc<View>> {
        self.view.as_ref()
    }

    /// A message to send, oldest first.
    #[inline]
    pub fn take_message(&mut self) -> Option<FromChannel> {
        self.outbox.pop_front()
    }

    /// An I/O that waited and is to be asked about again with [`Channel::next`].
    #[inline]
    pub fn take_ready(&mut self) -> Option<IoId> {
        self.ready.pop_front()
    }

    /// Whether no segment is in flight and no I/O waits.
    pub fn is_idle(&self) -> bool {
        let for_leases: usize = self.waiting_lease.values().map(Vec::len).sum();
        let waiting = self.waiting_view.len() + self.waiting_settled.len() + for_leases + self.ready.len();
        self.inflight.is_empty() && waiting == 0
    }

    /// What to do next for `io`, which the driver calls `id`.
    pub fn next(&mut self, id: IoId, io: &mut HostIo) -> Step {
        let mut child = Child::default();
        match self.advance(id, io, &mut child) {
            Move::Submit => Step::Submit(child),
            Move::Zeros => Step::Zeros { offset_blocks: child.host_offset_blocks, blocks: child.blocks },
            Move::Done(outcome) => Step::Done(outcome),
            Move::Wait => Step::Wait,
        }
    }

    /// [`Channel::next`] with the child in place, for a hot path.
    #[inline(always)]
    pub fn advance(&mut self, id: IoId, io: &mut HostIo, child: &mut Child) -> Move {
        loop {
            match io.phase {
                Phase::Entering => {
                    if !self.enter(id, io) {
                        return Move::Wait;
                    }
                    io.phase = Phase::Sending;
                }
                Phase::Unserved if self.has_view_since(io.epoch) => io.phase = Phase::Entering,
                Phase::Unserved => {
                    wait_in(&mut self.waiting_view, id);
                    return Move::Wait;
                }
                Phase::Sending => match self.plan(io, child) {
                    Plan::Send => {
                        io.children.tick[usize::from(child.index)] = self.overdue.sent(child.slot);
                        return Move::Submit;
                    }
                    Plan::Zeros => return Move::Zeros,
                    Plan::Busy => return Move::Wait,
                    Plan::Unserved => {
                        self.leave(io);
                        io.phase = Phase::Unserved;
                    }
                    Plan::Complete => {
                        self.leave_epoch(io.epoch);
                        if !self.may_answer(io) {
                            io.phase = Phase::Settling;
                            continue;
                        }
                        self.leave_lease(io);
                        if !self.go_on(io) {
                            return Move::Done(io.outcome());
                        }
                    }
                },
                Phase::Settling => match self.settle(io) {
                    Settle::Done(outcome) => {
                        self.leave_lease(io);
                        if outcome.is_err() || !self.go_on(io) {
                            return Move::Done(outcome);
                        }
                    }
                    Settle::Again => {
                        self.leave_lease(io);
                        *io = io.anew();
                    }
                    Settle::Wait => {
                        wait_in(&mut self.waiting_settled, id);
                        return Move::Wait;
                    }
                },
            }
        }
    }

    /// A child came back. Ask [`Channel::next`] afterwards. A child that could not be submitted for lack of
    /// a resource came back with [`FaultKind::NoResources`]; the driver asks again when there is some.
    #[inline(always)]
    pub fn child_done(&mut self, io: &mut HostIo, index: u8, result: Result<(), Fault>) {
        let slot = io.children.done(index);
        self.overdue.back(slot, io.children.tick[usize::from(index)]);
        if io.op == Op::Read {
            self.reads.done(slot);
        }
        if let Err(fault) = result {
            self.child_failed(io, index, slot, fault);
        }
    }

    /// Handles a message from the Array or a Shard.
    pub fn on_message(&mut self, message: ToChannel) {
        match message {
            ToChannel::View(view) => self.swap(view),
            ToChannel::Settled(epoch) => {
                self.settled = self.settled.max(epoch);
                self.ready.extend(self.waiting_settled.drain(..));
            }
            ToChannel::Kept { slot, report } => {
                let kept = &mut self.kept[slot.index()];
                *kept = (*kept).max(report);
                self.ready.extend(self.waiting_settled.drain(..));
            }
            ToChannel::Rules(rules) => {
                rules.regions.iter().for_each(|(region, rule)| self.rules.set(*region, Some(*rule)));
                self.rules_epoch = self.rules_epoch.max(rules.epoch);
                self.rules_due -= 1;
                self.adopt_early();
            }
            ToChannel::Rule { region, rule, epoch, change } => {
                if self.view.is_none() {
                    self.rules_epoch = self.rules_epoch.max(epoch);
                }
                self.late_rules.push_back(LateRule { region, rule, epoch, change });
                self.apply_rules();
            }
            ToChannel::Denied { region } => {
                self.leases.denied(region);
                self.ready.extend(self.waiting_lease.remove(&region).unwrap_or_default());
            }
            ToChannel::GiveBackIfIdle { region, lease } => {
                let returned = self.leases.give_back_if_idle(region, lease);
                self.give_back(region, returned);
            }
            ToChannel::Grant { region, lease } => {
                self.leases.granted(region, lease);
                self.ready.extend(self.waiting_lease.remove(&region).unwrap_or_default());
            }
            ToChannel::Revoke { region, lease } => {
                let returned = self.leases.revoked(region, lease);
                self.give_back(region, returned);
            }
        }
    }

    /// Takes `io` back if nothing was done for it yet, or if it waits for members that are gone (then it may be
    /// there in part, as after a failure): the driver may complete it as aborted. An I/O whose member I/O was
    /// begun runs to its end otherwise; an abort never reaches single members.
    pub fn abort(&mut self, id: IoId, io: &HostIo) -> bool {
        if !io.is_untouched() {
            return false;
        }
        let mut found = false;
        let mut drop_it = |waiting: &mut Vec<IoId>| {
            let before = waiting.len();
            waiting.retain(|other| *other != id);
            found |= waiting.len() < before;
        };
        drop_it(&mut self.waiting_view);
        self.waiting_lease.values_mut().for_each(drop_it);
        found
    }

    fn swap(&mut self, view: Arc<View>) {
        let epoch = view.epoch;
        let current = self.view.as_ref().or(self.early_view.as_ref());
        if current.is_some_and(|current| epoch <= current.epoch) {
            return;
        }
        self.tell_array(ToArray::Swapped(Planner::Channel(self.id), epoch));
        if self.view.is_none() {
            self.early_view = Some(view);
            self.tell_array(ToArray::Drained(Planner::Channel(self.id), epoch));
            self.adopt_early();
            return;
        }
        if self.adopt(view) {
            self.tell_array(ToArray::Drained(Planner::Channel(self.id), epoch));
        }
    }

    /// Opens for business, once there are all rules and a View that they are true of.
    fn adopt_early(&mut self) {
        let is_due = |view: &mut Arc<View>| self.rules_due == 0 && view.epoch >= self.rules_epoch;
        if let Some(view) = self.early_view.take_if(is_due) {
            self.adopt(view);
        }
    }

    /// Reads by those rules that are true of the View; before the first one nothing is read.
    fn apply_rules(&mut self) {
        let planned_with = self.view.as_ref().map(|view| view.epoch);
        let is_true = |rule: &mut LateRule| planned_with.is_none_or(|epoch| epoch >= rule.epoch);
        while let Some(LateRule { region, rule, change, .. }) = self.late_rules.pop_front_if(is_true) {
            self.rules.set(region, rule);
            self.tell_shard(region, ToShard::RuleSeen { channel: self.id, region, change });
        }
    }

    /// Plans with `view` from now on. True when nothing older is in flight.
    fn adopt(&mut self, view: Arc<View>) -> bool {
        let is_drained = self.inflight.swap(view.epoch);
        self.view = Some(view);
        self.apply_rules();
        self.leases.forget_denials();
        self.ready.extend(self.waiting_view.drain(..));
        self.ready.extend(self.waiting_settled.drain(..));
        is_drained
    }

    fn has_view_since(&self, epoch: Epoch) -> bool {
        self.view.as_ref().is_some_and(|view| view.epoch > epoch)
    }

    /// Takes what the next segment needs. False: it waits, and is named ready later.
    #[inline(always)]
    fn enter(&mut self, id: IoId, io: &mut HostIo) -> bool {
        if self.view.is_none() {
            wait_in(&mut self.waiting_view, id);
            return false;
        }
        io.segment_end = io.end;
        if io.op.modifies() && io.cut != Cut::Members && self.geometry.is_redundant() {
            let region = self.geometry.region_of(io.segment_start);
            match self.leases.enter(region) {
                Entry::Granted => {
                    io.segment_end = io.end.min(self.geometry.region_end(io.segment_start));
                    io.lease = Some(region);
                }
                Entry::Denied => {
                    io.doomed = true;
                    io.last_fault.get_or_insert(Fault::of(FaultKind::ArrayFailed));
                }
                entry => {
                    wait_in(self.waiting_lease.entry(region).or_default(), id);
                    if entry == Entry::Ask {
                        self.tell_shard(region, ToShard::Acquire { channel: self.id, region });
                    }
                    return false;
                }
            }
        }
        if io.op == Op::Read && !self.rules.are_plain() {
            io.segment_end = self.read_end(io);
        }
        io.epoch = self.inflight.enter();
        io.next_lba = io.segment_start;
        io.next_copy = 0;
        true
    }

    /// A segment of a read lies in one region with a rule of its own, or in regions without.
    fn read_end(&self, io: &HostIo) -> u64 {
        let rule_at = |lba| self.rules.of(self.geometry.region_of(lba));
        let mut end = self.geometry.region_end(io.segment_start);
        while rule_at(io.segment_start).is_none() && end < io.end && rule_at(end).is_none() {
            end = self.geometry.region_end(end);
        }
        end.min(io.end)
    }

    /// Gives back what the segment held.
    #[inline(always)]
    fn leave(&mut self, io: &mut HostIo) {
        self.leave_lease(io);
        self.leave_epoch(io.epoch);
    }

    #[inline(always)]
    fn leave_lease(&mut self, io: &mut HostIo) {
        if let Some(region) = io.lease.take() {
            let returned = self.leases.leave(region);
            if returned.is_some() {
                self.give_back(region, returned);
            }
        }
    }

    #[inline(always)]
    fn leave_epoch(&mut self, epoch: Epoch) {
        if self.inflight.leave(epoch) {
            let now = self.view.as_ref().expect("I/O was planned under one").epoch;
            self.tell_array(ToArray::Drained(Planner::Channel(self.id), now));
        }
    }

    /// Sets up the next segment, or the flush that FUA asks for. False when nothing is left to send.
    #[inline(always)]
    fn go_on(&mut self, io: &mut HostIo) -> bool {
        if io.doomed {
            return false;
        }
        if io.cut != Cut::Members && io.segment_end < io.end {
            io.segment_start = io.segment_end;
        } else if io.fua {
            io.fua = false;
            io.cut = Cut::Members;
        } else {
            return false;
        }
        io.phase = Phase::Entering;
        true
    }

    /// Whether a segment that is through can be answered now. A write must not while another Channel may plan
    /// with a View that reads members which the write left out: those that failed it, and those that were out
    /// of the View that it was planned under already.
    #[inline(always)]
    fn may_answer(&self, io: &HostIo) -> bool {
        let everybody_knows = self.settled >= io.epoch || !io.op.modifies();
        io.doomed || io.missed.is_empty() && everybody_knows
    }

    /// Whether a write that left members out may be acknowledged.
    fn settle(&mut self, io: &mut HostIo) -> Settle {
        let view = self.view.as_ref().expect("I/O was planned under one");
        let still_in = io.missed.and(view.in_sync);
        if !still_in.minus(view.reachable).is_empty() {
            // Lost beyond tolerance: the membership is frozen with that member in it.
            return match view.on_failed {
                OnFailed::Error => Settle::Done(Err(io.fault())),
                OnFailed::Wait => Settle::Again,
            };
        }
        if still_in.minus(io.gone).iter().any(|slot| self.kept[slot.index()] >= io.report) {
            return Settle::Done(Err(io.fault()));
        }
        if still_in.is_empty() && self.settled >= view.epoch {
            return Settle::Done(Ok(()));
        }
        Settle::Wait
    }

    #[cold]
    fn child_failed(&mut self, io: &mut HostIo, index: u8, slot: Slot, fault: Fault) {
        if io.op == Op::Reset && fault.kind != FaultKind::NoResources {
            return; // a member that can't be reset shows it in its I/O
        }
        let out_of_patience = fault.kind == FaultKind::Aborted && !io.children.may_try_again(index);
        let fault = if out_of_patience { Fault { kind: FaultKind::Path, ..fault } } else { fault };
        if fault.is_transient() {
            io.children.failed(index, fault);
            return;
        }
        io.last_fault = Some(fault);
        let class = match (io.op, io.cut) {
            (Op::Read, _) => FaultClass::Read,
            (_, Cut::Members) => FaultClass::Flush,
            _ => FaultClass::Write,
        };
        self.reports += 1;
        if io.missed.is_empty() {
            io.report = self.reports;
        }
        let report = ToArray::Report { channel: self.id, report: self.reports, slot, class, fault };
        self.tell_array(report);
        if class == FaultClass::Read {
            if fault.kind == FaultKind::Media && self.geometry.is_redundant() {
                self.ask_for_repair(io, index, slot);
            }
            io.children.failed(index, fault);
        } else if fault.kind == FaultKind::Gone {
            // Without redundancy too: whether the I/O fails or waits is decided under the View that says so.
            io.missed.insert(slot);
            io.gone.insert(slot);
        } else if self.geometry.is_redundant() {
            io.missed.insert(slot);
        } else {
            io.doomed = true;
        }
    }

    /// What the member could not read is to be written there again, region by region.
    fn ask_for_repair(&mut self, io: &HostIo, index: u8, slot: Slot) {
        let mut lba = io.lba + u64::from(io.children.offset(index));
        let end = io.segment_end.min(lba + self.geometry.run_blocks(lba));
        while lba < end {
            let blocks = end.min(self.geometry.region_end(lba)) - lba;
            self.tell_shard(self.geometry.region_of(lba), ToShard::Repair { slot, lba, blocks });
            lba += blocks;
        }
    }

    fn give_back(&mut self, region: RegionId, returned: Option<Returned>) {
        let Some(Returned(lease)) = returned else { return };
        let channel = self.id;
        self.tell_shard(region, ToShard::Release { channel, region, lease });
        if self.waiting_lease.contains_key(&region) {
            let entry = self.leases.enter(region);
            debug_assert_eq!(entry, Entry::Ask);
            self.tell_shard(region, ToShard::Acquire { channel, region });
        }
    }

    fn tell_array(&mut self, message: ToArray) {
        self.outbox.push_back(FromChannel::Array(message));
    }

    fn tell_shard(&mut self, region: RegionId, message: ToShard) {
        let shard = self.geometry.shard_of(region, self.shards);
        self.outbox.push_back(FromChannel::Shard(shard, message));
    }
}

/// The default of YAML `member_timeout`.
const MEMBER_TIMEOUT_MS: u64 = 10_000;

/// A driver may ask about an I/O that waits already (a resource that it lacked is there again): it is named
/// ready only once all the same.
#[cold]
fn wait_in(list: &mut Vec<IoId>, id: IoId) {
    if !list.contains(&id) {
        list.push(id);
    }
}

/// A change of a read rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct LateRule {
    region: RegionId,
    rule: Option<ReadRule>,
    epoch: Epoch,
    change: u64,
}

enum Settle {
    Done(Result<(), Fault>),
    Again,
    Wait,
}

impl HostIo {
    fn fault(&self) -> Fault {
        self.last_fault.unwrap_or(Fault::of(FaultKind::ArrayFailed))
    }

    fn outcome(&self) -> Result<(), Fault> {
        if self.doomed { Err(self.fault()) } else { Ok(()) }
    }

    /// The same I/O from its start.
    fn anew(&self) -> HostIo {
        let fua = self.fua || self.cut == Cut::Members && self.op != Op::Flush;
        HostIo::new(self.op, self.lba, self.end - self.lba, fua)
    }
}

#[cfg(test)]
mod tests;
