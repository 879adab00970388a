//! JSON-RPC: methods, answers, and the server on a Unix socket. It is SPDK's server, so SPDK's own methods
//! and any client of SPDK work beside ours.
//!
//! Thread rules: the server, the handlers and the answers belong to the app thread.

mod reply;
mod server;

use std::ffi::CString;

use serde::Serialize;
use serde::de::DeserializeOwned;
use spdk_sys as sys;

pub use reply::Reply;
pub use server::{ListenError, RpcServer, listen};
pub(crate) use server::{SERVERS, with_private_umask};

use crate::error::Errno;
use crate::rpc_json::decode_params;
use crate::thread::bind_current;

/// When a method may be called: before the subsystems are up, after, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Only before.
    Startup,
    /// Only after.
    Runtime,
    /// Both.
    Always,
}

impl Phase {
    fn mask(self) -> u32 {
        match self {
            Phase::Startup => sys::SPDK_RPC_STARTUP,
            Phase::Runtime => sys::SPDK_RPC_RUNTIME,
            Phase::Always => sys::SPDK_RPC_STARTUP | sys::SPDK_RPC_RUNTIME,
        }
    }
}

/// Why a method refuses: what the client gets as `error`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} (code {code})")]
pub struct RpcError {
    /// A JSON-RPC code, or a negated errno as SPDK's methods use it.
    pub code: i32,
    /// For people: what is wrong and what would be right.
    pub message: String,
}

impl RpcError {
    /// The parameters can't be used: code -32602.
    pub fn invalid_params(message: impl Into<String>) -> RpcError {
        RpcError { code: sys::SPDK_JSONRPC_ERROR_INVALID_PARAMS, message: message.into() }
    }

    /// It went wrong here: code -32603.
    pub fn internal(message: impl Into<String>) -> RpcError {
        RpcError { code: sys::SPDK_JSONRPC_ERROR_INTERNAL_ERROR, message: message.into() }
    }

    /// The code is the negated errno.
    pub fn errno(errno: Errno, message: impl Into<String>) -> RpcError {
        RpcError { code: errno.to_rc(), message: message.into() }
    }
}

impl From<Errno> for RpcError {
    fn from(errno: Errno) -> RpcError {
        RpcError::errno(errno, errno.to_string())
    }
}

/// Registers a JSON-RPC method before `main`, also in an application that links our code as a static library.
///
/// ```no_run
/// use spdk_rs::rpc::{Reply, RpcError};
///
/// #[derive(serde::Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct HalfParams {
///     number: u32,
/// }
///
/// spdk_rs::rpc_method!(example_half, Runtime, |params: HalfParams, reply: Reply<u32>| {
///     match params.number % 2 {
///         0 => reply.ok(&(params.number / 2)),
///         _ => reply.err(RpcError::invalid_params("number must be even")),
///     }
/// });
/// ```
///
/// The second argument is a [`Phase`]; the third a function or a closure that captures nothing, from
/// parameters (any `Deserialize`; missing parameters are `{}` or `()`) and a [`Reply`]. Parameters that do
/// not fit are answered with code -32602 and the field. It runs on the app thread; a panic in it aborts the
/// process.
#[macro_export]
macro_rules! rpc_method {
    ($name:ident, $phase:ident, $handler:expr) => {
        const _: () = {
            extern "C" fn handle(
                request: *mut $crate::rpc::private::Request,
                params: *const $crate::rpc::private::Params,
            ) {
                let handler = $handler;
                // SAFETY: SPDK hands over one unanswered request with its parameters.
                unsafe { $crate::rpc::private::dispatch(request, params, handler) }
            }
            extern "C" fn register() {
                // SAFETY: before main, when there is one thread and no server.
                unsafe {
                    $crate::rpc::private::register(stringify!($name), $crate::rpc::Phase::$phase, handle)
                };
            }
            // SAFETY: the loader calls each entry of this section once, before main, as a C function.
            #[used]
            #[unsafe(link_section = ".init_array")]
            static REGISTER: extern "C" fn() = register;
        };
    };
}

/// As [`rpc_method!`], but the method is registered by calling the function that this makes: once, on the app
/// thread.
///
/// For methods that SPDK's event framework has too: linked into an application that is built on that
/// framework they must not be registered, since SPDK's server refuses to start when two methods have one
/// name.
///
/// ```no_run
/// spdk_rs::rpc_method_fn!(register_pid, example_pid, Runtime, |(): (), reply: spdk_rs::rpc::Reply<u32>| {
///     reply.ok(&std::process::id());
/// });
/// # register_pid();
/// ```
#[macro_export]
macro_rules! rpc_method_fn {
    ($register:ident, $name:ident, $phase:ident, $handler:expr) => {
        /// Registers the method.
        fn $register() {
            extern "C" fn handle(
                request: *mut $crate::rpc::private::Request,
                params: *const $crate::rpc::private::Params,
            ) {
                let handler = $handler;
                // SAFETY: SPDK hands over one unanswered request with its parameters.
                unsafe { $crate::rpc::private::dispatch(request, params, handler) }
            }
            assert!($crate::thread::on_app_thread(), "a method is registered on the app thread");
            // SAFETY: on the app thread.
            unsafe { $crate::rpc::private::register(stringify!($name), $crate::rpc::Phase::$phase, handle) };
        }
    };
}

/// What [`rpc_method!`] expands to.
#[doc(hidden)]
pub mod private {
    use super::*;

    pub type Request = sys::spdk_jsonrpc_request;
    pub type Params = sys::spdk_json_val;

    /// # Safety
    /// Before `main` or on the app thread: the list of methods has no lock, and the server reads it there.
    pub unsafe fn register(name: &str, phase: Phase, handle: extern "C" fn(*mut Request, *const Params)) {
        let name = CString::new(name).expect("a method's name is an identifier");
        // SAFETY: SPDK copies the name; the handler is a function of that signature.
        unsafe {
            let handle: unsafe extern "C" fn(*mut Request, *const Params) = handle;
            sys::spdk_rpc_register_method(name.as_ptr(), Some(handle), phase.mask());
        }
    }

    /// # Safety
    /// `request` is an unanswered request that nobody else answers; `params` is null or belongs to it.
    pub unsafe fn dispatch<P: DeserializeOwned, R: Serialize>(
        request: *mut Request,
        params: *const Params,
        handler: fn(P, Reply<R>),
    ) {
        // In an application that is not ours, too, it stays where its answers are kept.
        bind_current();
        // SAFETY: by the contract of this function.
        let reply = unsafe { Reply::<R>::from_raw(request) };
        // SAFETY: SPDK's server parses in place, and the parameters live until the request is answered.
        match unsafe { decode_params(params) } {
            Ok(params) => handler(params, reply),
            Err(message) => reply.err(RpcError::invalid_params(format!("Invalid parameters: {message}"))),
        }
    }
}
