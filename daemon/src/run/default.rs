//! `basalt run` without a file: the example system, in a state folder of the user.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::progress::Progress;

/// The file's name in the state folder. The drives of the example lie beside it.
const FILE_NAME: &str = "basalt.yaml";

/// The YAML of the state folder, written there first if there is none. The user may edit it.
pub fn file(progress: &Progress) -> Result<PathBuf> {
    let folder = state_folder(|name| std::env::var_os(name).map(PathBuf::from))?;
    let (file, is_new) = file_in(&folder)?;
    let how = if is_new { "made" } else { "using" };
    progress.done(&format!("no -c FILE: {how} {}; its drives are in {}", file.display(), folder.display()));
    Ok(file)
}

/// XDG Base Directory Specification: `$XDG_STATE_HOME`, else `~/.local/state`.
fn state_folder(variable: impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf> {
    let base = variable("XDG_STATE_HOME").filter(|path| path.is_absolute());
    let base = base.or_else(|| variable("HOME").map(|home| home.join(".local/state")));
    let base = base.context("neither XDG_STATE_HOME nor HOME is set: name a file with -c FILE")?;
    Ok(base.join("basalt"))
}

fn file_in(folder: &Path) -> Result<(PathBuf, bool)> {
    let file = folder.join(FILE_NAME);
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    match std::fs::File::create_new(&file) {
        Ok(mut new) => {
            new.write_all(basalt_config::DEFAULT_YAML.as_bytes())
                .with_context(|| format!("cannot write {}", file.display()))?;
            Ok((file, true))
        }
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok((file, false)),
        Err(e) => Err(e).with_context(|| format!("cannot make {}", file.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_folder_follows_xdg() {
        let of = |pairs: &[(&str, &str)]| {
            let pairs: Vec<(String, String)> =
                pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
            state_folder(move |name| pairs.iter().find(|(k, _)| k == name).map(|(_, v)| PathBuf::from(v)))
        };
        let xdg = of(&[("XDG_STATE_HOME", "/var/state"), ("HOME", "/home/u")]).unwrap();
        assert_eq!(xdg, Path::new("/var/state/basalt"));
        assert_eq!(of(&[("HOME", "/home/u")]).unwrap(), Path::new("/home/u/.local/state/basalt"));
        let relative = of(&[("XDG_STATE_HOME", "state"), ("HOME", "/home/u")]).unwrap();
        assert_eq!(relative, Path::new("/home/u/.local/state/basalt"));
        assert!(of(&[]).unwrap_err().to_string().contains("-c FILE"));
    }

    #[test]
    fn the_example_is_written_once_and_then_the_users() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/b");
        let (file, is_new) = file_in(&folder).unwrap();
        assert!(is_new);
        assert!(basalt_config::load(&file).is_ok());
        std::fs::write(&file, "edited").unwrap();
        assert_eq!(file_in(&folder).unwrap(), (file.clone(), false));
        assert_eq!(std::fs::read_to_string(file).unwrap(), "edited");
    }
}
