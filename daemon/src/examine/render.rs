//! What was seen, as text for people.

use std::time::Duration;

use raid::Level;
use raid::format::{COPY_OFFSETS, DATA_OFFSET_MIN, Damage, RecordState, ShutDown, Superblock};

use super::json::{consistency_name, copy_name, hex, on_failed_name};
use super::sight::{Log, LogSummary, Sight};
use crate::paint::{Paint, Style};
use crate::table::{Align, Cell, Table};
use crate::units;

/// Of damaged log sectors and bad blocks, so many are listed.
const LISTED_MAX: usize = 20;

/// The whole report.
pub fn report(sight: &Sight, paint: Paint) -> String {
    let mut parts = vec![headline(sight, paint)];
    if sight.copies.iter().any(is_ours) {
        parts.push(copies(sight, paint));
    }
    if sight.salvaged.is_some() {
        parts.push(
            "What can be made out of the damaged superblock; none of it is to be relied upon:\n".to_owned(),
        );
    }
    if let Some(sb) = sight.superblock().or(sight.salvaged.as_ref()) {
        parts.push(array(sb, paint));
        parts.push(members(sb, paint));
        parts.extend(bad_blocks(sb, paint));
        parts.extend(events(sb, paint));
    }
    if sight.superblock().is_some() {
        parts.push(log(&sight.log, paint));
    }
    let hints = hints(sight, paint);
    if !hints.is_empty() {
        parts.push(hints);
    }
    parts.join("\n")
}

fn is_ours(copy: &Result<Superblock, Damage>) -> bool {
    !copy.as_ref().is_err_and(Damage::is_nothing)
}

fn headline(sight: &Sight, paint: Paint) -> String {
    let what = match (sight.superblock(), sight.foreign) {
        (Some(sb), _) => format!("member {} of the {} array {}", sb.slot, sb.shape.level, sb.name),
        (None, _) if sight.copies.iter().any(is_ours) => {
            "a member whose superblock is not to be believed".to_owned()
        }
        (None, Some(foreign)) => format!("no Basalt superblock; it holds {foreign}"),
        (None, None) => "no Basalt superblock, and nothing else where it would be".to_owned(),
    };
    let path = paint.apply(Style::Bold, &sight.path);
    format!("{path}  {} of {}: {what}\n", sight.kind, units::size(sight.bytes))
}

fn heading(title: &str, paint: Paint) -> String {
    format!("{}\n", paint.apply(Style::Bold, title))
}

fn copies(sight: &Sight, paint: Paint) -> String {
    let columns =
        [("COPY", Align::Left), ("AT", Align::Left), ("VERSION", Align::Right), ("STATE", Align::Left)];
    let mut table = Table::new(2, &columns);
    for (index, (copy, offset)) in sight.copies.iter().zip(COPY_OFFSETS).enumerate() {
        let state = match copy {
            Ok(_) if sight.used == Some(index) => Cell::styled("used", Style::Good),
            Ok(_) => "good, and not newer".into(),
            Err(damage) => Cell::styled(damage.to_string(), Style::Bad),
        };
        let version = copy.as_ref().map_or("-".to_owned(), |sb| sb.version.to_string());
        table.row(vec![copy_name(index).into(), units::size(offset).into(), version.into(), state]);
    }
    heading("Superblock", paint) + &table.render(paint)
}

fn array(sb: &Superblock, paint: Paint) -> String {
    let mut lines = heading("Array", paint);
    for (name, value) in facts(sb) {
        let name = paint.apply(Style::Dim, &format!("{name:<11}"));
        lines.push_str(&format!("  {name} {value}\n"));
    }
    lines
}

