//! Paths as an operator may type them.

use std::path::{Path, PathBuf};

/// The folder that `path` is in; `.` for a bare name.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The same path from the root, for messages that are read elsewhere.
pub fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_a_bare_name_is_here() {
        assert_eq!(folder_of(Path::new("d0.img")), Path::new("."));
        assert_eq!(folder_of(Path::new("a/d0.img")), Path::new("a"));
        assert_eq!(folder_of(Path::new("/d0.img")), Path::new("/"));
    }
}
