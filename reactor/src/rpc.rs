//! The JSON-RPC methods that come with SPDK's event framework, and which its clients and `spdk_top` expect,
//! over our own reactors: same names, parameters and answers (`lib/event/app_rpc.c`, `log_rpc.c` of SPDK
//! 26.01).
//!
//! They are registered when a [`Runtime`](crate::runtime::Runtime) starts, not before `main`: this crate is
//! also linked into applications that have the event framework and these methods with it.

mod log;
mod threads;

use serde::{Deserialize, Serialize};
use spdk_rs::introspect::{ReactorsReport, raise_signal};
use spdk_rs::rpc::{Reply, RpcError};
use spdk_rs::{env, rpc_method_fn};

use crate::cores;
use crate::executor::spawn_local;
use crate::oneshot::Gone;
use crate::reactor::Reactor;

/// Registers every method; on the app thread, once.
pub(crate) fn register_all() {
    threads::register();
    log::register();
    register_get_reactors();
    register_get_scheduler();
    register_wait_init();
    register_kill_instance();
}

rpc_method_fn!(register_get_reactors, framework_get_reactors, Runtime, |(): (), reply: Reply<_>| {
    spawn_local(
        async move { reply.send(reactors().await.map_err(|gone| RpcError::internal(gone.to_string()))) },
    )
    .detach();
});

async fn reactors() -> Result<ReactorsReport, Gone> {
    let cores = cores::here().cores.clone();
    let mut reactors = Vec::new();
    for core in cores.numbers() {
        reactors.push(cores.ask(core, Reactor::info).await?);
    }
    Ok(ReactorsReport { tick_rate: env::ticks_hz(), pid: std::process::id().into(), reactors })
}

/// The answer of `framework_get_scheduler`.
#[derive(Serialize)]
struct SchedulerReport {
    scheduler_name: &'static str,
    scheduler_period: u64,
    isolated_core_mask: &'static str,
    scheduling_core: u32,
}

rpc_method_fn!(register_get_scheduler, framework_get_scheduler, Always, |(): (), reply: Reply<_>| {
    reply.ok(&SchedulerReport {
        // Threads move only when their cpumask is changed, as with SPDK's scheduler of this name.
        scheduler_name: "static",
        scheduler_period: 0,
        isolated_core_mask: "0",
        scheduling_core: cores::here().cores.main,
    });
});

// `spdk_top` asks first. Before the subsystems are up SPDK's server refuses it, as all methods of the
// run-time phase.
rpc_method_fn!(register_wait_init, framework_wait_init, Runtime, |(): (), reply: Reply<bool>| reply
    .ok(&true));

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KillParams {
    sig_name: String,
}

rpc_method_fn!(
    register_kill_instance,
    spdk_kill_instance,
    Runtime,
    |kill: KillParams, reply: Reply<bool>| {
        match raise_signal(&kill.sig_name) {
            Ok(()) => reply.ok(&true),
            Err(_) => reply.err(RpcError::invalid_params(format!(
                "{:?} is none of SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGKILL, SIGUSR1",
                kill.sig_name
            ))),
        }
    }
);
