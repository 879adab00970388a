use super::*;
use crate::file::loop_device::LoopDevice;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use tempfile::TempDir;

const MIB: u64 = 1 << 20;

fn sized(path: &Path, size_bytes: u64) -> FileOptions {
    FileOptions { size_bytes: Some(size_bytes), ..FileOptions::new("d0", path) }
}

fn refused(options: &FileOptions, kind: FileErrorKind, says: &str) {
    let error = OpenedFile::open(options).expect_err("must be refused");
    assert_eq!(error.kind, kind, "{error}");
    let text = error.to_string();
    assert!(text.contains(says), "{text:?} does not say {says:?}");
    assert!(text.starts_with(&options.path.display().to_string()), "{text:?} does not start with the path");
}

#[test]
fn missing_file_is_created_sparse_and_kept_on_demand() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("d0.img");
    let opened = OpenedFile::open(&sized(&path, 64 * MIB)).unwrap();
    assert_eq!(opened.size_bytes, 64 * MIB);
    assert!(!opened.is_device);
    let meta = path.metadata().unwrap();
    assert_eq!((meta.len(), meta.blocks()), (64 * MIB, 0));
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
    opened.keep();
    drop(opened);
    assert!(path.exists());
    // From now on no size is needed, and the same one is fine.
    assert_eq!(OpenedFile::open(&FileOptions::new("d0", &path)).unwrap().size_bytes, 64 * MIB);
    assert_eq!(OpenedFile::open(&sized(&path, 64 * MIB)).unwrap().size_bytes, 64 * MIB);
    assert!(path.exists(), "a file that was there before is never removed");
}

#[test]
fn file_created_for_a_drive_that_failed_is_removed() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("d0.img");
    drop(OpenedFile::open(&sized(&path, MIB)).unwrap());
    assert!(!path.exists());
    // The kernel refuses this size only after the file was created.
    let huge = OpenedFile::open(&sized(&path, i64::MAX as u64 & !4095));
    assert_eq!(huge.unwrap_err().kind, FileErrorKind::Size);
    assert!(!path.exists());
}

#[test]
fn what_is_not_there_is_explained() {
    let dir = TempDir::new().unwrap();
    refused(&FileOptions::new("d0", dir.path().join("no.img")), FileErrorKind::Missing, "give a size");
    let inside = dir.path().join("no/d0.img");
    refused(&sized(&inside, MIB), FileErrorKind::Missing, "there is no directory");
    let file = dir.path().join("file");
    std::fs::write(&file, b"x").unwrap();
    refused(&sized(&file.join("d0.img"), MIB), FileErrorKind::Missing, "correct the path");
}

#[test]
fn what_is_no_file_is_refused() {
    let dir = TempDir::new().unwrap();
    refused(&sized(dir.path(), MIB), FileErrorKind::NotAFile, "directory");
    refused(&sized(Path::new("/dev/zero"), MIB), FileErrorKind::NotAFile, "neither");
}

#[test]
fn sizes_that_do_not_fit_are_refused_and_nothing_changes() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("d0.img");
    std::fs::write(&path, vec![5; 8192]).unwrap();
    refused(&sized(&path, 4096), FileErrorKind::Size, "more than the drive of 4096");
    refused(&sized(&path, 12288), FileErrorKind::Size, "too few for a drive of 12288");
    assert_eq!(std::fs::read(&path).unwrap(), vec![5; 8192]);

    std::fs::write(&path, vec![5; 4096 + 512]).unwrap();
    let wide = FileOptions { block_size: 4096, ..FileOptions::new("d0", &path) };
    refused(&wide, FileErrorKind::Size, "no multiple of the block size 4096");
    assert_eq!(OpenedFile::open(&FileOptions::new("d0", &path)).unwrap().size_bytes, 4096 + 512);

    std::fs::write(&path, b"").unwrap();
    refused(&FileOptions::new("d0", &path), FileErrorKind::Size, "it is empty");
    assert!(path.exists());
}

#[test]
fn file_in_use_is_refused_through_any_name_and_not_removed() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("d0.img");
    let first = OpenedFile::open(&sized(&path, MIB)).unwrap();
    first.keep();
    refused(&sized(&path, MIB), FileErrorKind::Busy, "another drive of this process");
    let alias = dir.path().join("alias.img");
    std::fs::hard_link(&path, &alias).unwrap();
    refused(&sized(&alias, MIB), FileErrorKind::Busy, "another drive of this process");
    drop(first);
    OpenedFile::open(&sized(&alias, MIB)).unwrap();
    assert!(path.exists());
}

#[test]
fn io_files_do_not_hold_the_lock_nor_lose_it() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("d0.img");
    let opened = OpenedFile::open(&sized(&path, MIB)).unwrap();
    opened.keep();
    let io_file = opened.io_file().unwrap();
    drop(opened.io_file().unwrap());
    refused(&sized(&path, MIB), FileErrorKind::Busy, "another drive");
    drop(opened);
    OpenedFile::open(&sized(&path, MIB)).unwrap();
    drop(io_file);
}

#[test]
fn uuid_is_that_of_the_path_without_links() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("d0.img");
    std::fs::write(&path, vec![0; 4096]).unwrap();
    let link = dir.path().join("link.img");
    symlink(&path, &link).unwrap();
    let uuid = OpenedFile::open(&FileOptions::new("d0", &path)).unwrap().uuid;
    let linked = OpenedFile::open(&FileOptions::new("other", &link)).unwrap();
    assert_eq!((linked.uuid, linked.path), (uuid, std::fs::canonicalize(&path).unwrap()));
    assert_eq!(uuid.get_version_num(), 5);
    let other = dir.path().join("d1.img");
    std::fs::write(&other, vec![0; 4096]).unwrap();
    assert_ne!(OpenedFile::open(&FileOptions::new("d1", &other)).unwrap().uuid, uuid);
}

#[test]
fn current_size_follows_the_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(MIB).unwrap();
    let opened = OpenedFile::open(&FileOptions::new("d0", file.path())).unwrap();
    assert_eq!(opened.current_size_bytes(), MIB);
    file.as_file().set_len(4096).unwrap();
    assert_eq!(opened.current_size_bytes(), 4096);
}

#[test]
fn notes_tell_of_memory_only_files() {
    let file = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
    file.as_file().set_len(MIB).unwrap();
    let opened = OpenedFile::open(&FileOptions::new("d0", file.path())).unwrap();
    assert_eq!(opened.access, Access::Buffered);
    assert!(opened.note.as_deref().unwrap().contains("tmpfs"));
    opened.io_file().unwrap().write_all_at(b"x", 1).unwrap();
}

#[test]
fn block_device_has_its_own_size_and_sectors() {
    let Some(disk) = LoopDevice::new(8 * MIB, 4096) else { return };
    let wide = FileOptions { block_size: 4096, ..FileOptions::new("d0", &disk.path) };
    let opened = OpenedFile::open(&wide).unwrap();
    assert_eq!((opened.size_bytes, opened.is_device), (8 * MIB, true));
    assert_eq!((opened.access.is_direct(), opened.access.offset_align()), (true, 4096));
    refused(&wide, FileErrorKind::Busy, "");
    drop(opened);
    let narrow = FileOptions::new("d0", &disk.path);
    refused(&narrow, FileErrorKind::Options, "use a block size of 4096");
    let cut = FileOptions { size_bytes: Some(4 * MIB), ..wide };
    refused(&cut, FileErrorKind::Size, "more than the drive");
}
