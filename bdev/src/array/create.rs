//! Making an array: from what was asked, through everything that can be wrong, to a registered bdev. What was
//! refused has changed nothing.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use raid::array::{ArraySpec, ErrorLimits};
use raid::pool::PoolRefusal;
use raid::view::OnFailed;
use raid::{Geometry, GeometryError, GeometrySpec, Level, Slot, SlotSet};
use serde::{Deserialize, Serialize};
use spdk_rs::Errno;
use spdk_rs::bdev::{BdevEvent, BdevInfo, Claim, Descriptor, IoKind};
use spdk_rs::module::{self as spdk_module, BdevSpec};
use thiserror::Error;
use uuid::Uuid;

use super::Registry;
use super::owner::{About, Drive, Owner};
use crate::device::{RaidBdev, Shared};
use crate::module::{self, BASALT};
use crate::port::{ArrayId, Post};
use crate::shard::NewShard;

/// Room for superblocks, the dirty log and what else a member will keep before its data, in bytes.
const METADATA_BYTES: u64 = 8 << 20;

const CHUNK_KB_DEFAULT: u64 = 64;

static NEXT_ARRAY: AtomicU32 = AtomicU32::new(0);

/// Parameters of `bdev_basalt_create`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateParams {
    pub name: String,
    pub level: String,
    /// Bdev names by slot; null for a slot that is filled later.
    pub members: Vec<Option<String>>,
    #[serde(default)]
    pub spares: Vec<String>,
    pub chunk_kb: Option<u64>,
    pub layout: Option<String>,
    pub consistency: Option<String>,
    pub region_kb: Option<u64>,
    pub data_offset_kb: Option<u64>,
    pub metadata: Option<Metadata>,
    pub initial: Option<String>,
    pub on_failed: Option<OnFailedParam>,
    /// Drives that can't flush and need not.
    #[serde(default)]
    pub assume_durable: Vec<String>,
    pub max_errors: Option<ErrorLimitsParam>,
    pub uuid: Option<Uuid>,
}

/// Where membership is kept.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Metadata {
    #[default]
    Drives,
    None,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnFailedParam {
    Error,
    Wait,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ErrorLimitsParam {
    pub read: Option<u32>,
    pub write: Option<u32>,
}

/// Why an array can't be made.
#[derive(Debug, Error)]
pub(crate) enum CreateError {
    #[error("'{0}' is no name for an array; use letters, digits, '-', '_' and '.', at most 63 of them")]
    Name(String),
    #[error("there is a bdev '{0}' already; choose another name for the array")]
    NameTaken(String),
    #[error(transparent)]
    Geometry(#[from] GeometryError),
    #[error(transparent)]
    Pool(#[from] PoolRefusal),
    #[error("layout '{0}' is not for {1}; {2}")]
    Layout(String, Level, &'static str),
    #[error("{option} '{value}' {why}")]
    Option { option: &'static str, value: String, why: &'static str },
    #[error(
        "{option} of {value_kb} KiB is impossible: it must be a {rule} and fit blocks of {block_size} bytes"
    )]
    Size { option: &'static str, value_kb: u64, rule: &'static str, block_size: u32 },
    #[error("there is no drive '{0}'; 'bdev_get_bdevs' lists those there are")]
    NoSuchDrive(String),
    #[error("drive '{drive}' can't be opened for writing: {errno}; something else uses it")]
    Open { drive: String, errno: Errno },
    #[error(
        "drive '{drive}' has blocks of {block_size} bytes and '{first}' of {first_block_size}; \
         use drives with one block size"
    )]
    MixedBlocks { drive: String, block_size: u32, first: String, first_block_size: u32 },
    #[error("drive '{drive}' keeps {md_size} bytes of metadata per block; format it without")]
    BlockMetadata { drive: String, md_size: u32 },
    #[error(
        "drive '{drive}' can't flush, so that what was acknowledged may be lost in a power cut; \
         say assume_durable for it if it loses nothing then{hint}"
    )]
    NoFlush { drive: String, hint: &'static str },
    #[error("assume_durable names '{0}', which is not a member")]
    DurableStranger(String),
    #[error("the array can't start: the members that are present do not hold all of its blocks")]
    Unserved,
    #[error("the shard threads can't be started: {0}")]
    Shards(Errno),
    #[error("the bdev can't be registered: {0}")]
    Register(Errno),
}

