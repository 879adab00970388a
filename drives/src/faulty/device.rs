//! The faulty drive as a bdev.

use super::lane::Lane;
use super::registry;
use super::rule::Request;
use super::state::{Drive, Presence};
use super::write_out::{Why, WriteOut, max_blocks};
use spdk_rs::Errno;
use spdk_rs::bdev::{IoError, IoKind};
use spdk_rs::module::{BdevSpec, DestructDone, Device, Io};
use std::rc::Rc;
use std::sync::Arc;

/// SPDK splits larger UNMAPs and WRITE ZEROES of a drive with a cache, which has an entry for each block.
const MAX_ZEROES_BYTES: u32 = 1 << 20;

/// What SPDK has of a faulty drive, from one appearance to the next disappearance.
pub(crate) struct FaultyBdev {
    drive: Arc<Drive>,
}

/// Our state of an I/O.
#[derive(Default)]
pub(crate) struct Progress {
    pub step: Step,
    /// FLUSH, and a write with FUA: what it makes durable.
    pub mark: u64,
}

/// What an I/O is about to do, or doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Step {
    /// What its host wants.
    #[default]
    Work,
    /// A write of a host that is too large for the cache, as full as it is: the cache is written out first.
    MakeRoom,
    /// A write with FUA has been written: the flush.
    Seal,
}

impl FaultyBdev {
    pub fn new(drive: Arc<Drive>) -> FaultyBdev {
        FaultyBdev { drive }
    }

    /// The base's shape, under a name and an identity of its own.
    pub fn spec(&self) -> BdevSpec {
        let (base, cached) = (&self.drive.info, self.drive.is_cached());
        let max_zeroes = if cached { MAX_ZEROES_BYTES / base.block_size } else { 0 };
        BdevSpec {
            product: "Basalt faulty drive".into(),
            uuid: self.drive.uuid.into_bytes(),
            physical_block_size: base.physical_block_size,
            write_cache: cached || base.write_cache,
            optimal_io_boundary_blocks: base.optimal_io_boundary_blocks,
            optimal_write_size_blocks: base.optimal_write_size_blocks,
            max_unmap_blocks: max_zeroes,
            max_write_zeroes_blocks: max_zeroes,
            numa_id: base.numa_id,
            ..BdevSpec::new(&self.drive.options.name, base.block_size, base.num_blocks)
        }
    }
}

impl Device for FaultyBdev {
    type Channel = Rc<Lane>;
    type IoState = Progress;

    fn supports(&self, kind: IoKind) -> bool {
        match kind {
            IoKind::Read | IoKind::Write | IoKind::Reset | IoKind::Abort => true,
            IoKind::Flush => self.drive.is_cached() || self.drive.base_flushes,
            IoKind::Unmap | IoKind::WriteZeroes => {
                self.drive.is_cached() || self.drive.info.supports.contains(kind)
            }
        }
    }

    fn open_channel(&self) -> Result<Rc<Lane>, Errno> {
        Lane::open(Arc::clone(&self.drive))
    }

    fn submit(&self, lane: &Rc<Lane>, io: Io<FaultyBdev>) {
        match request_of(&io) {
            Some(request) => lane.submit(io, request),
            None => lane.abort(io),
        }
    }

    fn child_done(&self, lane: &Rc<Lane>, io: Io<FaultyBdev>, _slot: u8, result: Result<(), IoError>) {
        lane.child_done(io, result);
    }

    /// What is in the cache reaches the medium, as far as the drive's end lets it.
    fn destruct(&self, done: DestructDone) {
        let drive = Arc::clone(&self.drive);
        registry::nobody_uses(&drive);
        let runs = {
            let state = drive.state();
            let max_blocks = max_blocks(drive.info.block_size);
            match (&state.cache, state.presence) {
                (None, _) => Vec::new(),
                (Some(cache), Presence::Pulled(loss)) => cache.survivors(loss, max_blocks),
                (Some(cache), Presence::Here | Presence::Retiring) => cache.runs(cache.mark(), max_blocks),
            }
        };
        let end = move |drive: &Drive, result: Result<(), String>| {
            if let Err(error) = result {
                let (drive, base) = (&drive.options.name, &drive.options.base);
                tracing::error!(
                    drive,
                    base,
                    error,
                    "what is left of a volatile cache did not reach the base"
                );
            }
            let mut state = drive.state();
            let mark = state.mark();
            if let Some(cache) = &mut state.cache {
                cache.evict(mark);
            }
            drop(state);
            drop(done);
        };
        if runs.is_empty() {
            return end(&drive, Ok(()));
        }
        match drive.base.descriptor().channel() {
            Err(errno) => end(&drive, Err(errno.to_string())),
            Ok(base) => {
                let ending = Arc::clone(&drive);
                WriteOut::start(drive, Rc::new(base), Why::PowerDown, runs, move |result| {
                    end(&ending, result.map_err(|error| error.to_string()));
                });
            }
        }
    }

    fn info(&self) -> serde_json::Value {
        serde_json::json!({ "base": self.drive.options.base, "volatile_cache": self.drive.is_cached() })
    }
}

/// None for an abort.
fn request_of(io: &Io<FaultyBdev>) -> Option<Request> {
    super::rule::Op::of(io.kind()).map(|op| Request { op, lba: io.lba(), blocks: io.blocks() })
}
