//! The driver of `raid::Array`: owns an array's machine, its drives and its bdev, on the app thread.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use raid::array::{ArraySpec, EventLog, FromArray, MemberState, Receipt, Refusal};
use raid::assembly::DriveFound;
use raid::msg::ToArray;
use raid::{Array, ChannelId, Slot};
use spdk_rs::Errno;
use spdk_rs::module::{DestructDone, Registered};
use spdk_rs::poller::{Busy, Poller};
use uuid::Uuid;

use super::ArrayError;
use super::assemble::{Pending, Phase};
use super::drives::Drive;
use super::params::{CreateParams, Existing, Metadata};
use super::status::{ArrayStats, ArrayStatus, marked_regions};
use super::{forget, label};
use crate::clock::now_ms;
use crate::device::{RaidBdev, Shared};
use crate::meta::MetaChannels;
use crate::module;
use crate::port::{Address, ArrayId, Port, Post};

/// What does not change while the array exists.
pub(crate) struct About {
    /// What it was made from, with the UUID that it got.
    pub params: CreateParams,
    pub uuid: Uuid,
    /// Drives that were named as members and are not used.
    pub left_out: Vec<DriveFound>,
}

/// One array.
pub(crate) struct Owner {
    about: About,
    machine: RefCell<Array>,
    shared: Arc<Shared>,
    port: Port,
    /// By slot. A drive stays open while its entry here, or a channel to it, lives.
    drives: RefCell<Vec<Option<Drive>>>,
    channels: RefCell<HashMap<ChannelId, Address>>,
    bdev: RefCell<Option<Registered<RaidBdev>>>,
    /// For superblocks.
    members: MetaChannels,
    /// Tells the machine the time.
    clock: RefCell<Option<Poller>>,
    afterwards: Cell<Afterwards>,
    /// What SPDK waits for, once the array is coming to its end.
    ended: RefCell<Option<DestructDone>>,
    /// How many events those who wait have been told of.
    told_events: Cell<u64>,
}

/// What becomes of the members of an array that is taken down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Afterwards {
    /// The process ends: they are what the array is started from by the next one.
    #[default]
    Leave,
    /// They are what the array is started from when it is told to.
    Stop,
    /// They forget the array.
    Wipe,
}

/// How often the machine is asked whether it is time for something.
const CLOCK_US: u64 = 500_000;

impl Owner {
    pub fn new(
        about: About,
        spec: ArraySpec,
        shared: Arc<Shared>,
        drives: Vec<Option<Drive>>,
        bdev: Registered<RaidBdev>,
        port: Port,
    ) -> Owner {
        let keeps_metadata = spec.record.is_some();
        Owner {
            about,
            machine: RefCell::new(Array::new(spec, now_ms())),
            members: MetaChannels::new(Arc::clone(&shared), keeps_metadata),
            clock: RefCell::default(),
            afterwards: Cell::default(),
            ended: RefCell::default(),
            shared,
            port,
            drives: RefCell::new(drives),
            channels: RefCell::default(),
            bdev: RefCell::new(Some(bdev)),
            told_events: Cell::new(0),
        }
    }

    /// Begins to tell the machine the time, if it wants to know.
    pub fn start_clock(self: &Rc<Self>) {
        if self.machine.borrow().deadline_ms().is_none() {
            return; // it keeps nothing on its members
        }
        let owner = Rc::downgrade(self);
        let poller = Poller::register("basalt_array_clock", CLOCK_US, move || {
            let Some(owner) = owner.upgrade() else { return Busy::No };
            for slot in owner.members.overdue().iter() {
                owner.on_message(ToArray::TimedOut { slot });
            }
            let deadline_ms = owner.machine.borrow().deadline_ms();
            if deadline_ms.is_none_or(|deadline_ms| now_ms() < deadline_ms) {
                return Busy::No;
            }
            owner.machine.borrow_mut().on_time(now_ms());
            owner.carry_out_orders();
            Busy::Yes
        });
        *self.clock.borrow_mut() = Some(poller);
    }

    pub fn level(&self) -> raid::Level {
        self.shared.geometry.level()
    }

    pub fn id(&self) -> ArrayId {
        self.shared.id
    }

    pub fn name(&self) -> &str {
        &self.about.params.name
    }

    pub fn uuid(&self) -> Uuid {
        self.about.uuid
    }

