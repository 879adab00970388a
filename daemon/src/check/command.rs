//! The command `basalt check`.

use std::path::Path;

use anyhow::Result;
use basalt_config::{Colour, Config};
use serde_json::{Value, json};

use super::{Finding, Report, Severity, Sums, report};
use crate::cli::{Exit, Output};
use crate::memory::machine::Machine;
use crate::paint::Paint;
use crate::run::socket::{Occupant, look};
use crate::units;

/// Checks `file` and prints what was found, then what it would be.
pub fn command(file: &Path, output: &Output) -> Result<Exit> {
    let config = match basalt_config::load(file) {
        Ok(config) => config,
        Err(diagnostics) => {
            if output.is_json() {
                output.answer(&parse_errors(&diagnostics), String::new);
            } else {
                eprint!("{}", diagnostics.render(colour(Paint::for_stream(&std::io::stderr()))));
            }
            return Ok(Exit::Failed);
        }
    };
    if let Occupant::Process { pid } = look(&config.runtime.rpc_socket)? {
        let who = pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
        eprintln!(
            "note: a daemon runs on {}{who}; what it uses is found busy",
            config.runtime.rpc_socket.display()
        );
    }
    let report = report(&config, &Machine::read()?);
    let sums = Sums { config: &config, backing: report.backing };
    if output.is_json() {
        output.answer(&as_json(&config, &report, &sums), String::new);
    } else {
        let stderr = colour(Paint::for_stream(&std::io::stderr()));
        for finding in &report.findings {
            eprintln!("{}", finding.render(stderr));
        }
        println!("{}", sums.text());
        println!("{}", verdict(&report));
    }
    Ok(if report.passes() { Exit::Done } else { Exit::Failed })
}

fn verdict(report: &Report) -> String {
    let errors = report.findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    match (errors, report.findings.len() - errors) {
        (0, 0) => "ok: nothing speaks against starting it; nothing was started or changed".to_owned(),
        (0, n) => format!("ok, with {}; nothing was started or changed", units::count(n, "warning")),
        (n, _) => format!("{}; it would not start. Nothing was started or changed", units::count(n, "error")),
    }
}

fn as_json(config: &Config, report: &Report, sums: &Sums) -> Value {
    json!({
        "file": config.file,
        "ok": report.passes(),
        "findings": report.findings.iter().map(finding_json).collect::<Vec<_>>(),
        "summary": sums.json(),
    })
}

fn finding_json(finding: &Finding) -> Value {
    json!({
        "severity": match finding.severity { Severity::Error => "error", Severity::Warning => "warning" },
        "file": &*finding.place.file,
        "line": finding.place.line,
        "column": finding.place.column,
        "message": finding.reason,
        "remedy": finding.remedy,
    })
}

fn parse_errors(diagnostics: &basalt_config::Diagnostics) -> Value {
    let findings: Vec<Value> = diagnostics
        .list
        .iter()
        .map(|one| {
            json!({
                "severity": "error",
                "file": &*diagnostics.file,
                "line": one.place.as_ref().map(|place| place.line),
                "column": one.place.as_ref().map(|place| place.column),
                "message": one.kind.to_string(),
                "remedy": one.kind.remedy(),
                "code": one.kind.code(),
            })
        })
        .collect();
    json!({ "file": &*diagnostics.file, "ok": false, "findings": findings, "summary": null })
}

fn colour(paint: Paint) -> Colour {
    match paint {
        Paint::On => Colour::Always,
        Paint::Off => Colour::Never,
    }
}
