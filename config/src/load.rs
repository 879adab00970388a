//! A file to a [`Config`].

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::diagnostic::{Diagnostic, DiagnosticKind, Diagnostics, Findings};
use crate::place::{Place, Source};
use crate::{Bytes, Config, check, read, yaml};

/// Largest file that is read.
pub const FILE_SIZE_MAX: Bytes = Bytes::mib(1);

/// Reads and checks the file at `path`. Relative paths in it are taken from its folder.
pub fn load(path: impl AsRef<Path>) -> Result<Config, Diagnostics> {
    let path = path.as_ref();
    let file = path.display().to_string();
    let bytes = read_bytes(path).map_err(|kind| Diagnostics::one(&file, kind.into()))?;
    let text = str::from_utf8(&bytes).map_err(|error| not_utf8(&file, &bytes, error.valid_up_to()))?;
    parse(text, path)
}

/// Checks `text` as if it stood in the file `file_name`, which is not touched: it names the file in messages,
/// and the folder from which relative paths are taken.
pub fn parse(text: &str, file_name: impl AsRef<Path>) -> Result<Config, Diagnostics> {
    let path = file_name.as_ref();
    let file = path.display().to_string();
    if text.len() as u64 > FILE_SIZE_MAX.get() {
        return Err(Diagnostics::one(&file, DiagnosticKind::FileTooLarge { limit: FILE_SIZE_MAX }.into()));
    }
    let source = Source::new(&file, text);
    let root = match yaml::parse(text, &source) {
        Ok(Some(root)) => root,
        Ok(None) => {
            let place = Some(source.place(1, 1, usize::MAX));
            return Err(Diagnostics::one(&file, Diagnostic { place, ..DiagnosticKind::FileEmpty.into() }));
        }
        Err(refusal) => return Err(Diagnostics::one(&file, *refusal)),
    };
    let mut findings = Findings::default();
    let config = read::config(&root, path, &mut findings);
    check::all(&config, &mut findings);
    findings.finish(&file)?;
    Ok(config)
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, DiagnosticKind> {
    let refuse = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => DiagnosticKind::FileNotFound,
        io::ErrorKind::IsADirectory => DiagnosticKind::FileIsDirectory,
        _ => DiagnosticKind::FileUnreadable { reason: error.to_string() },
    };
    let mut bytes = Vec::new();
    // Bounded, because the path may be a device or a pipe that never ends.
    let limit = FILE_SIZE_MAX.get() + 1;
    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(refuse)?;
    if bytes.len() as u64 == limit {
        return Err(DiagnosticKind::FileTooLarge { limit: FILE_SIZE_MAX });
    }
    Ok(bytes)
}

fn not_utf8(file: &str, bytes: &[u8], at: usize) -> Diagnostics {
    let place = Some(place_of_byte(file, bytes, at));
    Diagnostics::one(file, Diagnostic { place, ..DiagnosticKind::NotUtf8 { byte: bytes[at] }.into() })
}

/// The place of a byte in text of which only what stands before it need be UTF-8.
fn place_of_byte(file: &str, bytes: &[u8], at: usize) -> Place {
    let before = String::from_utf8_lossy(&bytes[..at]);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Source::new(file, &String::from_utf8_lossy(bytes)).place(line, column, 1)
}
