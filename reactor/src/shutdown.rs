//! The wish to end the process: SIGINT, SIGTERM, or [`request`].
//!
//! Wishes are counted, and the count is an epoch: who waits for the first one gets it also when it came
//! before the wait. The signal handler only sets a flag; the main core's reactor looks at it in every round.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{SigId, flag, low_level};

use crate::cores;
use crate::epoch::{Epoch, EpochWatch};

/// Listens for the signals while it lives.
#[derive(Debug)]
pub(crate) struct Signals {
    caught: Vec<(&'static str, Arc<AtomicBool>, SigId)>,
}

impl Signals {
    pub(crate) fn listen() -> io::Result<Self> {
        let mut signals = Signals { caught: Vec::new() };
        for (name, signal) in [("SIGINT", SIGINT), ("SIGTERM", SIGTERM)] {
            let came = Arc::new(AtomicBool::new(false));
            let id = flag::register(signal, came.clone())?;
            signals.caught.push((name, came, id));
        }
        Ok(signals)
    }

    /// The names of those that came since the last call.
    pub(crate) fn take(&self) -> impl Iterator<Item = &'static str> {
        let came = |came: &AtomicBool| came.load(Ordering::Relaxed) && came.swap(false, Ordering::Relaxed);
        self.caught.iter().filter(move |(_, flag, _)| came(flag)).map(|(name, ..)| *name)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for (_, _, id) in &self.caught {
            low_level::unregister(*id);
        }
    }
}

/// How often the end was wished for. Belongs to the main core.
#[derive(Debug)]
pub(crate) struct Wishes {
    epoch: Epoch,
    first: std::cell::OnceCell<Instant>,
}

impl Wishes {
    pub(crate) fn new() -> Self {
        Wishes { epoch: Epoch::new(0), first: std::cell::OnceCell::new() }
    }

    pub(crate) fn watch(&self) -> EpochWatch {
        self.epoch.watch()
    }

    /// Counts a wish and says so in the log.
    pub(crate) fn add(&self, from: &str) {
        let waited = self.first.get_or_init(Instant::now).elapsed();
        match self.epoch.advance() {
            1 => tracing::info!(from, "asked to shut down"),
            count => tracing::warn!(from, count, waited_s = waited.as_secs(), "asked to shut down again"),
        }
    }
}

/// Counts the wishes to end the process: level 1 is the first, level 2 says that somebody grows impatient.
///
/// # Panics
/// Off the main core of a runtime, as the functions below.
pub fn requests() -> EpochWatch {
    cores::here().wishes().watch()
}

/// Waits until somebody wants the process to end; at once if somebody did before.
pub async fn requested() {
    if requests().reached(1).await.is_err() {
        // The runtime ends already, and drops this task.
        std::future::pending().await
    }
}

/// Wishes for the end, as a signal does. `from` is for the log.
pub fn request(from: &str) {
    cores::here().wishes().add(from);
}
