//! An RPC client, on an OS thread of its own.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reactor::mailbox::{Class, Mailbox};
use serde_json::{Value, json};

/// Sends a request and waits for its answer: `result`, or `error` as `Err`.
pub async fn call(socket: &Path, method: &str, params: Option<Value>) -> Result<Value, Value> {
    let mut request = json!({"jsonrpc": "2.0", "id": 1, "method": method});
    if let Some(params) = params {
        request["params"] = params;
    }
    let mut answer = Mailbox::new(1, 0);
    let sender = answer.sender();
    let socket: PathBuf = socket.to_owned();
    std::thread::spawn(move || {
        let answer = ask(&socket, &request);
        sender.try_send(Class::Data, answer).expect("one answer");
    });
    let mut answer = answer.recv().await;
    assert_eq!(answer["id"], 1, "{answer}");
    match answer.get("error") {
        Some(error) => Err(error.clone()),
        None => Ok(answer["result"].take()),
    }
}

fn ask(socket: &Path, request: &Value) -> Value {
    let mut stream = UnixStream::connect(socket).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    stream.write_all(request.to_string().as_bytes()).expect("send");
    let mut answer = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).expect("receive") {
            0 => panic!("the connection was closed"),
            length => answer.extend(&chunk[..length]),
        }
        if let Ok(answer) = serde_json::from_slice(&answer) {
            return answer;
        }
    }
}
