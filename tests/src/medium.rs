//! What is on the file of a drive, looked at and changed while no daemon has it.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use raid::format::{COPY_OFFSETS, Damage, SUPERBLOCK_BYTES, Superblock, decode, encode, newest_copy};

/// Both copies of the superblock.
pub fn copies(drive: &Path) -> [Result<Superblock, Damage>; 2] {
    COPY_OFFSETS.map(|at| decode(&read(drive, at, SUPERBLOCK_BYTES)))
}

/// Which copy counts.
pub fn newest(drive: &Path) -> Option<usize> {
    newest_copy(&copies(drive))
}

/// The record that counts.
///
/// # Panics
/// Without one.
pub fn superblock(drive: &Path) -> Superblock {
    let copies = copies(drive);
    let newest = newest_copy(&copies).unwrap_or_else(|| panic!("no superblock: {copies:#?}"));
    copies[newest].clone().expect("it counts")
}

/// Changes the record that counts, as if its array had written it: in both copies, one version later.
pub fn change(drive: &Path, how: impl FnOnce(&mut Superblock)) {
    let mut record = superblock(drive);
    how(&mut record);
    record.version += 1;
    COPY_OFFSETS.into_iter().for_each(|at| write(drive, at, &encode(&record)));
}

/// Flips a bit in one copy.
pub fn damage(drive: &Path, copy: usize) {
    let at = COPY_OFFSETS[copy] + 200;
    write(drive, at, &[read(drive, at, 1)[0] ^ 1]);
}

/// Fills a whole drive with bytes that look random.
pub fn fill_with_garbage(drive: &Path, bytes: usize, seed: u64) {
    let mut state = seed | 1;
    // An xorshift generator (Marsaglia 2003): it never comes to zero.
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    });
    let content: Vec<u8> = words.take(bytes / 8).flat_map(u64::to_le_bytes).collect();
    std::fs::write(drive, content).expect("a drive file");
}

/// Bytes of a drive.
///
/// # Panics
/// If they can't be read.
pub fn read(drive: &Path, at: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let file = std::fs::File::open(drive).unwrap_or_else(|error| panic!("{}: {error}", drive.display()));
    file.read_exact_at(&mut bytes, at).unwrap_or_else(|error| panic!("{}: {error}", drive.display()));
    bytes
}

/// Writes bytes to a drive.
///
/// # Panics
/// If they can't be written.
pub fn write(drive: &Path, at: u64, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(drive);
    let written = file.and_then(|file| file.write_all_at(bytes, at));
    written.unwrap_or_else(|error| panic!("{}: {error}", drive.display()));
}
