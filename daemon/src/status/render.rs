//! The status screen, from data to text. Pure, so that what it prints is a snapshot in the tests.

use crate::paint::{Paint, Style};
use crate::status::hint;
use crate::status::model::{Array, ArrayState, Job, Member, MemberState, Subsystem};
use crate::table::{Align, Cell, Table};
use crate::units;

/// Everything that one screen shows.
pub struct Snapshot {
    pub arrays: Vec<Array>,
    pub exports: Vec<Subsystem>,
}

/// The whole screen.
pub fn screen(snapshot: &Snapshot, paint: Paint) -> String {
    if snapshot.arrays.is_empty() && snapshot.exports.is_empty() {
        return "No arrays. Make one: basalt array create NAME --level raid1 --members DRIVE,DRIVE\n"
            .to_owned();
    }
    let mut parts: Vec<String> = snapshot.arrays.iter().map(|a| array(a, paint)).collect();
    if !snapshot.exports.is_empty() {
        parts.push(exports(&snapshot.exports, paint));
    }
    parts.join("\n")
}

/// One array: a line about it, its members, what runs, what to do.
pub fn array(array: &Array, paint: Paint) -> String {
    let mut out = headline(array, paint);
    out.push_str(&members(array, paint));
    for job in &array.jobs {
        out.push_str(&format!("  {}\n", job_line(job, array.block_size)));
    }
    for line in hint::for_array(array) {
        let mark = paint.apply(array_style(array.state), "!");
        out.push_str(&format!("  {mark} {line}\n"));
    }
    out
}

fn headline(array: &Array, paint: Paint) -> String {
    let mut facts = vec![array.level.clone(), paint.apply(array_style(array.state), array.state.as_str())];
    facts.push(units::size(array.bytes()));
    facts.push(format!("{} B blocks", array.block_size));
    if let Some(chunk_kb) = array.chunk_kb.filter(|kb| *kb > 0) {
        facts.push(format!("chunk {}", units::size(chunk_kb * 1024)));
    }
    if array.dirty_regions > 0 {
        facts.push(format!("{} dirty", units::count(array.dirty_regions as usize, "region")));
    }
    facts.push(format!("epoch {}", array.epoch));
    format!("{}  {}\n", paint.apply(Style::Bold, &array.name), facts.join(", "))
}

fn members(array: &Array, paint: Paint) -> String {
    let mut table = Table::new(
        2,
        &[
            ("SLOT", Align::Right),
            ("DRIVE", Align::Left),
            ("STATE", Align::Left),
            ("READ ERRORS", Align::Right),
            ("WRITE ERRORS", Align::Right),
        ],
    );
    for member in &array.members {
        table.row(vec![
            member.slot.map_or("-".to_owned(), |slot| slot.to_string()).into(),
            member.drive.clone().unwrap_or_else(|| "-".to_owned()).into(),
            Cell::styled(member.state.as_str(), member_style(member.state)),
            errors(member, member.read_errors),
            errors(member, member.write_errors),
        ]);
    }
    table.render(paint)
}

fn errors(member: &Member, n: u64) -> Cell {
    if member.state == MemberState::Missing {
        return "-".into();
    }
    Cell::styled(n.to_string(), if n == 0 { Style::Plain } else { Style::Warn })
}

fn job_line(job: &Job, block_size: u32) -> String {
    let percent = if job.total_blocks == 0 {
        0.0
    } else {
        job.position_blocks.min(job.total_blocks) as f64 * 100.0 / job.total_blocks as f64
    };
    let done = units::size(job.position_blocks.saturating_mul(u64::from(block_size)));
    let total = units::size(job.total_blocks.saturating_mul(u64::from(block_size)));
    let mut line = format!("{} {percent:.1} % ({done} of {total})", job.action);
    if job.state == "running" {
        line.push_str(&format!(", {}/s", units::size(job.rate_bytes_per_s)));
        if let Some(eta_s) = job.eta_s {
            line.push_str(&format!(", {} left", units::span(eta_s)));
        }
    } else {
        line.push_str(&format!(", {}", job.state));
        if !job.pause_reasons.is_empty() {
            line.push_str(&format!(" ({})", job.pause_reasons.join(", ")));
        }
    }
    if job.mismatches > 0 {
        line.push_str(&format!(", {} mismatches", job.mismatches));
    }
    line
}

fn exports(exports: &[Subsystem], paint: Paint) -> String {
    let mut table = Table::new(
        0,
        &[
            ("EXPORT", Align::Left),
            ("ADDRESS", Align::Left),
            ("NAMESPACES", Align::Left),
            ("HOSTS", Align::Left),
        ],
    );
    for export in exports {
        let addresses: Vec<String> = export.listen_addresses.iter().map(|l| l.url()).collect();
        let namespaces: Vec<String> =
            export.namespaces.iter().map(|ns| format!("{}: {}", ns.nsid, ns.bdev_name)).collect();
        let allowed =
            if export.allow_any_host { "any".to_owned() } else { format!("{} listed", export.hosts.len()) };
        table.row(vec![
            export.nqn.clone().into(),
            or_dash(addresses.join(" ")).into(),
            or_dash(namespaces.join(", ")).into(),
            format!("{allowed}, {} connected", export.connected).into(),
        ]);
    }
    table.render(paint)
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

fn array_style(state: ArrayState) -> Style {
    match state {
        ArrayState::Active => Style::Good,
        ArrayState::Degraded | ArrayState::Assembling => Style::Warn,
        ArrayState::Failed | ArrayState::Stopped => Style::Bad,
    }
}

fn member_style(state: MemberState) -> Style {
    match state {
        MemberState::InSync => Style::Good,
        MemberState::Spare => Style::Plain,
        MemberState::Rebuilding | MemberState::Stale => Style::Warn,
        MemberState::Faulty | MemberState::Missing | MemberState::Foreign | MemberState::Split => Style::Bad,
    }
}
