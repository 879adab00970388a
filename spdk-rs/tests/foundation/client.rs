//! A JSON-RPC client, on an OS thread of its own while the test polls the server.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use crate::process::Process;

/// Sends a request, and waits for its answer while the process is polled. Returns `result`, or `error` as
/// `Err`.
#[track_caller]
pub fn call(
    process: &mut Process,
    socket: &Path,
    method: &str,
    params: Option<Value>,
) -> Result<Value, Value> {
    let client = begin(socket, method, params);
    process.poll_until(|| client.is_finished());
    client.join().expect("the client")
}

/// Sends a request from a thread of its own, and waits there for the answer.
pub fn begin(socket: &Path, method: &str, params: Option<Value>) -> JoinHandle<Result<Value, Value>> {
    let mut request = json!({"jsonrpc": "2.0", "id": 1, "method": method});
    if let Some(params) = params {
        request["params"] = params;
    }
    let socket: PathBuf = socket.to_owned();
    std::thread::spawn(move || {
        let mut stream = UnixStream::connect(socket).expect("connect");
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(request.to_string().as_bytes()).expect("send");
        let mut answer = Vec::new();
        while answer.last() != Some(&b'\n') {
            let mut chunk = [0; 4096];
            match stream.read(&mut chunk).expect("receive") {
                0 => return Err(json!("the connection was closed")),
                len => answer.extend(&chunk[..len]),
            }
        }
        let mut answer: Value = serde_json::from_slice(&answer).expect("JSON");
        assert_eq!(answer["id"], 1);
        match answer.get("error") {
            Some(error) => Err(error.clone()),
            None => Ok(answer["result"].take()),
        }
    })
}
