//! Stopping, as data: the mirrored bring-up, with what was added and removed by RPC in between.

use std::fmt;

use serde_json::{Value, json};

use super::exports::DISCOVERY_NQN;

/// The phases of stopping, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Hosts are sent away.
    Exports,
    /// Arrays finish their I/O and close their drives.
    Arrays,
    /// Drives are closed.
    Drives,
}

impl Phase {
    /// All, in order.
    pub const ALL: [Phase; 3] = [Phase::Exports, Phase::Arrays, Phase::Drives];

    /// Its name in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Exports => "exports",
            Phase::Arrays => "arrays",
            Phase::Drives => "drives",
        }
    }
}

/// Something that a step of the bring-up made, and that is taken back when the daemon stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// A subsystem.
    Export {
        /// Its name.
        nqn: String,
    },
    /// An address of the discovery service.
    Discovery {
        /// As it was given to the target.
        listen_address: Value,
    },
    /// An array.
    Array {
        /// Its name.
        name: String,
    },
    /// A drive.
    Drive {
        /// Its name.
        name: String,
        /// The method that closes drives of its kind.
        closed_by: &'static str,
    },
}

impl Made {
    /// When it is taken back.
    pub fn phase(&self) -> Phase {
        match self {
            Made::Export { .. } | Made::Discovery { .. } => Phase::Exports,
            Made::Array { .. } => Phase::Arrays,
            Made::Drive { .. } => Phase::Drives,
        }
    }

    /// Its name; of an address its role.
    pub fn name(&self) -> &str {
        match self {
            Made::Export { nqn: name } | Made::Array { name } | Made::Drive { name, .. } => name,
            Made::Discovery { .. } => "discovery",
        }
    }

    /// The call that takes it back: method and parameters.
    pub fn undo(&self) -> (&'static str, Value) {
        match self {
            Made::Export { nqn } => ("nvmf_delete_subsystem", json!({ "nqn": nqn })),
            Made::Discovery { listen_address } => {
                let params = json!({ "nqn": DISCOVERY_NQN, "listen_address": listen_address });
                ("nvmf_subsystem_remove_listener", params)
            }
            // Not deleted: that would make its drives forget it.
            Made::Array { name } => ("bdev_basalt_stop", json!({ "name": name })),
            Made::Drive { name, closed_by } => (closed_by, json!({ "name": name })),
        }
    }
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Made::Export { nqn } => write!(f, "export {nqn}"),
            Made::Discovery { listen_address } => {
                let part = |key: &str| listen_address[key].as_str().unwrap_or("?").to_owned();
                write!(f, "discovery on {} port {}", part("traddr"), part("trsvcid"))
            }
            Made::Array { name } => write!(f, "array {name}"),
            Made::Drive { name, .. } => write!(f, "drive {name}"),
        }
    }
}

/// What runs now, as the daemon says; `None` where it could not be asked. In the order of creation.
#[derive(Debug, Clone, Default)]
pub struct Live {
    /// NQNs of all subsystems but discovery.
    pub exports: Option<Vec<String>>,
    /// Names of all arrays that are not stopped.
    pub arrays: Option<Vec<String>>,
}

impl Live {
    /// What runs and is taken back in `phase`; `None` if that is not known.
    fn in_phase(&self, phase: Phase) -> Option<Vec<Made>> {
        match phase {
            Phase::Exports => self
                .exports
                .as_ref()
                .map(|all| all.iter().map(|nqn| Made::Export { nqn: nqn.clone() }).collect()),
            Phase::Arrays => self
                .arrays
                .as_ref()
                .map(|all| all.iter().map(|name| Made::Array { name: name.clone() }).collect()),
            Phase::Drives => None,
        }
    }

    /// Whether it runs no more, for certain.
    fn lacks(&self, made: &Made) -> bool {
        match made {
            Made::Export { nqn } => self.exports.as_ref().is_some_and(|all| !all.contains(nqn)),
            Made::Array { name } => self.arrays.as_ref().is_some_and(|all| !all.contains(name)),
            Made::Discovery { .. } | Made::Drive { .. } => false,
        }
    }
}

/// What to take back, in order: by phase, and in each phase the latest first. `made` is what the bring-up
/// made, in its order. What was added since goes before it, for it can only lie on top; what was removed
/// since is left out.
pub fn order(made: &[Made], live: &Live) -> Vec<Made> {
    let mut order = Vec::new();
    for phase in Phase::ALL {
        let since = live.in_phase(phase).unwrap_or_default();
        order.extend(since.into_iter().rev().filter(|one| !made.contains(one)));
        order.extend(made.iter().rev().filter(|one| one.phase() == phase && !live.lacks(one)).cloned());
    }
    order
}
