//! Making an array: from what was asked, through everything that can be wrong, to a registered bdev. What was
//! refused has changed nothing.

use std::rc::Rc;
use std::sync::Arc;

use raid::array::{ArraySpec, RecordSpec};
use raid::assembly::DriveFound;
use raid::format::Superblock;
use raid::shard::{LogSpec, ShardSpec};
use raid::{Geometry, GeometrySpec, Level, ShardId, Slot};
use spdk_rs::module::{self as spdk_module, BdevSpec};
use spdk_rs::{Errno, bdev};
use uuid::Uuid;

use super::Registry;
use super::assemble::Begun;
use super::drives::{Drive, open_drives, present_slots};
use super::error::CreateError;
use super::label;
use super::owner::{About, Owner};
use super::params::{CreateParams, Existing, Metadata};
use crate::device::{RaidBdev, Shared};
use crate::host;
use crate::module::BASALT;
use crate::port::{ArrayId, Post};
use crate::shard::NewShard;

/// Room for superblocks, the dirty log and what else a member will keep before its data, in bytes.
const METADATA_BYTES: u64 = raid::format::DATA_OFFSET_MIN;

const CHUNK_KB_DEFAULT: u64 = 64;

/// How long a region is left alone before its mark is cleared.
const IDLE_MS: u64 = 2_000;

/// What is on the members when an array begins to run.
pub(super) struct Found {
    pub record: Option<RecordSpec>,
    /// By Shard; None for an array that keeps no log.
    pub logs: Option<Vec<LogSpec>>,
    pub uuid: Uuid,
    /// Drives that were named as members and are not used.
    pub left_out: Vec<DriveFound>,
}

impl Found {
    /// Of an array that was assembled. `copies`: see [`RecordSpec`].
    pub fn of(record: Superblock, newest_copy: Vec<Option<u8>>, logs: Option<Vec<LogSpec>>) -> Found {
        let uuid = Uuid::from_bytes(record.array.0);
        Found {
            record: Some(RecordSpec { record, newest_copy, seed: host::random() }),
            logs,
            uuid,
            left_out: Vec::new(),
        }
    }
}

impl Registry {
    /// Makes an array and its bdev, or starts the one that is on the drives.
    pub async fn create(self: Rc<Self>, params: CreateParams) -> Result<Begun, CreateError> {
        let level = params.check()?;
        let names: Vec<String> = params.members.iter().flatten().cloned().collect();
        self.pool.borrow_mut().admit(&params.name, &names)?;
        let name = params.name.clone();
        let begun = if bdev::exists(&name) {
            // SPDK would say so only when drives have been written to.
            Err(CreateError::NameTaken(name.clone()))
        } else if params.existing == Existing::Assemble && params.metadata() == Metadata::Drives {
            Rc::clone(&self).assemble(params, level).await
        } else {
            self.create_new(&params, level).await.map(Begun::Running)
        };
        if begun.is_err() {
            self.pool.borrow_mut().leave(&name);
        }
        begun
    }

    async fn create_new(
        self: &Rc<Self>,
        params: &CreateParams,
        level: Level,
    ) -> Result<Rc<Owner>, CreateError> {
        let id = ArrayId::next();
        let drives = open_drives(id, params)?;
        self.create_on(id, params, level, drives).await
    }

    /// Makes an array on drives that were opened for it.
    pub(super) async fn create_on(
        self: &Rc<Self>,
        id: ArrayId,
        params: &CreateParams,
        level: Level,
        drives: Vec<Option<Drive>>,
    ) -> Result<Rc<Owner>, CreateError> {
        // Registering would refuse it too, but only once the drives have been written to.
        let alias = params.uuid.map(|uuid| uuid.hyphenated().to_string());
        if alias.is_some_and(|alias| bdev::exists(&alias)) {
            return Err(CreateError::NameTaken(params.name.clone()));
        }
        let geometry = Arc::new(geometry_of(params, level, &drives)?);
        if !geometry.is_served_by(present_slots(&drives)) {
            return Err(CreateError::Unserved);
        }
        let shards = self.shard_addresses().map_err(CreateError::Shards)?;
        let found = match params.metadata() {
            Metadata::None => {
                let uuid = params.uuid.unwrap_or_else(Uuid::new_v4);
                Found { record: None, logs: None, uuid, left_out: Vec::new() }
            }
            Metadata::Drives => {
                if params.existing != Existing::Overwrite {
                    label::refuse_used(&drives).await?;
                }
                label::make(params, level, &geometry, &drives, shards.count()).await?
            }
        };
        self.run(id, params, geometry, drives, found)
    }

