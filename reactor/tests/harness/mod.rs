//! A runtime without root: ordinary memory and few messages. SPDK is initialised once per process, so each
//! test file has one test.

use std::time::Duration;

use reactor::runtime::Runtime;
use spdk_rs::env::{EnvOptions, HugePages};

/// A runtime on these cores.
pub fn runtime(cores: &[u32]) -> Runtime {
    let env = EnvOptions {
        name: "reactor-test".to_owned(),
        cores: cores.to_vec(),
        memory_mib: Some(256),
        huge_pages: HugePages::Off,
        ..EnvOptions::default()
    };
    Runtime::builder().env(env).messages(16 * 1024 - 1).exit_limit(Duration::from_secs(10))
}
