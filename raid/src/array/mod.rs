//! The Array: the only writer of the membership.
//!
//! A change is a new View with the next epoch, and then a matter of levels, each of which only follows the
//! one above it. Nothing waits in a flag, and changes that come while others are under way simply raise the
//! top level:
//!
//! ```text
//!   proposed   the newest View: facts (a drive is gone) as they come, wishes (fail this one) if they pass
//!      |                        the check
//!   swapped    the smallest epoch that every planner (Channel, Shard) says it plans with
//!      |       -> Settled(n) to all Channels; the events of the change get their numbers
//!   drained    the smallest epoch before which no planner has anything in flight
//!              -> drives that the change let go are closed
//! ```
//!
//! When the membership becomes durable, `persisted` comes between the first two: a View is then published
//! only once it is written and flushed on every remaining in-sync member.
//!
//! What is beyond what the level tolerates is no change of the membership: the last good member is never
//! failed for an error (the reporter is told that it was kept), and a drive that goes nevertheless freezes
//! the membership with the drive in it.

mod events;
mod member;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

pub use events::{Event, EventKind, EventLog};
pub use member::{ErrorLimits, FailCause, Member, MemberState};

use crate::fault::{Fault, FaultKind};
use crate::geometry::Geometry;
use crate::ids::{ChannelId, Epoch, ShardId, Slot, SlotSet};
use crate::msg::{FaultClass, Planner, ToArray, ToChannel, ToShard};
use crate::view::{ArrayState, OnFailed, View};

/// A message or order that the Array wants carried out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FromArray {
    /// To a Channel.
    Channel(ChannelId, ToChannel),
    /// To a Shard.
    Shard(ShardId, ToShard),
    /// No I/O to this member is planned or in flight any more: close its drive.
    CloseMember(Slot),
}

/// What an array is made with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ArraySpec {
    /// Where blocks live.
    pub geometry: Arc<Geometry>,
    /// Per slot, the drive's name; None for a slot that is filled later.
    pub drives: Vec<Option<String>>,
    /// Members that have a FLUSH.
    pub flushes: SlotSet,
    /// What happens to I/O that no member can serve.
    pub on_failed: OnFailed,
    /// How many errors fail a member.
    pub limits: ErrorLimits,
    /// Number of Shards.
    pub shards: u16,
}

/// How far a change has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The View that the change made.
    pub epoch: Epoch,
    /// Whether everybody plans with it.
    pub took_effect: bool,
    /// Who does not yet.
    pub waiting_on: Vec<Planner>,
}

/// Why a wish was refused, and what to do instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The slot is not in the table.
    #[error("slot {0} does not exist; the array has slots 0 to {1}")]
    NoSuchSlot(Slot, usize),
    /// Failing the member would lose data.
    #[error(
        "{drive} holds blocks that no other in-sync member holds: failing it would lose them; \
         bring another member in sync first"
    )]
    LastCopy {
        /// The member's drive.
        drive: String,
    },
    /// A member that is in use can't be removed.
    #[error("{drive} is {state} in the array; fail it first: basalt member fail ARRAY {drive}")]
    InUse {
        /// The member's drive.
        drive: String,
        /// The member's state.
        state: MemberState,
    },
    /// The slot has no drive.
    #[error("slot {0} has no drive")]
    Empty(Slot),
    /// The member is out already.
    #[error("{drive} is {state} already; there is nothing to fail")]
    NotInSync {
        /// The member's drive.
        drive: String,
        /// The member's state.
        state: MemberState,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Acks {
    swapped: Epoch,
    drained: Epoch,
}

/// The machine of one array's membership.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Array {
    geometry: Arc<Geometry>,
    members: Vec<Member>,
    limits: ErrorLimits,
    view: Arc<View>,
    planners: BTreeMap<Planner, Acks>,
    settled: Epoch,
    drained: Epoch,
    /// Drives to close once this epoch has drained everywhere.
    closing: BTreeMap<Slot, Epoch>,
    /// What happened, waiting for its epoch to settle before it is told.
    unsettled: VecDeque<(Epoch, EventKind)>,
    events: EventLog,
    quiesces: u64,
    outbox: VecDeque<FromArray>,
}

