//! The clock that a reactor's timers run on: a counter and its rate. SPDK's is the time stamp counter.

use std::time::Duration;

/// A monotonic tick counter.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    read: fn() -> u64,
    ticks_per_s: u64,
}

impl Clock {
    /// A clock that `read` reads, in units of `1 / ticks_per_s` seconds.
    ///
    /// # Panics
    /// When `ticks_per_s` is 0.
    pub const fn new(read: fn() -> u64, ticks_per_s: u64) -> Self {
        assert!(ticks_per_s > 0, "a clock that stands still drives no timers");
        Clock { read, ticks_per_s }
    }

    /// The time now, in ticks.
    pub fn now_ticks(&self) -> u64 {
        (self.read)()
    }

    /// Ticks in a second.
    pub fn ticks_per_s(&self) -> u64 {
        self.ticks_per_s
    }

    /// `span` in ticks, rounded up: a timer is never early.
    pub fn to_ticks(&self, span: Duration) -> u64 {
        let ticks = (span.as_nanos() * u128::from(self.ticks_per_s)).div_ceil(1_000_000_000);
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }

    /// `ticks` as a time span, rounded down.
    pub fn to_duration(&self, ticks: u64) -> Duration {
        let (seconds, rest) = (ticks / self.ticks_per_s, ticks % self.ticks_per_s);
        let nanos = u128::from(rest) * 1_000_000_000 / u128::from(self.ticks_per_s);
        Duration::new(seconds, u32::try_from(nanos).expect("less than a second"))
    }
}
