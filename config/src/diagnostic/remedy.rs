//! What to type instead, for each kind: one table.

use super::DiagnosticKind;
use super::kind::Known;
use crate::names::usable_name;
use crate::units::show_duration;
use crate::{Bytes, Level, Runtime};

impl DiagnosticKind {
    /// What would be right: one line, with the text to type in backquotes.
    pub fn remedy(&self) -> String {
        match self {
            // ---- the file
            Self::FileNotFound => "check the path; `basalt run -c FILE` takes the path of a YAML file".into(),
            Self::FileIsDirectory => "name a file in it".into(),
            Self::FileUnreadable { .. } => {
                "let the user that runs basalt read it, or name another file".into()
            }
            Self::FileTooLarge { limit } => {
                format!("a configuration is at most {limit}: is this the right file?")
            }
            Self::NotUtf8 { .. } => "save the file as UTF-8, or write an escape in double quotes".into(),
            Self::FileEmpty => "write at least one of `runtime:`, `drives:`, `arrays:`, `exports:`".into(),

            // ---- YAML
            Self::Syntax { remedy, .. } => (*remedy).into(),
            Self::TabIndent => "indent with blanks, two for each level".into(),
            Self::SeveralDocuments => {
                "one file is one document: remove this `---`, or put what follows elsewhere".into()
            }
            Self::AliasUnknown { near: Some(near), .. } => format!("did you mean `*{near}`?"),
            Self::AliasUnknown { name, .. } => {
                format!("write `&{name}` before the value that is meant, or quote the text: `\"*{name}\"`")
            }
            Self::AliasInItself { name } => format!("write out the value in the place of `*{name}`"),
            Self::NestedTooDeep { .. } => "no key takes so many levels: remove the extra brackets".into(),
            Self::TooManyValues { .. } => "write fewer aliases of large values".into(),
            Self::TagRefused { tag } => format!("remove `{tag}`; to force text, quote the value"),
            Self::MergeKey => "write the keys out in each item; an alias can stand for one value".into(),
            Self::KeyNotText { .. } => "a key stands without brackets, before its value: `key: value`".into(),

            // ---- shape and names
            Self::KeyUnknown { near: Some(near), .. } => format!("did you mean `{near}`?"),
            Self::KeyUnknown { allowed, .. } => format!("remove it; allowed here: {}", listed(allowed)),
            Self::KeyTwice { key } => format!("keep one `{key}` and remove the other"),
            Self::KeyMissing { example, .. } => format!("add `{example}`"),
            Self::KeyNotApplicable { key, .. } => format!("remove `{key}`"),
            Self::TypeWrong { example, .. } => format!("write `{example}`"),
            Self::ValueUnknown { near: Some(near), allowed, .. } => {
                format!("did you mean `{near}`? allowed: {}", listed(allowed))
            }
            Self::ValueUnknown { allowed, .. } => format!("allowed: {}", listed(allowed)),
            Self::ListEmpty { example, .. } => format!("write `{example}`"),
            Self::NumberOutOfRange { min, max, .. } => format!("a number from {min} to {max}"),
            Self::NameInvalid { usable: Some(usable), .. } => format!("{NAME_RULE}: `name: {usable}`"),
            Self::NameInvalid { .. } => NAME_RULE.into(),
            Self::NameReserved => "choose another name, say `name: missing-0`".into(),
            Self::NameTwice { name } => {
                format!("drives and arrays share their names: rename one of them, say to `{name}-2`")
            }
            Self::CoreTwice { .. } => "list each core once".into(),
            Self::SocketPathTooLong { .. } => {
                format!("write a shorter path: `rpc_socket: {}`", Runtime::RPC_SOCKET_DEFAULT)
            }

            // ---- units
            Self::SizeInvalid { key, guess, .. } => guessed(key, guess, SIZE_FORM),
            Self::SizeOverflow { key, max, .. } => format!("write `{key}: {max}` or less"),
            Self::SizeZero { example, .. } => format!("write `{example}`"),
            Self::SizeOutOfRange { key, size, min, max } => {
                format!("write `{key}: {}`", if size < min { min } else { max })
            }
            Self::SizeNotMultiple { key, size, unit } => {
                let units = size.get() / unit.get();
                alternatives(key, units.checked_mul(unit.get()), (units + 1).checked_mul(unit.get()))
            }
            Self::SizeNotPowerOfTwo { key, size } => {
                let above = size.get().checked_next_power_of_two();
                alternatives(key, above.map(|above| above / 2), above)
            }
            Self::RateInvalid { key, guess, .. } => guessed(key, guess, RATE_FORM),
            Self::RateZero => "write `max_rate: unlimited`, or pause the sync instead".into(),
            Self::DurationInvalid { key, guess, .. } => guessed(key, guess, DURATION_FORM),
            Self::DurationOutOfRange { key, value, min, max } => {
                format!("write `{key}: {}`", show_duration(*if value < min { min } else { max }))
            }

            // ---- drives
            Self::DriveKindMissing => DRIVE_KINDS.into(),
            Self::DriveKindSeveral { first, second } | Self::TransportSeveral { first, second } => {
                format!("remove `{first}` or `{second}`")
            }
            Self::TransportMissing => TRANSPORTS.into(),
            Self::PciAddressInvalid { .. } => PCI_FORM.into(),
            Self::AddressInvalid { example, .. } => format!("write `{example}`"),
            Self::OverUnknown { known, .. } => meant(known, "a drive"),
            Self::OverLoop { .. } => "let one of them lie over a drive that is not faulty".into(),
            Self::DriveCovered { by, .. } => format!("use `{by}` here"),
            Self::DriveSame { what, .. } => format!("name another {what}, or remove one of the two drives"),

            // ---- arrays
            Self::MembersTooFew { min, found, .. } => {
                format!("list {} more; a slot that is filled later is `missing`", min.saturating_sub(*found))
            }
            Self::MembersTooMany { max, .. } => format!("list at most {max}, or put one array over several"),
            Self::MembersAllMissing => "name the drives that are there".into(),
            Self::MembersMissingTooMany { .. } => "name a drive in place of `missing`".into(),
            Self::MemberTwice { .. } => "name another drive: one drive cannot fill two slots".into(),
            Self::MemberUnknown { known, .. } => meant(known, "a drive or array"),
            Self::MemberOfTwoArrays { .. } => "name another drive: a drive belongs to one array".into(),
            Self::MemberAndSpare { name, .. } => format!("remove `{name}` from `spares`, or from `members`"),
            Self::ArrayLoop { .. } => "replace one of these members by a drive".into(),
            Self::SpareUnknown { is_array: true, .. } => "name a drive: an array cannot be a spare".into(),
            Self::SpareUnknown { known, .. } => meant(known, "a drive"),
            Self::SpareTwice { .. } => "list each spare once".into(),
            Self::SparesUseless { .. } => "remove `spares`, or choose a level with redundancy".into(),
            Self::LayoutInvalid { near: Some(near), .. } => format!("did you mean `layout: {near}`?"),
            Self::LayoutInvalid { level: Level::Raid10, .. } => {
                "write the number of copies: `layout: near=2`".into()
            }
            Self::LayoutInvalid { allowed, .. } => format!("allowed: {}", listed(allowed)),
            Self::NearTooLarge { members, .. } => {
                format!("write `layout: near={members}` or list more members")
            }
            Self::ChunkBelowBlock { block, .. } => format!("write `chunk: {}` or more", block.bytes()),
            Self::BlockSizesMixed { first_block, .. } => format!(
                "members have one block size: give the drive `block_size: {}`, or name another drive",
                first_block.bytes().get()
            ),
            Self::ConsistencyRefused { allowed, .. } => format!("write {}", choices("consistency", allowed)),
            Self::ConsistencyHomeless { .. } => "write `consistency: none` or `metadata: drives`".into(),
            Self::RatesCrossed { max, .. } => format!("write `min_rate: {max}` or less"),
            Self::AfterUnknown { known, .. } => meant(known, "an array"),
            Self::AfterTwice { .. } => "list each array once".into(),
            Self::AfterLoop { .. } => "remove one of these names from its `after`".into(),

            // ---- exports
            Self::NqnInvalid { text, .. } => {
                let name = text.rsplit(':').next().and_then(usable_name).unwrap_or_else(|| "data".into());
                format!("write `nqn.2026-11.io.basalt:{name}`, or another date, reverse domain and name")
            }
            Self::NqnTwice { nqn } => format!("rename one, say to `{nqn}-2`, or put both into one export"),
            Self::ListenTwice { .. } => "list each address once".into(),
            Self::HostTwice { .. } => "list each host once".into(),
            Self::NamespaceUnknown { is_drive: true, name, .. } => {
                format!(
                    "only arrays are exported: make one of it, say `level: concat` with `members: [{name}]`"
                )
            }
            Self::NamespaceUnknown { known, .. } => meant(known, "an array"),
            Self::NamespaceTwice { .. } => {
                "export an array once: two names for it would confuse its hosts".into()
            }
            Self::NamespaceIsMember { member_of, .. } => format!("export `{member_of}` instead"),
        }
    }
}

