//! The Array: the only writer of the membership.
//!
//! A change is a new View with the next epoch, and then a matter of levels, each of which only follows the
//! one above it. Nothing waits in a flag, and changes that come while others are under way simply raise the
//! top level:
//!
//! ```text
//!   proposed   the newest View: facts (a drive is gone) as they come, wishes (fail this one) if they pass
//!      |                        the check
//!   persisted  the newest View is in the superblock of every member that it counts on, flushed
//!      |       -> it is published to all planners
//!   swapped    the smallest epoch that every planner (Channel, Shard) says it plans with
//!      |       -> Settled(n) to all Channels; the events of the change get their numbers
//!   drained    the smallest epoch before which no planner has anything in flight
//!              -> drives that the change let go are closed
//! ```
//!
//! A member that can't be written the record to is failed, and the next View is tried. When it can't be done
//! without, nothing can be recorded any more: removals that were not durable yet are taken back, and the
//! membership is frozen as it was last recorded.
//!
//! What is beyond what the level tolerates is no change of the membership: the last good member is never
//! failed for an error (the reporter is told that it was kept), and a drive that goes nevertheless freezes
//! the membership with the drive in it.

mod end;
mod events;
mod member;
mod record;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

pub use events::{Event, EventKind, EventLog};
pub use member::{ErrorLimits, FailCause, Member, MemberState};
pub use record::RecordSpec;

use crate::fault::{Fault, FaultKind};
use crate::format::{BadBlock, RecordState, Superblock};
use crate::geometry::Geometry;
use crate::ids::{ChannelId, Epoch, ShardId, Slot, SlotSet};
use crate::meta::{MetaIo, Ticket};
use crate::msg::{FaultClass, Planner, ToArray, ToChannel, ToShard};
use crate::view::{ArrayState, OnFailed, View};
use end::Ending;
use record::Recorder;

/// A message or order that the Array wants carried out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FromArray {
    /// To a Channel.
    Channel(ChannelId, ToChannel),
    /// To a Shard.
    Shard(ShardId, ToShard),
    /// Metadata I/O; its answer goes to [`Array::io_done`].
    Io(MetaIo),
    /// The member does not answer: reset it, so that what it has not answered comes back. Host buffers are lent to
    /// it until then.
    ResetMember(Slot),
    /// No I/O to this member is planned or in flight any more: close its drive.
    CloseMember(Slot),
    /// What [`Array::finish`] began is done: the drives may be closed.
    Finished,
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
    /// What the members say, or are to say; None for an array that keeps nothing on its drives.
    pub record: Option<RecordSpec>,
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
    /// Members whose superblock does not have it yet.
    pub recording_on: SlotSet,
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
    /// The newest View.
    view: Arc<View>,
    /// The newest one that planners were sent.
    published: Arc<View>,
    recorder: Option<Recorder>,
    /// The version of the record that the newest View is in.
    view_version: u64,
    /// The epoch that the members had when the array was assembled; nothing of it is published.
    found: Epoch,
    planners: BTreeMap<Planner, Acks>,
    settled: Epoch,
    drained: Epoch,
    /// Drives to close once this epoch has drained everywhere.
    closing: BTreeMap<Slot, Epoch>,
    /// Members to reset once this epoch has settled: before, what comes back would be sent there again.
    resetting: BTreeMap<Slot, Epoch>,
    events: EventLog,
    ending: Ending,
    quiesces: u64,
    outbox: VecDeque<FromArray>,
}

