//! Parts of a mirror that two hosts run apart, in any order, that lose members, are stopped or cut off, and meet
//! again in any combination; an operator who says which side to keep.
//!
//! Coarse: what a step begins runs to its end, or is cut off after so many records. (`membership` has the steps
//! between.) Every start is forced, so that nothing is owed to the heartbeat; the hosts share no drive at a time.

use stateright::{Model, Property};

use super::explore;
use super::mirror::{Drive, HOSTS, Host, is_startable, judged, new_drives, slot_of, subsets};
use crate::assembly::{ArrayFound, Verdict, resolve};
use crate::format::Generation;
use crate::ids::{Slot, SlotSet};

/// The bounds of the model.
#[derive(Clone, Copy)]
struct Bounds {
    members: usize,
    starts: u8,
    writes: u8,
    losses: u8,
    resolves: u8,
    /// Whether all can stop between one record and the next.
    cuts: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Spent {
    starts: u8,
    writes: u8,
    losses: u8,
    resolves: u8,
}

/// A host write that was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Write {
    held_by: SlotSet,
    /// An operator decided against all who hold it.
    given_up: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    drives: Vec<Drive>,
    hosts: [Option<Host>; 2],
    writes: Vec<Write>,
    /// The last choice: the drives that were kept, and those that were not.
    chosen: Option<(SlotSet, SlotSet)>,
    spent: Spent,
}

/// After how many records all stops; None: it does not.
type Cut = Option<usize>;

#[derive(Clone, Debug, PartialEq)]
enum Action {
    Start(usize, SlotSet, Cut),
    Resolve(usize, SlotSet, Slot, Cut),
    Write(usize),
    /// A write misses a member, and is acknowledged in the end.
    WriteMissing(usize, Slot, Cut),
    /// A drive is taken away from its host.
    Take(usize, Slot, Cut),
    Stop(usize, Cut),
    Crash(usize),
}

impl World {
    fn new(members: usize) -> World {
        World {
            drives: new_drives(members),
            hosts: [None, None],
            writes: Vec::new(),
            chosen: None,
            spent: Spent::default(),
        }
    }

    fn all(&self) -> SlotSet {
        SlotSet::first(self.drives.len())
    }

    /// Drives that nobody has open.
    fn idle(&self) -> SlotSet {
        let attached = |host: &Host| host.array.view().attached;
        self.hosts.iter().flatten().map(attached).fold(self.all(), SlotSet::minus)
    }

    fn judged(&self, host: usize, slots: SlotSet) -> Option<ArrayFound> {
        judged(&self.drives, slots, HOSTS[host])
    }

    fn host(&mut self, host: usize) -> &mut Host {
        self.hosts[host].as_mut().expect("it is up")
    }

    fn run(&mut self, host: usize, found: &ArrayFound, cut: Cut) {
        self.spent.starts += 1;
        let seed = u64::from(self.spent.starts);
        self.hosts[host] = Some(Host::start(found, &self.drives, HOSTS[host], seed));
        self.settle(host, cut);
    }

    /// True: everything has arrived. Else the host is cut off.
    fn settle(&mut self, host: usize, cut: Cut) -> bool {
        let is_through = match &mut self.hosts[host] {
            Some(host) => host.settle(&mut self.drives, cut.unwrap_or(usize::MAX)),
            None => false,
        };
        if !is_through || cut.is_some() {
            self.hosts[host] = None;
        }
        is_through
    }

    fn resolve(&mut self, host: usize, slots: SlotSet, keep: Slot, cut: Cut) {
        self.spent.resolves += 1;
        let array = resolved(self, host, slots, keep).expect("it was tried before");
        let kept = array.in_sync();
        let rejected = verdicts(&array, |verdict| matches!(verdict, Verdict::Diverged { .. }));
        for write in &mut self.writes {
            let is_here = !write.held_by.and(slots).is_empty();
            write.given_up |= is_here && write.held_by.and(kept).is_empty();
        }
        self.run(host, &array, cut);
        if self.hosts[host].is_some() {
            self.chosen = Some((kept, rejected));
        }
    }

    fn write(&mut self, host: usize) {
        self.spent.writes += 1;
        let held_by = self.host(host).writes_to().expect("it may write");
        self.writes.push(Write { held_by, given_up: false });
    }

    fn write_missing(&mut self, host: usize, slot: Slot, cut: Cut) {
        (self.spent.writes, self.spent.losses) = (self.spent.writes + 1, self.spent.losses + 1);
        let held_by = self.host(host).writes_to().expect("it may write").without(slot);
        self.host(host).report(slot);
        if self.settle(host, cut) && self.hosts[host].as_ref().is_some_and(|host| host.may_acknowledge(slot))
        {
            self.writes.push(Write { held_by, given_up: false });
        }
    }

    fn stop(&mut self, host: usize, cut: Cut) {
        self.host(host).finish();
        self.settle(host, cut);
        self.hosts[host] = None;
    }

    fn held(&self, slot: Slot) -> Vec<usize> {
        let held = self.writes.iter().enumerate().filter(|(_, write)| write.held_by.contains(slot));
        held.map(|(n, _)| n).collect()
    }

    /// All that is in sync in `slots` is equal, and whoever else is there holds nothing more, unless that was
    /// given up; whoever can be brought up to date by logs has nothing of its own.
    fn is_good(&self, slots: SlotSet) -> bool {
        let Some(array) = self.judged(0, slots).filter(is_startable) else { return true };
        let in_sync = array.in_sync();
        let Some(first) = in_sync.iter().next() else { return true };
        let kept = self.held(first);
        let stale = verdicts(&array, |verdict| matches!(verdict, Verdict::Stale { .. }));
        let loses = |slot: Slot| self.held(slot).into_iter().filter(|write| !kept.contains(write)).collect();
        let is_lost = |slot: Slot| {
            let lost: Vec<usize> = loses(slot);
            lost.iter().any(|write| !self.writes[*write].given_up) || stale.contains(slot) && !lost.is_empty()
        };
        in_sync.iter().all(|slot| self.held(slot) == kept) && !slots.iter().any(is_lost)
    }

