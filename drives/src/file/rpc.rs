//! The file drive's JSON-RPC methods. Errors carry a negated errno, and path, reason and remedy as their
//! message.

use super::error::FileError;
use super::options::FileOptions;
use super::registry::{create, delete};
use serde::Deserialize;
use spdk_rs::Errno;
use spdk_rs::rpc::{Reply, RpcError};

spdk_rs::rpc_method!(bdev_basalt_file_create, Runtime, |options: FileOptions, reply: Reply<String>| {
    create(options, |result| reply.send(result.map_err(rpc_error)));
});

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeleteParams {
    name: String,
}

spdk_rs::rpc_method!(bdev_basalt_file_delete, Runtime, |params: DeleteParams, reply: Reply<bool>| {
    delete(&params.name, |result| reply.send(result.map(|()| true).map_err(rpc_error)));
});

fn rpc_error(error: FileError) -> RpcError {
    RpcError::errno(Errno::new(error.kind.errno()), error.to_string())
}
