//! What is going on: threads, pollers, channels, cores. For the RPC methods that SPDK's own event framework
//! would register (`thread_get_stats` and its like), with its field names, so that `spdk_top` and other
//! clients work.
//!
//! The collectors are called on an SPDK thread, visit every SPDK thread by a message, and call `done` on the
//! thread they were called on. `ESRCH` outside of SPDK threads, `ESHUTDOWN` on one that has exited.

mod collect;
mod process;
mod report;

pub use collect::{CpumaskRefused, io_channels, on_each_thread, pollers, set_cpumask, thread_stats};
pub use process::{CoreTimes, core_times, os_thread_id, raise_signal};
pub use report::{
    ChannelInfo, ChannelsReport, PollerInfo, PollersReport, ReactorInfo, ReactorThread, ReactorsReport,
    StatsReport, ThreadChannels, ThreadInfo, ThreadPollers,
};
