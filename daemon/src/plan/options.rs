//! What SPDK must be told before its subsystems are initialised, in the form of its own JSON configuration.

use std::time::Duration;

use basalt_config::Config;
use serde_json::{Value, json};

use crate::memory::pools::{LARGE_BUFFER_BYTES, Pools, SMALL_BUFFER_BYTES};

/// What `member_timeout` is when no array says.
const MEMBER_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// A keep-alive is sent twice as often; SPDK's default of 10 s would outlast a member's timeout.
const KEEP_ALIVE_MAX: Duration = Duration::from_secs(5);

/// The document for `spdk_subsystem_load_config`.
///
/// - Pools are cut to the memory (see [`Pools`]).
/// - `enable_flush`: bdev_nvme otherwise answers FLUSH by itself, and what it acknowledged may be lost.
/// - A command that a drive does not answer within the shortest `member_timeout` resets the controller:
///   without that, bdev_nvme waits for ever.
pub fn startup_json(config: &Config) -> Value {
    let pools = Pools::for_config(config);
    let timeout =
        config.arrays.iter().map(|a| a.member_timeout.value).min().unwrap_or(MEMBER_TIMEOUT_DEFAULT);
    let call = |method: &str, params: Value| json!({ "method": method, "params": params });
    json!({ "subsystems": [
        { "subsystem": "iobuf", "config": [call("iobuf_set_options", json!({
            "small_pool_count": pools.small_buffers,
            "large_pool_count": pools.large_buffers,
            "small_bufsize": SMALL_BUFFER_BYTES,
            "large_bufsize": LARGE_BUFFER_BYTES,
        }))] },
        { "subsystem": "accel", "config": [call("accel_set_options", json!({
            "small_cache_size": pools.buffers_per_thread,
            "large_cache_size": pools.buffers_per_thread / 4,
        }))] },
        { "subsystem": "bdev", "config": [
            call("bdev_set_options", json!({
                "bdev_io_pool_size": pools.bdev_ios,
                "bdev_io_cache_size": pools.bdev_ios_per_thread,
                "iobuf_small_cache_size": pools.buffers_per_thread,
                "iobuf_large_cache_size": pools.buffers_per_thread / 4,
            })),
            call("bdev_nvme_set_options", json!({
                "enable_flush": true,
                "action_on_timeout": "reset",
                "timeout_us": micros(timeout),
                "keep_alive_timeout_ms": micros(timeout.min(KEEP_ALIVE_MAX)) / 1000,
            })),
        ] },
    ] })
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
