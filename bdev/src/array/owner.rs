//! The driver of `raid::Array`: owns an array's machine, its drives and its bdev, on the app thread.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use raid::array::{ArraySpec, EventLog, FromArray, MemberState, Receipt, Refusal};
use raid::msg::ToArray;
use raid::{Array, ChannelId, Slot};
use spdk_rs::Errno;
use spdk_rs::bdev::{BdevInfo, Claim, Descriptor};
use spdk_rs::module::Registered;
use uuid::Uuid;

use super::ArrayError;
use super::create::CreateParams;
use super::status::{ArrayStats, ArrayStatus, leased_regions};
use crate::device::{RaidBdev, Shared};
use crate::module;
use crate::port::{Address, ArrayId, Port, Post};

/// What does not change while the array exists.
pub(crate) struct About {
    /// What it was made from, with the UUID that it got.
    pub params: CreateParams,
    pub uuid: Uuid,
}

/// A drive that an array holds.
pub(crate) struct Drive {
    name: String,
    uuid: Uuid,
    block_size: u32,
    num_blocks: u64,
    flushes: bool,
    claim: Claim,
}

impl Drive {
    pub fn new(name: String, info: &BdevInfo, claim: Claim, flushes: bool) -> Drive {
        Drive {
            name,
            uuid: Uuid::from_bytes(info.uuid),
            block_size: info.block_size,
            num_blocks: info.num_blocks,
            flushes,
            claim,
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    pub fn block_size(&self) -> u32 {
        self.block_size
    }

    pub fn num_blocks(&self) -> u64 {
        self.num_blocks
    }

    /// Whether it has a FLUSH that means something.
    pub fn flushes(&self) -> bool {
        self.flushes
    }

    pub fn descriptor(&self) -> &Arc<Descriptor> {
        self.claim.descriptor()
    }
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
    /// The number of the last event that was told to those who wait.
    told_events: Cell<u64>,
}

impl Owner {
    pub fn new(
        about: About,
        spec: ArraySpec,
        shared: Arc<Shared>,
        drives: Vec<Option<Drive>>,
        bdev: Registered<RaidBdev>,
        port: Port,
    ) -> Owner {
        Owner {
            about,
            machine: RefCell::new(Array::new(spec, now_ms())),
            shared,
            port,
            drives: RefCell::new(drives),
            channels: RefCell::default(),
            bdev: RefCell::new(Some(bdev)),
            told_events: Cell::new(0),
        }
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
            leased_regions: leased_regions(&self.shared),
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

    pub fn fail_member(&self, slot: Slot) -> Result<Receipt, Refusal> {
        let receipt = self.machine.borrow_mut().fail_member(slot, now_ms());
        self.carry_out_orders();
        receipt
    }

    pub fn remove_member(&self, slot: Slot) -> Result<Receipt, Refusal> {
        let receipt = self.machine.borrow_mut().remove_member(slot, now_ms());
        self.carry_out_orders();
        receipt
    }

    /// SPDK says that the drive in `slot` is going away.
    pub fn member_gone(&self, slot: Slot) {
        tracing::warn!(array = self.name(), slot = slot.0, "a member's drive is gone");
        self.machine.borrow_mut().member_gone(slot, now_ms());
        self.carry_out_orders();
    }

    /// Unregisters the bdev; false if that was begun before. [`super::forget`] follows when nobody uses it
    /// any more.
    pub fn unregister(&self, done: impl FnOnce(Result<(), Errno>) + 'static) -> bool {
        let Some(bdev) = self.bdev.borrow_mut().take() else { return false };
        self.stop();
        bdev.unregister(done);
        true
    }

    /// I/O that waits for members fails from now on: nobody could close the bdev while it waits.
    pub fn stop(&self) {
        self.machine.borrow_mut().stop(now_ms());
        self.carry_out_orders();
    }

    pub fn channel_opened(&self, channel: ChannelId, address: Address) {
        self.channels.borrow_mut().insert(channel, address);
        self.on_message(ToArray::ChannelOpened(channel));
    }

    pub fn on_message(&self, message: ToArray) {
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
    pub fn carry_out_orders(&self) {
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
                FromArray::CloseMember(slot) => self.close_member(slot),
            }
        }
        self.tell_events();
    }

    fn close_member(&self, slot: Slot) {
        self.shared.close_drive(slot);
        let Some(drive) = self.drives.borrow_mut()[slot.index()].take() else { return };
        tracing::info!(array = self.name(), drive = drive.name(), "drive is closed");
        if let Some(registry) = module::registry() {
            registry.pool.borrow_mut().release(self.name(), drive.name());
        }
    }

    fn tell_events(&self) {
        let last = self.with_events(EventLog::last_seq);
        let told = self.told_events.replace(last);
        if last == told {
            return;
        }
        self.with_events(|events| {
            for event in events.since(told) {
                tracing::info!(array = self.name(), seq = event.seq, epoch = event.epoch.0, "{}", event.text);
            }
        });
        if let Some(registry) = module::registry() {
            registry.events.tell(self.id());
        }
    }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
