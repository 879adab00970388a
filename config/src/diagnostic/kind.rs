//! One variant for each thing that can be wrong with a file. The text is the reason; the remedy is in
//! `remedy.rs`, the code in `codes.rs`.

use std::time::Duration;

use thiserror::Error;

use crate::units::show_duration;
use crate::{BlockSize, Bytes, Consistency, Level, NqnError, RateBytesPerS};

/// The names that could have been meant by an unknown one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The only one that is close.
    pub near: Option<String>,
    /// Some that would do.
    pub choices: Vec<String>,
}

/// What is wrong.
///
/// Fields named `near` hold the known name that is closest to an unknown one, if any is close.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)] // the message above each variant says what its fields are
pub enum DiagnosticKind {
    // ---- the file
    #[error("there is no such file")]
    FileNotFound,
    #[error("this is a folder, not a file")]
    FileIsDirectory,
    #[error("the file cannot be read: {reason}")]
    FileUnreadable { reason: String },
    #[error("the file is larger than {limit}")]
    FileTooLarge { limit: Bytes },
    #[error("byte 0x{byte:02x} is not UTF-8 text")]
    NotUtf8 { byte: u8 },
    #[error("the file says nothing")]
    FileEmpty,

    // ---- YAML
    #[error("this is not YAML: {reason}")]
    Syntax { reason: String, remedy: &'static str },
    #[error("a tab cannot indent YAML")]
    TabIndent,
    #[error("a second document begins here")]
    SeveralDocuments,
    #[error("no `&{name}` stands before this `*{name}`")]
    AliasUnknown { name: String, near: Option<String> },
    #[error("`*{name}` stands inside the value that it names")]
    AliasInItself { name: String },
    #[error("this is nested more than {limit} levels deep")]
    NestedTooDeep { limit: usize },
    #[error("with its aliases written out, the file has more than {limit} values")]
    TooManyValues { limit: usize },
    #[error("the tag `{tag}` means nothing here")]
    TagRefused { tag: String },
    #[error("`<<` does not merge: YAML 1.2 has no merge keys")]
    MergeKey,
    #[error("a key is a plain word, not {found}")]
    KeyNotText { found: &'static str },

    // ---- shape
    #[error("`{key}` is not a key of {owner}")]
    KeyUnknown { key: String, owner: &'static str, allowed: Vec<&'static str>, near: Option<String> },
    #[error("the key `{key}` stands here a second time")]
    KeyTwice { key: String },
    #[error("{owner} needs the key `{key}`")]
    KeyMissing { key: &'static str, owner: &'static str, example: &'static str },
    #[error("`{key}` does not apply to {owner}")]
    KeyNotApplicable { key: &'static str, owner: String },
    #[error("`{key}` takes {wanted}, not {found}")]
    TypeWrong { key: &'static str, wanted: &'static str, found: String, example: String },
    #[error("`{value}` is not a value of `{key}`")]
    ValueUnknown { key: &'static str, value: String, allowed: Vec<&'static str>, near: Option<String> },
    #[error("the list `{key}` is empty")]
    ListEmpty { key: &'static str, example: &'static str },
    #[error("`{key}` is {value}, which is not within {min} to {max}")]
    NumberOutOfRange { key: &'static str, value: String, min: u32, max: u32 },

    // ---- units
    #[error("`{text}` is not a size")]
    SizeInvalid { key: &'static str, text: String, guess: Option<String> },
    #[error("`{text}` is too much: a size or rate is less than 8 EiB")]
    SizeOverflow { key: &'static str, text: String, max: &'static str },
    #[error("`{key}` is zero")]
    SizeZero { key: &'static str, example: &'static str },
    #[error("`{key}` is {size}, which is not within {min} to {max}")]
    SizeOutOfRange { key: &'static str, size: Bytes, min: Bytes, max: Bytes },
    #[error("`{key}` is {size}, which is not a multiple of {unit}")]
    SizeNotMultiple { key: &'static str, size: Bytes, unit: Bytes },
    #[error("`{key}` is {size}, which is not a power of two")]
    SizeNotPowerOfTwo { key: &'static str, size: Bytes },
    #[error("`{text}` is not a rate")]
    RateInvalid { key: &'static str, text: String, guess: Option<String> },
    #[error("`max_rate` is zero: no sync would ever finish")]
    RateZero,
    #[error("`{text}` is not a duration")]
    DurationInvalid { key: &'static str, text: String, guess: Option<String> },
    #[error("`{key}` is {}, which is not within {}", show_duration(*value), show_range(*min, *max))]
    DurationOutOfRange { key: &'static str, value: Duration, min: Duration, max: Duration },

    // ---- names
    #[error("`{name}` cannot be a name")]
    NameInvalid { name: String, usable: Option<String> },
    #[error("`missing` is the word for an empty slot, so it cannot be a name")]
    NameReserved,
    #[error("the name `{name}` is already taken")]
    NameTwice { name: String },

    // ---- runtime
    #[error("core {core} is listed twice")]
    CoreTwice { core: u32 },
    #[error("the path of the socket has {bytes} bytes; a Unix socket takes at most {max}")]
    SocketPathTooLong { bytes: usize, max: usize },

    // ---- drives
    #[error("the drive does not say what it is")]
    DriveKindMissing,
    #[error("the drive is both `{first}` and `{second}`")]
    DriveKindSeveral { first: &'static str, second: &'static str },
    #[error("`nvme` does not say how the controller is reached")]
    TransportMissing,
    #[error("`nvme` is reached both by `{first}` and by `{second}`")]
    TransportSeveral { first: &'static str, second: &'static str },
    #[error("`{text}` is not the address of a PCI function")]
    PciAddressInvalid { text: String },
    #[error("`{text}` is not an address: {reason}")]
    AddressInvalid { text: String, reason: &'static str, example: String },
    #[error("there is no drive `{name}` to lie over")]
    OverUnknown { name: String, known: Known },
    #[error("the drives lie over one another in a loop: {}", show_chain(chain))]
    OverLoop { chain: Vec<String> },
    #[error("`{drive}` lies under the faulty drive `{by}`, so nothing else can use it")]
    DriveCovered { drive: String, by: String },
    #[error("`{drive}` and `{first}` are the same {what}")]
    DriveSame { drive: String, first: String, what: &'static str },

    // ---- arrays
    #[error("{level} needs at least {min} members; this array has {found}")]
    MembersTooFew { level: Level, min: usize, found: usize },
    #[error("an array has at most {max} members; this one has {found}")]
    MembersTooMany { max: usize, found: usize },
    #[error("all members are missing")]
    MembersAllMissing,
    #[error("without {}, {level} does not have all its data", these(*missing))]
    MembersMissingTooMany { level: Level, missing: usize },
    #[error("`{name}` is a member of this array already")]
    MemberTwice { name: String },
    #[error("there is no drive or array `{name}`")]
    MemberUnknown { name: String, known: Known },
    #[error("`{name}` is a member of the array `{other}` already")]
    MemberOfTwoArrays { name: String, other: String },
    #[error("`{name}` is a spare of `{array}`, but it is a member of `{member_of}`")]
    MemberAndSpare { name: String, array: String, member_of: String },
    #[error("the arrays are members of one another in a loop: {}", show_chain(chain))]
    ArrayLoop { chain: Vec<String> },
    #[error("there is no drive `{name}` to be a spare")]
    SpareUnknown { name: String, known: Known, is_array: bool },
    #[error("`{name}` is a spare of this array already")]
    SpareTwice { name: String },
    #[error("{level} has no redundancy, so a spare can never take a member's place")]
    SparesUseless { level: Level },
    #[error("`{text}` is not a layout of {level}")]
    LayoutInvalid { text: String, level: Level, allowed: Vec<&'static str>, near: Option<String> },
    #[error("`near={near}` wants {near} members for each chunk, but the array has {members}")]
    NearTooLarge { near: u32, members: usize },
    #[error("`chunk` is {chunk}, less than the {} block of `{drive}`", block.bytes())]
    ChunkBelowBlock { chunk: Bytes, block: BlockSize, drive: String },
    #[error("`{drive}` has blocks of {}, but `{first}` has blocks of {}", block.bytes(), first_block.bytes())]
    BlockSizesMixed { drive: String, block: BlockSize, first: String, first_block: BlockSize },
    #[error("{level} cannot have `consistency: {}`", consistency.name())]
    ConsistencyRefused { consistency: Consistency, level: Level, allowed: Vec<&'static str> },
    #[error("`metadata: none` leaves no place to keep a {}", consistency.name())]
    ConsistencyHomeless { consistency: Consistency },
    #[error("`min_rate` is {min}, more than `max_rate`, which is {max}")]
    RatesCrossed { min: RateBytesPerS, max: RateBytesPerS },
    #[error("there is no array `{name}` to come after")]
    AfterUnknown { name: String, known: Known },
    #[error("`{name}` stands in this list already")]
    AfterTwice { name: String },
    #[error("the arrays wait for one another in a loop: {}", show_chain(chain))]
    AfterLoop { chain: Vec<String> },

    // ---- exports
    #[error("`{text}` is not an NVMe qualified name: {reason}")]
    NqnInvalid { text: String, reason: NqnError },
    #[error("the name `{nqn}` is already taken by another export")]
    NqnTwice { nqn: String },
    #[error("`{address}` is listed twice")]
    ListenTwice { address: String },
    #[error("the host `{nqn}` is listed twice")]
    HostTwice { nqn: String },
    #[error("there is no array `{name}`")]
    NamespaceUnknown { name: String, known: Known, is_drive: bool },
    #[error("the array `{name}` is exported already")]
    NamespaceTwice { name: String },
    #[error(
        "`{name}` is a member of the array `{member_of}`: a host that wrote to it would damage that array"
    )]
    NamespaceIsMember { name: String, member_of: String },
}

fn show_chain(chain: &[String]) -> String {
    const SHOWN_MAX: usize = 8;
    let mut shown: Vec<_> = chain.iter().map(|name| format!("`{name}`")).collect();
    if shown.len() > SHOWN_MAX {
        shown.splice(SHOWN_MAX / 2..shown.len() - SHOWN_MAX / 2, ["...".to_owned()]);
    }
    shown.join(" -> ")
}

fn show_range(min: Duration, max: Duration) -> String {
    format!("{} to {}", show_duration(min), show_duration(max))
}

fn these(count: usize) -> String {
    if count == 1 { "this member".into() } else { format!("these {count} members") }
}
