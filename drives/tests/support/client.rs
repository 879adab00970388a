//! A JSON-RPC client on a thread of its own, while the test polls the server.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread::JoinHandle;

use serde_json::{Value, json};

/// `result`, or `code` and `message` of `error`.
pub type Answer = Result<Value, (i64, String)>;

pub struct Client(JoinHandle<Answer>);

impl Client {
    pub fn begin(socket: PathBuf, method: &str, params: Value) -> Client {
        let request = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params }).to_string();
        Client(std::thread::spawn(move || {
            let mut stream = UnixStream::connect(socket).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut text = Vec::new();
            let answer: Value = loop {
                let mut chunk = [0; 4096];
                let len = stream.read(&mut chunk).unwrap();
                assert!(len > 0, "the server hung up");
                text.extend_from_slice(&chunk[..len]);
                if let Ok(answer) = serde_json::from_slice(&text) {
                    break answer;
                }
            };
            match answer.get("error") {
                Some(error) => {
                    Err((error["code"].as_i64().unwrap(), error["message"].as_str().unwrap().to_owned()))
                }
                None => Ok(answer["result"].clone()),
            }
        }))
    }

    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    pub fn join(self) -> Answer {
        self.0.join().unwrap()
    }
}
