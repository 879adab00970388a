//! SPDK's subsystems as futures.

use reactor::mailbox::{Class, Mailbox};
use serde_json::{Value, json};
use spdk_rs::{Errno, subsystem};

type Done = Box<dyn FnOnce(Result<(), Errno>)>;

/// Waits for something that answers through a callback.
async fn outcome(begin: impl FnOnce(Done) -> Result<(), Errno>) {
    let mut answer = Mailbox::new(1, 0);
    let sender = answer.sender();
    begin(Box::new(move |result| sender.try_send(Class::Control, result).expect("one answer")))
        .expect("begun");
    answer.recv().await.expect("it succeeds");
}

/// Starts every subsystem with small buffer pools, then runs `config`, a list of RPC calls by method.
pub async fn start(config: &[(&str, Value)]) {
    let pools = json!({"small_pool_count": 2048, "large_pool_count": 128});
    let config = config_of([("iobuf_set_options", pools)].iter().chain(config));
    outcome(|done| subsystem::load_config(&config, done)).await;
    outcome(subsystem::init).await;
    outcome(|done| subsystem::load_config(&config, done)).await;
}

/// Ends every subsystem.
pub async fn stop() {
    outcome(subsystem::fini).await;
}

fn config_of<'a>(calls: impl Iterator<Item = &'a (&'a str, Value)>) -> String {
    let calls: Vec<_> = calls.map(|(method, params)| json!({"method": method, "params": params})).collect();
    json!({"subsystems": [{"subsystem": "test", "config": calls}]}).to_string()
}
