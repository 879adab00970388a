//! Every View that the Array makes, every event that it tells, every answer that it gives.

use raid::array::{EventKind, FailCause, Receipt};
use raid::view::ArrayState;
use raid::{Array, Epoch, FaultKind, Slot, SlotSet, View};

use super::{Checked, Rule, ensure};
use crate::coverage::Seen;
use crate::world::World;

/// What the checker remembers.
#[derive(Debug)]
pub(crate) struct MembershipCheck {
    view: View,
    /// The View that the members had at the start.
    found: Epoch,
    /// The newest View that was published.
    published: Epoch,
    /// The number of the newest numbered event, and how many were told since the start.
    last_event: u64,
    told: u64,
    last_event_epoch: Epoch,
    /// The newest View with a change that an event must tell of.
    owed: Epoch,
    /// The state that the last event about it told.
    pub told_state: Option<ArrayState>,
    /// Per slot: what its drive has really done.
    pub blame: Vec<Blame>,
}

/// The reasons that a member gave for being failed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Blame {
    pub read_errors: u32,
    /// Of the read errors, those that are no aborts.
    pub certain_read_errors: u32,
    /// Writes and flushes that failed, or were aborted until nobody believed it any more.
    pub write_errors: u32,
    /// Of these, errors of metadata I/O.
    pub meta_errors: u32,
    /// Read errors that the array knew of at its start.
    pub read_errors_found: u32,
    /// The array was started without it.
    pub absent: bool,
    pub gone: bool,
    /// The operator's order is being carried out.
    pub ordered: bool,
    /// It was, once.
    pub was_ordered: bool,
    /// The array was told to give the drive up.
    pub released: bool,
}

impl MembershipCheck {
    /// Of an Array that was just started.
    pub fn new(array: &Array) -> MembershipCheck {
        let blame = vec![Blame::default(); raid::ids::SLOTS_MAX];
        let view = View::clone(array.view());
        MembershipCheck {
            found: array.published().epoch,
            published: array.published().epoch,
            last_event: array.events().last_seq(),
            told: 0,
            last_event_epoch: Epoch(0),
            owed: view.epoch,
            view,
            told_state: None,
            blame,
        }
    }
}

impl MembershipCheck {
    /// Whether this life of the array has published a View.
    pub fn has_begun(&self) -> bool {
        self.published > self.found
    }

    /// A View whose event is still to come.
    pub fn untold(&self) -> Option<Epoch> {
        (self.last_event_epoch < self.owed).then_some(self.owed)
    }
}

impl World {
    /// After everything that the Array did.
    pub(crate) fn check_array(&mut self) -> Checked {
        if self.array.view().epoch != self.membership.view.epoch {
            let newest = View::clone(self.array.view());
            self.check_view(&newest)?;
            self.membership.view = newest;
            self.forget_trusted();
        }
        if self.array.published().epoch != self.membership.published {
            let published = View::clone(self.array.published());
            self.membership.published = published.epoch;
            self.check_published(&published)?;
        }
        if self.array.events().told() != self.membership.told {
            self.check_events()?;
        }
        Ok(())
    }

