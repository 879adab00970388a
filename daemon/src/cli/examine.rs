//! `basalt examine`: until the on-disk format exists, a plain statement about what lies there.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::Exit;
use crate::units;

/// So much is looked at.
const HEAD_BYTES: u64 = 1 << 20;

/// Looks at `path`, and says that there is nothing to decode yet.
pub fn run(path: &Path) -> Result<Exit> {
    let sight = look(path)?;
    bail!(
        "{}: {sight}. Basalt writes no metadata yet, so there is none to decode: it comes with a later \
         release",
        path.display()
    );
}

/// `a file of 1 GiB; its first MiB is all zeros`.
fn look(path: &Path) -> Result<String> {
    let metadata = std::fs::metadata(path).with_context(|| format!("cannot look at {}", path.display()))?;
    let kind = kind(&metadata)
        .with_context(|| format!("{} is neither a file nor a block device", path.display()))?;
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut head = Vec::new();
    file.take(HEAD_BYTES)
        .read_to_end(&mut head)
        .with_context(|| format!("cannot read {}", path.display()))?;
    let content = match head.iter().position(|byte| *byte != 0) {
        None if head.is_empty() => "it is empty".to_owned(),
        None => format!("its first {} are all zeros", units::size(head.len() as u64)),
        Some(first) => format!("it holds data from byte {first} on"),
    };
    Ok(format!("{kind}; {content}"))
}

fn kind(metadata: &Metadata) -> Option<String> {
    if metadata.is_file() {
        return Some(format!("a file of {}", units::size(metadata.len())));
    }
    metadata.file_type().is_block_device().then(|| "a block device".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(content: &[u8]) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        look(file.path()).unwrap()
    }

    #[test]
    fn says_what_it_sees() {
        assert_eq!(seen(&[]), "a file of 0 B; it is empty");
        assert_eq!(seen(&[0; 4096]), "a file of 4 KiB; its first 4 KiB are all zeros");
        assert_eq!(seen(b"\0\0x"), "a file of 3 B; it holds data from byte 2 on");
    }

    #[test]
    fn a_folder_or_nothing_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(format!("{:#}", look(dir.path()).unwrap_err()).contains("neither a file nor a block device"));
        assert!(format!("{:#}", look(&dir.path().join("x")).unwrap_err()).contains("cannot look at"));
    }

    #[test]
    fn it_ends_with_an_error_and_a_reason() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(run(file.path()).unwrap_err().to_string().contains("comes with a later release"));
    }
}
