//! The membership of a mirror, changing: failures that are reported at any time, superblock writes that tear, land
//! on some members, fail, and up to two crashes, after each of which any part of the members is started.
//!
//! Regions are not in it. So it does not judge what a start without every one of the last members in sync makes
//! of writes that only those are known to have: members that are older, and call one another in sync, may differ
//! there, in regions that are marked, and are read from one of them.

use stateright::{Model, Property};

use super::explore;
use super::mirror::{Drive, HOSTS, Host, Progress, is_startable, judged, new_drives, subsets};
use crate::FaultKind;
use crate::format::ShutDown;
use crate::ids::{Epoch, Slot, SlotSet};

/// The bounds of the model.
#[derive(Clone, Copy)]
struct Bounds {
    members: usize,
    writes: u8,
    /// Writes that miss a member, or drives that go.
    losses: u8,
    /// Superblock writes that fail, and that are to be sent again.
    faults: u8,
    /// Superblock copies that are torn.
    tears: u8,
    crashes: u8,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Spent {
    writes: u8,
    losses: u8,
    faults: u8,
    tears: u8,
    crashes: u8,
}

/// A host write.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Write {
    held_by: SlotSet,
    /// The member that it missed, and the number of the report.
    missed: Option<(Slot, u64)>,
    is_acknowledged: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    drives: Vec<Drive>,
    host: Option<Host>,
    writes: Vec<Write>,
    /// Events that were told by the part that ran last, and the members that had them on record.
    told: Vec<Told>,
    recorders: SlotSet,
    /// Drives that are gone until the next start.
    gone: SlotSet,
    spent: Spent,
    broken: Option<&'static str>,
}

