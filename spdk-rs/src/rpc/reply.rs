//! The answer that is owed to a client.

use std::ffi::CString;
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use serde::Serialize;
use spdk_sys as sys;

use super::RpcError;

/// SPDK cuts off an answer beyond 32 MiB, which would be broken JSON; the rest is for the envelope.
const RESULT_BYTES_MAX: usize = (32 << 20) - (4 << 10);

/// An answer that is still owed to a client: exactly one, now or later. It may be kept while something goes
/// on, on the OS thread of the app thread; dropping it answers with an internal error.
///
/// A client that has gone away meanwhile is no error. To answer from another thread, keep it in a
/// [`ThreadBound`](crate::thread::ThreadBound) and [send](crate::thread::send_to_app_thread) that back.
#[must_use = "a client waits for the answer"]
pub struct Reply<R> {
    /// Also keeps it from being `Send`.
    request: NonNull<sys::spdk_jsonrpc_request>,
    _result: PhantomData<fn(R)>,
}

impl<R> Reply<R> {
    /// # Safety
    /// `request` is an unanswered request that nobody else answers.
    pub(super) unsafe fn from_raw(request: *mut sys::spdk_jsonrpc_request) -> Reply<R> {
        Reply { request: NonNull::new(request).expect("SPDK passes a request"), _result: PhantomData }
    }

    /// Answers with an error.
    pub fn err(self, error: RpcError) {
        let request = ManuallyDrop::new(self).request;
        refuse(request, &error);
    }
}

impl<R: Serialize> Reply<R> {
    /// Answers with a result.
    pub fn ok(self, result: &R) {
        let json = match serde_json::to_vec(result) {
            Ok(json) if json.len() <= RESULT_BYTES_MAX => json,
            Ok(json) => {
                return self
                    .err(RpcError::internal(format!("the result is too large: {} bytes", json.len())));
            }
            Err(error) => {
                return self.err(RpcError::internal(format!("the result can't be written: {error}")));
            }
        };
        let request = ManuallyDrop::new(self).request.as_ptr();
        // SAFETY: the request is unanswered and lives until it is; the bytes are one JSON value.
        unsafe {
            let writer = sys::spdk_jsonrpc_begin_result(request);
            sys::spdk_json_write_val_raw(writer, json.as_ptr().cast(), json.len());
            sys::spdk_jsonrpc_end_result(request, writer);
        }
    }

    /// Answers with one or the other.
    pub fn send(self, result: Result<R, RpcError>) {
        match result {
            Ok(result) => self.ok(&result),
            Err(error) => self.err(error),
        }
    }
}

impl<R> Drop for Reply<R> {
    fn drop(&mut self) {
        refuse(self.request, &RpcError::internal("Internal error: the method ended without an answer"));
    }
}

/// Uses up an unanswered request.
fn refuse(request: NonNull<sys::spdk_jsonrpc_request>, error: &RpcError) {
    let message = CString::new(error.message.replace('\0', "")).expect("NUL bytes were removed");
    // SAFETY: the request is unanswered and lives until it is; SPDK copies the message.
    unsafe { sys::spdk_jsonrpc_send_error_response(request.as_ptr(), error.code, message.as_ptr()) };
}

impl<R> fmt::Debug for Reply<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reply")
    }
}
