//! The drives of an array: opening them, claiming them, and what must be true of them.

use std::sync::Arc;

use raid::{Slot, SlotSet};
use spdk_rs::Errno;
use spdk_rs::bdev::{BdevEvent, BdevInfo, Claim, Descriptor, IoKind};
use uuid::Uuid;

use super::error::CreateError;
use super::params::CreateParams;
use crate::module::{self, BASALT};
use crate::port::ArrayId;

/// A drive that an array holds.
pub(crate) struct Drive {
    name: String,
    uuid: Uuid,
    block_size: u32,
    num_blocks: u64,
    flushes: bool,
    claim: Claim,
}

impl Drive {
    pub fn new(name: String, info: &BdevInfo, claim: Claim, flushes: bool) -> Drive {
        Drive {
            name,
            uuid: Uuid::from_bytes(info.uuid),
            block_size: info.block_size,
            num_blocks: info.num_blocks,
            flushes,
            claim,
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    pub fn block_size(&self) -> u32 {
        self.block_size
    }

    pub fn num_blocks(&self) -> u64 {
        self.num_blocks
    }

    /// Whether it has a FLUSH that means something.
    pub fn flushes(&self) -> bool {
        self.flushes
    }

    pub fn descriptor(&self) -> &Arc<Descriptor> {
        self.claim.descriptor()
    }
}

pub(super) fn open_drives(id: ArrayId, params: &CreateParams) -> Result<Vec<Option<Drive>>, CreateError> {
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

pub(super) fn open_drive(
    id: ArrayId,
    slot: Slot,
    name: &str,
    params: &CreateParams,
) -> Result<Drive, CreateError> {
    let on_event = move |event| {
        if event == BdevEvent::Removed
            && let Some(registry) = module::registry()
        {
            registry.drive_gone(id, slot);
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

pub(super) fn present_slots(drives: &[Option<Drive>]) -> SlotSet {
    let present = drives.iter().enumerate().filter(|(_, drive)| drive.is_some());
    present.map(|(slot, _)| Slot(slot as u8)).collect()
}