    /// Who was rejected is never used beside those who were kept.
    fn keeps_to_choice(&self, slots: SlotSet) -> bool {
        let Some((kept, rejected)) = self.chosen else { return true };
        let Some(array) = self.judged(0, slots).filter(is_startable) else { return true };
        let used = |verdict: &Verdict| verdict.slot().is_some();
        let used = verdicts(&array, used);
        used.and(kept).is_empty() || used.and(rejected).is_empty()
    }
}

fn verdicts(array: &ArrayFound, is_it: impl Fn(&Verdict) -> bool) -> SlotSet {
    let drives = array.drives.iter().filter(|found| is_it(&found.verdict));
    drives.map(|found| slot_of(&found.drive)).collect()
}

fn resolved(world: &World, host: usize, slots: SlotSet, keep: Slot) -> Option<ArrayFound> {
    let found = super::mirror::found(&world.drives, slots);
    let generation = Generation(1000 + u64::from(world.spent.resolves));
    resolve(&found, &format!("d{keep}"), generation, HOSTS[host], 0).ok()
}

impl Model for Bounds {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self.members)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let spent = &world.spent;
        let cuts = || std::iter::once(None).chain((1..self.members).filter(|_| self.cuts).map(Some));
        // The hosts are alike: of two that are free, the first one starts.
        if let Some(free) = world.hosts.iter().position(Option::is_none)
            && spent.starts < self.starts
        {
            self.starts_of(world, free, actions);
        }
        for (host, running) in world.hosts.iter().enumerate() {
            let Some(running) = running else { continue };
            actions.push(Action::Crash(host));
            actions.extend(cuts().map(|cut| Action::Stop(host, cut)));
            let Some(members) = running.writes_to() else { continue };
            actions.extend((spent.writes < self.writes).then_some(Action::Write(host)));
            if spent.losses < self.losses && members.len() > 1 {
                let missing = members.iter().filter(|_| spent.writes < self.writes);
                let missing = missing.flat_map(|slot| cuts().map(move |cut| (slot, cut)));
                actions.extend(missing.map(|(slot, cut)| Action::WriteMissing(host, slot, cut)));
                actions.extend(members.iter().map(|slot| Action::Take(host, slot, None)));
            }
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        match action {
            Action::Start(host, slots, cut) => {
                let array = next.judged(host, slots)?;
                next.run(host, &array, cut);
            }
            Action::Resolve(host, slots, keep, cut) => next.resolve(host, slots, keep, cut),
            Action::Write(host) => next.write(host),
            Action::WriteMissing(host, slot, cut) => next.write_missing(host, slot, cut),
            Action::Take(host, slot, cut) => {
                next.spent.losses += 1;
                next.host(host).lose(slot);
                next.settle(host, cut);
            }
            Action::Stop(host, cut) => next.stop(host, cut),
            Action::Crash(host) => next.hosts[host] = None,
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Bounds>> {
        vec![
            Property::always("no two sides are in sync together, and nothing is lost", |_, world: &World| {
                subsets(world.idle()).all(|slots| world.is_good(slots))
            }),
            Property::always("who was rejected stays rejected", |_, world: &World| {
                subsets(world.idle()).all(|slots| world.keeps_to_choice(slots))
            }),
            Property::always("what is published is on record everywhere", |_, world: &World| {
                let mut up = world.hosts.iter().flatten();
                up.all(|host| host.lacks_published(&world.drives).is_empty())
            }),
            Property::sometimes("both hosts run a part of it", |_, world: &World| {
                world.hosts.iter().all(Option::is_some)
            }),
            Property::sometimes("a split is seen", |_, world: &World| {
                let array = world.judged(0, world.idle());
                array.is_some_and(|array| array.leader().is_none())
            }),
            Property::sometimes("a choice was made, and the rejected side runs", |_, world: &World| {
                let runs = |rejected: SlotSet| {
                    let mut up = world.hosts.iter().flatten();
                    up.any(|host| !host.present.and(rejected).is_empty())
                };
                world.chosen.is_some_and(|(_, rejected)| runs(rejected))
            }),
        ]
    }
}

impl Bounds {
    fn starts_of(&self, world: &World, host: usize, actions: &mut Vec<Action>) {
        for slots in subsets(world.idle()) {
            let Some(array) = world.judged(host, slots) else { continue };
            let cuts = (1..array.in_sync().len().max(slots.len())).filter(|_| self.cuts).map(Some);
            let cuts = || std::iter::once(None).chain(cuts.clone());
            if is_startable(&array) {
                actions.extend(cuts().map(|cut| Action::Start(host, slots, cut)));
            } else if world.spent.resolves < self.resolves {
                let kept = slots.iter().filter(|slot| resolved(world, host, slots, *slot).is_some());
                let kept = kept.flat_map(|slot| cuts().map(move |cut| (slot, cut)));
                actions.extend(kept.map(|(slot, cut)| Action::Resolve(host, slots, slot, cut)));
            }
        }
    }
}

const BOUNDS: Bounds = Bounds { members: 2, starts: 4, writes: 2, losses: 1, resolves: 1, cuts: true };

#[test]
fn two_halves_never_meet_as_one() {
    explore("generations, two members", BOUNDS, 120_000);
}

#[test]
fn three_members_in_any_parts_never_meet_as_one() {
    explore("generations, three members", Bounds { members: 3, cuts: false, starts: 3, ..BOUNDS }, 200_000);
}
