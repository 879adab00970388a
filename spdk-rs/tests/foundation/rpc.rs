//! JSON-RPC: the socket, parameters good and bad, answers now, later and never, and the end of the server.

use std::cell::RefCell;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use spdk_rs::Errno;
use spdk_rs::rpc::{ListenError, Reply, RpcError, RpcServer, listen};
use spdk_rs::rpc_method;
use spdk_rs::thread::{ThreadBound, on_app_thread};

use crate::own_process::in_own_process;
use crate::process::Process;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct HalfParams {
    number: u32,
    #[serde(default)]
    note: String,
}

rpc_method!(test_half, Always, |params: HalfParams, reply: Reply<Value>| {
    assert!(on_app_thread());
    match params.number % 2 {
        0 => reply.ok(&json!({"half": params.number / 2, "note": params.note})),
        _ => reply.err(RpcError::invalid_params("number must be even")),
    }
});

rpc_method!(test_no_params, Always, |(): (), reply: Reply<bool>| reply.ok(&true));
rpc_method!(test_errno, Always, |(): (), reply: Reply<()>| reply.err(Errno::ENODEV.into()));
rpc_method!(test_forget, Always, |(): (), _reply: Reply<()>| {});
rpc_method!(test_runtime_only, Runtime, |(): (), reply: Reply<()>| reply.ok(&()));
rpc_method!(test_large, Always, |bytes: Large, reply: Reply<String>| reply.ok(&"x".repeat(bytes.len)));

#[derive(serde::Deserialize)]
struct Large {
    len: usize,
}

thread_local! {
    /// Answers that are owed, and the server that a method stops: all of the app thread, which the test
    /// polls.
    static OWED: RefCell<Vec<Reply<&'static str>>> = const { RefCell::new(Vec::new()) };
    static SERVER: RefCell<Option<RpcServer>> = const { RefCell::new(None) };
}

rpc_method!(test_later, Always, later);

fn later((): (), reply: Reply<&'static str>) {
    OWED.with_borrow_mut(|owed| owed.push(reply));
}

rpc_method!(test_stop_server, Always, |(): (), reply: Reply<bool>| {
    drop(SERVER.take());
    reply.ok(&true);
});

#[test]
fn rpc() {
    in_own_process(test_name!(), run);
}

fn run() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("rpc.sock");
    assert!(matches!(listen(&socket), Err(ListenError::NotOnAppThread)));
    let mut process = Process::start();
    bad_paths(&mut process, folder.path());
    let server = start(&mut process, socket.clone());
    parameters(&mut process, &socket);
    answers(&mut process, &socket);
    later_answers(&mut process, &socket);
    phases(&mut process, &socket);
    stopping(&mut process, &socket, server);
    process.stop();
}

fn start(process: &mut Process, socket: PathBuf) -> ThreadBound<RpcServer> {
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let server = process.on_app({
        let socket = socket.clone();
        move || ThreadBound::new(listen(&socket).unwrap())
    });
    assert_eq!(mode(&socket), 0o600);
    let file = socket.with_extension("file");
    std::fs::write(&file, "").unwrap();
    assert_ne!(mode(&file), 0o600, "the umask is as it was");
    let again = process.on_app(move || listen(&socket).map(drop));
    assert!(matches!(again, Err(ListenError::Listen { errno: Errno::EADDRINUSE, .. })), "{again:?}");
    server
}

fn bad_paths(process: &mut Process, folder: &Path) {
    let long = folder.join("x".repeat(108));
    for (path, reason) in [(PathBuf::new(), "empty"), (long, "107 bytes"), ("a\0b".into(), "NUL")] {
        let error = process.on_app(move || listen(&path).map(drop)).unwrap_err();
        assert!(matches!(error, ListenError::Path { .. }) && error.to_string().contains(reason), "{error}");
    }
    let missing = folder.join("missing/rpc.sock");
    let error = process.on_app(move || listen(&missing).map(drop)).unwrap_err();
    assert!(matches!(error, ListenError::Listen { .. }), "{error}");
}

