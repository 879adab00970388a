//! What an operator should know and do when an array is not as it should be: first whether data is safe, then
//! what must not be done, then what to type.

use crate::status::model::{Array, ArrayState, MemberState};

/// Lines for below the array; none when all is well.
pub fn for_array(array: &Array) -> Vec<String> {
    let name = &array.name;
    match array.state {
        ArrayState::Active => active(array),
        ArrayState::Degraded => {
            let mut lines = vec![format!("{}. {}", degraded_safety(array), lost(array))];
            lines.extend(verdicts(array));
            lines.push(format!("Next: `basalt events {name}` tells what happened and when."));
            lines
        }
        ArrayState::Failed => vec![
            format!(
                "More members are lost than {} tolerates; hosts get errors. {}",
                array.level,
                lost(array)
            ),
            format!("Next: `basalt events {name}`; then bring the drives back. Write to none of them."),
        ],
        ArrayState::Assembling => not_running(array, "It does not run: hosts can't reach it."),
        ArrayState::Stopped => not_running(array, "Stopped by command: hosts can't reach it."),
    }
}

/// The daemon's own words, with the names that it leaves open.
fn not_running(array: &Array, what: &str) -> Vec<String> {
    let mut lines = vec![what.to_owned()];
    lines.extend(verdicts(array));
    lines.extend(array.why.as_deref().map(|why| upper(&named(why, &array.name))));
    lines
}

/// What the drives are that are not used.
fn verdicts(array: &Array) -> Vec<String> {
    let mut lines = Vec::new();
    for member in array.slots().filter(|member| member.state != MemberState::InSync) {
        if let (Some(drive), Some(verdict)) = (&member.drive, &member.verdict) {
            let verdict = verdict.replace(" DRIVE", &format!(" {drive}"));
            lines.push(format!("{drive}: {}", named(&verdict, &array.name)));
        }
    }
    lines
}

/// `basalt array start ARRAY` with the array's name.
pub fn named(text: &str, array: &str) -> String {
    text.replace(" ARRAY", &format!(" {array}"))
}

fn upper(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn active(array: &Array) -> Vec<String> {
    let erring: Vec<String> = array
        .slots()
        .filter(|m| m.read_errors + m.write_errors > 0)
        .map(|m| m.drive.clone().unwrap_or_default())
        .collect();
    if erring.is_empty() {
        return Vec::new();
    }
    let name = &array.name;
    vec![format!(
        "Data is safe. Errors on {}: plan to replace it. `basalt events {name}` tells more.",
        erring.join(", ")
    )]
}

/// The members that are gone, and how they went.
fn lost(array: &Array) -> String {
    let lost: Vec<String> = array
        .slots()
        .filter(|m| m.state != MemberState::InSync)
        .map(|m| {
            let slot = m.slot.map_or_else(String::new, |s| format!("slot {s} "));
            let drive = m.drive.as_ref().map_or_else(String::new, |d| format!("({d}) "));
            format!("{slot}{drive}{}", m.state.as_str())
        })
        .collect();
    if lost.is_empty() { String::new() } else { format!("Lost: {}.", lost.join(", ")) }
}

/// How many more members may go. Where that depends on which (raid10), the worst case counts.
fn degraded_safety(array: &Array) -> String {
    let spare_losses = match array.level.as_str() {
        "raid1" => array.in_sync().saturating_sub(1),
        "raid6" => (array.in_sync() + 2).saturating_sub(array.slots().count()),
        _ => 0,
    };
    match spare_losses {
        0 => "All data is there, but the next lost member may lose data".to_owned(),
        1 => "All data is there, and one more member may be lost".to_owned(),
        n => format!("All data is there, and {n} more members may be lost"),
    }
}
