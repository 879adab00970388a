//! Metadata I/O for the machines of one array on one thread: a write from a buffer of its own, then a FLUSH.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use raid::meta::{MetaIo, MetaWrite};
use raid::shard::{CopyError, CopyIo};
use raid::{Fault, Slot, SlotSet};
use spdk_rs::Errno;
use spdk_rs::bdev::{Channel, IoError, IoFuture, Reserve};
use spdk_rs::dma::DmaBuf;

use crate::device::Shared;
use crate::task::next_poll;
use crate::translate::{fault_of, fault_of_errno};

/// Alignment that any drive takes.
const ALIGN: usize = 4096;

/// The member channels of one machine. They are opened with it: on a thread that has bdev_ios of its own, so that
/// metadata never waits for those that hosts hold.
pub(crate) struct MetaChannels {
    shared: Arc<Shared>,
    members: RefCell<Vec<Option<Rc<Channel>>>>,
    /// A bdev_io for when hosts hold them all: metadata must never wait for hosts, who wait for it.
    reserve: Rc<Reserve>,
    under_way: Rc<RefCell<UnderWay>>,
}

/// What members have not answered yet, and since when.
#[derive(Default)]
struct UnderWay {
    last: u64,
    since: BTreeMap<u64, (Slot, Instant)>,
}

impl MetaChannels {
    /// `keeps_metadata`: the machine will have some to write. Otherwise channels are opened when they are needed, if
    /// ever: each thread that has any takes its share of bdev_ios.
    pub fn new(shared: Arc<Shared>, keeps_metadata: bool) -> MetaChannels {
        let open = |slot| match shared.drive(slot).filter(|_| keeps_metadata)?.channel() {
            Ok(channel) => Some(Rc::new(channel)),
            Err(errno) => {
                tracing::warn!(slot = slot.0, %errno, "no channel for metadata to a member yet");
                None
            }
        };
        let members = RefCell::new(shared.geometry.slots().iter().map(open).collect());
        let reserve = Rc::new(Reserve::new());
        let channels = MetaChannels { shared, members, reserve, under_way: Rc::default() };
        channels.house_reserve();
        channels
    }

    /// Carries out `io`. The future holds nothing of this but the members that it needs.
    pub fn begin(&self, io: &MetaIo) -> impl Future<Output = Result<(), Fault>> + use<> {
        let member = self.member(io.slot);
        let io = io.clone();
        self.watched([io.slot], async move {
            let member = member.map_err(fault_of_errno)?;
            match &io.write {
                Some(MetaWrite::Zeroes { lba, blocks }) => member.write_zeroes(*lba, *blocks).await?,
                Some(MetaWrite::Bytes { offset, bytes }) => {
                    let mut buffer = DmaBuf::new(bytes.len(), ALIGN).map_err(fault_of_errno)?;
                    buffer.as_mut_slice().copy_from_slice(bytes);
                    member.write(offset / member.block_size(), buffer).await?;
                }
                None => {}
            }
            if io.flush { member.flush().await } else { Ok(()) }
        })
    }

    /// Copies from one member to another, through a buffer of its own.
    pub fn copy(&self, io: &CopyIo) -> impl Future<Output = Result<(), CopyError>> + use<> {
        let (from, to) = (self.member(io.from), self.member(io.to));
        let io = *io;
        self.watched([io.from, io.to], async move {
            let from = from.map_err(|errno| CopyError::Read(fault_of_errno(errno)))?;
            let to = to.map_err(|errno| CopyError::Write(fault_of_errno(errno)))?;
            let bytes = io.blocks as usize * from.block_size() as usize;
            let buffer = DmaBuf::new(bytes, ALIGN).map_err(|errno| CopyError::Read(fault_of_errno(errno)))?;
            let buffer = from.read(io.from_lba, buffer).await.map_err(CopyError::Read)?;
            to.write(io.to_lba, buffer).await.map_err(CopyError::Write)?;
            if io.flush { to.flush().await.map_err(CopyError::Flush) } else { Ok(()) }
        })
    }

    /// Notes that `slots` are asked for something until `outcome` is there.
    fn watched<F: Future, const N: usize>(
        &self,
        slots: [Slot; N],
        outcome: F,
    ) -> impl Future<Output = F::Output> + use<F, N> {
        let numbers = slots.map(|slot| self.under_way.borrow_mut().begin(slot));
        let under_way = Rc::clone(&self.under_way);
        async move {
            let outcome = outcome.await;
            numbers.iter().for_each(|number| {
                under_way.borrow_mut().since.remove(number);
            });
            outcome
        }
    }

