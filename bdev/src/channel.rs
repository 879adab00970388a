//! The driver of `raid::Channel`: what an SPDK io_channel of an array holds.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use raid::channel::{Child, FromChannel, Move};
use raid::msg::{ToArray, ToChannel, ToShard};
use raid::{Channel, ChannelId, FaultKind, IoId, Slot, SlotSet};
use spdk_rs::Errno;
use spdk_rs::bdev::{self, IoError, Reserve};
use spdk_rs::io_device::IoChannelRef;
use spdk_rs::module::{self, Io, IoToken};
use spdk_rs::poller::{Busy, Poller};

use crate::device::{RaidBdev, Shared, Turn};
use crate::port::{Post, UsedPort};
use crate::translate::{error_of, fault_of, fault_of_errno, kind_of};

static NEXT_CHANNEL: AtomicU32 = AtomicU32::new(0);

/// A thread's use of an array. Closing it gives its leases back and counts as acknowledging every View.
pub(crate) struct RaidChannel(Rc<ChannelCore>);

/// What a thread keeps of an array.
pub(crate) struct ChannelCore {
    machine: RefCell<Channel>,
    shared: Arc<Shared>,
    port: IoChannelRef<UsedPort>,
    /// By slot: open for the members that the View says are attached.
    members: RefCell<Vec<Option<bdev::Channel>>>,
    /// I/Os that wait for SPDK to have bdev_ios again, in order.
    starved: RefCell<VecDeque<IoToken>>,
    /// Tries again as long as an I/O is starved. SPDK's own queue of those who wait is not enough: it is
    /// served when a bdev_io is given back *on this thread*, and all that are out may be given back on
    /// others.
    retry: RefCell<Option<Poller>>,
    /// The first of the starved, while it is tried again: it alone may spend the reserve.
    served: Cell<Option<IoToken>>,
    /// One bdev_io, so that the children of starved I/Os can always be sent one after the other: those that
    /// hold all others may be hosts' I/Os that wait for just that.
    reserve: Reserve,
}

impl Deref for RaidChannel {
    type Target = Rc<ChannelCore>;
    fn deref(&self) -> &Rc<ChannelCore> {
        &self.0
    }
}

impl RaidChannel {
    /// Makes the current thread's channel; I/O waits in it until the Array has sent a View.
    pub fn open(shared: Arc<Shared>, port: IoChannelRef<UsedPort>) -> Result<RaidChannel, Errno> {
        let id = ChannelId(NEXT_CHANNEL.fetch_add(1, Ordering::Relaxed));
        let members = (0..shared.geometry.members()).map(|_| None).collect();
        let machine = Channel::new(id, Arc::clone(&shared.geometry), shared.shards.count());
        let machine = machine.with_member_timeout(shared.member_timeout_ms);
        let core = Rc::new(ChannelCore {
            machine: RefCell::new(machine),
            shared,
            port,
            members: RefCell::new(members),
            starved: RefCell::default(),
            retry: RefCell::default(),
            served: Cell::default(),
            reserve: Reserve::new(),
        });
        // Before any I/O comes, which can take every bdev_io there is: what is kept in reserve, and what is
        // kept below by members that are arrays. The View tells later which of them to use.
        core.open_members(core.shared.geometry.slots(), |_, _| {});
        core.port.add_channel(id, Rc::clone(&core));
        core.send_messages();
        Ok(RaidChannel(core))
    }
}

impl Drop for RaidChannel {
    fn drop(&mut self) {
        let core = &self.0;
        let id = core.machine.borrow().id();
        core.port.remove_channel(id);
        core.reserve.keep_on(None);
        core.members.borrow_mut().clear();
        // After the last message of the machine: the receivers forget the channel then.
        for shard in core.shared.shards.iter() {
            core.port.send(shard, Post::Shard(core.shared.id, ToShard::ChannelClosed(id)));
        }
        let closed = ToArray::ChannelClosed(id);
        core.port.send(&core.shared.array, Post::Array(core.shared.id, closed));
    }
}