    fn check_view(&mut self, new: &View) -> Checked {
        let old = self.membership.view.clone();
        ensure(new.epoch == old.epoch.next(), Rule::Membership, || {
            format!("View {} follows View {}", new.epoch, old.epoch)
        })?;
        let taken_back = new.in_sync.minus(old.in_sync);
        if !taken_back.is_empty() {
            self.coverage.saw(Seen::TakenBack);
        }
        let may_take_back = self.array.published().in_sync.minus(new.reachable);
        let unrecordable = new.unrecordable.minus(old.unrecordable);
        for slot in unrecordable.iter() {
            self.coverage.saw(Seen::Unrecordable);
            let blame = &self.membership.blame[slot.index()];
            let is_right = blame.meta_errors > 0 && !self.may_lose(&old, slot);
            ensure(is_right, Rule::Membership, || {
                format!("m{slot} is taken for unrecordable without need: {blame:?}")
            })?;
        }
        let in_sync_before = if unrecordable.is_empty() { SlotSet::EMPTY } else { may_take_back };
        let in_sync_before = old.in_sync.iter().chain(in_sync_before.iter()).collect();
        let grown =
            [(new.in_sync, in_sync_before), (new.reachable, old.reachable), (new.attached, old.attached)];
        ensure(grown.iter().all(|(new, old)| new.minus(*old).is_empty()), Rule::Membership, || {
            format!("a member came back from nowhere: {old:?} became {new:?}")
        })?;
        for slot in old.attached.minus(new.attached).iter() {
            self.membership.blame[slot.index()].released = true;
        }
        if (new.in_sync, new.reachable) != (old.in_sync, old.reachable) {
            self.membership.owed = new.epoch;
        }
        if new.usable() != old.usable() {
            self.stable.forget_if(new.usable());
        }
        let out = old.in_sync.minus(new.in_sync);
        let lost = old.usable().minus(new.usable()).minus(out);
        let frozen_by_record = !unrecordable.is_empty();
        for slot in out.iter() {
            self.check_put_out(slot)?;
        }
        for slot in lost.iter() {
            let blame = &self.membership.blame[slot.index()];
            let tolerated = self.may_lose(&old, slot);
            ensure(blame.gone && !tolerated || frozen_by_record, Rule::Membership, || {
                format!("m{slot} was frozen in without need (gone: {}, tolerated: {tolerated})", blame.gone)
            })?;
            self.coverage.saw(Seen::Frozen);
        }
        Ok(())
    }

    /// `slot` leaves the in-sync set: there is a reason, and no block loses its last copy.
    fn check_put_out(&mut self, slot: Slot) -> Checked {
        let before = &self.membership.view;
        ensure(self.may_lose(before, slot), Rule::Membership, || {
            format!("m{slot} was failed, which loses the last copy of a block, or the membership is frozen")
        })?;
        let blame = &self.membership.blame[slot.index()];
        let limits = self.profile.limits;
        let too_many_reads = blame.read_errors >= limits.read;
        let has_reason = blame.gone || blame.ordered || blame.write_errors >= limits.write || too_many_reads;
        ensure(has_reason, Rule::Resources, || format!("m{slot} was failed without a reason: {blame:?}"))?;
        self.coverage.saw(if blame.gone { Seen::MemberGone } else { Seen::MemberFailed });
        Ok(())
    }

    fn check_events(&mut self) -> Checked {
        let newest = self.array.view().epoch;
        let new = self.array.events().told() - self.membership.told;
        let events: Vec<_> = self.array.events().newest(new).cloned().collect();
        self.membership.told = self.array.events().told();
        for event in &events {
            let (last, kind, epoch) = (self.membership.last_event, event.kind, event.epoch);
            let kind = kind.expect("the simulator knows of no later version");
            let (recorders, in_sync) = (self.array.view().recorders(), self.array.view().in_sync);
            let may_be_forgotten = recorders.is_empty() || self.layout.is_served_by(in_sync.minus(recorders));
            let may_be_unnumbered = self.keeps_metadata() && may_be_forgotten;
            let follows = event.seq.map_or(may_be_unnumbered, |seq| seq == last + 1);
            let in_order = epoch >= self.membership.last_event_epoch && epoch <= newest;
            ensure(follows && in_order, Rule::Events, || {
                format!("event {:?} of View {epoch} follows event {last}", event.seq)
            })?;
            if let Some(seq) = event.seq {
                self.check_numbered(seq)?;
                self.membership.last_event = seq;
                self.chronicle.push((seq, kind, epoch));
            } else {
                self.coverage.saw(Seen::Unnumbered);
            }
            let behind = self.views().find(|view| view.epoch < epoch).map(|view| view.epoch);
            ensure(behind.is_none(), Rule::Events, || {
                format!("an event tells of View {epoch}, and somebody plans with View {behind:?}")
            })?;
            let has_drive = kind.slot().is_none() || event.drive.is_some();
            ensure(has_drive, Rule::Events, || format!("an event names no drive: {}", event.text))?;
            ensure(self.is_true(kind), Rule::Events, || format!("an event is not true: {}", event.text))?;
            if let EventKind::Started(state) | EventKind::StateChanged(state) = kind {
                self.membership.told_state = Some(state);
            }
            self.membership.last_event_epoch = epoch;
        }
        Ok(())
    }