fn facts(sb: &Superblock) -> Vec<(&'static str, String)> {
    let size = |blocks: u64| units::size(blocks.saturating_mul(u64::from(sb.shape.block_size)));
    let state = match sb.shut_down {
        ShutDown::Clean => "stopped cleanly",
        ShutDown::Unclean => "not stopped: it is running, or was cut off",
    };
    let generations: Vec<String> = sb.history.iter().take(3).map(ToString::to_string).collect();
    let before = match sb.history.len() {
        0 => "the first".to_owned(),
        n if n > generations.len() => format!("after {} and {} more", generations.join(", "), n - 3),
        _ => format!("after {}", generations.join(", ")),
    };
    let mut facts = vec![
        ("name", sb.name.clone()),
        ("uuid", sb.array.to_string()),
        ("shape", shape(sb)),
        ("size", format!("{} in regions of {}", size(sb.shape.num_blocks), size(sb.shape.region_blocks))),
        ("data", format!("from {} on", size(sb.shape.data_offset_blocks))),
        ("state", format!("{state}; version {}, epoch {}", sb.version, sb.epoch)),
        ("generation", format!("{}, {before}", sb.generation)),
        ("host", format!("{}, last heard of {}", sb.host, units::instant(sb.heartbeat_ms))),
        ("policy", policy(sb)),
    ];
    if let Some(checkpoint) = sb.checkpoint {
        let done = format!("{} of {}", size(checkpoint.position_blocks), size(sb.shape.num_blocks));
        facts.push(("rebuild", format!("slot {}, done up to {done}", checkpoint.slot)));
    }
    let unknown = sb.features.unknown();
    if unknown.read_only_compatible != 0 || unknown.compatible != 0 {
        let (compatible, read_only) = (unknown.compatible, unknown.read_only_compatible);
        facts.push(("features", format!("unknown: compatible {compatible:#x}, read-only {read_only:#x}")));
    }
    facts
}

fn shape(sb: &Superblock) -> String {
    let mut shape = format!("{} of {}", sb.shape.level, units::count(sb.members.len(), "member"));
    if let Level::Raid10 { near } = sb.shape.level {
        shape.push_str(&format!(", near={near}"));
    }
    shape.push_str(&format!(", {} B blocks", sb.shape.block_size));
    if sb.shape.chunk_blocks > 0 {
        let chunk_bytes = sb.shape.chunk_blocks * u64::from(sb.shape.block_size);
        shape.push_str(&format!(", chunk {}", units::size(chunk_bytes)));
    }
    shape
}

fn policy(sb: &Superblock) -> String {
    let policy = &sb.policy;
    let span = |ms| humantime::format_duration(Duration::from_millis(ms)).to_string();
    let start = policy.start_degraded_after_ms.map_or("never".to_owned(), span);
    format!(
        "consistency {}, on_failed {}, max_errors read {} write {}, member_timeout {}, start_degraded_after {start}",
        consistency_name(policy.consistency),
        on_failed_name(policy.on_failed),
        policy.limits.read,
        policy.limits.write,
        span(policy.member_timeout_ms),
    )
}

fn members(sb: &Superblock, paint: Paint) -> String {
    let columns = [
        ("SLOT", Align::Right),
        ("DRIVE", Align::Left),
        ("STATE", Align::Left),
        ("SIZE", Align::Left),
        ("FLUSH", Align::Left),
        ("READ ERRORS", Align::Right),
        ("WRITE ERRORS", Align::Right),
        ("SERIAL", Align::Left),
        ("UUID", Align::Left),
    ];
    let mut table = Table::new(2, &columns);
    for (slot, member) in sb.members.iter().enumerate() {
        let style = match member.state {
            RecordState::InSync => Style::Good,
            RecordState::Rebuilding | RecordState::Missing => Style::Warn,
            RecordState::Faulty => Style::Bad,
        };
        let state = Cell::styled(member.state.name(), style);
        let dash = || Cell::from("-");
        let mut row = vec![Cell::from(slot.to_string())];
        if member.is_filled() {
            let bytes = member.blocks.saturating_mul(u64::from(sb.shape.block_size));
            row.extend([or_dash(&member.drive), state, units::size(bytes).into()]);
            row.push(if member.flushes { "yes" } else { "not needed" }.into());
            row.extend([member.read_errors, member.write_errors].map(|n| n.to_string().into()));
            row.extend([or_dash(&member.serial), member.uuid.to_string().into()]);
        } else {
            row.extend([dash(), state, dash(), dash(), dash(), dash(), dash(), dash()]);
        }
        table.row(row);
    }
    heading("Members, as this drive knows them", paint) + &table.render(paint)
}

fn or_dash(text: &str) -> Cell {
    if text.is_empty() { "-".into() } else { text.into() }
}