impl Array {
    /// An array, known to its Shards and to no Channel. Present members are in sync, unless the record says
    /// otherwise; a member that the record believes in and that is not here is failed with the first View.
    pub fn new(spec: ArraySpec, now_ms: u64) -> Array {
        assert_eq!(spec.drives.len(), spec.geometry.members());
        let record = spec.record.as_ref().map(|spec| &spec.record);
        let members = members_of(spec.drives, record);
        let slots = spec.geometry.slots().iter();
        let present: SlotSet = slots.filter(|slot| members[slot.index()].drive().is_some()).collect();
        let recorded = record.map_or(present, |record| record.slots_in(RecordState::InSync));
        let in_sync = recorded.and(present);
        let before = View {
            epoch: record.map_or(Epoch(0), |record| record.epoch),
            in_sync: recorded,
            reachable: present,
            attached: present,
            flushes: spec.flushes.and(present),
            unrecordable: SlotSet::EMPTY,
            on_failed: spec.on_failed,
        };
        let drive_in = |slot: Slot| members[slot.index()].drive().map(str::to_owned);
        let events = record.map_or_else(EventLog::default, |record| {
            EventLog::found(&record.events, record.last_event, drive_in)
        });
        let nothing = Acks { swapped: Epoch(0), drained: Epoch(0) };
        let mut array = Array {
            planners: (0..spec.shards).map(|shard| (Planner::Shard(ShardId(shard)), nothing)).collect(),
            settled: Epoch(0),
            drained: Epoch(0),
            closing: BTreeMap::new(),
            resetting: BTreeMap::new(),
            events,
            ending: Ending::default(),
            quiesces: 0,
            outbox: VecDeque::new(),
            recorder: spec.record.map(Recorder::new),
            view_version: 0,
            found: before.epoch,
            geometry: spec.geometry,
            members,
            limits: spec.limits,
            published: Arc::new(before.clone()),
            view: Arc::new(before),
        };
        let view = View { in_sync, ..View::clone(&array.view) };
        let absent = recorded.minus(present).iter();
        let mut changes: Vec<_> =
            absent.map(|slot| EventKind::MemberFailed { slot, cause: FailCause::Absent }).collect();
        changes.push(EventKind::Started(view.state(&array.geometry)));
        // Also when it was degraded before: a part that an operator has meanwhile decided against, and that goes
        // on, must be told from the one that was kept.
        let is_degraded = in_sync != array.geometry.slots();
        array.propose_all(view, &changes, is_degraded, now_ms);
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

    /// The newest View that is durable, and that planners were sent.
    pub fn published(&self) -> &Arc<View> {
        &self.published
    }

    /// The record that the members have, or are about to have; None for an array that keeps nothing on them.
    pub fn record(&self) -> Option<&Superblock> {
        self.recorder.as_ref().map(Recorder::record)
    }

    /// How far the View of `epoch` has come.
    pub fn receipt(&self, epoch: Epoch) -> Receipt {
        let behind = self.planners.iter().filter(|(_, acks)| acks.swapped < epoch);
        let waiting_on = behind.map(|(planner, _)| *planner).collect();
        let is_published = self.published.epoch >= epoch;
        let recording_on = if is_published { SlotSet::EMPTY } else { self.missing_records() };
        Receipt { epoch, took_effect: self.settled >= epoch, waiting_on, recording_on }
    }

    /// A metadata I/O has ended.
    pub fn io_done(&mut self, ticket: Ticket, result: Result<(), Fault>, now_ms: u64) {
        let recorder = self.recorder.as_mut().expect("it has I/O under way");
        let is_transient = result.is_err_and(Fault::is_transient);
        let slot = recorder.end(ticket, result.is_ok(), is_transient);
        if let Err(fault) = result
            && !is_transient
        {
            self.unrecorded(slot, fault, now_ms);
        }
        self.raise_levels(now_ms);
    }

    /// Time has passed: the heartbeat, and counters that changed, are recorded.
    pub fn on_time(&mut self, now_ms: u64) {
        if let Some(recorder) = &mut self.recorder {
            recorder.on_time(now_ms);
        }
        self.raise_levels(now_ms);
    }

    /// When [`Array::on_time`] is to be called at the latest.
    pub fn deadline_ms(&self) -> Option<u64> {
        self.recorder.as_ref().map(Recorder::deadline_ms)
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
                self.judge(channel, report, slot, class, fault, now_ms);
            }
            ToArray::Unrecorded { slot, fault } => self.unrecorded(slot, fault, now_ms),
            ToArray::TimedOut { slot } => self.timed_out(slot, now_ms),
            ToArray::Repaired { slot, lba, blocks } => self.repaired(slot, lba, blocks, now_ms),
            ToArray::Unrepaired { slot, lba, blocks, fault } => {
                self.unrepaired(BadBlock { slot, lba, blocks: blocks as u32 }, fault, now_ms);
            }
            ToArray::ShardFlushed(shard) => self.shard_flushed(shard),
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
        self.propose(view, event, now_ms);
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
        self.fail(slot, FailCause::Operator, now_ms);
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
        if let Some(recorder) = &mut self.recorder {
            recorder.forget_member(slot);
        }
        self.propose(self.view_without(slot), Some(EventKind::MemberDetached { slot }), now_ms);
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
        self.propose(view, Some(EventKind::Stopping), now_ms);
        self.raise_levels(now_ms);
    }

