//! Drives that are one and the same, that lie over one another in a loop, that are used past a faulty one.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use crate::diagnostic::{DiagnosticKind, Findings};
use crate::order::{NameAt, post_order};
use crate::{Config, Drive, DriveKind, NvmeTransport};

pub(super) fn check(config: &Config, findings: &mut Findings) {
    same(config, findings);
    loops(config, findings);
    covered(config, findings);
}

/// Two names for one drive would put two members of an array onto it.
fn same(config: &Config, findings: &mut Findings) {
    let mut seen: HashMap<String, &Drive> = HashMap::new();
    for drive in &config.drives {
        let Some((what, identity)) = identity(&drive.kind) else { continue };
        let Some(first) = seen.get(&identity) else {
            seen.insert(identity, drive);
            continue;
        };
        let (drive_name, first_name) = (drive.name.value.clone(), first.name.value.clone());
        let kind = DiagnosticKind::DriveSame { drive: drive_name, first: first_name, what };
        findings.refuse_with(&drive.place, kind, "the first one is here", &first.place);
    }
}

/// What a drive is in the world outside; none for one that is made anew.
fn identity(kind: &DriveKind) -> Option<(&'static str, String)> {
    match kind {
        DriveKind::File { path, .. } => Some(("file", format!("file {}", plain(path).display()))),
        DriveKind::Bdev(name) => Some(("bdev", format!("bdev {}", name.value))),
        DriveKind::Nvme { transport, namespace } => {
            let controller = match &transport.value {
                NvmeTransport::Pcie(address) => format!("pcie {address}"),
                NvmeTransport::Tcp { address, nqn } => format!("tcp {address} {nqn}"),
                NvmeTransport::VfioUser(path) => {
                    format!("vfio-user {}", plain(path).display())
                }
            };
            Some(("NVMe namespace", format!("{controller} {}", namespace.value)))
        }
        DriveKind::Memory { .. } | DriveKind::Faulty { .. } => None,
    }
}

/// The path without its `.` parts. Links are not followed: that takes I/O, and is for who opens the file.
fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

fn loops(config: &Config, findings: &mut Findings) {
    let order =
        post_order(&config.drives, |drive| drive.name.as_str(), |drive| drive.over().into_iter().collect());
    for found in order.loops {
        findings.refuse(&found.closed_at, DiagnosticKind::OverLoop { chain: found.names });
    }
}

/// What lies under a faulty drive is used through it, or not at all.
fn covered(config: &Config, findings: &mut Findings) {
    let mut covers: HashMap<&str, &Drive> = HashMap::new();
    for drive in &config.drives {
        let Some(over) = drive.over() else { continue };
        match covers.get(over.name) {
            Some(first) => refuse_covered(over, first, findings),
            None => {
                covers.insert(over.name, drive);
            }
        }
    }
    for array in &config.arrays {
        let members =
            array.members.iter().filter_map(|m| m.name().map(|name| NameAt { name, place: &m.place }));
        for used in members.chain(array.spares.iter().map(NameAt::from)) {
            if let Some(cover) = covers.get(used.name) {
                refuse_covered(used, cover, findings);
            }
        }
    }
}

fn refuse_covered(used: NameAt<'_>, cover: &Drive, findings: &mut Findings) {
    let kind = DiagnosticKind::DriveCovered { drive: used.name.to_owned(), by: cover.name.value.clone() };
    findings.refuse_with(used.place, kind, "the faulty drive is here", &cover.place);
}
