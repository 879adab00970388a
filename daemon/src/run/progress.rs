//! What the daemon tells its operator: lines on stderr, with the time since the start.

use std::io::Write;
use std::time::Instant;

use crate::paint::{Paint, Style};

/// Prints progress. `Clone`, so that each thread may have one.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    started: Instant,
    paint: Paint,
}

impl Progress {
    /// Counts from now.
    pub fn new() -> Progress {
        Progress { started: Instant::now(), paint: Paint::for_stream(&std::io::stderr()) }
    }

    /// Whether to paint.
    pub fn paint(&self) -> Paint {
        self.paint
    }

    /// Something was done.
    pub fn done(&self, text: &str) {
        self.line(Style::Dim, text);
    }

    /// Something to know.
    pub fn notice(&self, text: &str) {
        self.line(Style::Warn, text);
    }

    /// The point of it all.
    pub fn headline(&self, text: &str) {
        self.line(Style::Bold, text);
    }

    /// Something failed.
    pub fn failed(&self, text: &str) {
        self.line(Style::Bad, text);
    }

    fn line(&self, style: Style, text: &str) {
        let time = format!("{:7.3}", self.started.elapsed().as_secs_f64());
        let line = format!("{} {}\n", self.paint.apply(Style::Dim, &time), self.paint.apply(style, text));
        // A closed stderr must not stop a daemon.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }
}
