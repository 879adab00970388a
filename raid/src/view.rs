//! The View: an immutable snapshot of the membership, swapped whole.

use crate::geometry::Geometry;
use crate::ids::{Epoch, SlotSet};

/// Who holds good data, who can be reached, and which drives are open, as of one epoch.
///
/// Channels and Shards plan with the View that they were sent last; only the [`crate::Array`] makes one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct View {
    /// The version; a later View has a larger one.
    pub epoch: Epoch,
    /// Members that hold every acknowledged write. Losing one takes a decision of the Array.
    pub in_sync: SlotSet,
    /// Members that answer. An in-sync member that is not reachable was lost beyond what the level
    /// tolerates: the membership is frozen, and its blocks fail or wait.
    pub reachable: SlotSet,
    /// Members whose drive is held open. A driver keeps member channels for these and no others.
    pub attached: SlotSet,
    /// Members that have a FLUSH; the others were declared durable without (`assume_durable`).
    pub flushes: SlotSet,
    /// In-sync members that can't be written metadata to, and can't be done without: what needs a record there
    /// fails.
    pub unrecordable: SlotSet,
    /// What happens to I/O for blocks that no member can serve.
    pub on_failed: OnFailed,
}

/// What happens to host I/O when the array has failed (YAML `on_failed`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnFailed {
    /// It fails.
    #[default]
    Error,
    /// It waits until members are back.
    Wait,
}

impl View {
    /// Members to read from and write to.
    #[inline]
    pub fn usable(&self) -> SlotSet {
        self.in_sync.and(self.reachable)
    }

    /// Members that metadata must be durable on before anything is built on it.
    #[inline]
    pub fn recorders(&self) -> SlotSet {
        self.usable().minus(self.unrecordable)
    }

    /// Whether every in-sync member that can be reached can be written metadata to.
    pub fn can_record(&self) -> bool {
        self.usable().and(self.unrecordable).is_empty()
    }

    /// Whether an in-sync member is out of reach: the membership is frozen.
    #[inline]
    pub fn is_frozen(&self) -> bool {
        !self.in_sync.minus(self.reachable).is_empty()
    }

    /// The state that an operator sees.
    pub fn state(&self, geometry: &Geometry) -> ArrayState {
        if self.is_frozen() || !geometry.is_served_by(self.usable()) {
            ArrayState::Failed
        } else if self.in_sync == geometry.slots() {
            ArrayState::Active
        } else {
            ArrayState::Degraded
        }
    }
}

/// The state of an array as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ArrayState {
    /// All members in sync.
    Active,
    /// Serving everything, with less redundancy than it should have.
    Degraded,
    /// Some blocks can't be served.
    Failed,
}

impl ArrayState {
    /// The name on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            ArrayState::Active => "active",
            ArrayState::Degraded => "degraded",
            ArrayState::Failed => "failed",
        }
    }
}
