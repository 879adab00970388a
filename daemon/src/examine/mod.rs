//! `basalt examine`: what is on a drive or an image, without a daemon. Reads only.
//!
//! `sight` reads the drive, `render` and `json` say what was seen. `docs/format.md` has the bytes.

mod json;
mod render;
mod sight;
#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::Result;

use crate::cli::{Exit, Output};

/// Prints what is on the drive at `path`. It fails when no superblock there is to be believed.
pub fn command(path: &Path, output: &Output) -> Result<Exit> {
    let sight = sight::look(path)?;
    output.answer(&json::report(&sight), || render::report(&sight, output.paint()));
    Ok(if sight.superblock().is_some() { Exit::Done } else { Exit::Failed })
}