fn parameters(process: &mut Process, socket: &Path) {
    let mut half = |params| crate::client::call(process, socket, "test_half", params);
    assert_eq!(half(Some(json!({"number": 8, "note": "é\n"}))), Ok(json!({"half": 4, "note": "é\n"})));
    assert_eq!(
        half(Some(json!({"number": 7}))),
        Err(json!({"code": -32602, "message": "number must be even"}))
    );
    let mut refused = |params, expected: &str| {
        let error = half(params).unwrap_err();
        assert_eq!(error["code"], -32602);
        assert_eq!(error["message"], format!("Invalid parameters: {expected}"));
    };
    refused(None, "missing field `number`");
    refused(Some(json!({})), "missing field `number`");
    refused(Some(json!({"number": "x"})), "number: invalid type: string \"x\", expected u32");
    refused(Some(json!({"number": -1})), "number: invalid value: integer `-1`, expected u32");
    refused(Some(json!({"number": 2, "nmae": 1})), "nmae: unknown field `nmae`, expected `number` or `note`");
    refused(Some(json!([2])), "the parameters must be an object, by name");
    for nothing in [None, Some(json!({})), Some(Value::Null)] {
        assert_eq!(crate::client::call(process, socket, "test_no_params", nothing), Ok(json!(true)));
    }
    let error = crate::client::call(process, socket, "test_no_params", Some(json!({"a": 1}))).unwrap_err();
    assert_eq!(error["code"], -32602);
}

fn answers(process: &mut Process, socket: &Path) {
    let mut call = |method| crate::client::call(process, socket, method, None);
    assert_eq!(call("test_errno"), Err(json!({"code": -19, "message": "No such device (ENODEV)"})));
    let forgotten = json!({"code": -32603, "message": "Internal error: the method ended without an answer"});
    assert_eq!(call("test_forget"), Err(forgotten));
    assert_eq!(call("test_unheard_of").unwrap_err()["code"], -32601);
    let methods = call("rpc_get_methods").unwrap();
    assert!(methods.as_array().unwrap().contains(&json!("test_half")), "beside SPDK's own");
    let mut large =
        |len: usize| crate::client::call(process, socket, "test_large", Some(json!({"len": len})));
    assert_eq!(large(5 << 20).unwrap().as_str().unwrap().len(), 5 << 20);
    let too_large = large(32 << 20).unwrap_err();
    assert_eq!(too_large["code"], -32603);
    assert!(too_large["message"].as_str().unwrap().starts_with("the result is too large"));
}

fn later_answers(process: &mut Process, socket: &Path) {
    let owed = || OWED.with_borrow(Vec::len);
    let clients: Vec<_> = (0..3).map(|_| crate::client::begin(socket, "test_later", None)).collect();
    process.poll_until(|| owed() == 3);
    process.poll_times(10);
    assert!(clients.iter().all(|client| !client.is_finished()));
    // Others are served meanwhile.
    assert_eq!(crate::client::call(process, socket, "test_no_params", None), Ok(json!(true)));
    OWED.take().into_iter().for_each(|reply| reply.ok(&"late"));
    process.poll_until(|| clients.iter().all(|client| client.is_finished()));
    for client in clients {
        assert_eq!(client.join().unwrap(), Ok(json!("late")));
    }
}

fn phases(process: &mut Process, socket: &Path) {
    let early = crate::client::call(process, socket, "test_runtime_only", None).unwrap_err();
    assert_eq!(early["code"], -1, "the subsystems are not up: {early}");
}

fn stopping(process: &mut Process, socket: &Path, server: ThreadBound<RpcServer>) {
    // From inside of one of its own methods, with an answer owed to somebody else.
    let waiting = crate::client::begin(socket, "test_later", None);
    process.poll_until(|| OWED.with_borrow(|owed| owed.len() == 1));
    process.on_app(move || SERVER.set(Some(server.into_inner())));
    let stopping = crate::client::begin(socket, "test_stop_server", None);
    process.poll_until(|| stopping.is_finished() && waiting.is_finished());
    assert!(!socket.exists());
    assert_eq!(waiting.join().unwrap(), Err(json!("the connection was closed")));
    stopping.join().unwrap().unwrap_err();
    // The client is gone; answering it is no error.
    OWED.take().into_iter().for_each(|reply| reply.ok(&"too late"));

    // The same path can be served again; and dropping a server on another OS thread stops it as well.
    let again = start(process, socket.to_owned());
    let server = process.on_app(move || again.into_inner());
    std::thread::spawn(move || drop(server)).join().unwrap();
    process.poll_until(|| !socket.exists());
}
