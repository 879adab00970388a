//! Subsystems: start-up configuration, start, run-time configuration, RPC beside it, a clean end.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use spdk_rs::Errno;
use spdk_rs::rpc::listen;
use spdk_rs::subsystem;
use spdk_rs::thread::ThreadBound;

use crate::own_process::in_own_process;
use crate::process::Process;

type Outcome = Arc<Mutex<Option<Result<(), Errno>>>>;

/// Runs one of the asynchronous steps on the app thread, and waits for its end.
#[track_caller]
fn step(
    process: &mut Process,
    begin: impl FnOnce(Box<dyn FnOnce(Result<(), Errno>)>) -> Result<(), Errno> + Send + 'static,
) -> Result<(), Errno> {
    let outcome = Outcome::default();
    let slot = outcome.clone();
    process.on_app(move || begin(Box::new(move |result| *slot.lock().unwrap() = Some(result))))?;
    process.poll_until(|| outcome.lock().unwrap().is_some());
    outcome.lock().unwrap().take().expect("just seen")
}

/// Small pools, so that 256 MiB are enough, and one malloc bdev.
fn config() -> String {
    json!({"subsystems": [
        {"subsystem": "iobuf", "config": [
            {"method": "iobuf_set_options", "params": {"small_pool_count": 1024, "large_pool_count": 128}},
        ]},
        {"subsystem": "bdev", "config": [
            {"method": "bdev_set_options", "params": {"bdev_io_pool_size": 2047, "bdev_io_cache_size": 64}},
            {"method": "bdev_malloc_create", "params": {"name": "M0", "num_blocks": 2048, "block_size": 512}},
        ]},
    ]})
    .to_string()
}

#[test]
fn subsystems() {
    in_own_process(test_name!(), run);
}

fn run() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("rpc.sock");
    let mut process = Process::start();

    assert_eq!(step(&mut process, |done| subsystem::load_config("{nonsense", done)), Err(Errno::EINVAL));
    let broken = json!({"subsystems": [{"subsystem": "bdev", "config": [{"method": "bdev_set_options",
        "params": {"bdev_io_pool_size": "many"}}]}]});
    let broken = broken.to_string();
    assert_eq!(step(&mut process, move |done| subsystem::load_config(&broken, done)), Err(Errno::EINVAL));
    assert_eq!(step(&mut process, |done| subsystem::load_config(&config(), done)), Ok(()));

    // One thing at a time.
    let both = step(&mut process, |done| {
        subsystem::init(done)?;
        assert_eq!(subsystem::init(|_| unreachable!()), Err(Errno::EBUSY));
        assert_eq!(subsystem::load_config("{}", |_| unreachable!()), Err(Errno::EBUSY));
        Ok(())
    });
    assert_eq!(both, Ok(()));
    assert_eq!(step(&mut process, subsystem::init), Err(Errno::EALREADY));
    assert_eq!(step(&mut process, |done| subsystem::load_config(&config(), done)), Ok(()));

    let path = socket.clone();
    let server = process.on_app(move || ThreadBound::new(listen(&path).unwrap()));
    let bdevs = crate::client::call(&mut process, &socket, "bdev_get_bdevs", None).unwrap();
    assert_eq!(bdevs[0]["name"], "M0");
    assert_eq!(bdevs[0]["num_blocks"], 2048);
    let saved =
        crate::client::call(&mut process, &socket, "framework_get_config", Some(json!({"name": "bdev"})))
            .unwrap();
    let is_create = |call: &Value| call["method"] == "bdev_malloc_create" && call["params"]["name"] == "M0";
    assert!(saved.as_array().unwrap().iter().any(is_create), "{saved}");

    assert_eq!(step(&mut process, subsystem::fini), Err(Errno::EBUSY), "the server is up");
    // Dropped just before: the end comes after the server's.
    let end = step(&mut process, move |done| {
        drop(server);
        subsystem::fini(done)
    });
    assert_eq!(end, Ok(()));
    assert!(!socket.exists());
    assert_eq!(step(&mut process, subsystem::fini), Err(Errno::EALREADY));
    assert_eq!(step(&mut process, subsystem::init), Err(Errno::EALREADY));
    process.stop();
}
