//! The server on a Unix socket.

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use spdk_sys as sys;

use crate::error::Errno;
use crate::thread::{require_app_thread, send_to_app_thread};

/// A Unix socket's address holds 108 bytes with the terminating NUL.
const PATH_BYTES_MAX: usize = 107;

/// Servers that are not closed yet. Subsystems are not taken down under them.
pub(crate) static SERVERS: AtomicUsize = AtomicUsize::new(0);

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The server belongs to the app thread.
    #[error("the RPC server must be started on the app thread")]
    NotOnAppThread,
    /// The path can't be a socket's.
    #[error("{path} can't be an RPC socket: {reason}; choose another path")]
    Path {
        /// As it was given.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Two methods have the same name.
    #[error("two RPC methods have the same name (named in the log above): the program is built wrongly")]
    DuplicateMethods,
    /// SPDK could not listen there.
    #[error(
        "can't listen on {path}: {errno}. Another process may serve it, or its folder is missing or not \
         writable; SPDK's reason is in the log above"
    )]
    Listen {
        /// As it was given.
        path: PathBuf,
        /// What SPDK answered.
        errno: Errno,
    },
}

/// A listening server. Dropping it, on any thread, stops it at the app thread's next poll: requests that are
/// not answered then lose their connection.
#[derive(Debug)]
pub struct RpcServer {
    address: CString,
}

/// Serves JSON-RPC on a new Unix socket that only this user may connect to (mode 0600), beside other servers
/// of this process. A socket file that a dead process left is replaced.
///
/// On the app thread. Which methods may be called follows [`Phase`](super::Phase). For a moment the umask of
/// the process is 0177.
pub fn listen(path: &Path) -> Result<RpcServer, ListenError> {
    require_app_thread().map_err(|_| ListenError::NotOnAppThread)?;
    let refuse = |reason| Err(ListenError::Path { path: path.to_owned(), reason });
    let bytes = path.as_os_str().as_bytes();
    if bytes.is_empty() {
        return refuse("it is empty");
    }
    if bytes.len() > PATH_BYTES_MAX {
        return refuse("it is longer than 107 bytes");
    }
    let Ok(address) = CString::new(bytes) else {
        return refuse("it has a NUL byte");
    };
    // SAFETY: reads a boolean.
    if !unsafe { sys::spdk_rpc_verify_methods() } {
        return Err(ListenError::DuplicateMethods);
    }
    let options = std::ptr::null();
    // SAFETY: on the app thread; SPDK copies the address.
    let rc = with_private_umask(|| unsafe { sys::spdk_rpc_initialize(address.as_ptr(), options) });
    Errno::from_rc(rc).map_err(|errno| ListenError::Listen { path: path.to_owned(), errno })?;
    SERVERS.fetch_add(1, Ordering::AcqRel);
    Ok(RpcServer { address })
}

impl RpcServer {
    /// The socket.
    pub fn path(&self) -> &Path {
        Path::new(std::ffi::OsStr::from_bytes(self.address.to_bytes()))
    }
}

impl Drop for RpcServer {
    fn drop(&mut self) {
        // By a message: SPDK's server must not be freed from inside of one of its own handlers.
        let address = std::mem::take(&mut self.address);
        if let Err(errno) = send_to_app_thread(move || finish(&address)) {
            tracing::error!(%errno, "an RPC server could not be stopped");
        }
    }
}

fn finish(address: &CStr) {
    // SAFETY: on the app thread, outside of SPDK's own poll of the server, which is listening at this
    // address.
    unsafe { sys::spdk_rpc_server_finish(address.as_ptr()) };
    SERVERS.fetch_sub(1, Ordering::AcqRel);
}

/// Runs `f` while new files are this user's alone.
pub(crate) fn with_private_umask<R>(f: impl FnOnce() -> R) -> R {
    /// The umask is the process's: two at once would restore it in the wrong order.
    static UMASK: Mutex<()> = Mutex::new(());
    let _one = UMASK.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: umask only sets an integer of the process.
    let before = unsafe { libc::umask(0o177) };
    let result = f();
    // SAFETY: as above.
    unsafe { libc::umask(before) };
    result
}
