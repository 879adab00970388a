//! Ports: how machines on different SPDK threads reach one another.
//!
//! Each thread that has a machine of ours has one port: a bounded mailbox that a poller empties. What does
//! not fit into another port's mailbox waits in order on the sender's side, so that nothing blocks and
//! nothing is lost; between two ports posts arrive in the order in which they were sent.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use raid::msg::{ToArray, ToChannel, ToShard};
use raid::{ChannelId, ShardId};
use reactor::mailbox::{Class, Flushed, Mailbox, Outbox, Sender};
use spdk_rs::Errno;
use spdk_rs::io_device::IoDevice;
use spdk_rs::poller::{Busy, Poller};

use crate::array::Owner;
use crate::channel::ChannelCore;
use crate::clock::now_ms;
use crate::shard::{Keeper, NewShard};
use crate::task::Tasks;

/// An array of this process; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ArrayId(u32);

static NEXT_ARRAY: AtomicU32 = AtomicU32::new(0);

impl ArrayId {
    pub fn next() -> ArrayId {
        ArrayId(NEXT_ARRAY.fetch_add(1, Ordering::Relaxed))
    }
}

/// What is posted.
pub(crate) enum Post {
    /// A message to a Channel on the receiving thread. One that is closed by now does not mind.
    Channel(ChannelId, ToChannel),
    /// A Channel was made; it is to be answered at this address.
    ChannelOpened(ArrayId, ChannelId, Address),
    /// A message to the Shard of an array on the receiving thread.
    Shard(ArrayId, ToShard),
    /// The receiving thread is to keep a Shard.
    NewShard(ArrayId, NewShard),
    /// The array is gone, and its Shard with it.
    DropShard(ArrayId),
    /// A message to the Array on the app thread.
    Array(ArrayId, ToArray),
    /// No more posts come: the port ends.
    Close,
}

/// How often channels are told the time.
const CLOCK_US: u64 = 500_000;

const CAPACITY: usize = 1024;
const RESERVE: usize = 256;
const BUDGET: usize = 64;

static NEXT_PORT: AtomicU32 = AtomicU32::new(0);

/// Where to send posts for a thread. Can be copied to any thread.
#[derive(Clone)]
pub(crate) struct Address {
    port: u32,
    sender: Sender<Post>,
}

/// A port that no thread has taken yet: it takes posts already.
pub(crate) struct Unopened {
    address: Address,
    mailbox: Mailbox<Post>,
}

/// The current thread's port.
#[derive(Clone)]
pub(crate) struct Port(Rc<Open>);

struct Open {
    address: Address,
    mailbox: RefCell<Mailbox<Post>>,
    outboxes: RefCell<HashMap<u32, Outbox<Post>>>,
    unsent: Cell<bool>,
    closing: Cell<bool>,
    /// Futures that are not over.
    spawned: Cell<usize>,
    /// Tells the channels the time.
    clock: RefCell<Option<Poller>>,
    /// Holds this port, until it closes: a port outlives its users as long as it has something to send.
    poller: RefCell<Option<Poller>>,
    channels: RefCell<HashMap<ChannelId, Rc<ChannelCore>>>,
    shards: Keeper,
    tasks: Tasks,
    owners: RefCell<HashMap<ArrayId, Rc<Owner>>>,
}

impl Unopened {
    pub fn new() -> Unopened {
        let mailbox = Mailbox::new(CAPACITY, RESERVE);
        let port = NEXT_PORT.fetch_add(1, Ordering::Relaxed);
        Unopened { address: Address { port, sender: mailbox.sender() }, mailbox }
    }

    pub fn address(&self) -> Address {
        self.address.clone()
    }

    /// Opens it on the current SPDK thread.
    pub fn open(self) -> Port {
        // On a reactor of ours, which may doze; other applications poll all the time.
        if let Some(waker) = reactor::wake::current() {
            self.mailbox.set_waker(waker);
        }
        let port = Port(Rc::new(Open {
            address: self.address,
            mailbox: RefCell::new(self.mailbox),
            outboxes: RefCell::default(),
            unsent: Cell::new(false),
            closing: Cell::new(false),
            spawned: Cell::new(0),
            clock: RefCell::default(),
            poller: RefCell::default(),
            channels: RefCell::default(),
            shards: Keeper::default(),
            tasks: Tasks::default(),
            owners: RefCell::default(),
        }));
        let polled = port.clone();
        let poller = Poller::register("basalt_port", 0, move || polled.poll());
        *port.0.poller.borrow_mut() = Some(poller);
        port
    }
}

impl Port {
    pub fn address(&self) -> Address {
        self.0.address.clone()
    }

    /// Sends a post; it never fails and never blocks.
    pub fn send(&self, to: &Address, post: Post) {
        let mut outboxes = self.0.outboxes.borrow_mut();
        let outbox = outboxes.entry(to.port).or_insert_with(|| Outbox::new(to.sender.clone()));
        outbox.send(Class::Control, post);
        if outbox.waiting() > 0 {
            self.0.unsent.set(true);
        }
    }

