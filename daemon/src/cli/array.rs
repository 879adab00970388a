//! `basalt array`: the life of an array.

use anyhow::Result;
use serde_json::{Map, Value, json};

use super::Exit;
use super::args::{ArrayCommand, CreateArgs, Existing, PolicyArgs, SetArgs};
use super::member::{any_bdev, describe};
use super::output::Output;
use crate::client::Client;
use crate::identity;

/// Arrays are assembled from their drives' metadata and wait for I/O to end: more time than a quick call.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(60);

/// Runs one of them.
pub fn run(client: &mut Client, command: &ArrayCommand, output: &Output) -> Result<Exit> {
    let (method, params, done) = match command {
        ArrayCommand::Create(args) => {
            ("bdev_basalt_create", create_params(client, args)?, format!("created {}", args.array))
        }
        ArrayCommand::Delete { array } => {
            ("bdev_basalt_delete", json!({ "name": array }), format!("deleted {array}"))
        }
        ArrayCommand::Start { array, degraded, force } => {
            let params = json!({ "name": array, "degraded": degraded, "force": force });
            ("bdev_basalt_start", params, format!("started {array}"))
        }
        ArrayCommand::Stop { array } => {
            ("bdev_basalt_stop", json!({ "name": array }), format!("stopped {array}"))
        }
        ArrayCommand::Resolve { array, keep } => (
            "bdev_basalt_resolve",
            json!({ "name": array, "keep": any_bdev(client, keep)? }),
            format!("{array} keeps the side of {keep}"),
        ),
        ArrayCommand::Set(args) => {
            ("bdev_basalt_set_options", set_params(args), format!("set up {}", args.array))
        }
        ArrayCommand::Show { .. } => unreachable!("`status` shows arrays"),
    };
    let result = client.call(method, &params, TIMEOUT)?;
    output.answer(&result, || match (result["state"].as_str(), result["uuid"].as_str()) {
        (Some("assembling"), _) => format!("accepted; {}", result["why"].as_str().unwrap_or("it waits")),
        (_, Some(uuid)) => format!("{done} (uuid {uuid})"),
        (_, None) => describe(&done, &result),
    });
    Ok(Exit::Done)
}

/// Parameters of `bdev_basalt_create`. What was not said is left out: the daemon has the defaults.
fn create_params(client: &mut Client, args: &CreateArgs) -> Result<Value> {
    let mut members = Vec::new();
    for member in &args.members {
        members.push(if member == "missing" { Value::Null } else { json!(any_bdev(client, member)?) });
    }
    let mut params = Map::new();
    params.insert("name".into(), json!(args.array));
    params.insert("level".into(), json!(args.level));
    params.insert("members".into(), json!(members));
    if args.metadata.as_deref() == Some("none") {
        params.insert("uuid".into(), json!(identity::array_uuid(&args.array).hyphenated().to_string()));
    } else {
        let existing = if args.overwrite { Existing::Overwrite } else { args.existing };
        params.insert("existing".into(), json!(existing.as_str()));
        params.insert("start_degraded_after_ms".into(), json!(args.start_degraded_after.ms()));
    }
    if !args.spares.is_empty() {
        let spares: Result<Vec<String>> = args.spares.iter().map(|spare| any_bdev(client, spare)).collect();
        params.insert("spares".into(), json!(spares?));
    }
    if !args.assume_durable.is_empty() {
        let durable: Result<Vec<String>> = args.assume_durable.iter().map(|d| any_bdev(client, d)).collect();
        params.insert("assume_durable".into(), json!(durable?));
    }
    insert_some(&mut params, "chunk_kb", args.chunk.map(|bytes| bytes >> 10));
    insert_some(&mut params, "layout", args.layout.as_deref());
    insert_some(&mut params, "consistency", args.consistency.as_deref());
    insert_some(&mut params, "region_kb", args.region.map(|bytes| bytes >> 10));
    insert_some(&mut params, "metadata", args.metadata.as_deref());
    insert_policy(&mut params, &args.policy);
    Ok(Value::Object(params))
}

fn set_params(args: &SetArgs) -> Value {
    let mut params = Map::new();
    params.insert("name".into(), json!(args.array));
    insert_policy(&mut params, &args.policy);
    let mut sync = Map::new();
    insert_some(&mut sync, "min_rate_bytes_per_s", args.min_rate);
    insert_some(&mut sync, "max_rate_bytes_per_s", args.max_rate);
    if !sync.is_empty() {
        params.insert("sync".into(), Value::Object(sync));
    }
    Value::Object(params)
}

fn insert_policy(params: &mut Map<String, Value>, policy: &PolicyArgs) {
    insert_some(params, "member_timeout_ms", policy.member_timeout);
    insert_some(params, "on_failed", policy.on_failed.map(|on| on.as_str()));
    let mut max_errors = Map::new();
    insert_some(&mut max_errors, "read", policy.max_read_errors);
    insert_some(&mut max_errors, "write", policy.max_write_errors);
    if !max_errors.is_empty() {
        params.insert("max_errors".into(), Value::Object(max_errors));
    }
}

fn insert_some(params: &mut Map<String, Value>, key: &str, value: Option<impl serde::Serialize>) {
    if let Some(value) = value {
        params.insert(key.to_owned(), json!(value));
    }
}
