//! The Shard's part of the dirty log: the states of its regions, and how far they are durable.
//!
//! Pages are owned whole: page `p` belongs to Shard `p mod shards`, so that no two cores ever write one page,
//! however many cores there are after the next start.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::region::{self, RegionEvent};
use crate::format::log::{PAGE_BYTES, Place, place, region_at};
use crate::format::{LOG_OFFSET, LogPage, RegionState, Uuid16};
use crate::ids::{RegionId, Slot, SlotSet};
use crate::meta::MetaWrite;
use crate::replica::Replica;

/// What a Shard's log begins with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LogSpec {
    /// The array, which every page names.
    pub array: Uuid16,
    /// Slots of the array.
    pub members: usize,
    /// The pages of this Shard: the states merged over the members (see [`crate::format::merge`]), and the
    /// largest generation that was found.
    pub pages: BTreeMap<u16, LogPage>,
    /// After a crash, what was Dirty needs a sync: from this member, unless another source is recorded.
    pub crashed: Option<Slot>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Log {
    array: Uuid16,
    pages: BTreeMap<u16, Page>,
    regions: u32,
    marked: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Page {
    states: LogPage,
    replica: Replica,
}

impl Log {
    /// The log of an array of `regions` regions as it was found, with what a crash makes of it. All of it is to
    /// be written once: the members' copies may differ.
    pub fn new(spec: LogSpec, regions: u32) -> Log {
        let LogSpec { array, members, pages, crashed } = spec;
        let open = |(number, states): (u16, LogPage)| {
            let mut replica = Replica::new(members, states.generation);
            replica.change();
            (number, Page { states, replica })
        };
        let mut log = Log { array, pages: pages.into_iter().map(open).collect(), regions, marked: 0 };
        log.marked = log.all().filter(|(_, state)| is_mark(*state)).count() as u32;
        if let Some(source) = crashed {
            let regions: Vec<RegionId> = log.all().map(|(region, _)| region).collect();
            regions.into_iter().for_each(|region| {
                log.apply(region, RegionEvent::Crashed(source));
            });
        }
        log
    }

    pub fn state(&self, region: RegionId) -> RegionState {
        let Place { page, index } = place(region);
        self.pages[&page].states.get(index)
    }

    /// `event` happens to `region`. Returns the generation that its page has then.
    pub fn apply(&mut self, region: RegionId, event: RegionEvent) -> u64 {
        let Place { page, index } = place(region);
        let page = self.page_mut(page);
        let before = page.states.get(index);
        let after = region::next(before, event)
            .unwrap_or_else(|| unreachable!("region {region} is {before:?} and {event:?} happens"));
        if after == before {
            return page.replica.content();
        }
        page.states.set(index, after);
        let generation = page.replica.change();
        self.marked += u32::from(is_mark(after));
        self.marked -= u32::from(is_mark(before));
        generation
    }

    /// Whether generation `generation` of the page of `region` is durable on all of `targets`.
    pub fn is_durable(&self, region: RegionId, generation: u64, targets: SlotSet) -> bool {
        self.pages[&place(region).page].replica.durable(targets) >= generation
    }

    /// Whether all that is in memory is durable on all of `targets`.
    pub fn is_all_durable(&self, targets: SlotSet) -> bool {
        self.pages.values().all(|page| page.replica.durable(targets) == page.replica.content())
    }

    /// How many regions are marked: Dirty, or in need of a sync.
    pub fn marked(&self) -> u32 {
        self.marked
    }

    /// Every region and its state.
    pub fn all(&self) -> impl Iterator<Item = (RegionId, RegionState)> {
        self.pages.iter().flat_map(|(number, page)| {
            let regions = (0..).map(|index| (index, region_at(Place { page: *number, index })));
            let regions = regions.take_while(|(_, region)| region.0 < self.regions);
            regions.map(|(index, region)| (region, page.states.get(index)))
        })
    }

    /// Begins to write a page to one of `targets` that lacks its newest content.
    pub fn begin(&mut self, targets: SlotSet) -> Option<(u16, Slot, MetaWrite)> {
        let (array, mut pages) = (self.array, self.pages.iter_mut());
        pages.find_map(|(number, page)| {
            let slot = page.replica.begin(targets)?;
            page.states.generation = page.replica.content();
            let bytes = Arc::from(&page.states.encode(array, *number)[..]);
            let offset = LOG_OFFSET + u64::from(*number) * PAGE_BYTES as u64;
            Some((*number, slot, MetaWrite::Bytes { offset, bytes }))
        })
    }

    /// The write of page `number` to `slot` has ended.
    pub fn end(&mut self, number: u16, slot: Slot, is_durable: bool) {
        self.page_mut(number).replica.end(slot, is_durable);
    }

    /// The write of page `number` to `slot` is to be begun again.
    pub fn end_transient(&mut self, number: u16, slot: Slot) {
        self.page_mut(number).replica.end_transient(slot);
    }

    fn page_mut(&mut self, number: u16) -> &mut Page {
        self.pages.get_mut(&number).expect("a Shard has all pages of its regions")
    }
}

fn is_mark(state: RegionState) -> bool {
    !matches!(state, RegionState::Unwritten | RegionState::Clean)
}