    fn is_true(&self, kind: EventKind) -> bool {
        let view = self.array.view();
        match kind {
            EventKind::MemberDetached { slot } => !view.in_sync.contains(slot),
            EventKind::MemberFailed { slot, cause } => {
                let blame = &self.membership.blame[slot.index()];
                let is_reason = match cause {
                    FailCause::Gone => blame.gone,
                    FailCause::WriteError(_) | FailCause::FlushError(_) => blame.write_errors > 0,
                    FailCause::ReadErrors => blame.read_errors >= self.profile.limits.read,
                    FailCause::Operator => blame.was_ordered,
                    FailCause::RecordError(_) => blame.meta_errors > 0,
                    FailCause::Absent => blame.absent,
                    FailCause::TimedOut => false,
                };
                is_reason && !view.usable().contains(slot)
            }
            EventKind::Started(_) | EventKind::Stopping | EventKind::StateChanged(_) => true,
            EventKind::MemberUnrecordable { slot } => view.unrecordable.contains(slot),
        }
    }

    /// The answer to a command that was accepted.
    pub(crate) fn check_receipt(&self, receipt: &Receipt) -> Checked {
        let newest = self.array.view().epoch;
        ensure(receipt.epoch == newest, Rule::Command, || {
            format!("{receipt:?}, but View {newest} is newest")
        })?;
        let everybody = self.views().all(|view| view.epoch >= receipt.epoch);
        ensure(everybody || !receipt.took_effect, Rule::Command, || format!("{receipt:?} is not true"))?;
        let named = receipt.took_effect || !receipt.waiting_on.is_empty() || !receipt.recording_on.is_empty();
        ensure(named, Rule::Command, || format!("{receipt:?} does not say what it waits for"))
    }

    /// A refusal changed nothing.
    pub(crate) fn check_refused(&self) -> Checked {
        let same = **self.array.view() == self.membership.view;
        ensure(same, Rule::Command, || "a refused command made a View".to_owned())
    }

    /// The state that an operator is shown.
    pub(crate) fn check_state(&self) -> Checked {
        let view = self.array.view();
        let usable = view.in_sync.and(view.reachable);
        let right = if usable != view.in_sync || !self.layout.is_served_by(usable) {
            ArrayState::Failed
        } else if usable == self.layout.slots() {
            ArrayState::Active
        } else {
            ArrayState::Degraded
        };
        ensure(self.array.state() == right, Rule::Command, || format!("{:?} is shown", self.array.state()))
    }

    /// A child came back from `slot` with an error that says something about it.
    pub(crate) fn note_blame(&mut self, slot: Slot, is_read: bool, kind: FaultKind) {
        let blame = &mut self.membership.blame[slot.index()];
        blame.gone |= kind == FaultKind::Gone;
        if is_read {
            blame.read_errors += 1;
            blame.certain_read_errors += u32::from(kind != FaultKind::Aborted);
        } else {
            blame.write_errors += 1;
        }
    }

    /// Members that some Channel may still read from or count on, or will as soon as its View arrives.
    pub(crate) fn find_trusted(&self) -> SlotSet {
        let newest = self.array.view().in_sync;
        let trusted =
            |slot: &Slot| newest.contains(*slot) || self.views().any(|view| view.in_sync.contains(*slot));
        self.layout.slots().iter().filter(trusted).collect()
    }
}
