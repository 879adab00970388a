//! What can go wrong between us and the daemon, and what to do about it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The daemon's own answer that it will not, or could not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({method}, code {code})")]
pub struct Refusal {
    /// The method that was called.
    pub method: String,
    /// JSON-RPC error code; SPDK uses negative errno values here too.
    pub code: i64,
    /// The reason, as the daemon put it.
    pub message: String,
}

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no socket at that path.
    #[error("no daemon: there is no socket {}", socket.display())]
    NoSocket {
        /// The path that was tried.
        socket: PathBuf,
    },
    /// There is a socket, but nobody listens on it.
    #[error("no daemon: nobody answers on {}", socket.display())]
    Stale {
        /// The path that was tried.
        socket: PathBuf,
    },
    /// The socket belongs to someone else.
    #[error("not allowed to use {}", socket.display())]
    Denied {
        /// The path that was tried.
        socket: PathBuf,
    },
    /// No answer within the time that was given.
    #[error("no answer to {method} within {}", humantime::format_duration(*after))]
    TimedOut {
        /// The method that was called.
        method: String,
        /// How long we waited.
        after: Duration,
    },
    /// The daemon closed the connection, or died.
    #[error("the daemon closed the connection during {method}")]
    Closed {
        /// The method that was called.
        method: String,
    },
    /// The answer is not what the protocol says.
    #[error("the answer to {method} makes no sense: {why}")]
    Garbled {
        /// The method that was called.
        method: String,
        /// What is wrong with the answer.
        why: String,
    },
    /// The operating system failed us.
    #[error("{what}")]
    Io {
        /// What was being done.
        what: String,
        /// The reason.
        source: std::io::Error,
    },
    /// The daemon answered with an error.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl ClientError {
    /// What the operator can do; `None` when the message says it all.
    pub fn remedy(&self) -> Option<String> {
        match self {
            ClientError::NoSocket { .. } => {
                Some("start one with `basalt run -c FILE`, or name its socket with --socket".into())
            }
            ClientError::Stale { .. } => {
                Some("the daemon that made it is gone; start a new one with `basalt run -c FILE`".into())
            }
            ClientError::Denied { socket } => Some(format!(
                "it is for its owner only (mode 0600): be the user who started the daemon (`ls -l {}`)",
                socket.display()
            )),
            ClientError::TimedOut { .. } => {
                Some("the call may still take effect: look with `basalt status` before you repeat it".into())
            }
            ClientError::Closed { .. } => {
                Some("look at the daemon's log, and whether it still runs: `basalt status`".into())
            }
            ClientError::Garbled { .. } => {
                Some("client and daemon may differ in version: compare `basalt --version` of both".into())
            }
            ClientError::Io { .. } => None,
            ClientError::Refused(refusal) if refusal.code == METHOD_NOT_FOUND => {
                Some("it is another version, or not a basalt: `rpc_get_methods` lists what it knows".into())
            }
            ClientError::Refused(_) => None,
        }
    }

    /// The daemon's own error, if that is what this is.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            ClientError::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    pub(super) fn connecting(socket: &Path, e: std::io::Error) -> ClientError {
        let socket = socket.to_owned();
        match e.kind() {
            ErrorKind::NotFound => ClientError::NoSocket { socket },
            ErrorKind::ConnectionRefused => ClientError::Stale { socket },
            ErrorKind::PermissionDenied => ClientError::Denied { socket },
            _ => ClientError::Io { what: format!("cannot connect to {}: {e}", socket.display()), source: e },
        }
    }

    pub(super) fn talking(method: &str, timeout: Duration, e: std::io::Error) -> ClientError {
        let method = method.to_owned();
        match e.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => ClientError::TimedOut { method, after: timeout },
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof => {
                ClientError::Closed { method }
            }
            _ => ClientError::Io { what: format!("talking to the daemon during {method}: {e}"), source: e },
        }
    }
}

/// JSON-RPC 2.0, section 5.1.
const METHOD_NOT_FOUND: i64 = -32601;