    pub fn status(&self) -> ArrayStatus {
        ArrayStatus::of(&self.about, &self.machine.borrow(), &self.shared, &self.drives.borrow())
    }

    /// Calls `look` with the array's events.
    pub fn with_events<R>(&self, look: impl FnOnce(&EventLog) -> R) -> R {
        look(self.machine.borrow().events())
    }

    pub fn stats(&self) -> ArrayStats {
        let machine = self.machine.borrow();
        ArrayStats {
            name: self.about.params.name.clone(),
            epoch: machine.view().epoch.0,
            settled: machine.settled().0,
            quiesces: machine.quiesces(),
            channels: self.channels.borrow().len(),
            shards: self.shared.shards.count(),
            marked_regions: marked_regions(&self.shared),
        }
    }

    /// What would make the array anew as it is. A slot whose member is not in sync is left empty: nothing on
    /// the drives says yet that its data is old.
    pub fn recipe(&self) -> CreateParams {
        let machine = self.machine.borrow();
        let mut params = self.about.params.clone();
        for (n, member) in params.members.iter_mut().enumerate() {
            if machine.member_state(Slot(n as u8)) != MemberState::InSync {
                *member = None;
            }
        }
        let members = params.members.clone();
        if params.metadata() == Metadata::Drives {
            // The drives say what the array is.
            params.members = self.about.params.members.clone();
            params.existing = Existing::Assemble;
            return params;
        }
        params.assume_durable.retain(|drive| members.iter().flatten().any(|member| member == drive));
        params
    }

    pub fn slot_of(&self, drive: &str) -> Result<Slot, ArrayError> {
        let machine = self.machine.borrow();
        machine.slot_of(drive).ok_or_else(|| ArrayError::NoSuchMember {
            array: self.about.params.name.clone(),
            drive: drive.to_owned(),
            members: machine.members().iter().filter_map(|m| m.drive()).collect::<Vec<_>>().join(", "),
        })
    }

    pub fn fail_member(self: &Rc<Self>, slot: Slot) -> Result<Receipt, Refusal> {
        let receipt = self.machine.borrow_mut().fail_member(slot, now_ms());
        self.carry_out_orders();
        receipt
    }

    pub fn remove_member(self: &Rc<Self>, slot: Slot) -> Result<Receipt, Refusal> {
        let receipt = self.machine.borrow_mut().remove_member(slot, now_ms());
        self.carry_out_orders();
        receipt
    }

    /// SPDK says that the drive in `slot` is going away.
    pub fn member_gone(self: &Rc<Self>, slot: Slot) {
        tracing::warn!(array = self.name(), slot = slot.0, "a member's drive is gone");
        self.machine.borrow_mut().member_gone(slot, now_ms());
        self.carry_out_orders();
    }

    /// Unregisters the bdev; false if that was begun before. [`Owner::finish`] follows when nobody uses it any
    /// more.
    pub(super) fn unregister(
        self: &Rc<Self>,
        afterwards: Afterwards,
        done: impl FnOnce(Result<(), Errno>) + 'static,
    ) -> bool {
        let Some(bdev) = self.bdev.borrow_mut().take() else { return false };
        self.afterwards.set(afterwards);
        self.stop();
        bdev.unregister(done);
        true
    }

    /// I/O that waits for members fails from now on: nobody could close the bdev while it waits.
    pub fn stop(self: &Rc<Self>) {
        self.machine.borrow_mut().stop(now_ms());
        self.carry_out_orders();
    }

    /// Nobody uses the array any more. `done` is let go when the machine has said that it is finished.
    pub fn finish(self: &Rc<Self>, done: DestructDone) {
        *self.ended.borrow_mut() = Some(done);
        self.machine.borrow_mut().finish(now_ms());
        self.carry_out_orders();
    }

    /// The machine has nothing more to record.
    fn finished(self: &Rc<Self>) {
        drop(self.clock.borrow_mut().take());
        let owner = Rc::clone(self);
        let wipes =
            self.afterwards.get() == Afterwards::Wipe && self.about.params.metadata() == Metadata::Drives;
        self.port.spawn(async move {
            if wipes {
                owner.wipe_members().await;
            }
            forget(owner.id());
            drop(owner.ended.borrow_mut().take());
        });
    }

