use std::collections::HashSet;

use super::*;

#[test]
fn a_byte_is_a_state_or_nothing() {
    let states: Vec<RegionState> = (0..=255).filter_map(RegionState::from_byte).collect();
    assert_eq!(states.len(), 3 + 2 * 32);
    assert_eq!(states.iter().collect::<HashSet<_>>().len(), states.len());
    assert!(states.iter().all(|state| RegionState::from_byte(state.to_byte()) == Some(*state)));
}

#[test]
fn bytes_are_pinned() {
    assert_eq!(RegionState::Unwritten.to_byte(), 0);
    assert_eq!(RegionState::Clean.to_byte(), 1);
    assert_eq!(RegionState::Dirty.to_byte(), 2);
    assert_eq!(RegionState::NeedSync { source: Slot(31) }.to_byte(), 0xfb);
    assert_eq!(RegionState::Syncing { source: Slot(1) }.to_byte(), 0x0c);
}