    /// Members that have not answered for longer than they may take.
    pub fn overdue(&self) -> SlotSet {
        let timeout = Duration::from_millis(self.shared.member_timeout_ms);
        let under_way = self.under_way.borrow();
        let late = under_way.since.values().filter(|(_, since)| since.elapsed() >= timeout);
        late.map(|(slot, _)| *slot).collect()
    }

    /// Lets go of the members that are not in `attached`.
    pub fn keep(&self, attached: SlotSet) {
        for slot in self.shared.geometry.slots().minus(attached).iter() {
            self.members.borrow_mut()[slot.index()] = None;
        }
        self.house_reserve();
    }

    /// Lets go of one member.
    pub fn forget(&self, slot: Slot) {
        self.members.borrow_mut()[slot.index()] = None;
        self.house_reserve();
    }

    /// Sees to it that the reserve is kept on a member that is open.
    fn house_reserve(&self) {
        let members = self.members.borrow();
        let mut open = members.iter().flatten();
        if !open.clone().any(|member| self.reserve.is_on(member)) {
            self.reserve.keep_on(open.next().map(|member| &**member));
        }
    }

    fn member(&self, slot: Slot) -> Result<Member, Errno> {
        let mut members = self.members.borrow_mut();
        let member = &mut members[slot.index()];
        if member.is_none() {
            *member = Some(Rc::new(self.shared.drive(slot).ok_or(Errno::ENODEV)?.channel()?));
        }
        let channel = Rc::clone(member.as_ref().expect("opened above"));
        if !members.iter().flatten().any(|open| self.reserve.is_on(open)) {
            self.reserve.keep_on(Some(&channel));
        }
        Ok(Member { channel, reserve: Rc::clone(&self.reserve) })
    }
}

impl Drop for MetaChannels {
    fn drop(&mut self) {
        self.reserve.keep_on(None);
    }
}

/// A member, for one errand: what SPDK has no bdev_io for is sent with the one in reserve, or asked for again at
/// every poll until there is one.
struct Member {
    channel: Rc<Channel>,
    reserve: Rc<Reserve>,
}

impl Member {
    fn block_size(&self) -> u64 {
        u64::from(self.channel.descriptor().block_size())
    }

    async fn read(&self, lba: u64, mut buffer: DmaBuf) -> Result<DmaBuf, Fault> {
        loop {
            match self.channel.read_now(lba, buffer, &self.reserve) {
                Ok(io) => {
                    let (result, buffer) = io.await;
                    return result.map(|()| buffer).map_err(fault_of);
                }
                Err((Errno::ENOMEM, back)) => buffer = back,
                Err((errno, _)) => return Err(fault_of_errno(errno)),
            }
            next_poll().await;
        }
    }

    async fn write(&self, lba: u64, mut buffer: DmaBuf) -> Result<(), Fault> {
        loop {
            match self.channel.write_now(lba, buffer, &self.reserve) {
                Ok(io) => return io.await.0.map_err(fault_of),
                Err((Errno::ENOMEM, back)) => buffer = back,
                Err((errno, _)) => return Err(fault_of_errno(errno)),
            }
            next_poll().await;
        }
    }

    async fn write_zeroes(&self, lba: u64, blocks: u64) -> Result<(), Fault> {
        self.without_buffer(|channel, reserve| channel.write_zeroes_now(lba, blocks, reserve)).await
    }

    async fn flush(&self) -> Result<(), Fault> {
        let blocks = self.channel.descriptor().num_blocks();
        self.without_buffer(|channel, reserve| channel.flush_now(0, blocks, reserve)).await
    }

    async fn without_buffer(
        &self,
        send: impl Fn(&Channel, &Rc<Reserve>) -> Result<IoFuture<Result<(), IoError>>, Errno>,
    ) -> Result<(), Fault> {
        loop {
            match send(&self.channel, &self.reserve) {
                Ok(io) => return io.await.map_err(fault_of),
                Err(Errno::ENOMEM) => next_poll().await,
                Err(errno) => return Err(fault_of_errno(errno)),
            }
        }
    }
}

impl UnderWay {
    fn begin(&mut self, slot: Slot) -> u64 {
        self.last += 1;
        self.since.insert(self.last, (slot, Instant::now()));
        self.last
    }
}
