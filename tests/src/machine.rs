//! What there is on this machine: cores, programs, free ports.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The right to keep cores busy: SPDK processes poll, and two tests on one core slow each other down. `cargo
/// test` runs the tests of one file side by side; for nextest there is a test group in
/// `.config/nextest.toml`.
pub fn alone() -> MutexGuard<'static, ()> {
    static CORES: Mutex<()> = Mutex::new(());
    CORES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The first `wanted` cores, or those that there are: `0,1`.
pub fn cores(wanted: usize) -> String {
    let there = std::thread::available_parallelism().map_or(1, |n| n.get());
    let cores: Vec<String> = (0..wanted.min(there)).map(|core| core.to_string()).collect();
    cores.join(",")
}

/// The last of `wanted` cores, or of those that there are: `1`.
pub fn last_core(wanted: usize) -> String {
    cores(wanted).rsplit(',').next().expect("at least one").to_owned()
}

/// A TCP port of 127.0.0.1 that nobody listens on, below those that the kernel gives to connections; another
/// one at each call, in this process and in others.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(64);
    loop {
        let n = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 12_000 + u16::try_from(n % 20_000).expect("it is below 20000");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The folder of the tree.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a folder of the tree").to_owned()
}

/// The property tester, which cargo has built with the tests.
pub fn model() -> PathBuf {
    let program = profile_folder().join("basalt-model");
    assert!(program.exists(), "{} is not built; run: cargo build -p basalt-tests", program.display());
    program
}

/// The daemon: `BASALT_BIN`, or that of this tree and profile, built first if need be.
pub fn daemon() -> PathBuf {
    if let Some(program) = std::env::var_os("BASALT_BIN") {
        return program.into();
    }
    let folder = profile_folder();
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "-p", "basalt", "--bin", "basalt"]).current_dir(root());
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let built = build.status().expect("cargo");
    assert!(built.success(), "the daemon can't be built: {build:?}");
    folder.join("basalt")
}

/// The SPDK tree that everything is linked with: it has upstream's tools in it.
pub fn spdk() -> PathBuf {
    let told = Command::new(root().join("scripts/spdk")).output().expect("scripts/spdk");
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    PathBuf::from(String::from_utf8_lossy(&told.stdout).trim())
}

/// `target/debug` or its like: tests run from `deps` in it, and programs from itself.
fn profile_folder() -> PathBuf {
    let own = std::env::current_exe().expect("the own program");
    let folder = own.parent().expect("it is in a folder");
    let is_test = folder.file_name().is_some_and(|name| name == "deps");
    let folder = if is_test { folder.parent().expect("it is in target/PROFILE/deps") } else { folder };
    folder.to_owned()
}