    fn drive_in(&self, slot: Slot) -> Result<String, Refusal> {
        let no_such = Refusal::NoSuchSlot(slot, self.members.len() - 1);
        let member = self.members.get(slot.index()).ok_or(no_such)?;
        let is_leaving = self.events.is_pending(EventKind::MemberDetached { slot });
        let drive = member.drive().filter(|_| !is_leaving);
        Ok(drive.ok_or(Refusal::Empty(slot))?.to_owned())
    }

    /// The drive in `slot`; for one that is not here, the name that it had when it was.
    fn name_in(&self, slot: Slot) -> Option<String> {
        let recorded = || Some(&self.recorder.as_ref()?.record().members[slot.index()].drive);
        let here = self.members[slot.index()].drive().map(str::to_owned);
        here.or_else(|| recorded().filter(|name| !name.is_empty()).cloned())
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
        let published = self.published.epoch;
        self.planners.insert(Planner::Channel(channel), Acks { swapped: published, drained: published });
        if published == self.found {
            return; // it hears of the first View with everybody else
        }
        self.outbox.push_back(FromArray::Channel(channel, ToChannel::View(Arc::clone(&self.published))));
        self.outbox.push_back(FromArray::Channel(channel, ToChannel::Settled(self.settled)));
    }

    /// A member failed an I/O: counts it, and decides whether the member goes.
    fn judge(
        &mut self,
        channel: ChannelId,
        report: u64,
        slot: Slot,
        class: FaultClass,
        fault: Fault,
        now_ms: u64,
    ) {
        let member = &mut self.members[slot.index()];
        let too_many = match class {
            FaultClass::Read => member.count_read_error() >= self.limits.read,
            FaultClass::Write | FaultClass::Flush => member.count_write_error() >= self.limits.write,
        };
        self.note_errors(slot);
        if !self.view.usable().contains(slot) {
            return; // decided already: the View that says so has settled, or is on its way
        }
        let tolerated = self.tolerates_losing(slot);
        match (class, fault.kind) {
            (_, FaultKind::Gone) if !tolerated => self.lose(slot, FailCause::Gone, now_ms),
            (_, FaultKind::Gone) => self.fail(slot, FailCause::Gone, now_ms),
            (FaultClass::Read, _) if too_many && tolerated => self.fail(slot, FailCause::ReadErrors, now_ms),
            (FaultClass::Read, _) => {}
            // Data is missing there now. Until regions can be marked as needing sync, the member can't stay.
            (FaultClass::Write, _) if tolerated => self.fail(slot, FailCause::WriteError(fault), now_ms),
            (FaultClass::Flush, _) if tolerated => self.fail(slot, FailCause::FlushError(fault), now_ms),
            (FaultClass::Write | FaultClass::Flush, _) => {
                let kept = ToChannel::Kept { slot, report };
                self.outbox.push_back(FromArray::Channel(channel, kept));
            }
        }
    }

