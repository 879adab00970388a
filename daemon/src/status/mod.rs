//! `basalt status` and `basalt array show`.

mod hint;
pub mod model;
mod render;
#[cfg(test)]
mod tests;

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::cli::{Exit, Output};
use crate::client::{Client, ClientError};
use crate::units;
pub use hint::named;
use model::{Array, ArrayState, Subsystem};
use render::Snapshot;

/// How often `--watch` looks.
const WATCH_PERIOD: Duration = Duration::from_secs(1);

/// Prints the status once.
pub fn once(client: &mut Client, array: Option<&str>, output: &Output) -> Result<Exit> {
    let (raw, snapshot) = fetch(client, array)?;
    output.answer(&json!({ "arrays": raw }), || render::screen(&snapshot, output.paint()));
    Ok(exit(&snapshot.arrays))
}

/// Prints the status again and again, on a screen of its own when there is a terminal, until Ctrl-C. A daemon
/// that is gone is waited for.
pub fn watch(socket: &Path, array: Option<&str>) -> Result<Exit> {
    let output = Output::new(false);
    let clear = if std::io::stdout().is_terminal() { "\u{1b}[H\u{1b}[2J" } else { "" };
    loop {
        let screen = match Client::connect(socket).map_err(Into::into).and_then(|mut c| fetch(&mut c, array))
        {
            Ok((_, snapshot)) => render::screen(&snapshot, output.paint()),
            Err(error) if error.is::<ClientError>() => format!("{error:#}\n"),
            Err(error) => return Err(error),
        };
        let mut stdout = std::io::stdout().lock();
        let heading = format!("{} on {}", now(), socket.display());
        if writeln!(stdout, "{clear}{heading}\n\n{screen}").and_then(|()| stdout.flush()).is_err() {
            return Ok(Exit::Done);
        }
        std::thread::sleep(WATCH_PERIOD);
    }
}

/// Prints one array in full.
pub fn show(client: &mut Client, array: &str, output: &Output) -> Result<Exit> {
    let raw: Value = client.get("bdev_basalt_get_arrays", &json!({ "name": array }))?;
    let arrays: Vec<Array> = parse(&raw)?;
    let shown = arrays.first().context("the daemon answered without the array")?;
    output.answer(&raw[0], || {
        let facts = [
            format!("uuid            {}", shown.uuid),
            format!("blocks          {} of {} B", shown.num_blocks, shown.block_size),
            format!("dirty regions   {}", shown.dirty_regions),
            format!("quiesces        {}", shown.quiesces),
        ];
        format!("{}  {}\n", render::array(shown, output.paint()), facts.join("\n  "))
    });
    Ok(exit(&arrays))
}

/// 0 when every array is as it should be, 3 when one needs attention.
fn exit(arrays: &[Array]) -> Exit {
    if arrays.iter().all(|array| array.state == ArrayState::Active) { Exit::Done } else { Exit::Attention }
}

/// Asks for arrays and exports; the arrays as they came, too.
fn fetch(client: &mut Client, array: Option<&str>) -> Result<(Value, Snapshot)> {
    let params = array.map_or_else(|| json!({}), |name| json!({ "name": name }));
    let raw: Value = client.get("bdev_basalt_get_arrays", &params)?;
    let arrays: Vec<Array> = parse(&raw)?;
    let mut exports: Vec<Subsystem> = client.get("nvmf_get_subsystems", &Value::Null)?;
    exports.retain(|export| export.is_export() && array.is_none_or(|name| shows(export, name)));
    for export in &mut exports {
        let hosts: Vec<Value> =
            client.get("nvmf_subsystem_get_controllers", &json!({ "nqn": export.nqn }))?;
        export.connected = hosts.len();
    }
    Ok((raw, Snapshot { arrays, exports }))
}

fn shows(export: &Subsystem, array: &str) -> bool {
    export.namespaces.iter().any(|namespace| namespace.bdev_name == array)
}

fn parse(raw: &Value) -> Result<Vec<Array>> {
    serde_json::from_value(raw.clone()).context(
        "the daemon describes its arrays in a way that this client does not know; compare `basalt --version` \
         of both",
    )
}

fn now() -> String {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    units::instant(u64::try_from(since.as_millis()).unwrap_or(0) / 1000 * 1000).replace(".000Z", "Z")
}