    /// What is left of an array that was stopped so that it can be started again.
    pub(super) fn stopped(&self) -> Option<Pending> {
        let keeps = self.about.params.metadata() == Metadata::Drives;
        (self.afterwards.get() == Afterwards::Stop && keeps).then(|| Pending {
            params: self.recipe(),
            phase: Phase::Stopped,
            why: "it was stopped; to start it: basalt array start ARRAY".to_owned(),
            seen_ms: now_ms(),
            until_ms: None,
            present: BTreeSet::new(),
            judged: None,
        })
    }

    async fn wipe_members(&self) {
        let drives = std::mem::take(&mut *self.drives.borrow_mut());
        for drive in drives.iter().flatten() {
            if let Err(error) = label::wipe(drive).await {
                tracing::warn!(array = self.name(), "{error}");
            }
        }
        *self.drives.borrow_mut() = drives;
    }

    pub fn channel_opened(self: &Rc<Self>, channel: ChannelId, address: Address) {
        self.channels.borrow_mut().insert(channel, address);
        self.on_message(ToArray::ChannelOpened(channel));
    }

    pub fn on_message(self: &Rc<Self>, message: ToArray) {
        if let ToArray::ChannelClosed(channel) = message {
            self.channels.borrow_mut().remove(&channel);
        }
        self.machine.borrow_mut().on_message(message, now_ms());
        self.carry_out_orders();
    }

    /// Nobody uses the array any more: lets go of its drives and its Shards.
    pub fn end(&self) {
        self.drives.borrow_mut().clear();
        self.shared.geometry.slots().iter().for_each(|slot| self.shared.close_drive(slot));
        for shard in self.shared.shards.iter() {
            self.port.send(shard, Post::DropShard(self.id()));
        }
    }

    /// Sends what the machine wants sent, and tells those who wait of new events.
    pub fn carry_out_orders(self: &Rc<Self>) {
        loop {
            let Some(order) = self.machine.borrow_mut().take_order() else { break };
            match order {
                FromArray::Channel(channel, message) => {
                    if let Some(address) = self.channels.borrow().get(&channel) {
                        self.port.send(address, Post::Channel(channel, message));
                    }
                }
                FromArray::Shard(shard, message) => {
                    self.port.send(self.shared.shards.get(shard), Post::Shard(self.id(), message));
                }
                FromArray::Io(io) => {
                    let (outcome, ticket) = (self.members.begin(&io), io.ticket);
                    let owner = Rc::clone(self);
                    self.port.spawn(async move {
                        let result = outcome.await;
                        owner.machine.borrow_mut().io_done(ticket, result, now_ms());
                        owner.carry_out_orders();
                    });
                }
                FromArray::ResetMember(slot) => self.reset_member(slot),
                FromArray::CloseMember(slot) => self.close_member(slot),
                FromArray::Finished => self.finished(),
            }
        }
        self.tell_events();
    }

    /// What the member has not answered comes back as aborted.
    fn reset_member(&self, slot: Slot) {
        let Some(drive) = self.shared.drive(slot) else { return };
        let name = self.name().to_owned();
        self.port.spawn(async move {
            let result = match drive.channel() {
                Ok(channel) => channel.reset().await,
                Err(errno) => Err(errno.into()),
            };
            match result {
                Ok(()) => tracing::warn!(array = name, drive = drive.name(), "was reset: it did not answer"),
                Err(error) => tracing::error!(array = name, drive = drive.name(), "can't be reset: {error}"),
            }
        });
    }

    fn close_member(&self, slot: Slot) {
        self.members.forget(slot);
        self.shared.close_drive(slot);
        let Some(drive) = self.drives.borrow_mut()[slot.index()].take() else { return };
        tracing::info!(array = self.name(), drive = drive.name(), "drive is closed");
        if let Some(registry) = module::registry() {
            registry.pool.borrow_mut().release(self.name(), drive.name());
        }
    }

    fn tell_events(&self) {
        let told = self.with_events(EventLog::told);
        let before = self.told_events.replace(told);
        if told == before {
            return;
        }
        self.with_events(|events| {
            for event in events.newest(told - before) {
                tracing::info!(array = self.name(), seq = event.seq, epoch = event.epoch.0, "{}", event.text);
            }
        });
        if let Some(registry) = module::registry() {
            registry.events.tell(self.id());
        }
    }
}
