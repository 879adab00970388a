//! How regions are read that are not read from any in-sync copy: those that were never written, and those whose
//! copies may differ.

use crate::ids::RegionId;
use crate::msg::ReadRule;

/// The rules of all regions. Most arrays have none most of the time, which costs one comparison.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Rules {
    special: u32,
    of: Box<[Option<ReadRule>]>,
}

impl Rules {
    pub fn new(regions: u32) -> Rules {
        Rules { special: 0, of: vec![None; regions as usize].into() }
    }

    /// Whether every region is read from any in-sync copy.
    #[inline]
    pub fn are_plain(&self) -> bool {
        self.special == 0
    }

    #[inline]
    pub fn of(&self, region: RegionId) -> Option<ReadRule> {
        self.of[region.0 as usize]
    }

    pub fn set(&mut self, region: RegionId, rule: Option<ReadRule>) {
        let before = std::mem::replace(&mut self.of[region.0 as usize], rule);
        self.special += u32::from(rule.is_some());
        self.special -= u32::from(before.is_some());
    }
}
