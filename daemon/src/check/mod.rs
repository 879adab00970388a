//! `basalt check`: what can be known about a configuration without starting anything. `basalt run` looks at
//! the same before it starts, so that a refusal comes before the first change.

mod command;
mod cores;
mod files;
mod nvme;
mod ports;
mod sums;
#[cfg(test)]
mod tests;

use basalt_config::{Colour, Config, Place};

use crate::memory::backing::{self, Backing, NoMemory};
use crate::memory::machine::Machine;

pub use command::command;
pub use sums::Sums;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// It would not start.
    Error,
    /// It would start.
    Warning,
}

/// Something that an operator should know before the start.
#[derive(Debug, Clone)]
pub struct Finding {
    pub severity: Severity,
    pub place: Place,
    pub reason: String,
    pub remedy: String,
}

impl Finding {
    fn error(place: &Place, reason: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding {
            severity: Severity::Error,
            place: place.clone(),
            reason: reason.into(),
            remedy: remedy.into(),
        }
    }

    fn warning(place: &Place, reason: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { severity: Severity::Warning, ..Finding::error(place, reason, remedy) }
    }

    /// The same about a drive that its array may do without.
    fn forgiven(self) -> Finding {
        let reason = format!("{}; its array starts without it, if it can", self.reason);
        Finding { severity: Severity::Warning, reason, ..self }
    }

    /// As a message with the line of the YAML.
    pub fn render(&self, colour: Colour) -> String {
        let text = self.place.point_out(&self.reason, &self.remedy, colour);
        match self.severity {
            Severity::Error => text,
            Severity::Warning => text.replacen("error", "warning", 1),
        }
    }
}

/// What is known about a configuration.
pub struct Report {
    /// In the order of the file's sections.
    pub findings: Vec<Finding>,
    /// Where memory would come from; none when there is a finding about it.
    pub backing: Option<Backing>,
}

impl Report {
    /// Whether it would start, as far as can be known.
    pub fn passes(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity != Severity::Error)
    }
}

/// Looks at all that can be looked at. Opens files for reading and sockets for listening, and closes them
/// again.
pub fn report(config: &Config, machine: &Machine) -> Report {
    let mut findings = Vec::new();
    findings.extend(cores::findings(config));
    let backing = match backing::decide(config, machine) {
        Ok(backing) => Some(backing),
        Err(no_memory) => {
            findings.push(about_memory(config, &no_memory));
            None
        }
    };
    findings.extend(files::findings(config));
    findings.extend(nvme::findings(config));
    findings.extend(ports::findings(config));
    Report { findings, backing }
}

/// The message of [`NoMemory`] has reason and remedy on lines of their own.
fn about_memory(config: &Config, no_memory: &NoMemory) -> Finding {
    let place = match no_memory {
        NoMemory::OffButNeeded { .. } => &config.runtime.hugepages.place,
        NoMemory::TooFewHugePages { .. } | NoMemory::TooLittle { .. } => &config.runtime.memory.place,
    };
    Finding::error(place, no_memory.to_string(), no_memory.remedy())
}
