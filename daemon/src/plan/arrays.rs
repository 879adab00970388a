//! Steps that start arrays, or make them on drives that are all blank.

use std::time::Duration;

use basalt_config::{
    Array, Bytes, Config, Initial, Layout, Member, Metadata, OnFailed, Spanned, StartDegraded,
};
use serde_json::{Value, json};

use super::{Learn, Made, Needs, SLOW, Step, bdev_name};
use crate::identity;

pub(super) fn steps(config: &Config) -> Vec<Step> {
    config.arrays_in_build_order().into_iter().map(|array| create(config, array)).collect()
}

fn create(config: &Config, array: &Array) -> Step {
    let name = &array.name.value;
    let shown: Vec<&str> = array.members.iter().map(|m| m.name().unwrap_or("missing")).collect();
    Step {
        what: format!("array {name}: {} of {}", array.level.value, shown.join(" ")),
        method: "bdev_basalt_create",
        params: params(config, array),
        fills: Vec::new(),
        learns: Some(Learn::Array(name.clone())),
        timeout: SLOW,
        place: array.place.clone(),
        makes: Some(Made::Array { name: name.clone() }),
        needs: needs(array),
        may_fail: false,
    }
}

/// An array that keeps nothing on its drives can't wait for them: it waits to be made.
fn needs(array: &Array) -> Needs {
    let below = array.members.iter().filter_map(|member| match &member.value {
        Member::Array(name) => Some(name.clone()),
        Member::Drive(_) | Member::Missing => None,
    });
    match array.metadata.value {
        Metadata::Drives => Needs::Nothing,
        Metadata::None => Needs::All(below.collect()),
    }
}

/// What the file does not say is left out where the bdev module has the default.
fn params(config: &Config, array: &Array) -> Value {
    let mut params = json!({
        "name": array.name.value,
        "level": array.level.name(),
        "members": array.members.iter().map(|member| member_bdev(config, member)).collect::<Vec<_>>(),
        "metadata": match array.metadata.value {
            Metadata::Drives => "drives",
            Metadata::None => "none",
        },
        "on_failed": match array.on_failed.value {
            OnFailed::Error => "error",
            OnFailed::Wait => "wait",
        },
        "max_errors": { "read": array.max_errors.read.value, "write": array.max_errors.write.value },
        "member_timeout_ms": millis(array.member_timeout.value),
    });
    match array.metadata.value {
        // What it is, is on its drives.
        Metadata::Drives => {
            params["existing"] = json!("assemble");
            params["start_degraded_after_ms"] = match array.start_degraded.value {
                StartDegraded::After(time) => json!(millis(time)),
                StartDegraded::Never => Value::Null,
            };
        }
        Metadata::None => {
            params["uuid"] = json!(identity::array_uuid(&array.name).hyphenated().to_string());
        }
    }
    let spares: Vec<String> = array.spares.iter().map(|spare| drive_bdev(config, spare)).collect();
    let durable = durable_members(config, array);
    let kb = |size: &Spanned<Bytes>| json!(size.get() >> 10);
    let optional = [
        ("spares", (!spares.is_empty()).then(|| json!(spares))),
        ("assume_durable", (!durable.is_empty()).then(|| json!(durable))),
        ("chunk_kb", array.chunk.as_ref().map(kb)),
        ("layout", layout(array)),
        ("consistency", said(array, &array.consistency).map(|consistency| json!(consistency.name()))),
        ("region_kb", array.region.as_ref().map(kb)),
        ("data_offset_kb", array.data_offset.as_ref().map(kb)),
        ("initial", said(array, &array.initial).map(|initial| json!(initial_name(*initial)))),
    ];
    for (key, value) in optional {
        if let Some(value) = value {
            params[key] = value;
        }
    }
    params
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The value, if the file says it: a default has the place of its array.
fn said<'a, T>(array: &Array, value: &'a Spanned<T>) -> Option<&'a T> {
    (value.place != array.place).then_some(&value.value)
}

fn initial_name(initial: Initial) -> &'static str {
    match initial {
        Initial::Auto => "auto",
        Initial::Lazy => "lazy",
        Initial::Zero => "zero",
        Initial::AssumeClean => "assume_clean",
    }
}

/// The bdev of a member: an array's has the array's name.
fn member_bdev(config: &Config, member: &Member) -> Option<String> {
    match member {
        Member::Missing => None,
        Member::Drive(name) => Some(drive_bdev(config, name)),
        Member::Array(name) => Some(name.clone()),
    }
}

fn drive_bdev(config: &Config, name: &str) -> String {
    config.drive(name).map_or_else(|| name.to_owned(), |drive| bdev_name(config, drive))
}

/// Members and spares of which the operator vouches that they can't lose what they acknowledged.
fn durable_members(config: &Config, array: &Array) -> Vec<String> {
    let members = array.members.iter().filter_map(|m| m.name());
    let spares = array.spares.iter().map(|s| s.as_str());
    members
        .chain(spares)
        .filter_map(|name| config.drive(name))
        .filter(|drive| drive.assume_durable.value)
        .map(|drive| bdev_name(config, drive))
        .collect()
}

fn layout(array: &Array) -> Option<Value> {
    match array.layout.value {
        Layout::Plain => None,
        Layout::Near(copies) => Some(json!(format!("near={copies}"))),
        Layout::Parity(layout) => Some(json!(layout.name())),
    }
}