type Told = (u64, &'static str, Epoch);

#[derive(Clone, Debug, PartialEq)]
enum Action {
    Write,
    WriteMissing(Slot),
    Gone(Slot),
    ToArray,
    ToChannel,
    Tear(usize),
    Land(usize),
    Done(usize),
    Fail(usize),
    Again(usize),
    Crash,
    Start(SlotSet),
}

impl World {
    fn new(members: usize) -> World {
        let mut world = World {
            drives: new_drives(members),
            host: None,
            writes: Vec::new(),
            told: Vec::new(),
            recorders: SlotSet::EMPTY,
            gone: SlotSet::EMPTY,
            spent: Spent::default(),
            broken: None,
        };
        world.start(SlotSet::first(members));
        let host = world.host.as_mut().expect("it was started");
        assert!(host.settle(&mut world.drives, usize::MAX));
        world
    }

    fn host(&mut self) -> &mut Host {
        self.host.as_mut().expect("the host is up")
    }

    fn write(&mut self, missing: Option<Slot>) {
        self.spent.writes += 1;
        let members = self.host().writes_to().expect("it may write");
        let (held_by, missed) = match missing {
            None => (members, None),
            Some(slot) => {
                self.spent.losses += 1;
                (members.without(slot), Some((slot, self.host().report(slot))))
            }
        };
        self.writes.push(Write { held_by, missed, is_acknowledged: missed.is_none() });
    }

    /// Writes that waited are answered, if they can be.
    fn acknowledge(&mut self) {
        let Some(host) = &self.host else { return };
        for write in &mut self.writes {
            if let Some((slot, report)) = write.missed {
                if host.must_fail(slot, report) || write.held_by.is_empty() {
                    write.missed = None;
                } else if host.may_acknowledge(slot) {
                    (write.missed, write.is_acknowledged) = (None, true);
                }
            }
        }
        if host.array.published().epoch == host.led_by.epoch {
            return; // what was found is told once it is on record everywhere
        }
        let events = host.array.events().since(0).filter(|event| event.seq.is_some());
        self.told = events.map(|event| (event.seq.unwrap_or(0), event.name(), event.epoch)).collect();
        self.recorders = host.array.published().recorders();
    }

    fn crash(&mut self) {
        self.spent.crashes += 1;
        self.host = None;
        self.gone = SlotSet::EMPTY;
        self.writes.iter_mut().for_each(|write| write.missed = None);
    }

    fn start(&mut self, slots: SlotSet) {
        let array = judged(&self.drives, slots, HOSTS[0]).expect("it can be started");
        let seed = u64::from(self.spent.crashes);
        let host = Host::start(&array, &self.drives, HOSTS[0], seed);
        let kept: Vec<Told> = {
            let events = host.array.events().since(0);
            events.map(|event| (event.seq.unwrap_or(0), event.name(), event.epoch)).collect()
        };
        if !self.goes_on(slots) {
            let gives_up = |write: &&mut Write| !host.present.minus(write.held_by).is_empty();
            self.writes.iter_mut().filter(gives_up).for_each(|write| write.is_acknowledged = false);
        } else if !kept.starts_with(&self.told) {
            self.broken = Some("an event that was told is not there after a start");
        }
        self.host = Some(host);
    }

    /// Whatever drives are found, and can be started: who is in sync holds what any of them holds.
    fn starts_are_good(&self) -> bool {
        self.host.is_some()
            || subsets(SlotSet::first(self.drives.len())).all(|slots| self.start_is_good(slots))
    }

    fn start_is_good(&self, slots: SlotSet) -> bool {
        let Some(array) = judged(&self.drives, slots, HOSTS[0]).filter(is_startable) else { return true };
        let in_sync = array.in_sync();
        let is_clean = array.leader().is_some_and(|leader| leader.shut_down == ShutDown::Clean);
        let mut acknowledged = self.writes.iter().filter(|write| write.is_acknowledged);
        let is_whole = |write: &Write| in_sync.minus(write.held_by).is_empty();
        !is_clean && !self.goes_on(slots) || acknowledged.all(is_whole)
    }

    /// Whether some drive in `slots` knows all that was decided. Else every one of the last members in sync is
    /// away: an operator who starts what is older than that gives up what only those are known to have.
    fn goes_on(&self, slots: SlotSet) -> bool {
        !slots.and(self.recorders).is_empty()
    }
}

impl Model for Bounds {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self.members)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let spent = &world.spent;
        let Some(host) = &world.host else {
            let can_start = |slots: &SlotSet| {
                judged(&world.drives, *slots, HOSTS[0]).is_some_and(|array| is_startable(&array))
            };
            let startable = subsets(SlotSet::first(self.members)).filter(can_start);
            return actions.extend(startable.map(Action::Start));
        };
        if let Some(members) = host.writes_to().filter(|_| spent.writes < self.writes) {
            actions.extend((members.and(world.gone).is_empty()).then_some(Action::Write));
            let misses = |slot: &Slot| members.and(world.gone).without(*slot).is_empty();
            let missing = members.iter().filter(|_| spent.losses < self.losses).filter(misses);
            actions.extend(missing.map(Action::WriteMissing));
        }
        if spent.losses < self.losses {
            let here = host.array.view().attached.minus(world.gone);
            actions.extend(here.iter().map(Action::Gone));
        }
        actions.extend((!host.to_array.is_empty()).then_some(Action::ToArray));
        actions.extend((!host.to_channel.is_empty()).then_some(Action::ToChannel));
        for (n, flight) in host.flights.iter().enumerate() {
            let is_gone = world.gone.contains(flight.slot);
            if is_gone && flight.at != Progress::Landed {
                actions.push(Action::Fail(n));
                continue;
            }
            match flight.at {
                Progress::Landed => actions.push(Action::Done(n)),
                Progress::Sent if spent.tears < self.tears => {
                    actions.extend([Action::Tear(n), Action::Land(n)])
                }
                Progress::Sent | Progress::Torn => actions.push(Action::Land(n)),
            }
            if spent.faults < self.faults {
                actions.extend([Action::Fail(n), Action::Again(n)]);
            }
        }
        actions.extend((spent.crashes < self.crashes).then_some(Action::Crash));
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        match action {
            Action::Write => next.write(None),
            Action::WriteMissing(slot) => next.write(Some(slot)),
            Action::Gone(slot) => {
                next.spent.losses += 1;
                next.gone.insert(slot);
                next.host().lose(slot);
            }
            Action::ToArray => next.host().deliver_to_array(),
            Action::ToChannel => next.host().deliver_to_channel(),
            Action::Tear(n) => {
                next.spent.tears += 1;
                let host = next.host.as_mut().expect("the host is up");
                host.tear(n, &mut next.drives);
            }
            Action::Land(n) => {
                let host = next.host.as_mut().expect("the host is up");
                host.land(n, &mut next.drives);
            }
            Action::Done(n) => next.host().answer(n, None),
            Action::Fail(n) => {
                let is_gone = next.gone.contains(next.host().flights[n].slot);
                next.spent.faults += u8::from(!is_gone);
                let kind = if is_gone { FaultKind::Gone } else { FaultKind::Media };
                next.host().answer(n, Some(kind));
            }
            Action::Again(n) => {
                next.spent.faults += 1;
                next.host().answer(n, Some(FaultKind::Aborted));
            }
            Action::Crash => next.crash(),
            Action::Start(slots) => next.start(slots),
        }
        next.acknowledge();
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Bounds>> {
        vec![
            Property::always("nothing is broken", |_, world: &World| world.broken.is_none()),
            Property::always("who is started has what was acknowledged", |_, world: &World| {
                world.starts_are_good()
            }),
            Property::always("what is published is on record everywhere", |_, world: &World| {
                let up = world.host.as_ref();
                up.is_none_or(|host| host.lacks_published(&world.drives).is_empty())
            }),
            Property::always("one copy is good on each drive", |_, world: &World| {
                world.drives.iter().all(|drive| drive.record().is_some())
            }),
            Property::always("a generation begins with each loss", |_, world: &World| {
                world.host.as_ref().is_none_or(Host::generation_is_right)
            }),
            Property::always("a change that nobody works on is settled", |_, world: &World| {
                let rests = |host: &&Host| !host.moves();
                world.host.as_ref().filter(rests).is_none_or(|host| {
                    let newest = host.array.view().epoch;
                    host.array.settled() == newest && world.writes.iter().all(|write| write.missed.is_none())
                })
            }),
            Property::sometimes("a write that missed a member is acknowledged", |bounds, world: &World| {
                let missed = |write: &Write| write.held_by.len() < bounds.members;
                world.writes.iter().any(|write| write.is_acknowledged && missed(write))
            }),
            Property::sometimes("it goes on after all crashes", |bounds, world: &World| {
                let up = |host: &Host| host.view.is_some() && !host.moves();
                world.spent.crashes == bounds.crashes && world.host.as_ref().is_some_and(up)
            }),
            Property::sometimes("some parts can't be started together", |bounds, world: &World| {
                let mut parts = subsets(SlotSet::first(world.drives.len()));
                let refused =
                    |slots| judged(&world.drives, slots, HOSTS[0]).is_some_and(|a| !is_startable(&a));
                bounds.crashes < 2 || world.host.is_none() && parts.any(refused)
            }),
        ]
    }
}

const BOUNDS: Bounds = Bounds { members: 3, writes: 1, losses: 1, faults: 0, tears: 0, crashes: 1 };

#[test]
fn no_crash_brings_back_who_missed_a_write() {
    explore("membership, two crashes", Bounds { writes: 2, crashes: 2, ..BOUNDS }, 300_000);
}

#[test]
fn no_second_failure_brings_back_who_missed_a_write() {
    explore("membership, two failures", Bounds { writes: 2, losses: 2, ..BOUNDS }, 250_000);
}

#[test]
fn no_record_that_fails_brings_back_who_missed_a_write() {
    explore("membership, a record that fails", Bounds { faults: 1, ..BOUNDS }, 100_000);
}

#[test]
fn when_no_record_can_be_written_nothing_is_acknowledged() {
    let bounds = Bounds { members: 2, faults: 2, ..BOUNDS };
    explore("membership, no record can be written", bounds, 10_000);
}

#[test]
fn no_torn_record_takes_the_good_one_with_it() {
    let bounds = Bounds { members: 2, writes: 2, tears: 2, crashes: 2, ..BOUNDS };
    explore("membership, torn records", bounds, 100_000);
}