    /// Metadata could not be written to a member: it goes, if it can be done without.
    fn unrecorded(&mut self, slot: Slot, fault: Fault, now_ms: u64) {
        if !self.view.recorders().contains(slot) {
            return; // decided already
        }
        self.members[slot.index()].count_write_error();
        self.note_errors(slot);
        match (fault.kind, self.tolerates_losing(slot)) {
            (FaultKind::Gone, true) => self.fail(slot, FailCause::Gone, now_ms),
            (FaultKind::Gone, false) => self.lose(slot, FailCause::Gone, now_ms),
            (_, true) => self.fail(slot, FailCause::RecordError(fault), now_ms),
            (_, false) => self.freeze_without_record(slot, now_ms),
        }
    }

    /// A member does not answer: to the array it is as good as gone.
    fn timed_out(&mut self, slot: Slot, now_ms: u64) {
        if !self.view.usable().contains(slot) {
            return; // decided already
        }
        match self.tolerates_losing(slot) {
            true => self.fail(slot, FailCause::TimedOut, now_ms),
            false => self.lose(slot, FailCause::TimedOut, now_ms),
        }
        self.resetting.insert(slot, self.view.epoch);
    }

    /// `slot` can't be recorded on, and can't be done without. What was to be recorded without being durable
    /// everywhere is taken back: a member that was to go stays in sync, and out of reach, so that no write that
    /// it misses is acknowledged.
    fn freeze_without_record(&mut self, slot: Slot, now_ms: u64) {
        let mut view = View::clone(&self.view);
        let taken_back = self.published.in_sync.minus(view.in_sync);
        view.unrecordable.insert(slot);
        view.in_sync = self.published.in_sync;
        view.reachable = view.reachable.minus(taken_back);
        if self.published.epoch == self.found {
            // Nothing says yet that the array runs: what was left clean must not be written to.
            view.reachable.remove(slot);
        }
        self.propose(view, Some(EventKind::MemberUnrecordable { slot }), now_ms);
    }

    fn repaired(&mut self, slot: Slot, lba: u64, blocks: u64, now_ms: u64) {
        self.members[slot.index()].count_repair();
        if let Some(recorder) = &mut self.recorder {
            recorder.forget_bad_blocks(slot, lba..lba + blocks, now_ms);
        }
    }

    /// Blocks of a member are lost: that is recorded, as long as there is room; a member with more goes.
    fn unrepaired(&mut self, bad: BadBlock, fault: Fault, now_ms: u64) {
        let slot = bad.slot;
        if !self.view.usable().contains(slot) {
            return;
        }
        self.members[slot.index()].count_write_error();
        self.note_errors(slot);
        let has_room = match &mut self.recorder {
            Some(recorder) => recorder.note_bad_block(bad, now_ms),
            None => false,
        };
        if !has_room && self.tolerates_losing(slot) {
            self.fail(slot, FailCause::WriteError(fault), now_ms);
        }
    }

    fn note_errors(&mut self, slot: Slot) {
        let member = &self.members[slot.index()];
        if let Some(recorder) = &mut self.recorder {
            recorder.count_errors(slot, member.read_errors(), member.write_errors());
        }
    }

    /// Whether every block has a usable copy left without `slot`. Beyond that, nothing is failed.
    fn tolerates_losing(&self, slot: Slot) -> bool {
        !self.view.is_frozen() && self.geometry.is_served_by(self.view.usable().without(slot))
    }

    fn fail(&mut self, slot: Slot, cause: FailCause, now_ms: u64) {
        let mut view = View::clone(&self.view);
        view.in_sync.remove(slot);
        if cause == FailCause::Gone {
            view.reachable.remove(slot);
        }
        self.propose(view, Some(EventKind::MemberFailed { slot, cause }), now_ms);
    }

    /// The membership stays as it is, without the member's answers.
    fn lose(&mut self, slot: Slot, cause: FailCause, now_ms: u64) {
        let mut view = View::clone(&self.view);
        view.reachable.remove(slot);
        self.propose(view, Some(EventKind::MemberFailed { slot, cause }), now_ms);
    }

