//! The environment: once per process, pinned threads, memory, a clean end.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use spdk_rs::Errno;
use spdk_rs::dma::DmaBuf;
use spdk_rs::env::{self, Env, EnvError, EnvOptions};

use crate::own_process::in_own_process;

#[test]
fn environment() {
    in_own_process(test_name!(), run);
}

fn run() {
    let parallel = std::thread::available_parallelism().unwrap().get();
    let cores: Vec<u32> = if parallel > 1 { vec![0, 1] } else { vec![0] };
    let options = EnvOptions { cores: cores.clone(), ..crate::process::options() };
    assert_eq!(env::current_core(), None);
    let environment = Env::init(&options).expect("environment");
    assert_eq!(Env::init(&options).unwrap_err(), EnvError::AlreadyInitialised);
    assert_eq!(environment.cores(), cores);
    assert_eq!(environment.main_core(), 0);
    assert_eq!(env::current_core(), Some(0));

    clock();
    memory();
    pinned_threads(&environment, &cores);

    let last = DmaBuf::new(64, 64).unwrap();
    drop(environment);
    assert_eq!(
        DmaBuf::new(64, 64).map(drop),
        Ok(()),
        "a buffer was alive, so the environment is not finished"
    );
    drop(last);
    assert_eq!(Env::init(&options).unwrap_err(), EnvError::AlreadyInitialised);
}

fn clock() {
    assert!(env::ticks_hz() > 1_000_000);
    let before = env::ticks();
    assert!(env::ticks() > before);
}

fn memory() {
    let mut buffer = DmaBuf::new(8192, 4096).unwrap();
    assert_eq!(buffer.as_ptr() as usize % 4096, 0);
    assert_eq!(buffer.len(), 8192);
    assert!(buffer.iter().all(|&byte| byte == 0));
    buffer.as_mut_slice().fill(0xa5);
    // May be used and dropped on any thread.
    let sum: u32 =
        std::thread::spawn(move || buffer.iter().map(|&byte| u32::from(byte)).sum()).join().unwrap();
    assert_eq!(sum, 8192 * 0xa5);
    assert_eq!(DmaBuf::new(1 << 40, 64).map(drop), Err(Errno::ENOMEM));
}

fn pinned_threads(environment: &Env, cores: &[u32]) {
    assert_eq!(environment.launch_pinned(0, || unreachable!()), Err(Errno::EINVAL), "the main core");
    assert_eq!(environment.launch_pinned(99, || unreachable!()), Err(Errno::EINVAL), "none of ours");
    let Some(&other) = cores.get(1) else { return };
    let seen = Arc::new(AtomicU32::new(u32::MAX));
    let gate = Arc::new(Mutex::new(()));
    let held = gate.lock().unwrap();
    let (core, at_gate) = (seen.clone(), gate.clone());
    let work = move || {
        drop(at_gate.lock());
        core.store(env::current_core().unwrap(), Ordering::Release);
    };
    environment.launch_pinned(other, work).unwrap();
    assert_eq!(environment.launch_pinned(other, || unreachable!()), Err(Errno::EBUSY));
    drop(held);
    environment.wait_all();
    assert_eq!(seen.load(Ordering::Acquire), other);
}
