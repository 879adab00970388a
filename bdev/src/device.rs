//! An array as a bdev.

use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, PoisonError};

use raid::channel::{HostIo, Op};
use raid::{Geometry, Slot};
use spdk_rs::Errno;
use spdk_rs::bdev::{Descriptor, IoError, IoKind, IoKindSet, Reserve};
use spdk_rs::module::{DestructDone, Device, Io};

use crate::channel::RaidChannel;
use crate::port::{Address, ArrayId, ShardAddresses};
use crate::translate::op_of;
use crate::{array, module};

/// What all threads that use an array share. Nothing in it changes but the drives that are open, and those
/// only when a View says so; the hot path touches none of it.
pub(crate) struct Shared {
    pub id: ArrayId,
    pub geometry: Arc<Geometry>,
    pub array: Address,
    pub shards: ShardAddresses,
    /// What every member can do.
    pub supports: IoKindSet,
    /// By shard: regions that are marked as being written to, as it said last.
    pub marked_regions: Vec<AtomicU32>,
    /// How long a member may take to answer.
    pub member_timeout_ms: u64,
    drives: Mutex<Vec<Option<Arc<Descriptor>>>>,
}

impl Shared {
    pub fn new(
        id: ArrayId,
        geometry: Arc<Geometry>,
        array: Address,
        shards: ShardAddresses,
        member_timeout_ms: u64,
        drives: Vec<Option<Arc<Descriptor>>>,
    ) -> Shared {
        let supports = IoKind::ALL.into_iter().filter(|kind| {
            let members_do = |kind| drives.iter().flatten().all(|d| d.info().supports.contains(kind));
            match kind {
                // A member without FLUSH was declared durable; a reset or an abort ends with us.
                IoKind::Read | IoKind::Write | IoKind::Flush | IoKind::Reset | IoKind::Abort => true,
                IoKind::Unmap | IoKind::WriteZeroes => members_do(*kind),
            }
        });
        let supports = supports.collect();
        let marked_regions = shards.iter().map(|_| AtomicU32::default()).collect();
        Shared {
            id,
            geometry,
            array,
            shards,
            supports,
            marked_regions,
            member_timeout_ms,
            drives: Mutex::new(drives),
        }
    }

    /// The open drive in `slot`.
    pub fn drive(&self, slot: Slot) -> Option<Arc<Descriptor>> {
        self.drives.lock().unwrap_or_else(PoisonError::into_inner)[slot.index()].clone()
    }

    /// Lets go of the drive in `slot`; it closes when the last channel to it is gone.
    pub fn close_drive(&self, slot: Slot) {
        let drive = self.drives.lock().unwrap_or_else(PoisonError::into_inner)[slot.index()].take();
        drop(drive);
    }
}

/// The array's bdev.
pub(crate) struct RaidBdev(pub Arc<Shared>);

/// The state of a host I/O, in its bdev_io.
#[derive(Default)]
pub(crate) struct HostState {
    pub io: HostIo,
    /// Whether it waits for SPDK to have bdev_ios again.
    pub turn: Turn,
}

/// Who runs a host I/O next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Whoever has news of it.
    #[default]
    Running,
    /// Only the queue of starved I/Os: news of its children is taken down and acted on then.
    Starved,
}

impl Device for RaidBdev {
    type Channel = RaidChannel;
    type IoState = HostState;

    fn supports(&self, kind: IoKind) -> bool {
        self.0.supports.contains(kind)
    }

    fn open_channel(&self) -> Result<RaidChannel, Errno> {
        RaidChannel::open(Arc::clone(&self.0), module::port()?)
    }

    #[inline]
    fn submit(&self, channel: &RaidChannel, mut io: Io<Self>) {
        match op_of(io.kind()) {
            Some(op @ (Op::Flush | Op::Reset)) => io.state().io.begin(op, 0, 0, false),
            Some(op) => {
                let fua = op == Op::Write && io.fua();
                let (lba, blocks) = (io.lba(), io.blocks());
                io.state().io.begin(op, lba, blocks, fua);
            }
            None => return channel.abort(io),
        }
        channel.run(io);
    }

    #[inline]
    fn child_done(&self, channel: &RaidChannel, io: Io<Self>, slot: u8, result: Result<(), IoError>) {
        channel.child_done(io, slot, result);
    }

    fn reserve(channel: &RaidChannel) -> Option<&Reserve> {
        Some(channel.reserve())
    }

    fn destruct(&self, done: DestructDone) {
        array::finish(self.0.id, done);
    }

    fn info(&self) -> serde_json::Value {
        array::info(self.0.id).unwrap_or_default()
    }
}
