//! The answers, in the shape of SPDK's `lib/event/app_rpc.c`.

use serde::Serialize;

/// The answer of `thread_get_stats`.
#[derive(Clone, Debug, Serialize)]
pub struct StatsReport {
    /// Ticks per second.
    pub tick_rate: u64,
    /// Every thread.
    pub threads: Vec<ThreadInfo>,
}

/// One thread in [`StatsReport`].
#[derive(Clone, Debug, Serialize)]
pub struct ThreadInfo {
    /// Its name.
    pub name: String,
    /// Its number.
    pub id: u64,
    /// The cores of this process that it may run on, as a hexadecimal mask.
    pub cpumask: String,
    /// Ticks in polls that found work.
    pub busy: u64,
    /// Ticks in polls that found none.
    pub idle: u64,
    /// Pollers that run at every poll.
    pub active_pollers_count: u64,
    /// Pollers that run by the clock.
    pub timed_pollers_count: u64,
    /// Pollers that are paused.
    pub paused_pollers_count: u64,
}

/// The answer of `thread_get_pollers`.
#[derive(Clone, Debug, Serialize)]
pub struct PollersReport {
    /// Ticks per second.
    pub tick_rate: u64,
    /// Every thread.
    pub threads: Vec<ThreadPollers>,
}

/// One thread in [`PollersReport`].
#[derive(Clone, Debug, Serialize)]
pub struct ThreadPollers {
    /// Its name.
    pub name: String,
    /// Its number.
    pub id: u64,
    /// Those that run at every poll.
    pub active_pollers: Vec<PollerInfo>,
    /// Those that run by the clock.
    pub timed_pollers: Vec<PollerInfo>,
    /// Those that are paused.
    pub paused_pollers: Vec<PollerInfo>,
}

/// One poller in [`ThreadPollers`].
#[derive(Clone, Debug, Serialize)]
pub struct PollerInfo {
    /// Its name.
    pub name: String,
    /// Its number on its thread.
    pub id: u64,
    /// `waiting`, `running`, `unregistered`, `pausing` or `paused`.
    pub state: String,
    /// How often it ran.
    pub run_count: u64,
    /// How often it had work.
    pub busy_count: u64,
    /// Its period, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period_ticks: Option<u64>,
}

/// The answer of `thread_get_io_channels`.
#[derive(Clone, Debug, Serialize)]
pub struct ChannelsReport {
    /// Ticks per second.
    pub tick_rate: u64,
    /// Every thread.
    pub threads: Vec<ThreadChannels>,
}

/// One thread in [`ChannelsReport`].
#[derive(Clone, Debug, Serialize)]
pub struct ThreadChannels {
    /// Its name.
    pub name: String,
    /// Its channels.
    pub io_channels: Vec<ChannelInfo>,
}

/// One channel in [`ThreadChannels`].
#[derive(Clone, Debug, Serialize)]
pub struct ChannelInfo {
    /// The name of its device.
    pub name: String,
    /// How many references the thread holds.
    #[serde(rename = "ref")]
    pub ref_count: u32,
}

/// The answer of `framework_get_reactors`; who polls the threads fills it.
#[derive(Clone, Debug, Serialize)]
pub struct ReactorsReport {
    /// Ticks per second.
    pub tick_rate: u64,
    /// The process.
    pub pid: u64,
    /// One per core.
    pub reactors: Vec<ReactorInfo>,
}

/// One core in [`ReactorsReport`].
#[derive(Clone, Debug, Serialize)]
pub struct ReactorInfo {
    /// The core.
    pub lcore: u32,
    /// The OS thread.
    pub tid: u64,
    /// Ticks with work.
    pub busy: u64,
    /// Ticks without.
    pub idle: u64,
    /// Whether it sleeps until it is interrupted.
    pub in_interrupt: bool,
    /// Clock ticks (1/100 s) that the core spent in interrupts since the start.
    pub irq: u64,
    /// The same in the kernel.
    pub sys: u64,
    /// The same in user space.
    pub usr: u64,
    /// The core's frequency in MHz, where it is governed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub core_freq: Option<u32>,
    /// The SPDK threads that it polls.
    pub lw_threads: Vec<ReactorThread>,
}

/// One thread in [`ReactorInfo`].
#[derive(Clone, Debug, Serialize)]
pub struct ReactorThread {
    /// Its name.
    pub name: String,
    /// Its number.
    pub id: u64,
    /// The cores of this process that it may run on, as a hexadecimal mask.
    pub cpumask: String,
    /// Ticks since the reactor took it over.
    pub elapsed: u64,
}
