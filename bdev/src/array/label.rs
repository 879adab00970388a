//! The metadata of members, read and written as a whole: when an array is made, assembled or deleted. While it
//! runs, its machines say what is written.

use std::collections::BTreeMap;

use raid::array::RecordSpec;
use raid::format::log::{self, PAGES, Place};
use raid::format::{
    self, BOOT_BYTES, COPY_OFFSETS, Damage, Features, Generation, LOG_OFFSET, LogPage, MemberRecord,
    RecordState, RegionState, SUPERBLOCK_BYTES, Shape, ShutDown, Superblock, Uuid16,
};
use raid::shard::LogSpec;
use raid::{Epoch, Geometry, Level, RegionId, Slot};
use spdk_rs::bdev::IoError;
use spdk_rs::dma::DmaBuf;
use uuid::Uuid;

use super::create::Found;
use super::drives::Drive;
use super::error::CreateError;
use super::params::CreateParams;
use crate::clock::now_ms;
use crate::host;

/// What of a drive says whose it is: the boot area and both copies of the superblock.
const HEAD_BYTES: usize = COPY_OFFSETS[1] as usize + SUPERBLOCK_BYTES;

const ALIGN: usize = 4096;

/// What was found on a drive.
pub(super) struct Head {
    pub copies: [Result<Superblock, Damage>; 2],
    pub foreign: Option<format::Foreign>,
}

/// Reads what is on a drive.
pub(super) async fn read_head(drive: &Drive) -> Result<Head, CreateError> {
    let bytes = read(drive, 0, HEAD_BYTES).await?;
    let copies = COPY_OFFSETS.map(|at| format::decode(&bytes[at as usize..][..SUPERBLOCK_BYTES]));
    let is_ours = copies.iter().any(|copy| !matches!(copy, Err(Damage::NoMagic)));
    let foreign = if is_ours { None } else { format::foreign(&bytes[..format::HEAD_BYTES]) };
    Ok(Head { copies, foreign })
}

/// Refuses drives that have something on them.
pub(super) async fn refuse_used(drives: &[Option<Drive>]) -> Result<(), CreateError> {
    for drive in drives.iter().flatten() {
        let head = read_head(drive).await?;
        let name = drive.name().to_owned();
        if let Some(foreign) = head.foreign {
            return Err(CreateError::Foreign { drive: name, what: foreign.to_string() });
        }
        if let Some(superblock) = head.copies.iter().flatten().max_by_key(|superblock| superblock.version) {
            let (array, uuid) = (superblock.name.clone(), superblock.array.to_string());
            return Err(CreateError::Member { drive: name, array, uuid });
        }
        if let Some(damage) = head.copies.into_iter().filter_map(Result::err).find(|d| *d != Damage::NoMagic)
        {
            let what = format!("a damaged superblock of Basalt ({damage})");
            return Err(CreateError::Foreign { drive: name, what });
        }
    }
    Ok(())
}

/// Prepares the members of a new array: everything but the superblocks themselves, which its Array writes.
pub(super) async fn make(
    params: &CreateParams,
    level: Level,
    geometry: &Geometry,
    drives: &[Option<Drive>],
    shards: u16,
) -> Result<Found, CreateError> {
    let uuid = params.uuid.unwrap_or_else(Uuid::new_v4);
    let record = new_record(params, level, geometry, drives, uuid);
    // Versions are counted from 1.
    Superblock { version: 1, ..record.clone() }.check()?;
    let pages = params.keeps_log(level).then(|| {
        let state = if params.knows_unwritten() { RegionState::Unwritten } else { RegionState::Clean };
        new_pages(geometry, state)
    });
    for drive in drives.iter().flatten() {
        wipe(drive).await?;
        if let Some(pages) = &pages {
            write_pages(drive, record.array, pages).await?;
        }
        flush(drive).await?;
    }
    let members = geometry.members();
    let logs = pages.map(|pages| split(record.array, members, pages, shards, None));
    let newest_copy = vec![None; members];
    let record = RecordSpec { record, newest_copy, seed: host::random() };
    Ok(Found { record: Some(record), logs, uuid, left_out: Vec::new() })
}

/// Makes a drive forget that it was a member.
pub(super) async fn wipe(drive: &Drive) -> Result<(), CreateError> {
    let written = write(drive, 0, &[0; BOOT_BYTES as usize]).await;
    written.map_err(cannot(drive, "cleared"))?;
    for offset in COPY_OFFSETS {
        write(drive, offset, &[0; SUPERBLOCK_BYTES]).await.map_err(cannot(drive, "cleared"))?;
    }
    flush(drive).await
}

