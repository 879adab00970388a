//! `basalt sync`: resync, rebuild, check and repair.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::Exit;
use super::args::SyncCommand;
use super::member::describe;
use super::output::Output;
use crate::client::{CALL_TIMEOUT, Client, ClientError};

/// `bdev_basalt_wait_sync` is asked again so often; the daemon may answer "not yet" in between.
const WAIT_SLICE: Duration = Duration::from_secs(30);

/// Runs one of them.
pub fn run(client: &mut Client, command: &SyncCommand, output: &Output) -> Result<Exit> {
    let (method, params, done) = match command {
        SyncCommand::Start { array, action } => {
            let action = action.as_str();
            let params = json!({ "name": array, "action": action });
            ("bdev_basalt_start_sync", params, format!("started {action} of {array}"))
        }
        SyncCommand::Pause { array } => {
            ("bdev_basalt_pause_sync", json!({ "name": array }), format!("paused {array}"))
        }
        SyncCommand::Resume { array } => {
            ("bdev_basalt_resume_sync", json!({ "name": array }), format!("resumed {array}"))
        }
        SyncCommand::Cancel { array } => {
            ("bdev_basalt_cancel_sync", json!({ "name": array }), format!("cancelled {array}"))
        }
        SyncCommand::Wait { array } => return wait(client, array, output),
        SyncCommand::Results { array } => {
            let results =
                client.call("bdev_basalt_get_sync_results", &json!({ "name": array }), CALL_TIMEOUT)?;
            output.answer(&results, || format!("{results:#}"));
            return Ok(Exit::Done);
        }
    };
    let result = client.call(method, &params, CALL_TIMEOUT)?;
    output.answer(&result, || describe(&done, &result));
    Ok(Exit::Done)
}

/// Waits as long as it takes: a call that ran out of time is no reason to give up.
fn wait(client: &mut Client, array: &str, output: &Output) -> Result<Exit> {
    loop {
        let params = json!({ "name": array, "wait_s": WAIT_SLICE.as_secs() });
        let result = match client.call("bdev_basalt_wait_sync", &params, WAIT_SLICE + CALL_TIMEOUT) {
            Err(ClientError::TimedOut { .. }) => continue,
            other => other?,
        };
        if result["done"] == Value::Bool(false) {
            continue;
        }
        output.answer(&result, || format!("{array}: nothing left to sync"));
        return Ok(Exit::Done);
    }
}
