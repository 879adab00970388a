//! Shards: the SPDK threads that they live on, and the driver of `raid::Shard`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use raid::msg::{ToArray, ToShard};
use raid::shard::{FromShard, ShardSpec};
use raid::{ChannelId, Shard};
use spdk_rs::cpuset::CpuSet;
use spdk_rs::poller::{Busy, Poller};
use spdk_rs::thread::ThreadHandle;
use spdk_rs::{Errno, env};

use crate::clock::now_ms;
use crate::device::Shared;
use crate::meta::MetaChannels;
use crate::port::{Address, ArrayId, Port, Post, ShardAddresses, Unopened};

/// How often the machines are asked whether it is time for something.
const CLOCK_US: u64 = 200_000;

/// One SPDK thread per core of the application, for the Shards of all arrays.
pub(crate) struct ShardThreads {
    threads: Vec<(ThreadHandle, Address)>,
}

impl ShardThreads {
    /// Makes the threads; the application's reactors poll them.
    pub fn start() -> Result<ShardThreads, Errno> {
        let mut threads = ShardThreads { threads: Vec::new() };
        for core in env::all_cores() {
            let thread = ThreadHandle::spawn(&format!("basalt_shard_{core}"), &CpuSet::of(&[core])?)?;
            let port = Unopened::new();
            let address = port.address();
            thread.send(move || {
                // It holds itself until it is told to close.
                port.open();
            })?;
            threads.threads.push((thread, address));
        }
        Ok(threads)
    }

    pub fn addresses(&self) -> ShardAddresses {
        ShardAddresses::new(self.threads.iter().map(|(_, address)| address.clone()).collect())
    }

    /// Asks the threads to end, after what was posted to them before.
    pub fn stop(self, port: &Port) {
        for (_, address) in &self.threads {
            port.send(address, Post::Close);
        }
    }
}

/// What a thread needs to keep the Shard of a new array.
pub(crate) struct NewShard {
    pub spec: ShardSpec,
    pub shared: Arc<Shared>,
}

/// The Shards of one thread.
#[derive(Default)]
pub(crate) struct Keeper {
    kept: RefCell<HashMap<ArrayId, Kept>>,
    /// Tells the machines the time, while there are any.
    clock: RefCell<Option<Poller>>,
}

struct Kept {
    machine: Shard,
    shared: Arc<Shared>,
    members: MetaChannels,
    channels: HashMap<ChannelId, Address>,
}

impl Keeper {
    pub fn add(&self, port: &Port, array: ArrayId, new: NewShard) {
        let NewShard { spec, shared } = new;
        let members = MetaChannels::new(Arc::clone(&shared), spec.log.is_some());
        let kept = Kept { machine: Shard::new(spec), shared, members, channels: HashMap::new() };
        self.kept.borrow_mut().insert(array, kept);
        let mut clock = self.clock.borrow_mut();
        if clock.is_none() {
            let port = port.clone();
            *clock =
                Some(Poller::register("basalt_shard_clock", CLOCK_US, move || port.shards().tick(&port)));
        }
    }

    pub fn remove(&self, array: ArrayId) {
        self.kept.borrow_mut().remove(&array);
        if self.kept.borrow().is_empty() {
            drop(self.clock.borrow_mut().take());
        }
    }

    /// Where a Channel is to be answered.
    pub fn knows(&self, array: ArrayId, channel: ChannelId, address: Address) {
        if let Some(kept) = self.kept.borrow_mut().get_mut(&array) {
            kept.channels.insert(channel, address);
        }
    }

    pub fn on_message(&self, port: &Port, array: ArrayId, message: ToShard) {
        let closed = if let ToShard::ChannelClosed(channel) = message { Some(channel) } else { None };
        self.with(port, array, |kept| {
            kept.machine.on_message(message, now_ms());
            if let Some(channel) = closed {
                kept.channels.remove(&channel);
            }
        });
    }

    fn tick(&self, port: &Port) -> Busy {
        let now_ms = now_ms();
        let is_due = |kept: &Kept| kept.machine.deadline_ms().is_some_and(|deadline| deadline <= now_ms);
        let all = self.kept.borrow();
        all.iter().for_each(|(array, kept)| kept.report_overdue(port, *array));
        let due: Vec<ArrayId> = all.iter().filter(|(_, kept)| is_due(kept)).map(|(id, _)| *id).collect();
        drop(all);
        for array in &due {
            self.with(port, *array, |kept| kept.machine.on_time(now_ms));
        }
        if due.is_empty() { Busy::No } else { Busy::Yes }
    }

    /// Lets something happen to the Shard of `array`, and carries out what it wants done then.
    fn with(&self, port: &Port, array: ArrayId, happens: impl FnOnce(&mut Kept)) {
        let mut all = self.kept.borrow_mut();
        let Some(kept) = all.get_mut(&array) else { return };
        happens(kept);
        let counter = &kept.shared.marked_regions[usize::from(kept.machine.id().0)];
        counter.store(kept.machine.marked_regions(), Ordering::Relaxed);
        while let Some(message) = kept.machine.take_message() {
            kept.carry_out(port, array, message);
        }
    }
}

impl Kept {
    fn report_overdue(&self, port: &Port, array: ArrayId) {
        for slot in self.members.overdue().iter() {
            port.send(&self.shared.array, Post::Array(array, ToArray::TimedOut { slot }));
        }
    }

    fn carry_out(&self, port: &Port, array: ArrayId, message: FromShard) {
        match message {
            FromShard::Array(message) => {
                if let ToArray::Drained(..) = message
                    && let Some(view) = self.machine.view()
                {
                    self.members.keep(view.attached);
                }
                port.send(&self.shared.array, Post::Array(array, message));
            }
            FromShard::Channel(channel, message) => {
                if let Some(address) = self.channels.get(&channel) {
                    port.send(address, Post::Channel(channel, message));
                }
            }
            FromShard::Copy(io) => {
                let (outcome, ticket) = (self.members.copy(&io), io.ticket);
                let back = port.clone();
                port.spawn(async move {
                    let result = outcome.await;
                    back.shards().with(&back, array, |kept| kept.machine.copy_done(ticket, result, now_ms()));
                });
            }
            FromShard::Io(io) => {
                let (outcome, ticket) = (self.members.begin(&io), io.ticket);
                let back = port.clone();
                port.spawn(async move {
                    let result = outcome.await;
                    back.shards().with(&back, array, |kept| kept.machine.io_done(ticket, result, now_ms()));
                });
            }
        }
    }
}
