//! SPDK's messages arrive in `tracing`, chosen by SPDK's levels.

use std::io;
use std::sync::{Arc, Mutex};

use spdk_rs::cpuset::CpuSet;
use spdk_rs::log::{self, Level};

use crate::own_process::in_own_process;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn forwarding() {
    in_own_process(test_name!(), run);
}

fn run() {
    let lines = Lines::default();
    let writer = lines.clone();
    tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).init();
    log::forward_to_tracing();
    log::forward_to_tracing();

    let provoke = || CpuSet::parse("%s%n").map(drop).unwrap_err();
    provoke();
    let seen = lines.take();
    assert!(seen.contains("ERROR spdk: Invalid character in core mask '%s%n'"), "{seen:?}");
    assert!(seen.contains("cpuset.c") && seen.contains("function=\"parse_mask\""), "{seen:?}");
    assert_eq!(seen.lines().count(), 1, "{seen:?}");

    log::set_print_level(Level::Disabled);
    log::set_level(Level::Disabled);
    assert_eq!((log::level(), log::print_level()), (Level::Disabled, Level::Disabled));
    provoke();
    assert_eq!(lines.take(), "");
    log::set_level(Level::Warning);
    provoke();
    assert!(!lines.take().is_empty());
}
