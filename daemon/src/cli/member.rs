//! `basalt member`: changes of membership.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Exit;
use super::args::MemberCommand;
use super::names::resolve;
use super::output::Output;
use crate::client::{CALL_TIMEOUT, Client};
use crate::status::model::Array;

/// Runs one of them.
pub fn run(client: &mut Client, command: &MemberCommand, output: &Output) -> Result<Exit> {
    let (method, params, done) = match command {
        MemberCommand::Add { array, drive, overwrite } => {
            let drive = any_bdev(client, drive)?;
            let done = format!("added {drive} to {array}");
            ("bdev_basalt_add_member", with_flag(array, &drive, "overwrite", *overwrite), done)
        }
        MemberCommand::Fail { array, drive } => {
            let drive = member_of(client, array, drive)?;
            let done = format!("failed {drive} in {array}");
            ("bdev_basalt_fail_member", json!({ "name": array, "drive": drive }), done)
        }
        MemberCommand::Remove { array, drive, wipe } => {
            let drive = member_of(client, array, drive)?;
            let done = format!("removed {drive} from {array}");
            ("bdev_basalt_remove_member", with_flag(array, &drive, "wipe", *wipe), done)
        }
        MemberCommand::Replace { array, drive, with } => {
            let drive = member_of(client, array, drive)?;
            let with = with.as_deref().map(|new| any_bdev(client, new)).transpose()?;
            let done = format!("replacing {drive} in {array}");
            ("bdev_basalt_replace_member", json!({ "name": array, "drive": drive, "with": with }), done)
        }
    };
    let change = client.call(method, &params, CALL_TIMEOUT)?;
    output.answer(&change, || describe(&done, &change));
    Ok(Exit::Done)
}

/// A flag that is off is left out.
fn with_flag(array: &str, drive: &str, flag: &str, on: bool) -> Value {
    let mut params = json!({ "name": array, "drive": drive });
    if on {
        params[flag] = json!(true);
    }
    params
}

/// `failed d1 in data (epoch 4)`, or what it still waits for.
pub fn describe(done: &str, change: &Value) -> String {
    let epoch = change["epoch"].as_u64().map_or_else(String::new, |epoch| format!(" (epoch {epoch})"));
    if change["took_effect"].as_bool().unwrap_or(true) {
        return format!("{done}{epoch}");
    }
    let waiting_on = match &change["waiting_on"] {
        Value::Null => "nothing that it names".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) => list
            .iter()
            .map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join(", "),
        other => other.to_string(),
    };
    format!("{done}{epoch}; accepted, it takes effect once this is through: {waiting_on}")
}

fn member_of(client: &mut Client, array: &str, drive: &str) -> Result<String> {
    let arrays: Vec<Array> = client.get("bdev_basalt_get_arrays", &json!({ "name": array }))?;
    let array = arrays.first().context("the daemon answered without the array")?;
    resolve(drive, array.members.iter().filter_map(|member| member.drive.as_deref()))
}

/// The bdev that is meant by `drive`, of all that the daemon has open.
pub fn any_bdev(client: &mut Client, drive: &str) -> Result<String> {
    let bdevs: Vec<Value> = client.get("bdev_get_bdevs", &Value::Null)?;
    resolve(drive, bdevs.iter().filter_map(|bdev| bdev["name"].as_str()))
}