const SIZE_FORM: &str = "a whole number and one of B, KiB, MiB, GiB, TiB: `64KiB`";
const RATE_FORM: &str = "a whole number and one of KiB/s, MiB/s, GiB/s, TiB/s: `50MiB/s`";
const DURATION_FORM: &str = "a whole number and one of us, ms, s, min, h: `30s`";
const DRIVE_KINDS: &str =
    "add one of `file`, `memory`, `nvme`, `bdev`, `faulty`, say `file: { path: d0.img, size: 1GiB }`";
const TRANSPORTS: &str = "add one of `pcie: \"0000:5e:00.0\"`, `tcp: \"192.0.2.7:4420\"` (with `nqn`), \
                          `vfio_user: /run/drives/d0`";
const PCI_FORM: &str = "write domain:bus:device.function, as `lspci -D` prints it: `pcie: \"0000:5e:00.0\"`";
const NAME_RULE: &str = "a name is 1 to 63 of `A-Z a-z 0-9 . _ -` and begins with a letter or digit";

fn listed(allowed: &[&'static str]) -> String {
    allowed.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// "`key: a` or `key: b`"
fn choices(key: &str, allowed: &[&'static str]) -> String {
    let choices: Vec<_> = allowed.iter().map(|value| format!("`{key}: {value}`")).collect();
    choices.join(" or ")
}

fn guessed(key: &str, guess: &Option<String>, form: &str) -> String {
    match guess {
        Some(guess) => format!("write `{key}: {guess}`"),
        None => format!("it takes {form}"),
    }
}

/// `wanted` is what the name should be the name of.
fn meant(known: &Known, wanted: &str) -> String {
    match known {
        Known { near: Some(near), .. } => format!("did you mean `{near}`?"),
        Known { choices, .. } if choices.is_empty() => format!("describe it in this file first, as {wanted}"),
        Known { choices, .. } => {
            let choices: Vec<_> = choices.iter().map(|name| format!("`{name}`")).collect();
            format!("name {wanted} of this file: {}", choices.join(", "))
        }
    }
}

/// The usable sizes next to one that is not.
fn alternatives(key: &str, below: Option<u64>, above: Option<u64>) -> String {
    let sizes = [below, above].into_iter().flatten().filter(|size| *size > 0 && *size <= i64::MAX as u64);
    let choices: Vec<_> = sizes.map(|size| format!("`{key}: {}`", Bytes(size))).collect();
    format!("write {}", choices.join(" or "))
}
