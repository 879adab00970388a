//! `log_*`: SPDK's own log, its levels and flags.

use std::collections::BTreeMap;

use serde::Deserialize;
use spdk_rs::log::{self, Level};
use spdk_rs::rpc::{Reply, RpcError};
use spdk_rs::rpc_method_fn;

pub(super) fn register() {
    register_set_level();
    register_get_level();
    register_set_print_level();
    register_get_print_level();
    register_set_flag();
    register_clear_flag();
    register_get_flags();
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LevelParams {
    level: String,
}

impl LevelParams {
    fn parse(&self) -> Result<Level, RpcError> {
        let refused =
            |_| RpcError::invalid_params("invalid log level: one of ERROR, WARNING, NOTICE, INFO, DEBUG");
        self.level.parse().map_err(refused)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FlagParams {
    flag: String,
}

impl FlagParams {
    fn change(&self, change: fn(&str) -> Result<(), spdk_rs::Errno>) -> Result<bool, RpcError> {
        let refused =
            |_| RpcError::invalid_params(format!("invalid log flag {:?}: see log_get_flags", self.flag));
        change(&self.flag).map(|()| true).map_err(refused)
    }
}

rpc_method_fn!(register_set_level, log_set_level, Always, |params: LevelParams, reply: Reply<bool>| {
    reply.send(params.parse().map(|level| {
        log::set_level(level);
        true
    }));
});

rpc_method_fn!(register_get_level, log_get_level, Always, |(): (), reply: Reply<String>| {
    reply.ok(&log::level().to_string());
});

rpc_method_fn!(
    register_set_print_level,
    log_set_print_level,
    Always,
    |params: LevelParams, reply: Reply<bool>| {
        reply.send(params.parse().map(|level| {
            log::set_print_level(level);
            true
        }));
    }
);

rpc_method_fn!(register_get_print_level, log_get_print_level, Always, |(): (), reply: Reply<String>| {
    reply.ok(&log::print_level().to_string());
});

rpc_method_fn!(register_set_flag, log_set_flag, Always, |params: FlagParams, reply: Reply<bool>| {
    reply.send(params.change(log::set_flag));
});

rpc_method_fn!(register_clear_flag, log_clear_flag, Always, |params: FlagParams, reply: Reply<bool>| {
    reply.send(params.change(log::clear_flag));
});

rpc_method_fn!(register_get_flags, log_get_flags, Always, |(): (), reply: Reply<BTreeMap<String, bool>>| {
    reply.ok(&log::flags().into_iter().collect());
});
