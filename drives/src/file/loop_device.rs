//! For tests: a block device of the kernel, as long as they run.

use std::path::PathBuf;
use std::process::Command;

/// A loop device on a temporary file, made by `losetup(8)`, which needs root.
pub(crate) struct LoopDevice {
    pub(crate) path: PathBuf,
    _image: tempfile::NamedTempFile,
}

impl LoopDevice {
    /// `None`, said on stderr, where there can't be one.
    pub(crate) fn new(size_bytes: u64, sector_bytes: u32) -> Option<LoopDevice> {
        let image = tempfile::NamedTempFile::new_in("/var/tmp").unwrap();
        image.as_file().set_len(size_bytes).unwrap();
        let sector = sector_bytes.to_string();
        let mut losetup = Command::new("losetup");
        let out = losetup.args(["--find", "--show", "--sector-size", &sector]).arg(image.path()).output();
        match out {
            Ok(out) if out.status.success() => {
                let path = PathBuf::from(String::from_utf8(out.stdout).unwrap().trim());
                Some(LoopDevice { path, _image: image })
            }
            other => {
                eprintln!("no loop device here: {other:?}");
                None
            }
        }
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let status = Command::new("losetup").arg("--detach").arg(&self.path).status();
        assert!(status.is_ok_and(|status| status.success()), "{} stays attached", self.path.display());
    }
}
