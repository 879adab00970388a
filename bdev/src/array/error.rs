//! Why an array can't be made or started.

use raid::assembly::ResolveError;
use raid::format::Impossible;
use raid::pool::PoolRefusal;
use raid::{GeometryError, Level};
use spdk_rs::Errno;
use spdk_rs::bdev::IoError;
use thiserror::Error;

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
    #[error(
        "drive '{drive}' has {what} on it; use another drive, or say existing: overwrite if all of that may go"
    )]
    Foreign { drive: String, what: String },
    #[error(
        "drive '{drive}' is a member of array '{array}' ({uuid}); start that array instead \
         (existing: assemble), or say existing: overwrite if it may go"
    )]
    Member { drive: String, array: String, uuid: String },
    #[error(
        "the metadata of drive '{drive}' can't be {what}: {error}; replace the drive, or repair the way to it"
    )]
    Metadata { drive: String, what: &'static str, error: IoError },
    #[error(transparent)]
    Record(#[from] Impossible),
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    #[error(
        "the drives are members of two arrays, '{one}' and '{other}'; list the members of one of them only \
         (basalt examine tells whose a drive is)"
    )]
    SeveralArrays { one: String, other: String },
    #[error("there is no array '{0}' that waits to be started; 'basalt status' lists those there are")]
    NotPending(String),
    #[error("array '{0}' is not started: {1}")]
    NotStarted(String, String),
    #[error("the shard threads can't be started: {0}")]
    Shards(Errno),
    #[error("the bdev can't be registered: {0}")]
    Register(Errno),
}