    /// The port ends once it has sent what it has to send.
    pub fn close(&self) {
        self.0.closing.set(true);
    }

    /// Runs `future` on this thread. The port stays open at least until it is over.
    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        let port = self.clone();
        port.0.spawned.set(port.0.spawned.get() + 1);
        self.0.tasks.spawn(async move {
            future.await;
            port.0.spawned.set(port.0.spawned.get() - 1);
        });
    }

    /// The Shards on this thread.
    pub fn shards(&self) -> &Keeper {
        &self.0.shards
    }

    pub fn add_channel(&self, id: ChannelId, channel: Rc<ChannelCore>) {
        self.0.channels.borrow_mut().insert(id, channel);
        let mut clock = self.0.clock.borrow_mut();
        if clock.is_none() {
            let port = self.clone();
            *clock = Some(Poller::register("basalt_channel_clock", CLOCK_US, move || port.tell_time()));
        }
    }

    pub fn remove_channel(&self, id: ChannelId) {
        self.0.channels.borrow_mut().remove(&id);
        if self.0.channels.borrow().is_empty() {
            drop(self.0.clock.borrow_mut().take());
        }
    }

    fn tell_time(&self) -> Busy {
        let now_ms = now_ms();
        let channels: Vec<Rc<ChannelCore>> = self.0.channels.borrow().values().cloned().collect();
        channels.iter().for_each(|channel| channel.on_time(now_ms));
        Busy::No
    }

    pub fn add_owner(&self, id: ArrayId, owner: Rc<Owner>) {
        self.0.owners.borrow_mut().insert(id, owner);
    }

    pub fn remove_owner(&self, id: ArrayId) {
        self.0.owners.borrow_mut().remove(&id);
    }

    fn poll(&self) -> Busy {
        let mut handled = 0;
        while handled < BUDGET {
            let Some(post) = self.0.mailbox.borrow_mut().try_recv() else { break };
            handled += 1;
            self.handle(post);
        }
        handled += self.0.tasks.run();
        if self.0.unsent.get() {
            self.flush();
        }
        let is_done = !self.0.unsent.get() && self.0.spawned.get() == 0;
        if self.0.closing.get() && is_done && handled == 0 {
            // Ends the poller from inside, and with it its hold on this port.
            drop(self.0.poller.borrow_mut().take());
        }
        if handled > 0 { Busy::Yes } else { Busy::No }
    }

    fn flush(&self) {
        let mut unsent = false;
        // A port that is gone wants nothing any more.
        self.0.outboxes.borrow_mut().retain(|_, outbox| match outbox.flush() {
            Flushed::Empty => true,
            Flushed::Waiting => {
                unsent = true;
                true
            }
            Flushed::Closed => false,
        });
        self.0.unsent.set(unsent);
    }

    fn handle(&self, post: Post) {
        match post {
            Post::Channel(id, message) => {
                let channel = self.0.channels.borrow().get(&id).cloned();
                if let Some(channel) = channel {
                    channel.on_message(message);
                }
            }
            Post::Array(id, message) => {
                if let Some(owner) = self.owner(id) {
                    owner.on_message(message);
                }
            }
            Post::ChannelOpened(array, channel, address) => {
                if let Some(owner) = self.owner(array) {
                    owner.channel_opened(channel, address.clone());
                }
                self.0.shards.knows(array, channel, address);
            }
            Post::Shard(array, message) => self.0.shards.on_message(self, array, message),
            Post::NewShard(array, shard) => self.0.shards.add(self, array, shard),
            Post::DropShard(array) => self.0.shards.remove(array),
            Post::Close => self.close(),
        }
    }

    fn owner(&self, id: ArrayId) -> Option<Rc<Owner>> {
        self.0.owners.borrow().get(&id).cloned()
    }
}

/// The device whose channel is the current thread's port: one per thread that does I/O to arrays.
pub(crate) struct PortDevice;

/// A thread's use of its port.
pub(crate) struct UsedPort(Port);

impl std::ops::Deref for UsedPort {
    type Target = Port;
    fn deref(&self) -> &Port {
        &self.0
    }
}

impl Drop for UsedPort {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl IoDevice for PortDevice {
    type Channel = UsedPort;

    fn open(&self) -> Result<UsedPort, Errno> {
        Ok(UsedPort(Unopened::new().open()))
    }
}

/// The Shards of one array, by [`ShardId`].
#[derive(Clone)]
pub(crate) struct ShardAddresses(std::sync::Arc<[Address]>);

impl ShardAddresses {
    pub fn new(addresses: Vec<Address>) -> ShardAddresses {
        ShardAddresses(addresses.into())
    }

    pub fn count(&self) -> u16 {
        self.0.len() as u16
    }

    pub fn get(&self, shard: ShardId) -> &Address {
        &self.0[usize::from(shard.0)]
    }

    pub fn iter(&self) -> impl Iterator<Item = &Address> {
        self.0.iter()
    }
}