impl Registry {
    /// Makes an array and its bdev.
    pub fn create(self: &Rc<Self>, params: &CreateParams) -> Result<Rc<Owner>, CreateError> {
        check_name(&params.name)?;
        let level = level_of(params)?;
        check_options(params, level)?;
        let names: Vec<String> = params.members.iter().flatten().cloned().collect();
        self.pool.borrow_mut().admit(&params.name, &names)?;
        let created = self.create_admitted(params, level);
        if created.is_err() {
            self.pool.borrow_mut().leave(&params.name);
        }
        created
    }

    fn create_admitted(
        self: &Rc<Self>,
        params: &CreateParams,
        level: Level,
    ) -> Result<Rc<Owner>, CreateError> {
        let id = ArrayId(NEXT_ARRAY.fetch_add(1, Ordering::Relaxed));
        let drives = open_drives(id, params)?;
        let geometry = Arc::new(geometry_of(params, level, &drives)?);
        let present: SlotSet = present_slots(&drives);
        if !geometry.is_served_by(present) {
            return Err(CreateError::Unserved);
        }
        let shards = self.shard_addresses().map_err(CreateError::Shards)?;
        let descriptors = drives.iter().map(|drive| drive.as_ref().map(|d| Arc::clone(d.descriptor())));
        let array = self.port.address();
        let shared =
            Shared::new(id, Arc::clone(&geometry), array.clone(), shards.clone(), descriptors.collect());
        let shared = Arc::new(shared);
        let uuid = params.uuid.unwrap_or_else(Uuid::new_v4);
        let spec = bdev_spec(params, &geometry, &drives, uuid);
        let bdev = spdk_module::register(&BASALT, spec, RaidBdev(Arc::clone(&shared)));
        let bdev = bdev.map_err(|errno| match errno {
            Errno::EEXIST => CreateError::NameTaken(params.name.clone()),
            errno => CreateError::Register(errno),
        })?;
        for (n, address) in shards.iter().enumerate() {
            let new = NewShard {
                id: raid::ShardId(n as u16),
                array: array.clone(),
                leased_regions: Arc::clone(&shared.leased_regions[n]),
            };
            self.port.send(address, Post::NewShard(id, new));
        }
        let flushes =
            drives.iter().enumerate().filter(|(_, drive)| drive.as_ref().is_some_and(Drive::flushes));
        let spec = ArraySpec {
            geometry,
            drives: params.members.clone(),
            flushes: flushes.map(|(slot, _)| Slot(slot as u8)).collect(),
            on_failed: match params.on_failed {
                Some(OnFailedParam::Wait) => OnFailed::Wait,
                Some(OnFailedParam::Error) | None => OnFailed::Error,
            },
            limits: limits_of(params),
            shards: shards.count(),
        };
        let about = About { params: CreateParams { uuid: Some(uuid), ..params.clone() }, uuid };
        let owner = Rc::new(Owner::new(about, spec, shared, drives, bdev, self.port.clone()));
        self.port.add_owner(id, Rc::clone(&owner));
        self.arrays.borrow_mut().insert(id, Rc::clone(&owner));
        owner.carry_out_orders();
        tracing::info!(array = owner.name(), %level, "array is up");
        Ok(owner)
    }
}

fn check_name(name: &str) -> Result<(), CreateError> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 63 || !name.chars().all(good) {
        return Err(CreateError::Name(name.to_owned()));
    }
    Ok(())
}

fn level_of(params: &CreateParams) -> Result<Level, CreateError> {
    let level: Level = params.level.parse()?;
    match (level, params.layout.as_deref()) {
        (level, None) => Ok(level),
        (Level::Raid10 { .. }, Some(layout)) => {
            let near = layout.strip_prefix("near=").and_then(|near| near.parse().ok());
            let near = near.ok_or_else(|| {
                CreateError::Layout(layout.to_owned(), level, "raid10 takes near=N, such as near=2")
            })?;
            Ok(Level::Raid10 { near })
        }
        (level, Some(layout)) => {
            Err(CreateError::Layout(layout.to_owned(), level, "leave it out: this level has no layouts"))
        }
    }
}

