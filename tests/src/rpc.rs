//! A JSON-RPC client over a Unix socket, independent of the daemon's own.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

/// A connection.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    last_id: u64,
    /// What came after the last answer.
    unread: Vec<u8>,
}

/// Why there is no result.
#[derive(Debug)]
pub enum CallError {
    /// The server refuses.
    Refused {
        /// JSON-RPC's code, or a negated errno.
        code: i64,
        /// Its words.
        message: String,
    },
    /// The connection broke, or no answer came in time.
    Io(io::Error),
    /// The answer is not JSON-RPC.
    Garbled(String),
}

impl CallError {
    /// The words of a refusal.
    ///
    /// # Panics
    /// If it is something else.
    pub fn message(&self) -> &str {
        match self {
            CallError::Refused { message, .. } => message,
            other => panic!("expected a refusal, and got: {other}"),
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Refused { code, message } => write!(f, "refused: {message} (code {code})"),
            CallError::Io(error) => write!(f, "no answer: {error}"),
            CallError::Garbled(text) => write!(f, "not JSON-RPC: {text}"),
        }
    }
}

impl std::error::Error for CallError {}

impl From<io::Error> for CallError {
    fn from(error: io::Error) -> CallError {
        CallError::Io(error)
    }
}

impl Client {
    /// Connects; `timeout` is for each answer.
    pub fn connect(socket: &Path, timeout: Duration) -> io::Result<Client> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(timeout))?;
        Ok(Client { stream, last_id: 0, unread: Vec::new() })
    }

    /// Makes a call; `params` null leaves them out.
    pub fn call(&mut self, method: &str, params: impl Serialize) -> Result<Value, CallError> {
        let params = serde_json::to_value(params).map_err(|error| CallError::Garbled(error.to_string()))?;
        self.last_id += 1;
        let mut request = json!({ "jsonrpc": "2.0", "id": self.last_id, "method": method });
        if !params.is_null() {
            request["params"] = params;
        }
        self.stream.write_all(request.to_string().as_bytes())?;
        self.answer()
    }

    /// Sends these bytes as they are, and reads one answer.
    pub fn send_raw(&mut self, bytes: &[u8]) -> Result<Value, CallError> {
        self.stream.write_all(bytes)?;
        self.answer()
    }

    fn answer(&mut self) -> Result<Value, CallError> {
        loop {
            if let Some(mut answer) = self.take_value()? {
                return match answer.get("error") {
                    Some(error) => Err(CallError::Refused {
                        code: error["code"].as_i64().unwrap_or_default(),
                        message: error["message"].as_str().unwrap_or_default().to_owned(),
                    }),
                    None => Ok(answer["result"].take()),
                };
            }
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk)? {
                0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                len => self.unread.extend(&chunk[..len]),
            }
        }
    }

    fn take_value(&mut self) -> Result<Option<Value>, CallError> {
        let mut values = serde_json::Deserializer::from_slice(&self.unread).into_iter::<Value>();
        match values.next() {
            Some(Ok(value)) => {
                let end = values.byte_offset();
                self.unread.drain(..end);
                Ok(Some(value))
            }
            Some(Err(error)) if error.is_eof() => Ok(None),
            None => Ok(None),
            Some(Err(error)) => Err(CallError::Garbled(error.to_string())),
        }
    }
}
