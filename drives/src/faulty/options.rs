//! What a faulty drive is asked to be.

use serde::{Deserialize, Serialize};

/// The parameters of `bdev_basalt_faulty_create`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultyOptions {
    /// Name of the bdev.
    pub name: String,
    /// The bdev under it, which nobody else can use meanwhile.
    pub base: String,
    /// Writes are kept in memory until a flush. Default: false.
    #[serde(default)]
    pub volatile_cache: bool,
}
