//! Methods of the interface that this version does not have yet: they say so, and what to do instead.

use serde_json::Value;
use spdk_rs::Errno;
use spdk_rs::rpc::{Reply, RpcError};
use spdk_rs::rpc_method;

macro_rules! later {
    ($($method:ident: $why:literal;)*) => {
        $(rpc_method!($method, Runtime, |_params: Value, reply: Reply<Value>| {
            reply.err(RpcError::errno(Errno::ENOTSUP, $why));
        });)*
    };
}

later! {
    bdev_basalt_add_member: "adding a member comes with rebuild, in a later version; \
        until then create the array anew with the drive in it";
    bdev_basalt_replace_member: "replacing a member comes with rebuild, in a later version; \
        until then 'member fail' and 'member remove' take the old drive out";
    bdev_basalt_start_sync: "sync jobs come with a later version; there is nothing to resync without durable metadata";
    bdev_basalt_pause_sync: "sync jobs come with a later version; none is running";
    bdev_basalt_resume_sync: "sync jobs come with a later version; none is running";
    bdev_basalt_cancel_sync: "sync jobs come with a later version; none is running";
    bdev_basalt_wait_sync: "sync jobs come with a later version; none is running";
    bdev_basalt_get_sync_results: "sync jobs come with a later version; there are no results";
    bdev_basalt_set_options: "options of a running array can't be changed yet; delete the array and create it anew";
}