impl ChannelCore {
    /// Does what there is to do for a host I/O.
    #[inline]
    pub fn run(self: &Rc<Self>, mut io: Io<RaidBdev>) {
        let id = IoId(io.token().raw());
        let mut child = Child::default();
        loop {
            // The machine is borrowed for the question only: sending and completing can come back here.
            let step = self.machine.borrow_mut().advance(id, &mut io.state().io, &mut child);
            match step {
                Move::Submit => {
                    if let Err(errno) = self.send_child(&mut io, &child)
                        && self.could_not_send(&mut io, &child, errno)
                    {
                        return self.starve(io);
                    }
                }
                Move::Zeros => self.fill_with_zeros(&mut io, &child),
                Move::Done(result) => {
                    self.send_messages();
                    return io.complete(result.map_err(error_of));
                }
                Move::Wait => {
                    self.send_messages();
                    io.into_token();
                    return;
                }
            }
        }
    }

    /// The blocks that `part` names were never written.
    #[cold]
    fn fill_with_zeros(&self, io: &mut Io<RaidBdev>, part: &Child) {
        static ZEROS: [u8; 4096] = [0; 4096];
        let block_size = u64::from(self.shared.geometry.block_size());
        let start = (part.host_offset_blocks * block_size) as usize;
        let end = start + (part.blocks * block_size) as usize;
        for at in (start..end).step_by(ZEROS.len()) {
            io.copy_to_host(at, &ZEROS[..ZEROS.len().min(end - at)]);
        }
    }

    /// A child of `io` has come back.
    #[inline]
    pub fn child_done(self: &Rc<Self>, mut io: Io<RaidBdev>, index: u8, result: Result<(), IoError>) {
        let result = result.map_err(fault_of);
        self.machine.borrow_mut().child_done(&mut io.state().io, index, result);
        match io.state().turn {
            Turn::Running => self.run(io),
            Turn::Starved => {
                io.into_token();
            }
        }
    }

    /// Takes another I/O back if it has not begun; one that has runs to its end.
    pub fn abort(self: &Rc<Self>, io: Io<RaidBdev>) {
        let Some(target) = io.abort_target() else { return io.complete(Err(IoError::OTHER)) };
        // SAFETY: SPDK names an I/O of this channel that is not complete; `abort_target` gives its token only
        // if it was submitted to us, and every I/O of ours is parked whenever SPDK can call us.
        let mut target: Io<RaidBdev> = unsafe { Io::from_token(target) };
        let id = IoId(target.token().raw());
        let taken_back = self.machine.borrow_mut().abort(id, &target.state().io);
        if taken_back {
            target.complete(Err(IoError::ABORTED));
            io.complete(Ok(()));
        } else {
            target.into_token();
            io.complete(Err(IoError::OTHER));
        }
    }

    /// Time has passed.
    pub fn on_time(&self, now_ms: u64) {
        let mut machine = self.machine.borrow_mut();
        if machine.deadline_ms() <= now_ms {
            machine.on_time(now_ms);
            drop(machine);
            self.send_messages();
        }
    }

    /// A message has come for the machine.
    pub fn on_message(self: &Rc<Self>, message: ToChannel) {
        let is_view = matches!(message, ToChannel::View(_) | ToChannel::Rules(_));
        self.machine.borrow_mut().on_message(message);
        if is_view {
            self.open_attached();
        }
        self.send_messages();
        loop {
            let Some(IoId(raw)) = self.machine.borrow_mut().take_ready() else { break };
            // SAFETY: the machine names each I/O that waits once, and it waits as a token of this channel.
            self.run(unsafe { Io::from_token(IoToken::from_raw(raw)) });
        }
    }

    /// False: the machine knows that the member did not take it. True: `io` must wait for bdev_ios.
    #[cold]
    fn could_not_send(self: &Rc<Self>, io: &mut Io<RaidBdev>, child: &Child, errno: Errno) -> bool {
        let fault = fault_of_errno(errno);
        self.machine.borrow_mut().child_done(&mut io.state().io, child.index, Err(fault));
        fault.kind == FaultKind::NoResources
    }

    #[inline]
    fn send_child(&self, io: &mut Io<RaidBdev>, child: &Child) -> Result<(), Errno> {
        let members = self.members.borrow();
        let member = members[child.slot.index()].as_ref().ok_or(Errno::ENODEV)?;
        let mut part = module::Child {
            op: kind_of(child.op),
            lba: child.lba,
            blocks: child.blocks,
            host_offset_blocks: child.host_offset_blocks,
        };
        if part.op == bdev::IoKind::Flush {
            part.blocks = member.descriptor().num_blocks();
        }
        match io.submit_child(child.index, member, part) {
            Err(Errno::ENOMEM) if self.served.get() == Some(io.token()) => {
                io.submit_child_from_reserve(child.index, member, part)
            }
            sent => sent,
        }
    }

