//! What can be asked for when an array is made, and everything that can be wrong with it in itself.

use raid::Level;
use raid::array::ErrorLimits;
use raid::format::{Consistency, Policy};
use raid::view::OnFailed;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::CreateError;

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
    /// How long a member may take to answer.
    pub member_timeout_ms: Option<u64>,
    /// How long to wait for missing members before a degraded start; null: for ever.
    pub start_degraded_after_ms: Option<u64>,
    pub uuid: Option<Uuid>,
    /// What to do with drives that have something on them already.
    #[serde(default)]
    pub existing: Existing,
}

/// What to do with drives that have something on them.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Existing {
    /// Refuse to make an array on them.
    #[default]
    Refuse,
    /// Start the array that is on them; make one only if they are all blank.
    Assemble,
    /// Make an array all the same: what is on them is lost.
    Overwrite,
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

impl CreateParams {
    /// Refuses what is wrong in itself, whatever drives there are. Returns the level.
    pub fn check(&self) -> Result<Level, CreateError> {
        check_name(&self.name)?;
        let level = level_of(self)?;
        check_options(self, level)?;
        Ok(level)
    }

    pub fn metadata(&self) -> Metadata {
        self.metadata.unwrap_or_default()
    }

    pub fn on_failed(&self) -> OnFailed {
        match self.on_failed {
            Some(OnFailedParam::Wait) => OnFailed::Wait,
            Some(OnFailedParam::Error) | None => OnFailed::Error,
        }
    }

    pub fn limits(&self) -> ErrorLimits {
        let default = ErrorLimits::default();
        let Some(limits) = self.max_errors else { return default };
        ErrorLimits {
            read: limits.read.unwrap_or(default.read),
            write: limits.write.unwrap_or(default.write),
        }
    }

    pub fn member_timeout_ms(&self) -> u64 {
        self.member_timeout_ms.unwrap_or(MEMBER_TIMEOUT_MS)
    }

    /// Whether regions are marked in a dirty log: `level` has copies that a crash could make differ.
    pub fn keeps_log(&self, level: Level) -> bool {
        let is_redundant = matches!(level, Level::Raid1 | Level::Raid10 { .. });
        self.metadata() == Metadata::Drives && is_redundant && self.consistency.as_deref() != Some("none")
    }

    /// Whether regions that were never written are known as such.
    pub fn knows_unwritten(&self) -> bool {
        self.initial.as_deref() != Some("assume_clean")
    }

    /// What the members record of it.
    pub fn policy(&self, level: Level) -> Policy {
        Policy {
            consistency: if self.keeps_log(level) { Consistency::Bitmap } else { Consistency::None },
            on_failed: self.on_failed(),
            limits: self.limits(),
            member_timeout_ms: self.member_timeout_ms(),
            start_degraded_after_ms: self.start_degraded_after_ms,
        }
    }
}

const MEMBER_TIMEOUT_MS: u64 = 10_000;

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
        Some("bitmap") if params.metadata() == Metadata::None => {
            return wrong(
                "consistency",
                "bitmap",
                "needs a place on the drives; use metadata drives, or none",
            );
        }
        Some("bitmap") => {}
        Some(other) => return wrong("consistency", other, "does not exist; use auto, bitmap or none"),
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
