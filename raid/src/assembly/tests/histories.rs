//! Random histories of a mirror: parts of it are started, lose members, are cut off in the middle of writing
//! records, are resolved, filled again. Whatever happened, what is started has every acknowledged write that
//! is on a drive that is here, unless an operator gave it up.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const DRIVES: u8 = 4;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Start with what is here.
    Start,
    /// While it runs: a write.
    Write,
    /// While it runs: a member in sync fails.
    Fail(u8),
    /// While it runs: a drive that is not in sync is filled, and in sync from then on.
    Fill(u8),
    /// Keep a drive.
    Resolve(u8),
}

/// A step; the drives that are here (bits), and how many of the records that it writes are written before it is
/// cut off (many: all).
type Move = (Step, u8, u8);

fn any_move() -> impl Strategy<Value = Move> {
    let step = prop_oneof![
        4 => Just(Step::Start),
        3 => Just(Step::Write),
        3 => (0..DRIVES).prop_map(Step::Fail),
        2 => (0..DRIVES).prop_map(Step::Fill),
        1 => (0..DRIVES).prop_map(Step::Resolve),
    ];
    (step, 1u8..16, prop_oneof![3 => Just(9u8), 1 => 0u8..4])
}

/// The drives, and what runs on them.
#[derive(Clone, Debug)]
struct World {
    drives: Vec<Found>,
    /// The acknowledged writes on each drive.
    held: Vec<BTreeSet<u32>>,
    /// Writes that an operator gave up by keeping another side.
    given_up: BTreeSet<u32>,
    running: Option<Superblock>,
    last_write: u32,
    last_draw: u64,
}

impl World {
    fn new() -> World {
        let record = Superblock { shut_down: ShutDown::Unclean, ..mirror(DRIVES) };
        World {
            drives: (0..DRIVES).map(|slot| drive(slot, &record)).collect(),
            held: vec![BTreeSet::new(); usize::from(DRIVES)],
            given_up: BTreeSet::new(),
            running: None,
            last_write: 0,
            last_draw: 1,
        }
    }

    fn draw(&mut self) -> u64 {
        self.last_draw += 1;
        self.last_draw
    }

    fn here(&self, bits: u8) -> Vec<Found> {
        self.drives
            .iter()
            .enumerate()
            .filter(|(n, _)| bits >> n & 1 == 1)
            .map(|(_, found)| found.clone())
            .collect()
    }

    fn number(&self, drive: &str) -> usize {
        self.drives.iter().position(|found| found.drive == drive).unwrap()
    }

    /// Drives that are members in sync of what runs.
    fn in_sync(&self) -> Vec<usize> {
        let record = self.running.as_ref().unwrap();
        record.slots_in(RecordState::InSync).iter().map(Slot::index).collect()
    }

    /// Writes the record to the members in sync, to `cut` of them. Not to all: it stops running.
    fn persist(&mut self, mut record: Superblock, top_version: u64, cut: u8) {
        record.version = top_version.max(record.version) + 1;
        record.check().expect("a possible record");
        self.running = Some(record.clone());
        let targets = self.in_sync();
        for n in targets.iter().take(usize::from(cut)) {
            let copies = &mut self.drives[*n].copies;
            let old = newest_copy(copies).unwrap_or(1);
            copies[1 - old] = Ok(record.on(Slot(*n as u8)));
        }
        if usize::from(cut) < targets.len() {
            self.running = None;
        }
    }

    fn apply(&mut self, (step, here, cut): Move) {
        match (step, self.running.take()) {
            (Step::Start, _) => self.start(here, cut),
            (Step::Resolve(n), None) => self.resolve(here, n % DRIVES, cut),
            (Step::Write, Some(record)) => {
                self.running = Some(record);
                self.last_write += 1;
                let write = self.last_write;
                self.in_sync().into_iter().for_each(|n| assert!(self.held[n].insert(write)));
            }
            (Step::Fail(n), Some(record))
                if !record.slots_in(RecordState::InSync).without(Slot(n)).is_empty()
                    && record.members[usize::from(n)].state == RecordState::InSync =>
            {
                let record = without(&record, &[n], self.draw());
                self.persist(record, 0, cut);
            }
            (Step::Fill(n), Some(record)) => self.fill(record, usize::from(n), cut),
            (_, running) => self.running = running,
        }
    }