/// Refuses what a later version brings, rather than taking it and doing something else.
fn check_options(params: &CreateParams, level: Level) -> Result<(), CreateError> {
    let wrong = |option, value: &str, why| Err(CreateError::Option { option, value: value.to_owned(), why });
    match params.consistency.as_deref() {
        None | Some("auto" | "none") => {}
        Some("log") => return wrong("consistency", "log", "is for raid5 and raid6; use auto"),
        Some("bitmap") => {
            return wrong("consistency", "bitmap", "comes with durable metadata; use auto or none for now");
        }
        Some(other) => return wrong("consistency", other, "does not exist; use auto or none"),
    }
    match params.initial.as_deref() {
        None | Some("auto" | "lazy" | "assume_clean") => {}
        Some("zero") => return wrong("initial", "zero", "comes with sync jobs; use auto for now"),
        Some(other) => return wrong("initial", other, "does not exist; use auto, lazy or assume_clean"),
    }
    if let Some(spare) = params.spares.first() {
        return wrong("spares", spare, "can't be used yet: spares come with rebuild; leave them out for now");
    }
    let write_limit = params.max_errors.and_then(|limits| limits.write);
    if write_limit.is_some_and(|limit| limit != 1) {
        let why = "must be 1: a member that missed a write can stay only once regions can be resynced";
        return wrong("max_errors.write", &write_limit.unwrap_or_default().to_string(), why);
    }
    if params.max_errors.and_then(|limits| limits.read) == Some(0) {
        return wrong("max_errors.read", "0", "would fail every member at once; use at least 1");
    }
    if params.chunk_kb.is_some() && !matches!(level, Level::Raid0 | Level::Raid10 { .. }) {
        return wrong("chunk_kb", &level.to_string(), "has no chunks; leave it out");
    }
    Ok(())
}

fn open_drives(id: ArrayId, params: &CreateParams) -> Result<Vec<Option<Drive>>, CreateError> {
    let members = || params.members.iter().flatten();
    if let Some(stranger) = params.assume_durable.iter().find(|name| !members().any(|m| m == *name)) {
        return Err(CreateError::DurableStranger(stranger.clone()));
    }
    let mut drives: Vec<Option<Drive>> = Vec::new();
    for (slot, name) in params.members.iter().enumerate() {
        let drive = match name {
            Some(name) => Some(open_drive(id, Slot(slot as u8), name, params)?),
            None => None,
        };
        if let (Some(drive), Some(first)) = (&drive, drives.iter().flatten().next()) {
            check_same_blocks(drive, first)?;
        }
        drives.push(drive);
    }
    Ok(drives)
}

fn open_drive(id: ArrayId, slot: Slot, name: &str, params: &CreateParams) -> Result<Drive, CreateError> {
    let on_event = move |event| {
        if event == BdevEvent::Removed
            && let Some(registry) = module::registry()
            && let Some(owner) = registry.arrays.borrow().get(&id).cloned()
        {
            owner.member_gone(slot);
        }
    };
    let descriptor = Descriptor::open(name, true, on_event).map_err(|errno| match errno {
        Errno::ENODEV => CreateError::NoSuchDrive(name.to_owned()),
        errno => CreateError::Open { drive: name.to_owned(), errno },
    })?;
    let info = descriptor.info();
    if info.md_size > 0 {
        return Err(CreateError::BlockMetadata { drive: name.to_owned(), md_size: info.md_size });
    }
    let assumed = params.assume_durable.iter().any(|durable| durable == name);
    let flushes = flushes(&info);
    if let (Err(hint), false) = (flushes, assumed) {
        return Err(CreateError::NoFlush { drive: name.to_owned(), hint });
    }
    let claim = claim(&descriptor).map_err(|errno| CreateError::Open { drive: name.to_owned(), errno })?;
    Ok(Drive::new(name.to_owned(), &info, claim, flushes.is_ok()))
}

fn claim(descriptor: &Arc<Descriptor>) -> Result<Claim, Errno> {
    descriptor.claim(&BASALT)
}

/// Whether a FLUSH reaches the drive's medium; if not, what might be done about it.
fn flushes(info: &BdevInfo) -> Result<(), &'static str> {
    if !info.supports_natively.contains(IoKind::Flush) {
        return Err("");
    }
    if info.module == "nvme" && info.write_cache && !spdk_rs::bdev::nvme_flush_is_enabled() {
        return Err(
            ", or let SPDK send flushes: call bdev_nvme_set_options with enable_flush before the first controller",
        );
    }
    Ok(())
}

fn check_same_blocks(drive: &Drive, first: &Drive) -> Result<(), CreateError> {
    if drive.block_size() == first.block_size() {
        return Ok(());
    }
    Err(CreateError::MixedBlocks {
        drive: drive.name().to_owned(),
        block_size: drive.block_size(),
        first: first.name().to_owned(),
        first_block_size: first.block_size(),
    })
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

fn limits_of(params: &CreateParams) -> ErrorLimits {
    let default = ErrorLimits::default();
    let Some(limits) = params.max_errors else { return default };
    ErrorLimits { read: limits.read.unwrap_or(default.read), write: limits.write.unwrap_or(default.write) }
}

fn present_slots(drives: &[Option<Drive>]) -> SlotSet {
    let present = drives.iter().enumerate().filter(|(_, drive)| drive.is_some());
    present.map(|(slot, _)| Slot(slot as u8)).collect()
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
