//! Reads what `examine` shows.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use raid::RegionId;
use raid::format::foreign::{MD_TAIL_BYTES, foreign_md, md_offsets};
use raid::format::log::{self, PAGE_BYTES, PAGE_SECTORS, PAGES, Place, SECTOR_REGIONS};
use raid::format::{
    COPY_OFFSETS, Damage, DecodedPage, Foreign, HEAD_BYTES, LOG_OFFSET, RegionState, SUPERBLOCK_BYTES,
    SectorDamage, Superblock, decode, foreign, newest_copy, salvage,
};

/// Everything that was seen.
pub struct Sight {
    pub path: String,
    /// `file` or `block device`.
    pub kind: &'static str,
    pub bytes: u64,
    pub copies: [Result<Superblock, Damage>; 2],
    /// The copy that counts.
    pub used: Option<usize>,
    /// What the first damaged copy that can be made out says, when there is no good one.
    pub salvaged: Option<Superblock>,
    pub log: Log,
    /// What is there that is not ours.
    pub foreign: Option<Foreign>,
}

impl Sight {
    /// The record that counts.
    pub fn superblock(&self) -> Option<&Superblock> {
        self.copies[self.used?].as_ref().ok()
    }
}

/// The dirty log.
#[derive(Debug, PartialEq, Eq)]
pub enum Log {
    /// There is nothing that would say whose it is, or none was ever written.
    None,
    /// What it says.
    Summary(LogSummary),
}

/// The regions of the array by what the log says of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LogSummary {
    pub unwritten: u32,
    pub clean: u32,
    pub dirty: u32,
    pub need_sync: u32,
    pub syncing: u32,
    /// Regions whose sector is damaged.
    pub damaged: u32,
    /// Damaged sectors: page, sector, why.
    pub sectors: Vec<(u16, usize, SectorDamage)>,
}

/// Looks at the drive at `path`.
pub fn look(path: &Path) -> Result<Sight> {
    let place = path.display();
    let metadata = std::fs::metadata(path)
        .with_context(|| format!("cannot look at {place}; give the path of a drive or an image file"))?;
    let kind = match metadata.file_type() {
        kind if kind.is_file() => "file",
        kind if kind.is_block_device() => "block device",
        _ => bail!("{place} is neither a file nor a block device; give the path of a drive or an image file"),
    };
    let mut file = File::open(path).with_context(|| {
        format!("cannot read {place}; reading a drive usually takes root, or the group that owns it")
    })?;
    let bytes = file.seek(SeekFrom::End(0)).with_context(|| format!("cannot tell the size of {place}"))?;
    let mut read = |at, len| read_at(&mut file, at, len).with_context(|| format!("cannot read {place}"));
    let [a, b] = COPY_OFFSETS;
    let [a, b] = [read(a, SUPERBLOCK_BYTES)?, read(b, SUPERBLOCK_BYTES)?];
    let copies = [decode(&a), decode(&b)];
    let used = newest_copy(&copies);
    let salvaged = if used.is_none() { salvage(&a).or_else(|| salvage(&b)) } else { None };
    let log = match used.map(|used| &copies[used]) {
        Some(Ok(sb)) => summary(&read(LOG_OFFSET, usize::from(PAGES) * PAGE_BYTES)?, sb),
        _ => Log::None,
    };
    let ours = copies.iter().any(|copy| !copy.as_ref().is_err_and(Damage::is_nothing));
    let mut foreign = foreign(&read(0, HEAD_BYTES)?);
    if ours {
        // Our own bytes are no foreign data, and the end of the drive belongs to the array's hosts.
        foreign = foreign.filter(|found| matches!(found, Foreign::Known(_)));
    } else {
        for at in md_offsets(bytes).into_iter().flatten() {
            foreign = foreign_md(&read(at, MD_TAIL_BYTES)?).or(foreign);
        }
    }
    Ok(Sight { path: place.to_string(), kind, bytes, copies, used, salvaged, log, foreign })
}

/// Up to `len` bytes from `at`: fewer where the drive ends.
fn read_at(file: &mut File, at: u64, len: usize) -> Result<Vec<u8>, std::io::Error> {
    let mut bytes = vec![0; len];
    file.seek(SeekFrom::Start(at))?;
    let mut got = 0;
    while got < len {
        match file.read(&mut bytes[got..]) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(got);
    Ok(bytes)
}

/// What the log in `bytes` says of the regions of `sb`.
fn summary(bytes: &[u8], sb: &Superblock) -> Log {
    let regions = sb.geometry().expect("a decoded superblock has a geometry").regions();
    let page = |number: u16| {
        let bytes = bytes.get(usize::from(number) * PAGE_BYTES..).unwrap_or(&[]);
        DecodedPage::decode(&bytes[..bytes.len().min(PAGE_BYTES)], sb.array, number, sb.members.len())
    };
    let pages: Vec<DecodedPage> = (0..PAGES).map(page).collect();
    let mut sum = LogSummary::default();
    for region in (0..regions).map(RegionId) {
        let Place { page, index } = log::place(region);
        match pages[usize::from(page)].get(index) {
            Some(RegionState::Unwritten) => sum.unwritten += 1,
            Some(RegionState::Clean) => sum.clean += 1,
            Some(RegionState::Dirty) => sum.dirty += 1,
            Some(RegionState::NeedSync { .. }) => sum.need_sync += 1,
            Some(RegionState::Syncing { .. }) => sum.syncing += 1,
            None => sum.damaged += 1,
        }
    }
    let used =
        |page: u16, sector: usize| log::region_at(Place { page, index: sector * SECTOR_REGIONS }).0 < regions;
    let sectors = (0..PAGES).flat_map(|page| (0..PAGE_SECTORS).map(move |sector| (page, sector)));
    let damaged = sectors
        .filter(|(page, sector)| used(*page, *sector))
        .filter_map(|(page, sector)| Some((page, sector, pages[usize::from(page)].sectors[sector].err()?)));
    sum.sectors = damaged.collect();
    let never_written = |(_, _, damage): &(u16, usize, SectorDamage)| {
        matches!(damage, SectorDamage::NoMagic | SectorDamage::Short)
    };
    if sum.damaged == regions && sum.sectors.iter().all(never_written) {
        Log::None
    } else {
        Log::Summary(sum)
    }
}