impl Array {
    /// An array whose present members are all in sync, at epoch 1, known to its Shards and to no Channel.
    pub fn new(spec: ArraySpec, now_ms: u64) -> Array {
        assert_eq!(spec.drives.len(), spec.geometry.members());
        let members: Vec<Member> = spec.drives.into_iter().map(Member::new).collect();
        let slots = spec.geometry.slots().iter();
        let present: SlotSet = slots.filter(|slot| members[slot.index()].drive().is_some()).collect();
        let view = View {
            epoch: Epoch(1),
            in_sync: present,
            reachable: present,
            attached: present,
            flushes: spec.flushes.and(present),
            on_failed: spec.on_failed,
        };
        let acks = Acks { swapped: Epoch(0), drained: Epoch(0) };
        let mut array = Array {
            planners: (0..spec.shards).map(|shard| (Planner::Shard(ShardId(shard)), acks)).collect(),
            settled: Epoch(0),
            drained: Epoch(0),
            closing: BTreeMap::new(),
            unsettled: VecDeque::new(),
            events: EventLog::default(),
            quiesces: 0,
            outbox: VecDeque::new(),
            geometry: spec.geometry,
            members,
            limits: spec.limits,
            view: Arc::new(view),
        };
        array.unsettled.push_back((Epoch(1), EventKind::Started(array.state())));
        array.publish();
        array.raise_levels(now_ms);
        array
    }

    /// The newest View.
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// The newest epoch that every planner plans with.
    pub fn settled(&self) -> Epoch {
        self.settled
    }

    /// The state that an operator sees.
    pub fn state(&self) -> ArrayState {
        self.view.state(&self.geometry)
    }

    /// The member table, by slot.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The slot that `drive` is in.
    pub fn slot_of(&self, drive: &str) -> Option<Slot> {
        let slot = self.members.iter().position(|member| member.drive() == Some(drive))?;
        Some(Slot(slot as u8))
    }

    /// The state of a member.
    pub fn member_state(&self, slot: Slot) -> MemberState {
        let in_sync = self.view.in_sync.contains(slot);
        match (in_sync, self.view.reachable.contains(slot)) {
            (true, true) => MemberState::InSync,
            (true, false) => MemberState::Missing,
            (false, _) if self.view.attached.contains(slot) => MemberState::Faulty,
            (false, _) => MemberState::Missing,
        }
    }

    /// How often host I/O was quiesced. Every change so far goes by Views and acks, and quiesces nothing.
    pub fn quiesces(&self) -> u64 {
        self.quiesces
    }

    /// What happened so far.
    pub fn events(&self) -> &EventLog {
        &self.events
    }

    /// An order to carry out, oldest first.
    pub fn take_order(&mut self) -> Option<FromArray> {
        self.outbox.pop_front()
    }

    /// How far the View of `epoch` has come.
    pub fn receipt(&self, epoch: Epoch) -> Receipt {
        let behind = self.planners.iter().filter(|(_, acks)| acks.swapped < epoch);
        let waiting_on = behind.map(|(planner, _)| *planner).collect();
        Receipt { epoch, took_effect: self.settled >= epoch, waiting_on }
    }

    /// Handles a message.
    pub fn on_message(&mut self, message: ToArray, now_ms: u64) {
        match message {
            ToArray::ChannelOpened(channel) => self.open(channel),
            ToArray::ChannelClosed(channel) => {
                self.planners.remove(&Planner::Channel(channel));
            }
            ToArray::Swapped(planner, epoch) => {
                if let Some(acks) = self.planners.get_mut(&planner) {
                    acks.swapped = acks.swapped.max(epoch);
                }
            }
            ToArray::Drained(planner, epoch) => {
                if let Some(acks) = self.planners.get_mut(&planner) {
                    acks.drained = acks.drained.max(epoch);
                }
            }
            ToArray::Report { channel, report, slot, class, fault } => {
                self.judge(channel, report, slot, class, fault);
            }
        }
        self.raise_levels(now_ms);
    }