fn new_record(
    params: &CreateParams,
    level: Level,
    geometry: &Geometry,
    drives: &[Option<Drive>],
    uuid: Uuid,
) -> Superblock {
    let member = |drive: &Option<Drive>| match drive {
        None => MemberRecord::missing(),
        Some(drive) => MemberRecord {
            uuid: Uuid16(Uuid::new_v4().into_bytes()),
            state: RecordState::InSync,
            blocks: drive.num_blocks(),
            flushes: drive.flushes(),
            drive: cut_name(drive.name()),
            ..MemberRecord::missing()
        },
    };
    Superblock {
        features: Features::default(),
        version: 0,
        array: Uuid16(uuid.into_bytes()),
        name: params.name.clone(),
        slot: Slot(0),
        shape: Shape::of(geometry),
        epoch: Epoch(0),
        generation: Generation(host::random()),
        history: Vec::new(),
        shut_down: ShutDown::Unclean,
        policy: params.policy(level),
        host: host::id(),
        heartbeat_ms: now_ms(),
        members: drives.iter().map(member).collect(),
        checkpoint: None,
        bad_blocks: Vec::new(),
        last_event: 0,
        events: Vec::new(),
    }
}

/// As much of a drive's name as a record has room for.
pub(super) fn cut_name(name: &str) -> String {
    let mut end = name.len().min(format::superblock::NAME_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].to_owned()
}

/// The log pages that an array of this shape uses.
pub(super) fn used_pages(geometry: &Geometry) -> u16 {
    let last = geometry.regions() - 1;
    let zones = last / raid::geometry::ZONE_REGIONS + 1;
    zones.min(u32::from(PAGES)) as u16
}

fn new_pages(geometry: &Geometry, state: RegionState) -> Vec<LogPage> {
    let mut pages = vec![LogPage::new(); usize::from(used_pages(geometry))];
    for region in (0..geometry.regions()).map(RegionId) {
        let Place { page, index } = log::place(region);
        pages[usize::from(page)].set(index, state);
    }
    pages
}

/// The pages of each Shard. `crashed`: see [`LogSpec`].
pub(super) fn split(
    array: Uuid16,
    members: usize,
    pages: Vec<LogPage>,
    shards: u16,
    crashed: Option<Slot>,
) -> Vec<LogSpec> {
    let mut logs: Vec<LogSpec> =
        (0..shards).map(|_| LogSpec { array, members, pages: BTreeMap::new(), crashed }).collect();
    for (number, page) in (0u16..).zip(pages) {
        logs[usize::from(number % shards)].pages.insert(number, page);
    }
    logs
}

async fn write_pages(drive: &Drive, array: Uuid16, pages: &[LogPage]) -> Result<(), CreateError> {
    let bytes: Vec<u8> = (0u16..).zip(pages).flat_map(|(number, page)| page.encode(array, number)).collect();
    write(drive, LOG_OFFSET, &bytes).await.map_err(cannot(drive, "written"))
}

/// The first `pages` log pages of a drive, as bytes.
pub(super) async fn read_pages(drive: &Drive, pages: u16) -> Result<Vec<u8>, CreateError> {
    read(drive, LOG_OFFSET, usize::from(pages) * log::PAGE_BYTES).await
}

async fn read(drive: &Drive, offset: u64, len: usize) -> Result<Vec<u8>, CreateError> {
    let attempt = async {
        let channel = drive.descriptor().channel()?;
        let lba = offset / u64::from(drive.block_size());
        let (result, buffer) = channel.read(lba, DmaBuf::new(len, ALIGN)?).await;
        result?;
        Ok(buffer.as_slice().to_vec())
    };
    attempt.await.map_err(cannot(drive, "read"))
}

async fn write(drive: &Drive, offset: u64, bytes: &[u8]) -> Result<(), IoError> {
    let channel = drive.descriptor().channel()?;
    let mut buffer = DmaBuf::new(bytes.len(), ALIGN)?;
    buffer.as_mut_slice().copy_from_slice(bytes);
    channel.write(offset / u64::from(drive.block_size()), buffer).await.0
}

async fn flush(drive: &Drive) -> Result<(), CreateError> {
    if !drive.flushes() {
        return Ok(());
    }
    let attempt = async { drive.descriptor().channel()?.flush(0, drive.num_blocks()).await };
    attempt.await.map_err(cannot(drive, "flushed"))
}

fn cannot(drive: &Drive, what: &'static str) -> impl FnOnce(IoError) -> CreateError {
    let drive = drive.name().to_owned();
    move |error| CreateError::Metadata { drive, what, error }
}
