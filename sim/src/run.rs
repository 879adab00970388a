//! One run: chaos with faults, healing without them, an audit of what is left.

use raid::RegionId;
use raid::channel::Op;

use crate::check::{Checked, Rule, Violation, ensure};
use crate::coverage::Coverage;
use crate::world::{Life, World};

/// Chaos ends after this many steps per host I/O, done or not: some profiles stall nearly always.
const CHAOS_STEPS_PER_IO: u64 = 1000;

/// Without faults everything must come to rest within this many steps.
const HEAL_STEPS_MAX: u64 = 400_000;

/// So many assemblies are tried after the last crash.
const AUDITS: usize = 3;

/// What came of a seed.
#[derive(Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// What was broken, if anything.
    pub violation: Option<Violation>,
    /// Equal for equal runs.
    pub trace_hash: u64,
    /// The trace, if it was asked for.
    pub trace: Option<String>,
    /// What the run has met.
    pub coverage: Coverage,
}

/// Runs the world of `seed`. `readable`: keep the trace as text, which is slow.
pub fn run(seed: u64, readable: bool) -> Outcome {
    let mut world = World::new(seed, readable);
    let violation = live(&mut world).err();
    Outcome {
        seed,
        violation,
        trace_hash: world.trace.hash(),
        trace: world.trace.text.take(),
        coverage: world.coverage,
    }
}

fn live(world: &mut World) -> Checked {
    world.begin()?;
    let steps_max = CHAOS_STEPS_PER_IO * u64::from(world.profile.workload.ios);
    while !world.host_is_through() && world.coverage.steps < steps_max {
        world.step_chaos()?;
    }
    if world.keeps_metadata() && world.has_served && world.seed_is_odd() {
        audit_crash(world)?;
    }
    world.heal()?;
    rest(world)?;
    if world.life == Life::Finished {
        world.restart()?;
        rest(world)?;
    }
    audit(world)
}

/// The last crash of a run is looked at from several sides: with other members missing each time.
fn audit_crash(world: &mut World) -> Checked {
    world.phase("the last crash");
    let remains = world.die_somehow();
    let snapshot = world.snapshot();
    for _ in 0..AUDITS {
        world.assemble(remains.clone())?;
        world.heal()?;
        rest(world)?;
        let usable = world.array.view().usable();
        world.check_copies(usable)?;
        read_everything(world)?;
        world.restore(&snapshot);
    }
    world.assemble(remains)
}

/// Steps until nothing is under way any more.
fn rest(world: &mut World) -> Checked {
    let steps_max = world.coverage.steps + HEAL_STEPS_MAX;
    while world.step_healed()? {
        ensure(world.coverage.steps < steps_max, Rule::Liveness, || {
            format!("no rest {HEAL_STEPS_MAX} steps after the last fault")
        })?;
    }
    world.check_nothing_stuck()?;
    world.check_changes_done()?;
    world.check_counters()
}

/// Everything is where it must be, and can be read; leases come back; with the array everything ends.
fn audit(world: &mut World) -> Checked {
    world.phase("audit");
    let view = world.array.view();
    let usable = view.in_sync.and(view.reachable);
    world.check_copies(usable)?;
    read_everything(world)?;
    for region in 0..world.layout.regions() {
        world.revoke(RegionId(region))?;
    }
    rest(world)?;
    world.check_leases_back()?;
    world.stop()?;
    world.close_all();
    rest(world)?;
    world.check_nothing_left()?;
    if world.life == Life::Running && world.keeps_metadata() {
        world.begin_ending()?;
        rest(world)?;
        let ended = world.life == Life::Finished;
        ensure(ended, Rule::Liveness, || "the array never finishes".to_owned())?;
        world.restart()?;
        rest(world)?;
        let usable = world.array.view().usable();
        world.check_copies(usable)?;
        read_everything(world)?;
    }
    Ok(())
}

fn read_everything(world: &mut World) -> Checked {
    let reader = world.reader()?;
    rest(world)?;
    let num_blocks = world.layout.num_blocks();
    for lba in (0..num_blocks).step_by(64) {
        let blocks = (num_blocks - lba).min(64);
        let view = world.array.view();
        let usable = view.in_sync.and(view.reachable);
        let is_served = (lba..lba + blocks).all(|lba| !world.layout.holders(lba).and(usable).is_empty());
        if is_served {
            world.send(reader, Op::Read, lba, blocks, false)?;
        }
    }
    rest(world)
}
