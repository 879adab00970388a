//! Whether file drives can be opened or made.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::PathBuf;

use basalt_config::{Bytes, Config, Drive, DriveKind, Metadata, Spanned};
use raid::format::{COPY_OFFSETS, SUPERBLOCK_BYTES, decode};
use rustix::fs::{Access, access, statvfs};

use super::Finding;
use crate::paths::folder_of;
use crate::units;

pub(super) fn findings(config: &Config) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut growth: BTreeMap<u64, Growth> = BTreeMap::new();
    for drive in &config.drives {
        let DriveKind::File { path, size, .. } = &drive.kind else { continue };
        match look(path, size) {
            Err(finding) if is_member_of_known(config, drive) => found.push(finding.forgiven()),
            Err(finding) => found.push(*finding),
            Ok(may_grow) => add_growth(&mut growth, path, may_grow),
        }
    }
    found.extend(growth.into_values().filter_map(Growth::finding));
    found
}

/// Whether another drive of the same array has the array's superblock on it: it may go on without this one.
fn is_member_of_known(config: &Config, drive: &Drive) -> bool {
    let arrays = config.arrays.iter().filter(|array| array.metadata.value == Metadata::Drives);
    let mut files = arrays.map(|array| {
        let members = array.members.iter().filter_map(|member| config.drive(member.name()?));
        members.filter_map(|member| file_below(config, member)).collect::<Vec<_>>()
    });
    let is_this = |file: &&Drive| file.name.value == drive.name.value;
    files.any(|files| files.iter().any(is_this) && files.iter().any(|file| !is_this(file) && is_member(file)))
}

/// The file drive that `drive` is or lies over.
fn file_below<'c>(config: &'c Config, drive: &'c Drive) -> Option<&'c Drive> {
    match &drive.kind {
        DriveKind::File { .. } => Some(drive),
        DriveKind::Faulty { over, .. } => file_below(config, config.drive(over)?),
        DriveKind::Memory { .. } | DriveKind::Nvme { .. } | DriveKind::Bdev(_) => None,
    }
}

fn is_member(drive: &Drive) -> bool {
    let DriveKind::File { path, .. } = &drive.kind else { return false };
    let superblock = |at: u64| {
        let mut bytes = vec![0; SUPERBLOCK_BYTES];
        File::open(&path.value).ok()?.read_exact_at(&mut bytes, at).ok()?;
        decode(&bytes).ok()
    };
    COPY_OFFSETS.into_iter().any(|at| superblock(at).is_some())
}

/// What sparse files on one file system may still take.
struct Growth {
    first: Spanned<PathBuf>,
    bytes: u64,
    available_bytes: u64,
}

impl Growth {
    /// Sparse files that outgrow their file system make drives fail one day, so it is said today.
    fn finding(self) -> Option<Finding> {
        (self.bytes > self.available_bytes).then(|| {
            let reason = format!(
                "file drives on this file system may grow by {}, and it has {} left",
                units::size(self.bytes),
                units::size(self.available_bytes)
            );
            let remedy =
                "it works until the file system is full, then writes fail: make room, or smaller drives";
            Finding::warning(&self.first.place, reason, remedy)
        })
    }
}

fn add_growth(growth: &mut BTreeMap<u64, Growth>, path: &Spanned<PathBuf>, bytes: u64) {
    let folder = folder_of(path);
    let (Ok(metadata), Ok(stat)) = (std::fs::metadata(folder), statvfs(folder)) else { return };
    let available_bytes = stat.f_bavail.saturating_mul(stat.f_frsize);
    let entry =
        growth.entry(metadata.dev()).or_insert(Growth { first: path.clone(), bytes: 0, available_bytes });
    entry.bytes = entry.bytes.saturating_add(bytes);
}

/// So many bytes may the file still take of its file system.
fn look(path: &Spanned<PathBuf>, size: &Spanned<Bytes>) -> Result<u64, Box<Finding>> {
    let shown = path.display();
    let error = |reason: String, remedy: String| Box::new(Finding::error(&path.place, reason, remedy));
    let metadata = match std::fs::metadata(&path.value) {
        Err(e) if e.kind() == ErrorKind::NotFound => return look_at_folder(path).map(|()| size.get()),
        Err(e) => return Err(error(format!("{shown}: {e}"), format!("look at it: `ls -ld {shown}`"))),
        Ok(metadata) => metadata,
    };
    if metadata.is_dir() {
        return Err(error(format!("{shown} is a folder"), format!("name a file in it: `{shown}/drive.img`")));
    }
    if !metadata.is_file() && !metadata.file_type().is_block_device() {
        return Err(error(
            format!("{shown} is neither a file nor a block device"),
            "name another path".into(),
        ));
    }
    if let Err(e) = OpenOptions::new().read(true).write(true).open(&path.value) {
        return Err(error(format!("{shown} can't be written: {e}"), format!("see who may: `ls -l {shown}`")));
    }
    if metadata.is_file() && metadata.len() != size.get() {
        let reason =
            format!("{shown} exists and has {} bytes, not the {} of its drive", metadata.len(), size.get());
        let remedy = match metadata.len() {
            0 => "remove it: it is made anew with this size".to_owned(),
            there => format!("write its own size here, {}; or name another file", Bytes(there)),
        };
        return Err(Box::new(Finding::error(&size.place, reason, remedy)));
    }
    Ok(size.get().saturating_sub(metadata.blocks() * 512))
}

fn look_at_folder(path: &Spanned<PathBuf>) -> Result<(), Box<Finding>> {
    let folder = folder_of(path);
    let error = |reason, remedy| Err(Box::new(Finding::error(&path.place, reason, remedy)));
    if !folder.is_dir() {
        let shown = folder.display();
        return error(format!("there is no folder {shown}"), format!("make it: `mkdir -p {shown}`"));
    }
    match access(folder, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Ok(()),
        Err(e) => {
            let reason = format!("no file can be made in {}: {e}", folder.display());
            error(reason, format!("see who may: `ls -ld {}`", folder.display()))
        }
    }
}
