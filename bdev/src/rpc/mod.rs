//! The JSON-RPC methods `bdev_basalt_*`. They translate parameters and answers; what they do is in
//! [`crate::array`].

mod later;

use std::rc::Rc;

use raid::array::Receipt;
use raid::msg::Planner;
use serde::{Deserialize, Serialize};
use spdk_rs::Errno;
use spdk_rs::rpc::{Reply, RpcError};
use spdk_rs::rpc_method;
use uuid::Uuid;

use crate::array::{
    ArrayError, ArrayStats, ArrayStatus, Begun, CreateError, CreateParams, EventQuery, EventReply, Registry,
};
use crate::module;

/// Names an array.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ArrayParams {
    name: String,
}

/// Names an array, or means all of them.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct MaybeArrayParams {
    name: Option<String>,
}

/// Names a member of an array by its drive.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MemberParams {
    name: String,
    drive: String,
}

/// What to start, and how.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StartParams {
    name: String,
    /// Also without members that are missing.
    #[serde(default)]
    degraded: bool,
    /// Also though another host has it, if that one is silent.
    #[serde(default)]
    force: bool,
}

/// Which part of a split array to keep.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResolveParams {
    name: String,
    /// A drive of that part.
    keep: String,
}

#[derive(Debug, Serialize)]
struct Created {
    name: String,
    /// Null as long as no drive tells it.
    uuid: Option<Uuid>,
    /// `running` or `assembling`.
    state: &'static str,
    /// Why it does not run, and what to do.
    why: Option<String>,
}

/// How far a control call has come: waiting for the rest is a call of its own.
#[derive(Debug, Serialize)]
struct Outcome {
    epoch: u64,
    took_effect: bool,
    waiting_on: Vec<String>,
}

impl From<Receipt> for Outcome {
    fn from(receipt: Receipt) -> Outcome {
        let name = |planner: Planner| match planner {
            Planner::Channel(channel) => format!("channel {channel}"),
            Planner::Shard(shard) => format!("shard {shard}"),
        };
        let records = receipt.recording_on.iter().map(|slot| format!("the superblock in slot {slot}"));
        Outcome {
            epoch: receipt.epoch.0,
            took_effect: receipt.took_effect,
            waiting_on: receipt.waiting_on.into_iter().map(name).chain(records).collect(),
        }
    }
}

impl From<ArrayError> for RpcError {
    fn from(error: ArrayError) -> RpcError {
        let errno = match &error {
            ArrayError::NoSuchArray(_) | ArrayError::NoSuchMember { .. } => Errno::ENODEV,
            ArrayError::Refused(_) | ArrayError::Pool(_) | ArrayError::Going(_) => Errno::EBUSY,
        };
        RpcError::errno(errno, error.to_string())
    }
}

impl From<CreateError> for RpcError {
    fn from(error: CreateError) -> RpcError {
        let errno = match &error {
            CreateError::NameTaken(_) | CreateError::Pool(_) => Errno::EEXIST,
            CreateError::Foreign { .. } | CreateError::Member { .. } => Errno::EBUSY,
            CreateError::Metadata { .. } => Errno::EIO,
            CreateError::NoSuchDrive(_) | CreateError::NotPending(_) => Errno::ENODEV,
            CreateError::NotStarted(..) | CreateError::Resolve(_) => Errno::EBUSY,
            CreateError::Open { errno, .. } | CreateError::Shards(errno) | CreateError::Register(errno) => {
                *errno
            }
            _ => Errno::EINVAL,
        };
        RpcError::errno(errno, error.to_string())
    }
}

fn registry() -> Result<Rc<Registry>, RpcError> {
    module::registry().ok_or_else(|| RpcError::errno(Errno::ESHUTDOWN, "the RAID is shutting down"))
}

fn create(params: CreateParams, reply: Reply<Created>) {
    let registry = match registry() {
        Ok(registry) => registry,
        Err(error) => return reply.err(error),
    };
    let port = registry.port.clone();
    port.spawn(async move {
        let name = params.name.clone();
        let begun = Rc::clone(&registry).create(params).await;
        reply.send(begun.map_err(RpcError::from).and_then(|begun| created(&registry, &name, begun)));
    });
}

fn created(registry: &Registry, name: &str, begun: Begun) -> Result<Created, RpcError> {
    let (state, why) = match begun {
        Begun::Running(owner) => {
            let (name, uuid) = (owner.name().to_owned(), owner.uuid());
            return Ok(Created { name, uuid: Some(uuid), state: "running", why: None });
        }
        Begun::Assembling(why) => ("assembling", Some(why)),
    };
    let uuid = registry.list(Some(name))?.first().and_then(ArrayStatus::known_uuid);
    Ok(Created { name: name.to_owned(), uuid, state, why })
}