    /// The drive in `slot` is gone (hot-removed): a fact, whatever it means for the array.
    pub fn member_gone(&mut self, slot: Slot, now_ms: u64) {
        if !self.view.attached.contains(slot) {
            return;
        }
        let mut view = self.view_without(slot);
        if self.tolerates_losing(slot) {
            view.in_sync.remove(slot);
        }
        let event = if self.view.usable().contains(slot) {
            Some(EventKind::MemberFailed { slot, cause: FailCause::Gone })
        } else if self.view.in_sync.contains(slot) {
            None // frozen, and told so when I/O found it gone: the slot keeps its drive's name
        } else {
            Some(EventKind::MemberDetached { slot })
        };
        self.propose(view, event);
        self.closing.insert(slot, self.view.epoch);
        self.raise_levels(now_ms);
    }

    /// An operator wants `slot` out of the array; its drive stays attached until it is removed.
    pub fn fail_member(&mut self, slot: Slot, now_ms: u64) -> Result<Receipt, Refusal> {
        let drive = self.drive_in(slot)?;
        if !self.view.usable().contains(slot) {
            return Err(Refusal::NotInSync { drive, state: self.member_state(slot) });
        }
        if !self.tolerates_losing(slot) {
            return Err(Refusal::LastCopy { drive });
        }
        self.fail(slot, FailCause::Operator);
        self.raise_levels(now_ms);
        Ok(self.receipt(self.view.epoch))
    }

    /// An operator wants the drive in `slot` back; only one that holds no data of the array can go.
    pub fn remove_member(&mut self, slot: Slot, now_ms: u64) -> Result<Receipt, Refusal> {
        let drive = self.drive_in(slot)?;
        if self.view.in_sync.contains(slot) {
            return Err(Refusal::InUse { drive, state: self.member_state(slot) });
        }
        let holds_drive = self.view.attached.contains(slot);
        self.propose(self.view_without(slot), Some(EventKind::MemberDetached { slot }));
        if holds_drive {
            self.closing.insert(slot, self.view.epoch);
        }
        self.raise_levels(now_ms);
        Ok(self.receipt(self.view.epoch))
    }

    /// The array is going away: I/O that waits for members (`on_failed: wait`) fails from now on, so that
    /// hosts can let go of the array.
    pub fn stop(&mut self, now_ms: u64) {
        let view = View { on_failed: OnFailed::Error, ..View::clone(&self.view) };
        self.propose(view, Some(EventKind::Stopping));
        self.raise_levels(now_ms);
    }

    fn drive_in(&self, slot: Slot) -> Result<String, Refusal> {
        let no_such = Refusal::NoSuchSlot(slot, self.members.len() - 1);
        let member = self.members.get(slot.index()).ok_or(no_such)?;
        let is_leaving = |(_, event): &(Epoch, EventKind)| *event == EventKind::MemberDetached { slot };
        let drive = member.drive().filter(|_| !self.unsettled.iter().any(is_leaving));
        Ok(drive.ok_or(Refusal::Empty(slot))?.to_owned())
    }

    /// The View in which the drive of `slot` is not there; whether it is in sync is left as it is.
    fn view_without(&self, slot: Slot) -> View {
        let mut view = View::clone(&self.view);
        view.reachable.remove(slot);
        view.attached.remove(slot);
        view.flushes.remove(slot);
        view
    }

    /// A Channel that knows no View plans nothing, so that it has swapped and drained whatever there is.
    fn open(&mut self, channel: ChannelId) {
        let acks = Acks { swapped: self.view.epoch, drained: self.view.epoch };
        self.planners.insert(Planner::Channel(channel), acks);
        self.outbox.push_back(FromArray::Channel(channel, ToChannel::View(Arc::clone(&self.view))));
        self.outbox.push_back(FromArray::Channel(channel, ToChannel::Settled(self.settled)));
    }

