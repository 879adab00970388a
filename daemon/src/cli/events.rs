//! `basalt events`: what happened, array by array.

use std::time::Duration;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Exit;
use super::output::Output;
use crate::client::{CALL_TIMEOUT, Client};
use crate::status::model::Array;
use crate::table::{Align, Table};
use crate::units;

/// Answer of `bdev_basalt_get_events`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Page {
    /// The oldest event that the daemon still has.
    #[serde(default)]
    pub first_available: u64,
    /// Those after `since`.
    pub events: Vec<Event>,
}

/// One event. Numbers have no gaps within their array.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Event {
    /// None: no member could record it.
    #[serde(default)]
    pub seq: Option<u64>,
    pub time_ms: u64,
    #[serde(default)]
    pub array: String,
    pub kind: String,
    #[serde(default)]
    pub text: String,
    #[serde(flatten)]
    pub rest: serde_json::Map<String, Value>,
}

/// How many events one call brings.
const PAGE_MAX: u64 = 500;
/// How long the daemon holds a call back while nothing happens.
const WAIT: Duration = Duration::from_secs(20);

/// Prints the events of one array, or of all.
pub fn run(
    client: &mut Client,
    array: Option<&str>,
    since: u64,
    follow: bool,
    output: &Output,
) -> Result<Exit> {
    let arrays = match array {
        Some(array) => vec![array.to_owned()],
        None => names(client)?,
    };
    if follow {
        let [array] = &arrays[..] else {
            bail!(
                "there are {}; say which one to follow: {}",
                units::count(arrays.len(), "array"),
                arrays.join(", ")
            );
        };
        return self::follow(client, array, since, output);
    }
    let mut all = Page { first_available: u64::MAX, events: Vec::new() };
    for array in &arrays {
        let page = read_all(client, array, since)?;
        all.first_available = all.first_available.min(page.first_available);
        all.events.extend(page.events);
    }
    if arrays.is_empty() {
        all.first_available = 0;
    }
    all.events.sort_by_key(|event| event.time_ms);
    output.answer(&json!(all), || text(&all, since, arrays.len() == 1));
    Ok(Exit::Done)
}

fn names(client: &mut Client) -> Result<Vec<String>> {
    let arrays: Vec<Array> = client.get("bdev_basalt_get_arrays", &json!({}))?;
    Ok(arrays.into_iter().map(|array| array.name).collect())
}

fn read_all(client: &mut Client, array: &str, since: u64) -> Result<Page> {
    let mut all = page(client, array, since, Duration::ZERO)?;
    let mut last_page = all.events.len();
    while last_page as u64 >= PAGE_MAX {
        let next = all.events.iter().rev().find_map(|event| event.seq).unwrap_or(since);
        let more = page(client, array, next, Duration::ZERO)?;
        last_page = more.events.len();
        all.events.extend(more.events);
    }
    Ok(all)
}

fn page(client: &mut Client, array: &str, since: u64, wait: Duration) -> Result<Page> {
    let params = json!({ "name": array, "since": since, "wait_s": wait.as_secs(), "max": PAGE_MAX });
    let answer = client.call("bdev_basalt_get_events", &params, wait + CALL_TIMEOUT)?;
    Ok(serde_json::from_value(answer)?)
}

fn follow(client: &mut Client, array: &str, since: u64, output: &Output) -> Result<Exit> {
    let mut last = since;
    loop {
        let page = page(client, array, last, WAIT)?;
        if last > 0 && page.first_available > last + 1 {
            eprintln!("events {} to {} are no longer kept", last + 1, page.first_available - 1);
        }
        for event in &page.events {
            output.line(&json!(event), || line(event));
            last = event.seq.unwrap_or(last);
        }
    }
}

fn line(event: &Event) -> String {
    format!(
        "{:>5}  {}  {}  {}  {}",
        number(event),
        units::instant(event.time_ms),
        event.array,
        event.kind,
        event.text
    )
}

/// An event that no member could record has no number.
fn number(event: &Event) -> String {
    event.seq.map_or_else(|| "-".to_owned(), |seq| seq.to_string())
}

/// A table of the events; says so when older ones are gone.
fn text(page: &Page, since: u64, one_array: bool) -> String {
    if page.events.is_empty() {
        return "no events".to_owned();
    }
    let mut table = Table::new(
        0,
        &[
            ("NO", Align::Right),
            ("TIME", Align::Left),
            ("ARRAY", Align::Left),
            ("KIND", Align::Left),
            ("WHAT", Align::Left),
        ],
    );
    for event in &page.events {
        table.row(vec![
            number(event).into(),
            units::instant(event.time_ms).into(),
            event.array.clone().into(),
            event.kind.clone().into(),
            event.text.clone().into(),
        ]);
    }
    let mut out = table.render(crate::paint::Paint::Off);
    if one_array && page.first_available > since + 1 {
        out.push_str(&format!("(events before {} are no longer kept)\n", page.first_available));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64, kind: &str, text: &str) -> Event {
        let extra = json!({ "slot": 1, "drive": "d1", "epoch": 3 });
        Event {
            seq: Some(seq),
            time_ms: 1_795_225_509_061 + seq,
            array: "data".into(),
            kind: kind.into(),
            text: text.into(),
            rest: extra.as_object().unwrap().clone(),
        }
    }

    #[test]
    fn a_table_of_events() {
        let events = vec![
            event(9, "array_started", "started with 2 of 2 members"),
            event(10, "member_failed", "d1: write error"),
        ];
        insta::assert_snapshot!(text(&Page { first_available: 9, events }, 0, true));
    }

    #[test]
    fn json_keeps_fields_that_text_does_not_show() {
        let printed = json!(event(1, "member_failed", "d1"));
        assert_eq!((&printed["slot"], &printed["drive"]), (&json!(1), &json!("d1")));
    }
}