/// Starts an array that waits or was stopped. An answer that it still waits is a refusal.
fn start(params: StartParams, reply: Reply<Created>) {
    begin(reply, params.name.clone(), |registry| registry.start(params.name, params.degraded, params.force));
}

fn resolve(params: ResolveParams, reply: Reply<Created>) {
    begin(reply, params.name.clone(), |registry| registry.resolve(params.name, params.keep));
}

fn begin<F: Future<Output = Result<Begun, CreateError>> + 'static>(
    reply: Reply<Created>,
    name: String,
    how: impl FnOnce(Rc<Registry>) -> F,
) {
    let registry = match registry() {
        Ok(registry) => registry,
        Err(error) => return reply.err(error),
    };
    let port = registry.port.clone();
    let attempt = how(Rc::clone(&registry));
    port.spawn(async move {
        let begun = match attempt.await {
            Ok(Begun::Assembling(why)) => Err(CreateError::NotStarted(name.clone(), why)),
            other => other,
        };
        reply.send(begun.map_err(RpcError::from).and_then(|begun| created(&registry, &name, begun)));
    });
}

fn get_arrays(params: &MaybeArrayParams) -> Result<Vec<ArrayStatus>, RpcError> {
    Ok(registry()?.list(params.name.as_deref())?)
}

fn get_stats(params: &MaybeArrayParams) -> Result<Vec<ArrayStats>, RpcError> {
    Ok(registry()?.stats(params.name.as_deref())?)
}

fn fail_member(params: &MemberParams) -> Result<Outcome, RpcError> {
    Ok(registry()?.fail_member(&params.name, &params.drive)?.into())
}

fn remove_member(params: &MemberParams) -> Result<Outcome, RpcError> {
    Ok(registry()?.remove_member(&params.name, &params.drive)?.into())
}

type Done = Box<dyn FnOnce(Result<(), Errno>)>;

fn take_down(
    params: &ArrayParams,
    reply: Reply<bool>,
    how: fn(&Registry, &str, Done) -> Result<(), ArrayError>,
) {
    let registry = match registry() {
        Ok(registry) => registry,
        Err(error) => return reply.err(error),
    };
    // The answer is kept where both outcomes find it: refused now, or gone later.
    let reply = Rc::new(std::cell::Cell::new(Some(reply)));
    let later = Rc::clone(&reply);
    let done = move |result: Result<(), Errno>| {
        if let Some(reply) = later.take() {
            reply.send(result.map(|()| true).map_err(RpcError::from));
        }
    };
    let begun = how(&registry, &params.name, Box::new(done));
    if let Err(error) = begun
        && let Some(reply) = reply.take()
    {
        reply.err(error.into());
    }
}

fn get_events(query: EventQuery, reply: Reply<EventReply>) {
    let reply = Rc::new(std::cell::Cell::new(Some(reply)));
    let later = Rc::clone(&reply);
    let asked = registry().and_then(|registry| {
        let answer = move |events| {
            if let Some(reply) = later.take() {
                reply.ok(&events);
            }
        };
        Ok(registry.get_events(query, answer)?)
    });
    if let Err(error) = asked
        && let Some(reply) = reply.take()
    {
        reply.err(error);
    }
}

rpc_method!(bdev_basalt_create, Runtime, create);
rpc_method!(bdev_basalt_delete, Runtime, |params: ArrayParams, reply: Reply<bool>| {
    take_down(&params, reply, Registry::delete);
});
rpc_method!(bdev_basalt_start, Runtime, start);
rpc_method!(bdev_basalt_resolve, Runtime, resolve);
rpc_method!(bdev_basalt_stop, Runtime, |params: ArrayParams, reply: Reply<bool>| {
    take_down(&params, reply, Registry::halt);
});
rpc_method!(bdev_basalt_get_arrays, Runtime, |params: MaybeArrayParams, reply: Reply<Vec<ArrayStatus>>| {
    reply.send(get_arrays(&params));
});
rpc_method!(bdev_basalt_get_stats, Runtime, |params: MaybeArrayParams, reply: Reply<Vec<ArrayStats>>| {
    reply.send(get_stats(&params));
});
rpc_method!(bdev_basalt_fail_member, Runtime, |params: MemberParams, reply: Reply<Outcome>| {
    reply.send(fail_member(&params));
});
rpc_method!(bdev_basalt_remove_member, Runtime, |params: MemberParams, reply: Reply<Outcome>| {
    reply.send(remove_member(&params));
});
rpc_method!(bdev_basalt_get_events, Runtime, get_events);
