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
    ArrayError, ArrayStats, ArrayStatus, CreateError, CreateParams, EventQuery, EventReply, Registry,
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

#[derive(Debug, Serialize)]
struct Created {
    name: String,
    uuid: Uuid,
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
        Outcome {
            epoch: receipt.epoch.0,
            took_effect: receipt.took_effect,
            waiting_on: receipt.waiting_on.into_iter().map(name).collect(),
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
            CreateError::NoSuchDrive(_) => Errno::ENODEV,
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
        let owner = registry.create(params).await;
        let created = owner.map(|owner| Created { name: owner.name().to_owned(), uuid: owner.uuid() });
        reply.send(created.map_err(RpcError::from));
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
