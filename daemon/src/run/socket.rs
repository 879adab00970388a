//! The daemon's socket before it is ours: free, left behind, or in use by another daemon.

use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::paths::folder_of;

/// What is at the path of a socket.
#[derive(Debug, PartialEq, Eq)]
pub enum Occupant {
    /// Nothing.
    Nobody,
    /// A socket on which nobody listens: left behind by a process that was killed.
    Stale,
    /// A process that listens.
    Process {
        /// Its id, where the kernel tells.
        pid: Option<i32>,
    },
    /// Something that is no socket.
    NoSocket,
}

/// Looks, and changes nothing.
pub fn look(path: &Path) -> Result<Occupant> {
    let metadata = match std::fs::symlink_metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Occupant::Nobody),
        other => other.with_context(|| format!("cannot look at {}", path.display()))?,
    };
    if !metadata.file_type().is_socket() {
        return Ok(Occupant::NoSocket);
    }
    match UnixStream::connect(path) {
        Ok(stream) => Ok(Occupant::Process { pid: peer_pid(&stream) }),
        Err(e) if e.kind() == ErrorKind::ConnectionRefused => Ok(Occupant::Stale),
        // It went away, or its queue is full: someone has it.
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Occupant::Nobody),
        Err(e) if e.kind() == ErrorKind::PermissionDenied => Ok(Occupant::Process { pid: None }),
        Err(e) => Err(e).with_context(|| format!("cannot connect to {}", path.display())),
    }
}

fn peer_pid(stream: &UnixStream) -> Option<i32> {
    let credentials = rustix::net::sockopt::socket_peercred(stream).ok()?;
    Some(credentials.pid.as_raw_nonzero().get())
}

/// A path that can be made ours to listen on.
#[derive(Debug, PartialEq, Eq)]
pub enum Claimable {
    /// As it is.
    Free,
    /// Once [`remove_stale`] has removed the socket there.
    Stale,
}

/// Refuses a path where a daemon lives or another file is. Changes nothing.
pub fn claimable(path: &Path) -> Result<Claimable> {
    let shown = path.display();
    match look(path)? {
        Occupant::Nobody => {
            let folder = folder_of(path).display();
            if !folder_of(path).is_dir() {
                bail!("there is no folder {folder} for the socket\n  make it:  mkdir -p {folder}");
            }
            Ok(Claimable::Free)
        }
        Occupant::Stale => Ok(Claimable::Stale),
        Occupant::Process { pid } => {
            let who = pid.map_or_else(|| "a process".to_owned(), |pid| format!("process {pid}"));
            bail!(
                "{who} listens on {shown} already\n  talk to it:  basalt --socket {shown} status\n  or stop \
                 it{}, or give this daemon a socket of its own: `runtime: {{ rpc_socket: ... }}`",
                pid.map_or_else(String::new, |pid| format!(" (kill {pid})"))
            )
        }
        Occupant::NoSocket => bail!(
            "{shown} is not a socket, and is left alone\n  move it away, or choose another path: \
             `runtime: {{ rpc_socket: ... }}`"
        ),
    }
}

/// Removes a socket that [`claimable`] found stale; answers what to tell the operator.
pub fn remove_stale(path: &Path) -> Result<String> {
    let shown = path.display();
    std::fs::remove_file(path).with_context(|| format!("cannot remove the stale socket {shown}"))?;
    Ok(format!("removed the stale socket {shown}: nobody listened on it"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_free_path_is_ours() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(claimable(&dir.path().join("s")).unwrap(), Claimable::Free);
        let lost = claimable(&dir.path().join("no/s")).unwrap_err().to_string();
        assert!(lost.contains("mkdir -p"), "{lost}");
    }

    #[test]
    fn a_stale_socket_is_removed_and_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        drop(UnixListener::bind(&path).unwrap());
        assert_eq!(claimable(&path).unwrap(), Claimable::Stale);
        assert!(path.exists());
        assert!(remove_stale(&path).unwrap().contains("stale"));
        assert!(!path.exists());
    }

    #[test]
    fn a_living_daemon_is_named_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let _listener = UnixListener::bind(&path).unwrap();
        let me = i32::try_from(std::process::id()).unwrap();
        assert_eq!(look(&path).unwrap(), Occupant::Process { pid: Some(me) });
        let refused = claimable(&path).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {me} listens")), "{refused}");
        assert!(path.exists());
    }

    #[test]
    fn another_file_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        std::fs::write(&path, "precious").unwrap();
        assert!(claimable(&path).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }
}
