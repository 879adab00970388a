//! Steps that make arrays.

use basalt_config::{Array, Config, Layout, Member, Metadata, OnFailed};
use serde_json::{Value, json};

use super::{Learn, Made, SLOW, Step, bdev_name};
use crate::identity;

pub(super) fn steps(config: &Config) -> Vec<Step> {
    config.arrays_in_build_order().into_iter().map(|array| create(config, array)).collect()
}

fn create(config: &Config, array: &Array) -> Step {
    let name = &array.name.value;
    let members: Vec<Option<String>> = array.members.iter().map(|m| member_bdev(config, m)).collect();
    let shown: Vec<&str> = array.members.iter().map(|m| m.name().unwrap_or("missing")).collect();
    Step {
        what: format!("array {name}: {} of {}", array.level.value, shown.join(" ")),
        method: "bdev_basalt_create",
        params: json!({
            "name": name,
            "level": array.level.name(),
            "members": members,
            "spares": array.spares.iter().map(|s| drive_bdev(config, s)).collect::<Vec<_>>(),
            "chunk_kb": array.chunk.as_ref().map(|chunk| chunk.get() >> 10),
            "layout": layout(array),
            "consistency": array.consistency.name(),
            "region_kb": array.region.as_ref().map(|region| region.get() >> 10),
            "metadata": match array.metadata.value {
                Metadata::Drives => "drives",
                Metadata::None => "none",
            },
            "member_timeout_ms": millis(array.member_timeout.value),
            "on_failed": match array.on_failed.value {
                OnFailed::Error => "error",
                OnFailed::Wait => "wait",
            },
            "assume_durable": durable_members(config, array),
            "max_errors": { "read": array.max_errors.read.value, "write": array.max_errors.write.value },
            "uuid": identity::array_uuid(name).hyphenated().to_string(),
        }),
        fills: Vec::new(),
        learns: Some(Learn::ArrayUuid(name.clone())),
        timeout: SLOW,
        place: array.place.clone(),
        makes: Some(Made::Array { name: name.clone() }),
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

fn layout(array: &Array) -> Value {
    match array.layout.value {
        Layout::Plain => Value::Null,
        Layout::Near(copies) => json!(format!("near={copies}")),
        Layout::Parity(layout) => json!(layout.name()),
    }
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
