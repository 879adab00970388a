//! The life of one piece of metadata on two members: [`Replica`], with changes that come while it is written,
//! writes that fail, and members that are given up.

use std::collections::BTreeSet;

use stateright::{Model, Property};

use super::explore;
use crate::ids::{Slot, SlotSet};
use crate::replica::Replica;

const MEMBERS: usize = 2;

/// The bounds of the model.
struct Bounds {
    changes: u64,
    faults: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    replica: Replica,
    /// What is in memory: the number of changes so far.
    memory: u64,
    /// What is on the members, as the number of changes in it.
    disks: [u64; MEMBERS],
    flights: [Option<Flight>; MEMBERS],
    /// Members that are counted on.
    targets: SlotSet,
    /// Members that failed, and are counted on still.
    lost: SlotSet,
    /// Changes that somebody waits for, by generation.
    waiting: BTreeSet<u64>,
    /// The newest change that somebody was told is durable.
    relied: u64,
    faults: u8,
    /// A write was begun on a member that had one under way.
    collided: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Flight {
    carries: u64,
    landed: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Action {
    Change,
    Begin,
    Land(Slot),
    Done(Slot),
    Fail(Slot),
    Again(Slot),
    GiveUp(Slot),
}

impl State {
    /// Whoever waits is answered as soon as what it waits for is durable.
    fn answer(&mut self) {
        let durable = self.replica.durable(self.targets);
        let later = self.waiting.split_off(&(durable + 1));
        let answered = std::mem::replace(&mut self.waiting, later);
        self.relied = answered.last().copied().unwrap_or(0).max(self.relied);
    }

    fn apply(&mut self, action: Action) {
        match action {
            Action::Change => {
                self.memory += 1;
                let generation = self.replica.change();
                self.waiting.insert(generation);
            }
            Action::Begin => {
                if let Some(slot) = self.replica.begin(self.targets) {
                    let flight = &mut self.flights[slot.index()];
                    self.collided |= flight.is_some();
                    *flight = Some(Flight { carries: self.memory, landed: false });
                }
            }
            Action::Land(slot) => {
                let flight = self.flights[slot.index()].as_mut().expect("it is under way");
                flight.landed = true;
                self.disks[slot.index()] = flight.carries;
            }
            Action::Done(slot) => {
                self.flights[slot.index()] = None;
                self.replica.end(slot, true);
            }
            Action::Fail(slot) => {
                self.flights[slot.index()] = None;
                self.replica.end(slot, false);
                self.lost.insert(slot);
                self.faults += 1;
            }
            Action::Again(slot) => {
                self.flights[slot.index()] = None;
                self.replica.end_transient(slot);
                self.faults += 1;
            }
            Action::GiveUp(slot) => {
                self.lost.remove(slot);
                self.targets.remove(slot);
            }
        }
        self.answer();
    }

    fn can_begin(&self) -> bool {
        self.replica.clone().begin(self.targets).is_some()
    }

    fn moves(&self) -> bool {
        self.can_begin() || self.flights.iter().any(Option::is_some) || !self.lost.is_empty()
    }
}

impl Model for Bounds {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            replica: Replica::new(MEMBERS, 0),
            memory: 0,
            disks: [0; MEMBERS],
            flights: [None; MEMBERS],
            targets: SlotSet::first(MEMBERS),
            lost: SlotSet::EMPTY,
            waiting: BTreeSet::new(),
            relied: 0,
            faults: 0,
            collided: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.extend((state.memory < self.changes).then_some(Action::Change));
        actions.extend(state.can_begin().then_some(Action::Begin));
        for (slot, flight) in (0..).map(Slot).zip(&state.flights) {
            let Some(flight) = flight else { continue };
            actions.push(if flight.landed { Action::Done(slot) } else { Action::Land(slot) });
            if state.faults < self.faults {
                actions.extend([Action::Fail(slot), Action::Again(slot)]);
            }
        }
        actions.extend(state.lost.iter().map(Action::GiveUp));
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        next.apply(action);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Bounds>> {
        vec![
            Property::always("what was told to be durable is on all members", |_, state: &State| {
                state.targets.iter().all(|slot| state.disks[slot.index()] >= state.relied)
            }),
            Property::always("one write at a time to each member", |_, state: &State| !state.collided),
            Property::always("whoever waits is waited upon", |_, state: &State| {
                state.waiting.is_empty() || state.moves()
            }),
            Property::always("nothing is written that is there already", |_, state: &State| {
                let is_news = |(disk, flight): (&u64, &Option<Flight>)| {
                    flight.is_none_or(|flight| flight.landed || flight.carries > *disk || state.faults > 0)
                };
                state.disks.iter().zip(&state.flights).all(is_news)
            }),
            Property::sometimes("a change comes while one is written", |_, state: &State| {
                state.flights.iter().flatten().any(|flight| flight.carries < state.memory)
            }),
            Property::sometimes("a member is given up, and the rest goes on", |bounds, state: &State| {
                state.targets.len() == 1 && state.relied == bounds.changes
            }),
        ]
    }
}

#[test]
fn what_changes_while_it_is_written_is_not_taken_for_written() {
    explore("replica", Bounds { changes: 5, faults: 3 }, 60_000);
}
