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
use spdk_rs::bdev::{Channel, IoError, IoFuture, WithBuffer};
use spdk_rs::dma::DmaBuf;

use crate::device::Shared;
use crate::translate::{fault_of, fault_of_errno};

/// Alignment that any drive takes.
const ALIGN: usize = 4096;

/// The member channels of one machine. They are opened with it: on a thread that has bdev_ios of its own, so that
/// metadata never waits for those that hosts hold.
pub(crate) struct MetaChannels {
    shared: Arc<Shared>,
    members: RefCell<Vec<Option<Rc<Channel>>>>,
    under_way: Rc<RefCell<UnderWay>>,
}

/// What members have not answered yet, and since when.
#[derive(Default)]
struct UnderWay {
    last: u64,
    since: BTreeMap<u64, (Slot, Instant)>,
}

impl MetaChannels {
    pub fn new(shared: Arc<Shared>) -> MetaChannels {
        let open = |slot| match shared.drive(slot)?.channel() {
            Ok(channel) => Some(Rc::new(channel)),
            Err(errno) => {
                tracing::warn!(slot = slot.0, %errno, "no channel for metadata to a member yet");
                None
            }
        };
        let members = RefCell::new(shared.geometry.slots().iter().map(open).collect());
        MetaChannels { shared, members, under_way: Rc::default() }
    }

    /// Begins `io` at once. The future ends when it is over; it holds nothing of this.
    pub fn begin(&self, io: &MetaIo) -> impl Future<Output = Result<(), Fault>> + use<> {
        let begun = self.with(io.slot, |member| {
            let write = io.write.as_ref().map(|write| begin_write(member, write)).transpose()?;
            Ok((Rc::clone(member), write))
        });
        let flush = io.flush;
        let number = self.under_way.borrow_mut().begin(io.slot);
        let under_way = Rc::clone(&self.under_way);
        let outcome = async move {
            let (member, write) = begun.map_err(fault_of_errno)?;
            if let Some(write) = write {
                write.await.map_err(fault_of)?;
            }
            if flush {
                member.flush(0, member.descriptor().num_blocks()).await.map_err(fault_of)?;
            }
            Ok(())
        };
        async move {
            let outcome = outcome.await;
            under_way.borrow_mut().since.remove(&number);
            outcome
        }
    }

    /// Begins to copy from one member to another, through a buffer of its own.
    pub fn copy(&self, io: &CopyIo) -> impl Future<Output = Result<(), CopyError>> + use<> {
        let opened = self.with(io.from, |from| Ok(Rc::clone(from)));
        let opened = opened.and_then(|from| self.with(io.to, |to| Ok((from, Rc::clone(to)))));
        let mut under_way = self.under_way.borrow_mut();
        let numbers = [under_way.begin(io.from), under_way.begin(io.to)];
        drop(under_way);
        let (io, under_way) = (*io, Rc::clone(&self.under_way));
        async move {
            let result = match opened {
                Ok((from, to)) => carry_over(&io, &from, &to).await,
                Err(errno) => Err(CopyError::Write(fault_of_errno(errno))),
            };
            numbers.iter().for_each(|number| {
                under_way.borrow_mut().since.remove(number);
            });
            result
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
    }

    /// Lets go of one member.
    pub fn forget(&self, slot: Slot) {
        self.members.borrow_mut()[slot.index()] = None;
    }

    fn with<R>(&self, slot: Slot, run: impl FnOnce(&Rc<Channel>) -> Result<R, Errno>) -> Result<R, Errno> {
        let mut members = self.members.borrow_mut();
        let member = &mut members[slot.index()];
        if member.is_none() {
            *member = Some(Rc::new(self.shared.drive(slot).ok_or(Errno::ENODEV)?.channel()?));
        }
        run(member.as_ref().expect("opened above"))
    }
}

async fn carry_over(io: &CopyIo, from: &Channel, to: &Channel) -> Result<(), CopyError> {
    let bytes = io.blocks as usize * from.descriptor().block_size() as usize;
    let no_memory = |errno| CopyError::Read(fault_of_errno(errno));
    let buffer = DmaBuf::new(bytes, ALIGN).map_err(no_memory)?;
    let (read, buffer) = from.read(io.from_lba, buffer).await;
    read.map_err(|error| CopyError::Read(fault_of(error)))?;
    let written = to.write(io.to_lba, buffer).await.0;
    written.map_err(|error| CopyError::Write(fault_of(error)))?;
    if io.flush {
        let flushed = to.flush(0, to.descriptor().num_blocks()).await;
        flushed.map_err(|error| CopyError::Write(fault_of(error)))?;
    }
    Ok(())
}

impl UnderWay {
    fn begin(&mut self, slot: Slot) -> u64 {
        self.last += 1;
        self.since.insert(self.last, (slot, Instant::now()));
        self.last
    }
}

fn begin_write(
    member: &Channel,
    write: &MetaWrite,
) -> Result<impl Future<Output = Result<(), IoError>> + use<>, Errno> {
    let write = match write {
        MetaWrite::Zeroes { lba, blocks } => Write::Zeroes(member.write_zeroes(*lba, *blocks)),
        MetaWrite::Bytes { offset, bytes } => {
            let mut buffer = DmaBuf::new(bytes.len(), ALIGN)?;
            buffer.as_mut_slice().copy_from_slice(bytes);
            let lba = offset / u64::from(member.descriptor().block_size());
            Write::Bytes(member.write(lba, buffer))
        }
    };
    Ok(async move {
        match write {
            Write::Zeroes(io) => io.await,
            Write::Bytes(io) => io.await.0,
        }
    })
}

enum Write {
    Zeroes(IoFuture<Result<(), IoError>>),
    Bytes(IoFuture<WithBuffer>),
}