    fn start(&mut self, here: u8, cut: u8) {
        let array = array(&self.here(here));
        match array.start(Asked::Degraded, 0, 0) {
            Start::Now => self.persist(array.leader().unwrap().clone(), array.top_version, cut),
            Start::Degraded { missing } => {
                let failed: Vec<u8> = missing.iter().map(|slot| slot.0).collect();
                let record = without(array.leader().unwrap(), &failed, self.draw());
                self.persist(record, array.top_version, cut);
            }
            Start::Wait { .. } | Start::NotEnough { .. } | Start::Refused(_) => {}
        }
    }

    /// All that runs is copied to the drive; it is a new member.
    fn fill(&mut self, mut record: Superblock, n: usize, cut: u8) {
        if record.members[n].state == RecordState::InSync {
            self.running = Some(record);
            return;
        }
        self.running = Some(record.clone());
        let source = self.in_sync()[0];
        self.drives[n].copies = [Err(Damage::NoMagic), Err(Damage::NoMagic)];
        self.held[n] = self.held[source].clone();
        record.members[n] = MemberRecord {
            uuid: Uuid16(u128::from(self.draw()).to_le_bytes()),
            ..member(0xa0 + n as u8, RecordState::InSync)
        };
        self.persist(record, 0, cut);
    }

    fn resolve(&mut self, here: u8, n: u8, cut: u8) {
        let found = self.here(here);
        let drawn = Generation(self.draw());
        let Ok(array) = resolve(&found, &format!("d{n}"), drawn, HERE, NOW_MS) else { return };
        self.check_started(&array, true);
        let kept =
            self.held[self.number(array.drive_in(array.in_sync().iter().next().unwrap()).unwrap())].clone();
        let lost: BTreeSet<u32> = found
            .iter()
            .flat_map(|found| self.held[self.number(&found.drive)].iter().copied())
            .filter(|write| !kept.contains(write))
            .collect();
        self.given_up.extend(lost);
        self.persist(array.leader().unwrap().clone(), array.top_version, cut);
    }

    /// What is in sync holds the same, and all that any drive that is here holds.
    fn check_started(&self, array: &ArrayFound, gives_up: bool) {
        let held = |drive: &str| &self.held[self.number(drive)];
        let in_sync: Vec<&str> = array.in_sync().iter().map(|slot| array.drive_in(slot).unwrap()).collect();
        let Some(first) = in_sync.first() else { return };
        for drive in &in_sync {
            assert_eq!(held(drive), held(first), "{drive} and {first} are both in sync: {array:#?}");
        }
        for found in &array.drives {
            let lost: Vec<&u32> = held(&found.drive).difference(held(first)).collect();
            let known = gives_up || lost.iter().all(|write| self.given_up.contains(write));
            assert!(known, "{found} holds writes {lost:?} that are lost: {array:#?}");
            let stale = matches!(found.verdict, Verdict::Stale { .. });
            assert!(!stale || lost.is_empty(), "{found}, and yet it holds {lost:?}: {array:#?}");
        }
    }

    fn check(&self, here: u8) {
        let mut found = self.here(here);
        let assembly = judged(&found);
        for array in &assembly.arrays {
            if matches!(array.start(Asked::Degraded, 0, 0), Start::Now | Start::Degraded { .. }) {
                self.check_started(array, false);
            }
        }
        for _ in 0..found.len() {
            found.rotate_left(1);
            assert_eq!(judged(&found), assembly, "another order");
        }
        found.reverse();
        assert_eq!(judged(&found), assembly, "another order");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]
    #[test]
    fn nothing_that_was_acknowledged_is_lost_in_silence(
        moves in prop::collection::vec(any_move(), 1..40),
        seen in prop::collection::vec(1u8..16, 4),
    ) {
        let mut world = World::new();
        for step in moves {
            if !world.here(step.1).iter().any(|found| found.record().is_some()) {
                continue;
            }
            world.apply(step);
        }
        seen.into_iter().for_each(|here| world.check(here));
    }
}