    /// The bdev_io that is kept for the starved.
    pub fn reserve(&self) -> &Reserve {
        &self.reserve
    }

    /// Puts `io` aside until there are bdev_ios.
    #[cold]
    fn starve(self: &Rc<Self>, mut io: Io<RaidBdev>) {
        io.state().turn = Turn::Starved;
        self.starved.borrow_mut().push_back(io.into_token());
        let mut retry = self.retry.borrow_mut();
        if retry.is_none() {
            let core = Rc::clone(self);
            *retry = Some(Poller::register("basalt_starved", 0, move || core.feed_starved()));
        }
    }

    /// Runs starved I/Os, oldest first, until one starves again or none is left.
    fn feed_starved(self: &Rc<Self>) -> Busy {
        let mut fed = 0;
        loop {
            let Some(token) = self.starved.borrow_mut().pop_front() else { break };
            let waiting = self.starved.borrow().len();
            // SAFETY: an I/O is in the queue once, as a token of this channel: while its turn is Starved
            // nobody else runs it, and it can't complete.
            let mut io: Io<RaidBdev> = unsafe { Io::from_token(token) };
            io.state().turn = Turn::Running;
            self.served.set(Some(token));
            self.run(io);
            self.served.set(None);
            let mut starved = self.starved.borrow_mut();
            if starved.len() > waiting && starved.back() == Some(&token) {
                starved.rotate_right(1);
                break;
            }
            fed += 1;
        }
        if self.starved.borrow().is_empty() {
            // Ends the poller from inside, once nothing needs it.
            drop(self.retry.borrow_mut().take());
        }
        if fed > 0 { Busy::Yes } else { Busy::No }
    }

    /// Opens channels to the members that the View says are attached.
    fn open_attached(&self) {
        let attached = self.machine.borrow().view().map(|view| view.attached);
        let Some(attached) = attached else { return };
        self.open_members(attached, |slot, errno| {
            // Its I/O answers ENODEV, and the Array decides.
            tracing::error!(slot = slot.0, %errno, "no channel to a member");
        });
    }

    /// Opens channels to members where there are none yet.
    fn open_members(&self, slots: SlotSet, failed: impl Fn(Slot, Errno)) {
        for slot in slots.iter() {
            if self.members.borrow()[slot.index()].is_some() {
                continue;
            }
            let opened = self.shared.drive(slot).ok_or(Errno::ENODEV).and_then(|drive| drive.channel());
            match opened {
                Ok(channel) => self.members.borrow_mut()[slot.index()] = Some(channel),
                Err(errno) => failed(slot, errno),
            }
        }
        self.house_reserve();
    }

    /// Closes the channels to members that are not attached any more.
    fn close_members(&self) {
        let attached = self.machine.borrow().view().map(|view| view.attached);
        let Some(attached) = attached else { return };
        let detached = self.shared.geometry.slots().minus(attached);
        let close = |slot: Slot| self.members.borrow_mut()[slot.index()].take();
        let closed: Vec<bdev::Channel> = detached.iter().filter_map(close).collect();
        self.house_reserve();
        drop(closed);
    }

    /// Sees to it that the reserve is kept on a member that is open.
    fn house_reserve(&self) {
        let members = self.members.borrow();
        let mut open = members.iter().flatten();
        if !open.clone().any(|member| self.reserve.is_on(member)) {
            self.reserve.keep_on(open.next());
        }
    }

    #[inline]
    fn send_messages(&self) {
        loop {
            let Some(message) = self.machine.borrow_mut().take_message() else { break };
            self.send(message);
        }
    }

    #[cold]
    fn send(&self, message: FromChannel) {
        let id = self.shared.id;
        match message {
            FromChannel::Shard(shard, message) => {
                self.port.send(self.shared.shards.get(shard), Post::Shard(id, message));
            }
            FromChannel::Array(ToArray::ChannelOpened(channel)) => {
                let opened = || Post::ChannelOpened(id, channel, self.port.address());
                self.port.send(&self.shared.array, opened());
                self.shared.shards.iter().for_each(|shard| self.port.send(shard, opened()));
            }
            FromChannel::Array(message) => {
                if matches!(message, ToArray::Drained(..)) {
                    self.close_members();
                }
                self.port.send(&self.shared.array, Post::Array(id, message));
            }
        }
    }
}
