//! The Channel's side of region leases: one table over all regions, one look-up per write.
//!
//! ```text
//!            first write            Grant                 Revoke, writes in flight
//!   Absent -------------> Wanted ----------> Held(n) -----------------------------> Ending(n)
//!    ^ ^                    |                  |                                        |
//!    | +--- next View --- Denied               |                                        |
//!    +---- Revoke, or not used, n = 0 (Release)+--------- n reaches 0 (Release) --------+
//! ```
//!
//! A write that finds the lease Wanted or Ending waits for the next grant; one that finds it Denied fails.

use crate::ids::{LeaseGen, RegionId};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Lease {
    #[default]
    Absent,
    Wanted,
    Denied,
    Held {
        writes: u32,
        lease: LeaseGen,
        used: bool,
    },
    Ending {
        writes: u32,
        lease: LeaseGen,
    },
}

/// What a write may do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// Go: it is counted under the lease.
    Granted,
    /// Wait; the lease must be asked for.
    Ask,
    /// Wait; it was asked for, or will be when the ending one is given back.
    Wait,
    /// The write fails.
    Denied,
}

/// A lease that is to be given back now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Returned(pub LeaseGen);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct LeaseTable {
    leases: Vec<Lease>,
}

impl LeaseTable {
    pub fn new(regions: u32) -> LeaseTable {
        LeaseTable { leases: vec![Lease::Absent; regions as usize] }
    }

    /// A write wants into `region`.
    #[inline]
    pub fn enter(&mut self, region: RegionId) -> Entry {
        let lease = &mut self.leases[region.0 as usize];
        match lease {
            Lease::Held { writes, used, .. } => {
                *writes += 1;
                *used = true;
                Entry::Granted
            }
            Lease::Denied => Entry::Denied,
            Lease::Absent => {
                *lease = Lease::Wanted;
                Entry::Ask
            }
            Lease::Wanted | Lease::Ending { .. } => Entry::Wait,
        }
    }

    /// A write under the lease of `region` is done.
    #[inline]
    pub fn leave(&mut self, region: RegionId) -> Option<Returned> {
        let entry = &mut self.leases[region.0 as usize];
        match entry {
            Lease::Held { writes, .. } => {
                *writes -= 1;
                None
            }
            Lease::Ending { writes, lease } => {
                *writes -= 1;
                let returned = (*writes == 0).then_some(Returned(*lease));
                if returned.is_some() {
                    *entry = Lease::Absent;
                }
                returned
            }
            Lease::Absent | Lease::Wanted | Lease::Denied => {
                unreachable!("a write leaves region {region} without its lease")
            }
        }
    }

    /// The Shard granted the lease.
    pub fn granted(&mut self, region: RegionId, lease: LeaseGen) {
        let entry = &mut self.leases[region.0 as usize];
        assert_eq!(*entry, Lease::Wanted, "a grant of region {region} that nobody asked for");
        *entry = Lease::Held { writes: 0, lease, used: true };
    }

    /// The Shard refused the lease.
    pub fn denied(&mut self, region: RegionId) {
        let entry = &mut self.leases[region.0 as usize];
        assert_eq!(*entry, Lease::Wanted, "region {region} was refused, and nobody asked for it");
        *entry = Lease::Denied;
    }

    /// Leases that were refused may be asked for again.
    pub fn forget_denials(&mut self) {
        for lease in self.leases.iter_mut().filter(|lease| **lease == Lease::Denied) {
            *lease = Lease::Absent;
        }
    }

    /// The Shard wants the lease back if it was not used since it was asked for last.
    pub fn give_back_if_idle(&mut self, region: RegionId, asked: LeaseGen) -> Option<Returned> {
        let entry = &mut self.leases[region.0 as usize];
        match entry {
            Lease::Held { writes: 0, lease, used: false } if *lease == asked => {
                let returned = Returned(*lease);
                *entry = Lease::Absent;
                Some(returned)
            }
            Lease::Held { lease, used, .. } if *lease == asked => {
                *used = false;
                None
            }
            _ => None,
        }
    }

    /// The Shard wants the lease back. One that is not held any more is void.
    pub fn revoked(&mut self, region: RegionId, revoked: LeaseGen) -> Option<Returned> {
        let entry = &mut self.leases[region.0 as usize];
        match *entry {
            Lease::Held { writes: 0, lease, .. } if lease == revoked => {
                *entry = Lease::Absent;
                Some(Returned(lease))
            }
            Lease::Held { writes, lease, .. } if lease == revoked => {
                *entry = Lease::Ending { writes, lease };
                None
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGION: RegionId = RegionId(3);

    #[test]
    fn a_revoked_lease_goes_back_after_its_last_write_and_not_before() {
        let mut table = LeaseTable::new(8);
        assert_eq!(table.enter(REGION), Entry::Ask);
        assert_eq!(table.enter(REGION), Entry::Wait);
        table.granted(REGION, LeaseGen(5));
        assert_eq!([table.enter(REGION), table.enter(REGION)], [Entry::Granted; 2]);
        assert_eq!(table.revoked(REGION, LeaseGen(4)), None, "an older generation is void");
        assert_eq!(table.revoked(REGION, LeaseGen(5)), None);
        assert_eq!(table.enter(REGION), Entry::Wait, "no new write under an ending lease");
        assert_eq!(table.leave(REGION), None);
        assert_eq!(table.leave(REGION), Some(Returned(LeaseGen(5))));
        assert_eq!(table.enter(REGION), Entry::Ask);
    }

    #[test]
    fn an_idle_lease_goes_back_at_once() {
        let mut table = LeaseTable::new(8);
        table.enter(REGION);
        table.granted(REGION, LeaseGen(1));
        assert_eq!(table.revoked(REGION, LeaseGen(1)), Some(Returned(LeaseGen(1))));
        assert_eq!(table.revoked(REGION, LeaseGen(1)), None);
    }

    #[test]
    fn a_lease_is_idle_when_it_was_not_used_between_two_questions() {
        let mut table = LeaseTable::new(8);
        table.enter(REGION);
        table.granted(REGION, LeaseGen(1));
        assert_eq!(table.give_back_if_idle(REGION, LeaseGen(1)), None, "it was granted for a write");
        table.enter(REGION);
        assert_eq!(table.give_back_if_idle(REGION, LeaseGen(1)), None, "it was used");
        assert_eq!(table.give_back_if_idle(REGION, LeaseGen(1)), None, "it is being used");
        table.leave(REGION);
        assert_eq!(table.give_back_if_idle(REGION, LeaseGen(2)), None, "another generation is void");
        assert_eq!(table.give_back_if_idle(REGION, LeaseGen(1)), Some(Returned(LeaseGen(1))));
    }

    #[test]
    fn a_refused_lease_is_asked_for_again_under_the_next_view() {
        let mut table = LeaseTable::new(8);
        table.enter(REGION);
        table.denied(REGION);
        assert_eq!(table.enter(REGION), Entry::Denied);
        table.forget_denials();
        assert_eq!(table.enter(REGION), Entry::Ask);
    }
}
