//! Two regions in one page of the dirty log: a real [`crate::Shard`] on two members, with a Channel that asks
//! for leases, writes under them and gives them back, metadata writes that land before they are answered, fail or
//! are sent again, an Array that takes the member out, and a crash at any point, after which the page is merged.
//!
//! Not in it: pages of which only some sectors are torn (the format's own tests), revokes, several Channels, syncs.

mod world;

use stateright::{Model, Property};

use super::explore;
use crate::format::RegionState;
use crate::ids::{Slot, SlotSet};
use world::{Data, REGIONS, World, is_mark};

/// The bounds of the model.
#[derive(Clone, Copy)]
struct Bounds {
    acquires: u8,
    writes: u8,
    faults: u8,
    tears: u8,
    sweeps: u8,
    crashes: u8,
    /// Whether the array may be stopped in order.
    quits: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Action {
    /// The Channel asks for a region's lease.
    Acquire(usize),
    /// It begins to write into the region.
    Write(usize),
    /// The members have the write, in their caches.
    Written(usize),
    /// The next message of the Array, or of the Channel, reaches the Shard.
    FromArray,
    FromChannel,
    /// The next message of the Shard reaches the Channel, or the Array.
    ToChannel,
    ToArray,
    /// The n-th metadata I/O in flight: damages what is on the drive; is on it; is answered well; fails; is to
    /// be sent again.
    Tear(usize),
    Land(usize),
    Done(usize),
    Fail(usize),
    Again(usize),
    /// Time passes, so that idle regions are looked at.
    Sweep,
    /// The Channel closes and the array ends.
    Quit,
    /// All stops, and starts again with these members.
    Crash(SlotSet),
}

impl Model for Bounds {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new()]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let spent = &world.spent;
        for region in 0..REGIONS {
            if world.may_acquire(region) && spent.acquires < self.acquires {
                actions.push(Action::Acquire(region));
            }
            if world.may_write(region) && spent.writes < self.writes {
                actions.push(Action::Write(region));
            }
            actions.extend((world.writing[region]).then_some(Action::Written(region)));
        }
        let queues = [
            (world.from_array.is_empty(), Action::FromArray),
            (world.from_channel.is_empty(), Action::FromChannel),
            (world.to_channel.is_empty(), Action::ToChannel),
            (world.to_array.is_empty(), Action::ToArray),
        ];
        actions.extend(queues.into_iter().filter(|(is_empty, _)| !is_empty).map(|(_, action)| action));
        for (n, flight) in world.flights.iter().enumerate() {
            actions.push(if flight.is_there { Action::Done(n) } else { Action::Land(n) });
            actions.extend((spent.tears < self.tears && world.may_tear(n)).then_some(Action::Tear(n)));
            if spent.faults < self.faults {
                actions.extend([Action::Fail(n), Action::Again(n)]);
            }
        }
        actions.extend((world.sweeps_next() && spent.sweeps < self.sweeps).then_some(Action::Sweep));
        actions.extend((self.quits && world.may_quit()).then_some(Action::Quit));
        if spent.crashes < self.crashes {
            actions.extend(world.survivors().into_iter().map(Action::Crash));
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        match action {
            Action::Acquire(region) => next.acquire(region),
            Action::Write(region) => next.write(region),
            Action::Written(region) => next.written(region),
            Action::FromArray => next.deliver_from_array(),
            Action::FromChannel => next.deliver_from_channel(),
            Action::ToChannel => next.deliver_to_channel(),
            Action::ToArray => next.deliver_to_array(),
            Action::Tear(n) => next.tear(n),
            Action::Land(n) => next.land(n),
            Action::Done(n) => next.done(n),
            Action::Fail(n) => next.failed(n, crate::FaultKind::Media),
            Action::Again(n) => next.failed(n, crate::FaultKind::Aborted),
            Action::Sweep => next.sweep(),
            Action::Quit => next.quit(),
            Action::Crash(survivors) => next.crash(survivors),
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Bounds>> {
        vec![
            Property::always(
                "a lease is out only while its mark is durable everywhere",
                |_, world: &World| {
                    let recorders = || world.view.recorders().iter();
                    let is_marked =
                        |region: usize| recorders().all(|slot| is_mark(world.on_disk(slot, region)));
                    world.leased().all(is_marked)
                },
            ),
            Property::always("a region is zeroed before anybody writes into it", |_, world: &World| {
                let need_sync = |slot| matches!(world.on_disk(slot, 1), RegionState::NeedSync { .. });
                let is_zeroed = |slot: Slot| world.disks[slot.index()].is_zeroed || need_sync(slot);
                let mut leased = world.leased();
                !leased.any(|region| region == 1) || world.view.recorders().iter().all(is_zeroed)
            }),
            Property::always("where members may differ, a merge finds the mark", |_, world: &World| {
                let differs = |region: &usize| world.data[*region] != Data::Same;
                let regions: Vec<usize> = (0..REGIONS).filter(differs).collect();
                let finds = |survivors: SlotSet| {
                    let merged = world.merged(survivors);
                    regions.iter().all(|region| is_mark(merged[*region]))
                };
                regions.is_empty() || world.survivors().into_iter().all(finds)
            }),
            Property::always("zeros never land on what is written", |_, world: &World| !world.is_wiped),
            Property::always("no reader goes back", |_, world: &World| !world.went_back),
            Property::always("whoever waits is waited upon", |_, world: &World| {
                !world.waits() || world.moves()
            }),
            Property::sometimes("a mark is cleared", |bounds, world: &World| {
                let is_clean = |slot| world.on_disk(slot, 1) == RegionState::Clean;
                bounds.sweeps < 2 || world.spent.writes > 0 && (0..2).map(Slot).all(is_clean)
            }),
            Property::sometimes("a crash finds a mark", |_, world: &World| {
                world.spent.crashes > 0 && world.rules.iter().flatten().any(|rule| rule.is_some())
            }),
            Property::sometimes("both regions are leased", |bounds, world: &World| {
                bounds.acquires < 2 || world.leased().count() == 2
            }),
        ]
    }
}

const BOUNDS: Bounds =
    Bounds { acquires: 2, writes: 1, faults: 0, tears: 0, sweeps: 2, crashes: 1, quits: false };

#[test]
fn marks_are_durable_before_writes_and_cleared_after_them() {
    explore("page, cleaning", Bounds { writes: 2, ..BOUNDS }, 90_000);
}

#[test]
fn marks_outlive_members_that_fail() {
    explore("page, failing", Bounds { acquires: 1, faults: 1, ..BOUNDS }, 10_000);
}

#[test]
fn an_array_that_was_stopped_needs_no_sync_and_one_that_was_not_does() {
    explore("page, ending", Bounds { quits: true, sweeps: 1, ..BOUNDS }, 100_000);
}

#[test]
fn a_source_that_was_told_outlives_the_next_crash() {
    explore("page, two crashes", Bounds { crashes: 2, sweeps: 1, ..BOUNDS }, 90_000);
}

#[test]
fn a_page_that_is_torn_is_a_mark() {
    explore("page, torn", Bounds { acquires: 1, tears: 2, sweeps: 0, ..BOUNDS }, 2_000);
}
