//! What a region goes through.
//!
//! ```text
//!                Written             Cleaned
//!   Unwritten ------------> Dirty <----------> Clean
//!       ^                     |      Written     |
//!       |  Unmapped           | Crashed          | Missed
//!       +--- (Clean)          v                  |
//!                         NeedSync <-------------+
//!                             |  ^
//!               SyncBegan     |  |  Crashed, Missed
//!                             v  |
//!                          Syncing ---Synced---> Clean (Dirty if it was written meanwhile)
//! ```
//!
//! Dirty: some member may lack what another has, were all to stop now. NeedSync: some member does, or may;
//! all reads come from one source until a sync has made the members equal.

use crate::format::RegionState;
use crate::ids::Slot;

/// What can happen to a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RegionEvent {
    /// Somebody is going to write into it; its members agree on what is there.
    Written,
    /// Nobody writes any more, and everything written is flushed on all members.
    Cleaned,
    /// The process or the power went while it was in this state; it is to be read from this member.
    Crashed(Slot),
    /// A member may lack what this one has.
    Missed(Slot),
    /// All of it was unmapped on all members.
    Unmapped,
    /// A sync job has taken it.
    SyncBegan,
    /// The members are equal.
    Synced,
}

/// The state after `event`; None if that can't happen in `state`.
pub fn next(state: RegionState, event: RegionEvent) -> Option<RegionState> {
    use RegionEvent as E;
    use RegionState as S;
    Some(match (state, event) {
        (S::Unwritten | S::Clean | S::Dirty, E::Written) => S::Dirty,
        (S::NeedSync { .. } | S::Syncing { .. }, E::Written) => state,
        (S::Dirty, E::Cleaned) => S::Clean,
        (S::Unwritten | S::Clean | S::NeedSync { .. }, E::Crashed(_)) => state,
        (S::Dirty, E::Crashed(source)) => S::NeedSync { source },
        (S::Syncing { source }, E::Crashed(_)) => S::NeedSync { source },
        (S::Unwritten, E::Missed(_)) => state,
        (S::Clean | S::Dirty, E::Missed(source)) => S::NeedSync { source },
        (S::NeedSync { .. }, E::Missed(_)) => state,
        (S::Syncing { source }, E::Missed(_)) => S::NeedSync { source },
        (S::Clean, E::Unmapped) => S::Unwritten,
        (S::NeedSync { source }, E::SyncBegan) => S::Syncing { source },
        (S::Syncing { .. }, E::Synced) => S::Clean,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [RegionState; 5] = [
        RegionState::Unwritten,
        RegionState::Clean,
        RegionState::Dirty,
        RegionState::NeedSync { source: Slot(2) },
        RegionState::Syncing { source: Slot(2) },
    ];

    #[test]
    fn a_write_always_leaves_a_mark() {
        for state in STATES {
            let written = next(state, RegionEvent::Written).expect("a write can come at any time");
            assert!(!matches!(written, RegionState::Unwritten | RegionState::Clean), "{state:?}");
        }
    }

    #[test]
    fn no_crash_loses_a_mark_or_changes_a_source() {
        for state in STATES {
            let after = next(state, RegionEvent::Crashed(Slot(1))).expect("a crash can come at any time");
            match state {
                RegionState::Unwritten | RegionState::Clean => assert_eq!(after, state),
                RegionState::Dirty => assert_eq!(after, RegionState::NeedSync { source: Slot(1) }),
                _ => assert_eq!(after, RegionState::NeedSync { source: Slot(2) }),
            }
        }
    }

    #[test]
    fn only_a_sync_ends_the_need_for_one() {
        for event in [RegionEvent::Cleaned, RegionEvent::Unmapped, RegionEvent::Synced] {
            assert_eq!(next(RegionState::NeedSync { source: Slot(0) }, event), None);
        }
    }
}