    /// A member failed an I/O: counts it, and decides whether the member goes.
    fn judge(&mut self, channel: ChannelId, report: u64, slot: Slot, class: FaultClass, fault: Fault) {
        let member = &mut self.members[slot.index()];
        let too_many = match class {
            FaultClass::Read => member.count_read_error() >= self.limits.read,
            FaultClass::Write | FaultClass::Flush => member.count_write_error() >= self.limits.write,
        };
        if !self.view.usable().contains(slot) {
            return; // decided already: the View that says so has settled, or is on its way
        }
        let tolerated = self.tolerates_losing(slot);
        match (class, fault.kind) {
            (_, FaultKind::Gone) if !tolerated => self.lose(slot),
            (_, FaultKind::Gone) => self.fail(slot, FailCause::Gone),
            (FaultClass::Read, _) if too_many && tolerated => self.fail(slot, FailCause::ReadErrors),
            (FaultClass::Read, _) => {}
            // Data is missing there now. Until regions can be marked as needing sync, the member can't stay.
            (FaultClass::Write, _) if tolerated => self.fail(slot, FailCause::WriteError(fault)),
            (FaultClass::Flush, _) if tolerated => self.fail(slot, FailCause::FlushError(fault)),
            (FaultClass::Write | FaultClass::Flush, _) => {
                let kept = ToChannel::Kept { slot, report };
                self.outbox.push_back(FromArray::Channel(channel, kept));
            }
        }
    }

    /// Whether every block has a usable copy left without `slot`. Beyond that, nothing is failed.
    fn tolerates_losing(&self, slot: Slot) -> bool {
        !self.view.is_frozen() && self.geometry.is_served_by(self.view.usable().without(slot))
    }

    fn fail(&mut self, slot: Slot, cause: FailCause) {
        let mut view = View::clone(&self.view);
        view.in_sync.remove(slot);
        if cause == FailCause::Gone {
            view.reachable.remove(slot);
        }
        self.propose(view, Some(EventKind::MemberFailed { slot, cause }));
    }

    /// The membership stays as it is, without the member's answers.
    fn lose(&mut self, slot: Slot) {
        let mut view = View::clone(&self.view);
        view.reachable.remove(slot);
        self.propose(view, Some(EventKind::MemberFailed { slot, cause: FailCause::Gone }));
    }

    fn propose(&mut self, mut view: View, event: Option<EventKind>) {
        let before = self.state();
        view.epoch = self.view.epoch.next();
        self.view = Arc::new(view);
        self.unsettled.extend(event.map(|event| (self.view.epoch, event)));
        let after = self.state();
        if after != before {
            self.unsettled.push_back((self.view.epoch, EventKind::StateChanged(after)));
        }
        self.publish();
    }

    fn publish(&mut self) {
        for planner in self.planners.keys() {
            let view = Arc::clone(&self.view);
            self.outbox.push_back(match planner {
                Planner::Channel(channel) => FromArray::Channel(*channel, ToChannel::View(view)),
                Planner::Shard(shard) => FromArray::Shard(*shard, ToShard::View(view)),
            });
        }
    }

    /// Lets each level follow the one above it, and does what its rise allows.
    fn raise_levels(&mut self, now_ms: u64) {
        let newest = self.view.epoch;
        let swapped = self.planners.values().map(|acks| acks.swapped).min().unwrap_or(newest);
        if swapped > self.settled {
            self.settled = swapped;
            self.announce_settled(now_ms);
        }
        let drained = self.planners.values().map(|acks| acks.drained).min().unwrap_or(newest);
        if drained > self.drained {
            self.drained = drained;
        }
        let drained = self.drained;
        let closable = self.closing.extract_if(.., |_, epoch| *epoch <= drained);
        self.outbox.extend(closable.map(|(slot, _)| FromArray::CloseMember(slot)));
    }

    fn announce_settled(&mut self, now_ms: u64) {
        while let Some((epoch, kind)) = self.unsettled.pop_front_if(|(epoch, _)| *epoch <= self.settled) {
            let drive = kind.slot().and_then(|slot| self.members[slot.index()].drive()).map(str::to_owned);
            self.events.append(kind, drive, epoch, now_ms);
            if let EventKind::MemberDetached { slot } = kind {
                self.members[slot.index()].detach();
            }
        }
        for planner in self.planners.keys() {
            if let Planner::Channel(channel) = planner {
                self.outbox.push_back(FromArray::Channel(*channel, ToChannel::Settled(self.settled)));
            }
        }
    }
}

#[cfg(test)]
mod tests;
