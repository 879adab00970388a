//! `thread_*`: the SPDK threads of all cores.

use serde::Deserialize;
use spdk_rs::cpuset::CpuSet;
use spdk_rs::introspect::{self, ChannelsReport, PollersReport, StatsReport};
use spdk_rs::rpc::{Reply, RpcError};
use spdk_rs::thread::ThreadId;
use spdk_rs::{Errno, rpc_method_fn};

use crate::cores;

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
    let mask = match checked_mask(&params) {
        Ok(mask) => mask,
        Err(error) => return reply.err(error),
    };
    began(introspect::set_cpumask(params.id, mask, move |result| {
        reply.send(result.map(|()| true).map_err(RpcError::from));
    }));
}

/// The mask, if the thread can stay where it is under it: it does not move.
fn checked_mask(params: &CpumaskParams) -> Result<CpuSet, RpcError> {
    let (id, text) = (params.id, &params.cpumask);
    let cores = &cores::here().cores;
    let Some(thread) = cores.placement.find(id) else {
        return Err(RpcError::invalid_params(format!("Thread {id} does not exist")));
    };
    let mask = CpuSet::parse(text).map_err(|_| RpcError::internal(format!("Invalid cpumask {text}")))?;
    let ours = cores.mask();
    let mask = mask.intersection(&ours);
    if mask.count() == 0 {
        return Err(RpcError::internal(format!("No CPU is selected from reactor mask {ours}")));
    }
    if !mask.contains(thread.core) {
        return Err(RpcError::errno(
            Errno::ENOTSUP,
            format!(
                "Thread {id} ({}) runs on core {core} and stays there: a thread is placed once, when it is \
                 made. Name a mask with core {core}",
                thread.name,
                core = thread.core
            ),
        ));
    }
    Ok(mask)
}
