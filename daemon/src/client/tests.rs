//! The client against a real Unix socket, with a peer that cuts, joins, delays and drops its answers.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Client, ClientError};

struct Peer {
    dir: tempfile::TempDir,
    thread: JoinHandle<()>,
}

impl Peer {
    /// A peer that runs `script` with its end of the first connection.
    fn new(script: impl FnOnce(UnixStream) + Send + 'static) -> Peer {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("s")).unwrap();
        let thread = std::thread::spawn(move || script(listener.accept().unwrap().0));
        Peer { dir, thread }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("s")
    }

    fn client(&self) -> Client {
        Client::connect(&self.socket()).unwrap()
    }

    fn finish(self, client: Client) {
        drop(client);
        self.thread.join().unwrap();
    }
}

fn read_request(stream: &mut UnixStream) -> Value {
    let mut bytes = Vec::new();
    let mut chunk = [0u8; 256];
    loop {
        let n = stream.read(&mut chunk).unwrap();
        assert_ne!(n, 0, "the client hung up in the middle of a request");
        bytes.extend_from_slice(&chunk[..n]);
        if let Ok(request) = serde_json::from_slice(&bytes) {
            return request;
        }
    }
}

fn answer_to(request: &Value, result: Value) -> String {
    json!({ "jsonrpc": "2.0", "id": request["id"], "result": result }).to_string()
}

const LONG: Duration = Duration::from_secs(20);

#[test]
fn a_call_sends_method_and_params_and_gets_the_result() {
    let peer = Peer::new(|mut s| {
        let request = read_request(&mut s);
        assert_eq!(request["jsonrpc"], "2.0");
        assert_eq!(request["method"], "bdev_basalt_stop");
        let echo = answer_to(&request, request["params"].clone());
        s.write_all(echo.as_bytes()).unwrap();
    });
    let mut client = peer.client();
    let result = client.call("bdev_basalt_stop", &json!({ "name": "data" }), LONG).unwrap();
    assert_eq!(result, json!({ "name": "data" }));
    peer.finish(client);
}

#[test]
fn null_params_are_left_out() {
    let peer = Peer::new(|mut s| {
        let request = read_request(&mut s);
        assert!(request.get("params").is_none());
        s.write_all(answer_to(&request, json!(true)).as_bytes()).unwrap();
    });
    let mut client = peer.client();
    assert_eq!(client.call("spdk_get_version", &Value::Null, LONG).unwrap(), json!(true));
    peer.finish(client);
}

#[test]
fn an_answer_may_come_in_pieces() {
    let peer = Peer::new(|mut s| {
        let request = read_request(&mut s);
        for byte in answer_to(&request, json!({ "text": "a } in a \"string\"", "n": [1, 2] })).bytes() {
            s.write_all(&[byte]).unwrap();
        }
        s.write_all(b"\n").unwrap();
        let request = read_request(&mut s);
        s.write_all(answer_to(&request, json!(2)).as_bytes()).unwrap();
    });
    let mut client = peer.client();
    let first = client.call("a", &Value::Null, LONG).unwrap();
    assert_eq!(first["text"], "a } in a \"string\"");
    assert_eq!(client.call("b", &Value::Null, LONG).unwrap(), json!(2));
    peer.finish(client);
}

#[test]
fn a_late_answer_to_an_earlier_call_is_not_taken_for_the_next_one() {
    let peer = Peer::new(|mut s| {
        let first = read_request(&mut s);
        let second = read_request(&mut s);
        let both = answer_to(&first, json!("late")) + &answer_to(&second, json!("mine"));
        s.write_all(both.as_bytes()).unwrap();
    });
    let mut client = peer.client();
    let first = client.call("slow", &Value::Null, Duration::from_millis(30));
    assert!(matches!(first, Err(ClientError::TimedOut { .. })), "{first:?}");
    assert_eq!(client.call("next", &Value::Null, LONG).unwrap(), json!("mine"));
    peer.finish(client);
}

#[test]
fn a_call_that_ran_out_of_time_can_be_waited_for() {
    let (go, gone) = std::sync::mpsc::channel();
    let peer = Peer::new(move |mut s| {
        let request = read_request(&mut s);
        gone.recv().unwrap();
        s.write_all(answer_to(&request, json!("done")).as_bytes()).unwrap();
    });
    let mut client = peer.client();
    let first = client.call("bdev_basalt_stop", &Value::Null, Duration::from_millis(30));
    assert!(matches!(first, Err(ClientError::TimedOut { .. })), "{first:?}");
    go.send(()).unwrap();
    assert_eq!(client.wait_for_last("bdev_basalt_stop", LONG).unwrap(), json!("done"));
    peer.finish(client);
}

#[test]
fn an_error_answer_keeps_code_and_reason() {
    let peer = Peer::new(|mut s| {
        let id = read_request(&mut s)["id"].clone();
        let error = json!({ "code": -17, "message": "File exists" });
        let answer = json!({ "jsonrpc": "2.0", "id": id, "error": error });
        s.write_all(answer.to_string().as_bytes()).unwrap();
    });
    let mut client = peer.client();
    let error = client.call("bdev_malloc_create", &json!({}), LONG).unwrap_err();
    let refusal = error.refusal().unwrap();
    assert_eq!((refusal.code, refusal.message.as_str()), (-17, "File exists"));
    peer.finish(client);
}

#[test]
fn a_daemon_that_dies_during_the_call_is_named_so() {
    let peer = Peer::new(|mut s| {
        read_request(&mut s);
        s.write_all(b"{\"jsonrpc\":").unwrap();
    });
    let mut client = peer.client();
    let error = client.call("bdev_basalt_create", &json!({}), LONG).unwrap_err();
    assert!(matches!(error, ClientError::Closed { .. }), "{error:?}");
    peer.finish(client);
}

#[test]
fn an_answer_that_is_no_json_is_refused() {
    let peer = Peer::new(|mut s| {
        read_request(&mut s);
        s.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    let mut client = peer.client();
    let error = client.call("x", &Value::Null, LONG).unwrap_err();
    assert!(matches!(error, ClientError::Garbled { .. }), "{error:?}");
    peer.finish(client);
}

#[test]
fn no_socket_and_a_stale_socket_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let missing = Client::connect(&path).unwrap_err();
    assert!(matches!(missing, ClientError::NoSocket { .. }), "{missing:?}");
    drop(UnixListener::bind(&path).unwrap());
    let stale = Client::connect(&path).unwrap_err();
    assert!(matches!(stale, ClientError::Stale { .. }), "{stale:?}");
    assert!(stale.remedy().unwrap().contains("basalt run"));
}