fn bad_blocks(sb: &Superblock, paint: Paint) -> Option<String> {
    let columns = [("SLOT", Align::Right), ("FIRST BLOCK", Align::Right), ("BLOCKS", Align::Right)];
    let mut table = Table::new(2, &columns);
    for bad in sb.bad_blocks.iter().take(LISTED_MAX) {
        table.row(vec![
            bad.slot.to_string().into(),
            bad.lba.to_string().into(),
            bad.blocks.to_string().into(),
        ]);
    }
    let text = heading("Bad blocks", paint) + &table.render(paint) + &and_more(sb.bad_blocks.len());
    (!sb.bad_blocks.is_empty()).then_some(text)
}

fn and_more(count: usize) -> String {
    match count.checked_sub(LISTED_MAX) {
        None | Some(0) => String::new(),
        Some(more) => format!("  and {more} more: --json lists them all\n"),
    }
}

fn events(sb: &Superblock, paint: Paint) -> Option<String> {
    let columns = [
        ("EVENT", Align::Right),
        ("TIME", Align::Left),
        ("EPOCH", Align::Right),
        ("SLOT", Align::Right),
        ("CODE", Align::Right),
        ("DETAIL", Align::Left),
    ];
    let mut table = Table::new(2, &columns);
    for event in &sb.events {
        table.row(vec![
            event.seq.to_string().into(),
            units::instant(event.time_ms).into(),
            event.epoch.to_string().into(),
            event.slot.map_or("-".to_owned(), |slot| slot.to_string()).into(),
            event.code.to_string().into(),
            hex(&event.detail).into(),
        ]);
    }
    (!sb.events.is_empty()).then(|| heading("Events", paint) + &table.render(paint))
}

fn log(log: &Log, paint: Paint) -> String {
    let heading = heading("Dirty log", paint);
    let Log::Summary(sum) = log else { return heading + "  none was written\n" };
    let mut text = format!("{heading}  regions: {}\n", regions(sum));
    for (page, sector, damage) in sum.sectors.iter().take(LISTED_MAX) {
        let damage = paint.apply(Style::Bad, &damage.to_string());
        text.push_str(&format!("  page {page}, sector {sector}: {damage}\n"));
    }
    text + &and_more(sum.sectors.len())
}

fn regions(sum: &LogSummary) -> String {
    let counts = [
        (sum.unwritten, "unwritten"),
        (sum.clean, "clean"),
        (sum.dirty, "dirty"),
        (sum.need_sync, "need sync"),
        (sum.syncing, "syncing"),
        (sum.damaged, "damaged"),
    ];
    let shown = counts.iter().filter(|(n, _)| *n > 0).map(|(n, name)| format!("{n} {name}"));
    shown.collect::<Vec<_>>().join(", ")
}

/// What to make of it, and what to do.
fn hints(sight: &Sight, paint: Paint) -> String {
    let hints = match sight.superblock() {
        Some(sb) => hints_for_member(sight, sb),
        None => vec![hint_for_stranger(sight).to_owned()],
    };
    hints.iter().map(|hint| format!("{} {hint}\n", paint.apply(Style::Warn, "!"))).collect()
}

fn hints_for_member(sight: &Sight, sb: &Superblock) -> Vec<String> {
    let mut hints = Vec::new();
    if let Some(foreign) = sight.foreign {
        hints.push(format!("something else has written here since: it also holds {foreign}"));
    }
    if sight.copies.iter().any(Result::is_err) {
        hints.push("one copy is not good; the array writes it anew with its next change".to_owned());
    }
    if sight.bytes < sb.member().blocks.saturating_mul(u64::from(sb.shape.block_size)) {
        hints.push("it is smaller than the member was: the end is missing".to_owned());
    }
    hints
}

fn hint_for_stranger(sight: &Sight) -> &'static str {
    if sight.copies.iter().any(|copy| copy.as_ref().is_err_and(Damage::is_too_new)) {
        return "it belongs to another version of Basalt: use that one, and write nothing here";
    }
    if sight.copies.iter().any(is_ours) {
        return "this drive can't be used as a member now; if its array runs without it, add it again: \
                basalt member add ARRAY DRIVE --overwrite";
    }
    if sight.bytes <= DATA_OFFSET_MIN {
        return "it is too small for a member: the metadata alone takes 8 MiB";
    }
    match sight.foreign {
        Some(_) => {
            "it is not a member; to use it as one, and lose what it holds: \
             basalt member add ARRAY DRIVE --overwrite"
        }
        None => "it is not a member, and free to become one",
    }
}
