//! What a file drive is asked to be.

use super::error::{FileError, FileErrorKind};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The parameters of `bdev_basalt_file_create`, and of one `file:` drive in the YAML.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileOptions {
    /// Name of the bdev.
    pub name: String,
    /// A regular file, created sparse if it is missing, or a block device. May be relative.
    pub path: PathBuf,
    /// Size of the drive. Needed when the file is missing; an existing one must have exactly this size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// Logical block size: 512 or 4096.
    #[serde(default = "default_block_size")]
    pub block_size: u32,
    /// The operator's word that what is written is safe without a flush: FLUSH is answered at once and FUA
    /// ignored.
    #[serde(default)]
    pub assume_durable: bool,
}

/// The block size that every image made elsewhere fits.
pub const DEFAULT_BLOCK_SIZE: u32 = 512;

fn default_block_size() -> u32 {
    DEFAULT_BLOCK_SIZE
}

impl FileOptions {
    /// A drive on an existing file, with everything else at its default.
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>) -> FileOptions {
        FileOptions {
            name: name.into(),
            path: path.into(),
            size_bytes: None,
            block_size: DEFAULT_BLOCK_SIZE,
            assume_durable: false,
        }
    }

    /// Refuses what is wrong whatever is on the disk.
    pub fn check(&self) -> Result<(), FileError> {
        let refuse = |reason: String, remedy: &str| {
            Err(FileError::new(FileErrorKind::Options, &self.path, reason, remedy))
        };
        if self.name.is_empty() {
            return refuse("the drive has no name".into(), "give it one");
        }
        if self.path.as_os_str().is_empty() {
            return refuse(format!("drive {} has an empty path", self.name), "name a file or a block device");
        }
        if !matches!(self.block_size, 512 | 4096) {
            return refuse(format!("block size {} is not possible", self.block_size), "use 512 or 4096");
        }
        match self.size_bytes {
            Some(0) => refuse("size 0 is not possible".into(), "ask for at least one block"),
            Some(size) if !size.is_multiple_of(self.block_size.into()) => refuse(
                format!("size {size} is no multiple of the block size {}", self.block_size),
                "use a size that is",
            ),
            Some(size) if i64::try_from(size).is_err() => {
                refuse(format!("size {size} is more than any file can have"), "ask for less")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(options: FileOptions) -> String {
        let error = options.check().expect_err("must be refused");
        assert_eq!(error.kind, FileErrorKind::Options);
        error.to_string()
    }

    #[test]
    fn defaults_come_from_json_too() {
        let options: FileOptions = serde_json::from_str(r#"{"name": "d0", "path": "/x/d0.img"}"#).unwrap();
        assert_eq!(options, FileOptions::new("d0", "/x/d0.img"));
        options.check().unwrap();
    }

    #[test]
    fn unknown_keys_are_refused_by_name() {
        let error =
            serde_json::from_str::<FileOptions>(r#"{"name": "d0", "path": "p", "sise": 1}"#).unwrap_err();
        assert!(error.to_string().contains("sise"), "{error}");
    }

    #[test]
    fn impossible_options_are_refused() {
        let base = FileOptions::new("d0", "/x/d0.img");
        assert!(refused(FileOptions { name: String::new(), ..base.clone() }).contains("no name"));
        assert!(refused(FileOptions { path: PathBuf::new(), ..base.clone() }).contains("empty path"));
        assert!(refused(FileOptions { block_size: 1024, ..base.clone() }).contains("512 or 4096"));
        assert!(refused(FileOptions { size_bytes: Some(0), ..base.clone() }).contains("size 0"));
        assert!(refused(FileOptions { size_bytes: Some(1000), ..base.clone() }).contains("no multiple"));
        assert!(refused(FileOptions { size_bytes: Some(u64::MAX - 511), ..base }).contains("any file"));
    }
}
