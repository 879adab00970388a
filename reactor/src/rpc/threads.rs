//! `thread_*`: the SPDK threads of all cores.

use serde::Deserialize;
use spdk_rs::cpuset::CpuSet;
use spdk_rs::introspect::{self, ChannelsReport, CpumaskRefused, PollersReport, StatsReport};
use spdk_rs::rpc::{Reply, RpcError};
use spdk_rs::thread::ThreadId;
use spdk_rs::{Errno, rpc_method_fn};

use crate::cores::{self, Cores};
use crate::placement::Placed;

pub(super) fn register() {
    register_get_stats();
    register_get_pollers();
    register_get_io_channels();
    register_set_cpumask();
}

rpc_method_fn!(register_get_stats, thread_get_stats, Runtime, |(): (), reply: Reply<StatsReport>| {
    began(introspect::thread_stats(move |report| reply.ok(&report)));
});

rpc_method_fn!(register_get_pollers, thread_get_pollers, Runtime, |(): (), reply: Reply<PollersReport>| {
    began(introspect::pollers(move |report| reply.ok(&report)));
});

rpc_method_fn!(
    register_get_io_channels,
    thread_get_io_channels,
    Runtime,
    |(): (), reply: Reply<ChannelsReport>| {
        began(introspect::io_channels(move |report| reply.ok(&report)));
    }
);

/// An answer that was not begun has been dropped, which tells the client.
fn began(result: Result<(), Errno>) {
    if let Err(errno) = result {
        tracing::warn!(%errno, "the SPDK threads could not be visited");
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CpumaskParams {
    id: ThreadId,
    cpumask: String,
}

rpc_method_fn!(register_set_cpumask, thread_set_cpumask, Runtime, set_cpumask);

fn set_cpumask(params: CpumaskParams, reply: Reply<bool>) {
    let id = params.id;
    let cores = cores::here().cores.clone();
    let mask = match checked_mask(&params, &cores) {
        Ok(mask) => mask,
        Err(error) => return reply.err(error),
    };
    began(introspect::set_cpumask(id, mask, move |result| {
        reply.send(result.map(|()| true).map_err(|refused| explain(refused, id, &cores)));
    }));
}

fn checked_mask(params: &CpumaskParams, cores: &Cores) -> Result<CpuSet, RpcError> {
    let (id, text) = (params.id, &params.cpumask);
    if cores.placement.find(id).is_none() {
        return Err(no_thread(id));
    }
    let mask = CpuSet::parse(text).map_err(|_| RpcError::internal(format!("Invalid cpumask {text}")))?;
    let mask = mask.intersection(&cores.mask());
    if mask.count() == 0 { Err(no_core(cores)) } else { Ok(mask) }
}

fn no_thread(id: ThreadId) -> RpcError {
    RpcError::invalid_params(format!("Thread {id} does not exist"))
}

fn no_core(cores: &Cores) -> RpcError {
    RpcError::internal(format!("No CPU is selected from reactor mask {}", cores.mask()))
}

fn explain(refused: CpumaskRefused, id: ThreadId, cores: &Cores) -> RpcError {
    match refused {
        CpumaskRefused::NoThread => no_thread(id),
        CpumaskRefused::NoCore => no_core(cores),
        CpumaskRefused::Spdk(errno) => errno.into(),
        CpumaskRefused::Pinned(pins) => {
            let Some(Placed { core, name }) = cores.placement.find(id) else { return no_thread(id) };
            let remedy = match pins.is_app_thread() || pins.is_bound() {
                true => format!("Name a mask with core {core}"),
                false => format!("Close what uses it there first, or name a mask with core {core}"),
            };
            let message = format!("Thread {id} ({name}) can't leave core {core}: {pins}. {remedy}");
            RpcError::errno(Errno::EBUSY, message)
        }
    }
}
