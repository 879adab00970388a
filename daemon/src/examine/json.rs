//! What was seen, as JSON.

use raid::format::{COPY_OFFSETS, Consistency, EventRecord, MemberRecord, Policy, ShutDown, Superblock};
use raid::view::OnFailed;
use raid::{Level, Slot};
use serde_json::{Value, json};

use super::sight::{Log, Sight};

/// The whole report.
pub fn report(sight: &Sight) -> Value {
    let copies = sight.copies.iter().zip(COPY_OFFSETS).enumerate().map(|(index, (copy, offset))| {
        json!({
            "copy": copy_name(index),
            "offset_bytes": offset,
            "used": sight.used == Some(index),
            "version": copy.as_ref().ok().map(|sb| sb.version),
            "damage": copy.as_ref().err().map(ToString::to_string),
        })
    });
    json!({
        "path": sight.path,
        "kind": sight.kind,
        "bytes": sight.bytes,
        "copies": copies.collect::<Vec<_>>(),
        "superblock": sight.superblock().map(superblock),
        "salvaged": sight.salvaged.as_ref().map(superblock),
        "log": log(&sight.log),
        "foreign": sight.foreign.map(|foreign| foreign.to_string()),
    })
}

/// `A` or `B`.
pub fn copy_name(index: usize) -> &'static str {
    ["A", "B"][index]
}

fn superblock(sb: &Superblock) -> Value {
    let near = if let Level::Raid10 { near } = sb.shape.level { Some(near) } else { None };
    let members = sb.members.iter().enumerate().map(|(slot, record)| member(slot, record));
    json!({
        "version": sb.version,
        "array": { "uuid": sb.array.to_string(), "name": sb.name },
        "slot": sb.slot.0,
        "level": sb.shape.level.to_string(),
        "near": near,
        "block_size": sb.shape.block_size,
        "chunk_blocks": sb.shape.chunk_blocks,
        "region_blocks": sb.shape.region_blocks,
        "data_offset_blocks": sb.shape.data_offset_blocks,
        "num_blocks": sb.shape.num_blocks,
        "epoch": sb.epoch.0,
        "generation": sb.generation.to_string(),
        "history": sb.history.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "clean": sb.shut_down == ShutDown::Clean,
        "policy": policy(&sb.policy),
        "host": sb.host.to_string(),
        "heartbeat_ms": sb.heartbeat_ms,
        "features": {
            "compatible": sb.features.compatible,
            "read_only_compatible": sb.features.read_only_compatible,
            "incompatible": sb.features.incompatible,
        },
        "members": members.collect::<Vec<_>>(),
        "checkpoint": sb.checkpoint.map(|checkpoint| json!({
            "slot": checkpoint.slot.0,
            "position_blocks": checkpoint.position_blocks,
        })),
        "bad_blocks": sb.bad_blocks.iter().map(|bad| json!({
            "slot": bad.slot.0, "lba": bad.lba, "blocks": bad.blocks,
        })).collect::<Vec<_>>(),
        "last_event": sb.last_event,
        "events": sb.events.iter().map(event).collect::<Vec<_>>(),
    })
}

fn policy(policy: &Policy) -> Value {
    json!({
        "consistency": consistency_name(policy.consistency),
        "on_failed": on_failed_name(policy.on_failed),
        "max_errors": { "read": policy.limits.read, "write": policy.limits.write },
        "member_timeout_ms": policy.member_timeout_ms,
        "start_degraded_after_ms": policy.start_degraded_after_ms,
    })
}

pub fn consistency_name(consistency: Consistency) -> &'static str {
    match consistency {
        Consistency::None => "none",
        Consistency::Bitmap => "bitmap",
        Consistency::Log => "log",
    }
}

pub fn on_failed_name(on_failed: OnFailed) -> &'static str {
    match on_failed {
        OnFailed::Error => "error",
        OnFailed::Wait => "wait",
    }
}

fn member(slot: usize, record: &MemberRecord) -> Value {
    if !record.is_filled() {
        return json!({ "slot": slot, "state": record.state.name() });
    }
    json!({
        "slot": slot,
        "state": record.state.name(),
        "uuid": record.uuid.to_string(),
        "drive": record.drive,
        "serial": record.serial,
        "nguid": hex(&record.nguid),
        "blocks": record.blocks,
        "flushes": record.flushes,
        "read_errors": record.read_errors,
        "write_errors": record.write_errors,
    })
}

fn event(event: &EventRecord) -> Value {
    json!({
        "seq": event.seq,
        "time_ms": event.time_ms,
        "epoch": event.epoch.0,
        "code": event.code,
        "slot": event.slot.map(|Slot(slot)| slot),
        "detail": hex(&event.detail),
    })
}

fn log(log: &Log) -> Value {
    let Log::Summary(sum) = log else { return Value::Null };
    let sectors = sum.sectors.iter().map(
        |(page, sector, damage)| json!({ "page": page, "sector": sector, "damage": damage.to_string() }),
    );
    json!({
        "regions": {
            "unwritten": sum.unwritten,
            "clean": sum.clean,
            "dirty": sum.dirty,
            "need_sync": sum.need_sync,
            "syncing": sum.syncing,
            "damaged": sum.damaged,
        },
        "damaged_sectors": sectors.collect::<Vec<_>>(),
    })
}

/// Bytes as hex digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