    fn propose(&mut self, view: View, event: Option<EventKind>, now_ms: u64) {
        let before = self.state();
        let after = view.state(&self.geometry);
        let changed = (after != before).then_some(EventKind::StateChanged(after));
        let events: Vec<EventKind> = event.into_iter().chain(changed).collect();
        let lost = !self.view.in_sync.minus(view.in_sync).is_empty();
        self.propose_all(view, &events, lost, now_ms);
    }

    /// `lost`: a generation begins.
    fn propose_all(&mut self, mut view: View, events: &[EventKind], lost: bool, now_ms: u64) {
        view.epoch = self.view.epoch.next();
        self.view = Arc::new(view);
        for event in events {
            let drive = event.slot().and_then(|slot| self.name_in(slot));
            self.events.add(*event, drive, self.view.epoch, now_ms);
        }
        if let Some(recorder) = &mut self.recorder {
            self.view_version = recorder.change_view(&self.view, lost, now_ms);
        }
    }

    fn publish(&mut self) {
        self.published = Arc::clone(&self.view);
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
        self.write_record();
        if self.published.epoch < self.view.epoch && self.missing_records().is_empty() {
            self.publish();
        }
        let published = self.published.epoch;
        let swapped = self.planners.values().map(|acks| acks.swapped).min().unwrap_or(published);
        if swapped > self.settled {
            self.settled = swapped;
            self.announce_settled();
        }
        let settled = self.settled;
        let due = self.resetting.extract_if(.., |_, epoch| *epoch <= settled);
        self.outbox.extend(due.map(|(slot, _)| FromArray::ResetMember(slot)));
        let drained = self.planners.values().map(|acks| acks.drained).min().unwrap_or(published);
        if drained > self.drained {
            self.drained = drained;
        }
        self.close_members();
        self.raise_ending(now_ms);
    }

    /// Members of the newest View whose superblock lacks it.
    fn missing_records(&self) -> SlotSet {
        let recorder = self.recorder.as_ref();
        recorder
            .map_or(SlotSet::EMPTY, |recorder| recorder.missing_on(self.view_version, self.view.recorders()))
    }

    fn write_record(&mut self) {
        let Some(recorder) = &mut self.recorder else { return };
        while let Some(io) = recorder.begin(&self.view, || self.events.records()) {
            self.outbox.push_back(FromArray::Io(io));
        }
    }

    /// Whether the array can't be started without one of `recorders`: what they know is known ever after.
    fn will_be_found(&self, recorders: SlotSet) -> bool {
        let others = self.view.in_sync.minus(recorders);
        !recorders.is_empty() && !self.geometry.is_served_by(others)
    }

    fn close_members(&mut self) {
        let (drained, recorder) = (self.drained, &self.recorder);
        let is_writing = |slot| recorder.as_ref().is_some_and(|recorder| recorder.is_writing(slot));
        let closable = self.closing.extract_if(.., |slot, epoch| *epoch <= drained && !is_writing(*slot));
        self.outbox.extend(closable.map(|(slot, _)| FromArray::CloseMember(slot)));
    }

    fn announce_settled(&mut self) {
        let recorded = self.recorder.is_none() || self.will_be_found(self.view.recorders());
        while let Some(kind) = self.events.tell_next(self.settled, recorded) {
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

/// The member table as it is at the start.
fn members_of(drives: Vec<Option<String>>, record: Option<&Superblock>) -> Vec<Member> {
    let errors = |slot: usize| {
        record.map_or((0, 0), |record| (record.members[slot].read_errors, record.members[slot].write_errors))
    };
    let member = |(slot, drive)| {
        let (read_errors, write_errors) = errors(slot);
        Member::new(drive, read_errors, write_errors)
    };
    drives.into_iter().enumerate().map(member).collect()
}

#[cfg(test)]
mod tests;
