//! Shards: the SPDK threads that they live on, and the driver of `raid::Shard`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use raid::msg::{ToArray, ToShard};
use raid::shard::FromShard;
use raid::{ChannelId, Shard, ShardId};
use spdk_rs::cpuset::CpuSet;
use spdk_rs::thread::ThreadHandle;
use spdk_rs::{Errno, env};

use crate::port::{Address, ArrayId, Port, Post, ShardAddresses, Unopened};

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
    pub id: ShardId,
    pub array: Address,
    /// Where the Shard says how many of its regions are leased.
    pub leased_regions: Arc<AtomicU32>,
}

/// The Shards of one thread.
#[derive(Default)]
pub(crate) struct Keeper {
    kept: RefCell<HashMap<ArrayId, Kept>>,
}

struct Kept {
    machine: Shard,
    array: Address,
    channels: HashMap<ChannelId, Address>,
    leased_regions: Arc<AtomicU32>,
}

impl Keeper {
    pub fn add(&self, array: ArrayId, new: NewShard) {
        let kept = Kept {
            machine: Shard::new(new.id),
            array: new.array,
            channels: HashMap::new(),
            leased_regions: new.leased_regions,
        };
        self.kept.borrow_mut().insert(array, kept);
    }

    pub fn remove(&self, array: ArrayId) {
        self.kept.borrow_mut().remove(&array);
    }

    pub fn channel_opened(&self, array: ArrayId, channel: ChannelId, address: Address) {
        if let Some(kept) = self.kept.borrow_mut().get_mut(&array) {
            kept.channels.insert(channel, address);
        }
    }

    pub fn on_message(&self, port: &Port, array: ArrayId, message: ToShard) {
        let mut all = self.kept.borrow_mut();
        let Some(kept) = all.get_mut(&array) else { return };
        let closed = if let ToShard::ChannelClosed(channel) = message { Some(channel) } else { None };
        kept.machine.on_message(message);
        kept.leased_regions.store(kept.machine.leased_regions() as u32, Ordering::Relaxed);
        while let Some(message) = kept.machine.take_message() {
            kept.send(port, array, message);
        }
        if let Some(channel) = closed {
            kept.channels.remove(&channel);
        }
    }
}

impl Kept {
    fn send(&self, port: &Port, array: ArrayId, message: FromShard) {
        match message {
            FromShard::Array(message) => self.send_array(port, array, message),
            FromShard::Channel(channel, message) => {
                if let Some(address) = self.channels.get(&channel) {
                    port.send(address, Post::Channel(channel, message));
                }
            }
        }
    }

    fn send_array(&self, port: &Port, array: ArrayId, message: ToArray) {
        port.send(&self.array, Post::Array(array, message));
    }
}
