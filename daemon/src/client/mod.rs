//! A small JSON-RPC 2.0 client for SPDK's Unix socket: one request at a time, every wait bounded.
//!
//! SPDK frames nothing: answers are JSON texts, one after the other. So the client collects bytes until they
//! make one whole value. An answer that comes after its call gave up is recognised by its `id` and dropped.

mod error;
#[cfg(test)]
mod tests;

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub use error::{ClientError, Refusal};

/// How long an ordinary control call may take. The contract says 1 s; the rest is for a machine under load.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// One connection to a daemon.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    socket: PathBuf,
    last_id: u64,
    /// Bytes that were received and do not make a whole answer yet.
    inbox: Vec<u8>,
}

impl Client {
    /// Connects to the daemon that listens on `socket`.
    ///
    /// # Errors
    /// [`ClientError::NoSocket`], [`ClientError::Stale`] or [`ClientError::Denied`], each with what to do.
    pub fn connect(socket: &Path) -> Result<Client, ClientError> {
        let stream = UnixStream::connect(socket).map_err(|e| ClientError::connecting(socket, e))?;
        Ok(Client { stream, socket: socket.to_owned(), last_id: 0, inbox: Vec::new() })
    }

    /// The socket that this client is connected to.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Calls `method` and waits for its result for at most `timeout`. `Value::Null` as `params` sends none,
    /// which is what SPDK's methods without parameters insist on.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when the daemon answered with an error; the others when there was no answer.
    pub fn call(&mut self, method: &str, params: &Value, timeout: Duration) -> Result<Value, ClientError> {
        let deadline = Instant::now() + timeout;
        self.last_id += 1;
        let mut request = json!({ "jsonrpc": "2.0", "id": self.last_id, "method": method });
        if !params.is_null() {
            request["params"] = params.clone();
        }
        self.send(method, request.to_string().as_bytes(), deadline, timeout)?;
        self.answer_to_last(method, deadline, timeout)
    }

    /// Goes on waiting for a call that ran out of time, if no other was made since.
    ///
    /// # Errors
    /// As `call`.
    pub fn wait_for_last(&mut self, method: &str, timeout: Duration) -> Result<Value, ClientError> {
        self.answer_to_last(method, Instant::now() + timeout, timeout)
    }

    fn answer_to_last(
        &mut self,
        method: &str,
        deadline: Instant,
        timeout: Duration,
    ) -> Result<Value, ClientError> {
        loop {
            while let Some(answer) = self.take_answer(method)? {
                if answer["id"] == json!(self.last_id) || answer["id"].is_null() {
                    return unwrap_answer(method, answer);
                }
            }
            self.receive(method, deadline, timeout)?;
        }
    }

    /// [`Client::call`] with the ordinary time limit and a typed result.
    ///
    /// # Errors
    /// As `call`; [`ClientError::Garbled`] when the result has another shape than `T`.
    pub fn get<T: DeserializeOwned>(&mut self, method: &str, params: &Value) -> Result<T, ClientError> {
        let result = self.call(method, params, CALL_TIMEOUT)?;
        serde_json::from_value(result)
            .map_err(|e| ClientError::Garbled { method: method.to_owned(), why: e.to_string() })
    }

    fn send(
        &mut self,
        method: &str,
        bytes: &[u8],
        deadline: Instant,
        timeout: Duration,
    ) -> Result<(), ClientError> {
        let left = time_left(method, deadline, timeout)?;
        let sent = self.stream.set_write_timeout(Some(left)).and_then(|()| self.stream.write_all(bytes));
        sent.map_err(|e| ClientError::talking(method, timeout, e))
    }

    fn receive(&mut self, method: &str, deadline: Instant, timeout: Duration) -> Result<(), ClientError> {
        let left = time_left(method, deadline, timeout)?;
        let mut chunk = [0u8; 16 * 1024];
        let read = self.stream.set_read_timeout(Some(left)).and_then(|()| self.stream.read(&mut chunk));
        match read {
            Ok(0) => Err(ClientError::Closed { method: method.to_owned() }),
            Ok(n) => {
                self.inbox.extend_from_slice(&chunk[..n]);
                Ok(())
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => Ok(()),
            Err(e) => Err(ClientError::talking(method, timeout, e)),
        }
    }

    /// Takes the first whole answer out of the inbox, if there is one.
    fn take_answer(&mut self, method: &str) -> Result<Option<Value>, ClientError> {
        let mut values = serde_json::Deserializer::from_slice(&self.inbox).into_iter::<Value>();
        let answer = match values.next() {
            None => return Ok(None),
            Some(Err(e)) if e.is_eof() => return Ok(None),
            Some(Err(e)) => {
                return Err(ClientError::Garbled { method: method.to_owned(), why: e.to_string() });
            }
            Some(Ok(answer)) => answer,
        };
        let used = values.byte_offset();
        self.inbox.drain(..used);
        Ok(Some(answer))
    }
}

fn time_left(method: &str, deadline: Instant, timeout: Duration) -> Result<Duration, ClientError> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(ClientError::TimedOut { method: method.to_owned(), after: timeout });
    }
    Ok(left)
}

fn unwrap_answer(method: &str, mut answer: Value) -> Result<Value, ClientError> {
    if let Some(error) = answer.get("error") {
        return Err(ClientError::Refused(Refusal {
            method: method.to_owned(),
            code: error["code"].as_i64().unwrap_or(0),
            message: error["message"].as_str().unwrap_or("no reason given").to_owned(),
        }));
    }
    match answer.get_mut("result") {
        Some(result) => Ok(result.take()),
        None => Err(ClientError::Garbled {
            method: method.to_owned(),
            why: "the answer has neither `result` nor `error`".to_owned(),
        }),
    }
}