    /// Registers the bdev of an array and lets its machines run.
    pub(super) fn run(
        self: &Rc<Self>,
        id: ArrayId,
        params: &CreateParams,
        geometry: Arc<Geometry>,
        drives: Vec<Option<Drive>>,
        found: Found,
    ) -> Result<Rc<Owner>, CreateError> {
        let shards = self.shard_addresses().map_err(CreateError::Shards)?;
        let descriptors = drives.iter().map(|drive| drive.as_ref().map(|d| Arc::clone(d.descriptor())));
        let array = self.port.address();
        let shared = Shared::new(
            id,
            Arc::clone(&geometry),
            array,
            shards.clone(),
            params.member_timeout_ms(),
            descriptors.collect(),
        );
        let shared = Arc::new(shared);
        // Before the bdev: registering it lets other modules open channels at once.
        let mut logs = found.logs.map(Vec::into_iter);
        for (n, address) in shards.iter().enumerate() {
            let log = logs.as_mut().and_then(Iterator::next);
            let geometry = Arc::clone(&geometry);
            let spec = ShardSpec { id: ShardId(n as u16), geometry, log, idle_ms: IDLE_MS };
            self.port.send(address, Post::NewShard(id, NewShard { spec, shared: Arc::clone(&shared) }));
        }
        let spec = bdev_spec(params, &geometry, &drives, found.uuid);
        let bdev = spdk_module::register(&BASALT, spec, RaidBdev(Arc::clone(&shared)));
        let bdev = bdev.map_err(|errno| {
            shards.iter().for_each(|address| self.port.send(address, Post::DropShard(id)));
            match errno {
                Errno::EEXIST => CreateError::NameTaken(params.name.clone()),
                errno => CreateError::Register(errno),
            }
        })?;
        let flushes =
            drives.iter().enumerate().filter(|(_, drive)| drive.as_ref().is_some_and(Drive::flushes));
        let spec = ArraySpec {
            geometry,
            drives: drives.iter().map(|drive| drive.as_ref().map(|d| d.name().to_owned())).collect(),
            flushes: flushes.map(|(slot, _)| Slot(slot as u8)).collect(),
            on_failed: params.on_failed(),
            limits: params.limits(),
            shards: shards.count(),
            record: found.record,
        };
        let about = About {
            params: CreateParams { uuid: Some(found.uuid), ..params.clone() },
            uuid: found.uuid,
            left_out: found.left_out,
        };
        let owner = Rc::new(Owner::new(about, spec, shared, drives, bdev, self.port.clone()));
        self.port.add_owner(id, Rc::clone(&owner));
        self.arrays.borrow_mut().insert(id, Rc::clone(&owner));
        owner.carry_out_orders();
        owner.start_clock();
        self.tell_gone_drives(id);
        tracing::info!(array = owner.name(), level = %owner.level(), "array is up");
        Ok(owner)
    }
}

fn geometry_of(
    params: &CreateParams,
    level: Level,
    drives: &[Option<Drive>],
) -> Result<Geometry, CreateError> {
    let block_size = drives.iter().flatten().next().map_or(512, Drive::block_size);
    let blocks = |option, value_kb: u64, rule| {
        let bytes = value_kb.checked_mul(1024).filter(|bytes| bytes.is_multiple_of(u64::from(block_size)));
        let error = CreateError::Size { option, value_kb, rule, block_size };
        bytes.map(|bytes| bytes / u64::from(block_size)).ok_or(error)
    };
    let metadata = params.metadata.unwrap_or_default();
    let offset_kb = params.data_offset_kb.unwrap_or(match metadata {
        Metadata::Drives => METADATA_BYTES / 1024,
        Metadata::None => 0,
    });
    if metadata == Metadata::Drives && offset_kb * 1024 < METADATA_BYTES {
        let why = "leaves no room for metadata; use at least 8192, or metadata none";
        return Err(CreateError::Option { option: "data_offset_kb", value: offset_kb.to_string(), why });
    }
    let spec = GeometrySpec {
        level,
        block_size,
        member_blocks: drives.iter().map(|drive| drive.as_ref().map(Drive::num_blocks)).collect(),
        chunk_blocks: blocks("chunk_kb", params.chunk_kb.unwrap_or(CHUNK_KB_DEFAULT), "power of two")?,
        region_blocks: params.region_kb.map(|kb| blocks("region_kb", kb, "power of two")).transpose()?,
        data_offset_blocks: blocks("data_offset_kb", offset_kb, "whole number of blocks")?,
    };
    Ok(spec.build()?)
}

fn bdev_spec(params: &CreateParams, geometry: &Geometry, drives: &[Option<Drive>], uuid: Uuid) -> BdevSpec {
    // No alignment of our own: a member that needs one has SPDK align the part that it gets. Asking for it
    // here would have SPDK cut large I/O to the size of its bounce buffers, and refuse what then does not fit
    // them.
    BdevSpec {
        product: format!("Basalt {}", geometry.level()),
        uuid: uuid.into_bytes(),
        write_cache: drives.iter().flatten().any(Drive::flushes),
        optimal_io_boundary_blocks: u32::try_from(geometry.chunk_blocks()).unwrap_or(0),
        optimal_write_size_blocks: u32::try_from(geometry.stripe_blocks()).unwrap_or(0),
        ..BdevSpec::new(params.name.clone(), geometry.block_size(), geometry.num_blocks())
    }
}
