//! The faulty drive's JSON-RPC methods. Errors carry a negated errno, and drive, reason and remedy as their
//! message.

use super::error::{FaultyError, FaultyErrorKind};
use super::loss::{Keep, Loss};
use super::options::FaultyOptions;
use super::registry;
use super::report::Report;
use super::rule::Rule;
use super::rules::RuleId;
use serde::{Deserialize, Serialize};
use spdk_rs::Errno;
use spdk_rs::rpc::{Reply, RpcError};
use std::time::Instant;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DriveParams {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InjectParams {
    name: String,
    rule: Rule,
}

#[derive(Serialize)]
struct Injected {
    rule: RuleId,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleParams {
    name: String,
    rule: Option<RuleId>,
}

#[derive(Serialize)]
struct Cleared {
    cleared: usize,
}

#[derive(Serialize)]
struct Released {
    released: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PowerCutParams {
    name: String,
    keep: Keep,
    #[serde(default)]
    seed: u64,
}

spdk_rs::rpc_method!(bdev_basalt_faulty_create, Runtime, |options: FaultyOptions, reply: Reply<String>| {
    reply.send(registry::create(options).map_err(rpc_error))
});

spdk_rs::rpc_method!(bdev_basalt_faulty_delete, Runtime, |params: DriveParams, reply: Reply<bool>| {
    registry::delete(&params.name, |result| reply.send(result.map(|()| true).map_err(rpc_error)));
});

spdk_rs::rpc_method!(bdev_basalt_faulty_inject, Runtime, |params: InjectParams, reply: Reply<Injected>| {
    reply.send(inject(params).map_err(rpc_error));
});

spdk_rs::rpc_method!(bdev_basalt_faulty_clear, Runtime, |params: RuleParams, reply: Reply<Cleared>| {
    reply.send(clear(&params).map_err(rpc_error));
});

spdk_rs::rpc_method!(bdev_basalt_faulty_release, Runtime, |params: RuleParams, reply: Reply<Released>| {
    let released = registry::with(&params.name, |drive| drive.state().release(params.rule));
    reply.send(released.map(|released| Released { released }).map_err(rpc_error));
});

spdk_rs::rpc_method!(bdev_basalt_faulty_get, Runtime, |params: DriveParams, reply: Reply<Report>| {
    reply.send(registry::report(&params.name).map_err(rpc_error));
});

spdk_rs::rpc_method!(bdev_basalt_faulty_vanish, Runtime, |params: DriveParams, reply: Reply<bool>| {
    reply.send(registry::vanish(&params.name, Loss::TOTAL).map(|()| true).map_err(rpc_error));
});

spdk_rs::rpc_method!(bdev_basalt_faulty_power_cut, Runtime, |params: PowerCutParams, reply: Reply<bool>| {
    let loss = Loss { keep: params.keep, seed: params.seed };
    reply.send(registry::vanish(&params.name, loss).map(|()| true).map_err(rpc_error));
});

spdk_rs::rpc_method!(bdev_basalt_faulty_return, Runtime, |params: DriveParams, reply: Reply<bool>| {
    reply.send(registry::come_back(&params.name).map(|()| true).map_err(rpc_error));
});

fn inject(params: InjectParams) -> Result<Injected, FaultyError> {
    let InjectParams { name, rule } = params;
    registry::with(&name, |drive| {
        rule.check(drive.info.num_blocks)
            .map_err(|(reason, remedy)| FaultyError::new(FaultyErrorKind::Invalid, &name, reason, remedy))?;
        Ok(Injected { rule: drive.state().rules.inject(rule, Instant::now()) })
    })?
}

fn clear(params: &RuleParams) -> Result<Cleared, FaultyError> {
    registry::with(&params.name, |drive| {
        let mut state = drive.state();
        if let Some(rule) = params.rule.filter(|&rule| !state.rules.contains(rule)) {
            let reason = format!("there is no rule {rule}");
            let remedy = "bdev_basalt_faulty_get lists those there are";
            return Err(FaultyError::new(FaultyErrorKind::Unknown, &params.name, reason, remedy));
        }
        Ok(Cleared { cleared: state.rules.clear(params.rule) })
    })?
}

fn rpc_error(error: FaultyError) -> RpcError {
    RpcError::errno(Errno::new(error.kind.errno()), error.to_string())
}
