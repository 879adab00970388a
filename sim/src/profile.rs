//! What one run is like: drawn from its seed before the first step.
//!
//! Swarm testing (Groce et al., ISSTA 2012): a run that can do everything at average rates does the same
//! average thing every time. So each class of faults is off in half of the runs, and the rest is weighted
//! wildly: one run is nearly all resets, another one loses a drive every few steps.

use raid::array::ErrorLimits;
use raid::format::{DATA_OFFSET_MIN, RegionState};
use raid::view::OnFailed;
use raid::{GeometrySpec, Level, Slot, SlotSet};

use crate::layout::Layout;
use crate::rng::{Rate, Rng};

/// The world and everything that will be done to it.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pub geometry: GeometrySpec,
    /// What the array keeps on its drives, if anything.
    pub metadata: Option<Metadata>,
    pub shards: u16,
    pub on_failed: OnFailed,
    pub limits: ErrorLimits,
    /// Members that have a FLUSH, and therefore a volatile cache; the others keep what they say they keep.
    pub flushes: SlotSet,
    pub channels_max: usize,
    pub workload: Workload,
    pub pace: Pace,
    pub faults: Faults,
    pub control: Control,
}

/// An array that keeps its membership and its marks on its drives, and lives through crashes by them.
#[derive(Clone, Debug)]
pub(crate) struct Metadata {
    /// What every region is at first.
    pub initial: RegionState,
    /// How long a region is left alone before its mark is cleared.
    pub idle_ms: u64,
    /// Per step from outside: the process goes.
    pub crash: Rate,
    /// The power goes.
    pub power_cut: Rate,
    /// The array is stopped in order, and started again.
    pub restart: Rate,
    /// Members that can be done without are left out of a start once in so many.
    pub leave_out: Rate,
}

/// What the host does.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    /// Host I/Os of the run.
    pub ios: u32,
    /// Host I/Os in flight at most.
    pub depth_max: usize,
    /// Weights of read, write, write-zeroes, unmap, flush, reset.
    pub mix: [u32; 6],
    pub fua: Rate,
    pub blocks_max: u64,
    /// Most I/O falls into this many blocks from here.
    pub hot: (u64, u64),
    /// Whether the host sends writes that overlap writes in flight, as a sane one does not.
    pub races: bool,
    pub abort: Rate,
}

/// How much of each kind of progress there is: weights.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    pub submit: u32,
    pub deliver: u32,
    pub complete: u32,
    pub resume: u32,
    /// Children come back mostly in order, or in any.
    pub in_order: bool,
    /// The driver asks about an I/O that lacks a resource whenever one of its children is back.
    pub impatient: bool,
    pub metadata: u32,
    /// Milliseconds of 64 steps.
    pub clock: u64,
    /// Writes are on the medium at once, or only when they come back.
    pub early: Rate,
}

/// Per child of a host I/O, unless it says otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    /// The drives that fail in earnest; the others only abort and run out of resources.
    bad: SlotSet,
    /// Per slot: when it begins to, in host I/Os. All at once in some runs, one after the other in others.
    onset: Vec<u64>,
    pub read_media: Rate,
    pub write_media: Rate,
    pub flush_error: Rate,
    pub path: Rate,
    pub other: Rate,
    /// Gone without being hot-removed for all to see: the I/O finds out.
    pub gone: Rate,
    pub aborted: Rate,
    pub no_resources_at_submit: Rate,
    pub no_resources_at_end: Rate,
    /// Of a bad drive: whether a metadata I/O may fail at all.
    pub metadata: Rate,
}

/// Per step: what happens to the world from outside.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    pub open: Rate,
    pub close: Rate,
    pub revoke: Rate,
    pub fail_member: Rate,
    pub remove_member: Rate,
    pub hot_remove: Rate,
    pub stall_disk: Rate,
    /// Only the metadata I/O of a drive.
    pub stall_metadata: Rate,
    pub stall_link: Rate,
    pub path_down: Rate,
    pub bad_blocks: Rate,
}

impl Profile {
    pub fn draw(rng: &mut Rng) -> Profile {
        let keeps = rng.once_in(2);
        let geometry = draw_geometry(rng, keeps);
        let built = geometry.build().expect("profiles draw possible shapes");
        let layout = Layout::new(&geometry, built.region_blocks());
        let slots = layout.slots();
        let mut profile = Profile {
            shards: rng.between(1, 3) as u16,
            on_failed: if rng.once_in(2) { OnFailed::Wait } else { OnFailed::Error },
            limits: ErrorLimits { read: rng.pick(&[1, 3, 20]), write: 1 },
            flushes: if rng.once_in(3) { any_of(rng, slots) } else { slots },
            channels_max: rng.between(1, 5) as usize,
            workload: Workload::draw(rng, layout.num_blocks()),
            pace: Pace::draw(rng),
            faults: Faults::draw(rng, &layout),
            control: Control::draw(rng),
            metadata: None,
            geometry,
        };
        // As often as leases are asked for must suit how fast messages are.
        let idle_steps: u64 = rng.pick(&[64, 400, 2000]);
        let idle_ms = (idle_steps * profile.pace.clock / 64).max(1);
        let is_redundant = profile.geometry.build().is_ok_and(|geometry| geometry.is_redundant());
        profile.metadata = keeps.then(|| Metadata::draw(rng, is_redundant, idle_ms));
        profile
    }
}

impl Metadata {
    fn draw(rng: &mut Rng, is_redundant: bool, idle_ms: u64) -> Metadata {
        let unwritten = is_redundant && rng.once_in(2);
        Metadata {
            initial: if unwritten { RegionState::Unwritten } else { RegionState::Clean },
            idle_ms,
            crash: often_off(rng, 4, 7),
            power_cut: often_off(rng, 4, 7),
            restart: often_off(rng, 4, 7),
            leave_out: rng.pick(&[Rate::NEVER, Rate::once_in(8), Rate::once_in(2)]),
        }
    }
}

fn draw_geometry(rng: &mut Rng, keeps_metadata: bool) -> GeometrySpec {
    let (level, members) = match rng.below(8) {
        0 => (Level::Concat, rng.between(1, 4)),
        1 => (Level::Raid0, rng.between(2, 5)),
        2..5 => (Level::Raid1, rng.between(2, 4)),
        _ => {
            let near = rng.between(2, 3);
            (Level::Raid10 { near: near as u8 }, rng.between(near, 7))
        }
    };
    let base = rng.between(64, 400);
    let member_blocks = (0..members).map(|_| Some(base + rng.below(48))).collect();
    let block_size: u32 = rng.pick(&[512, 4096]);
    let metadata = if keeps_metadata { DATA_OFFSET_MIN / u64::from(block_size) } else { 0 };
    let mut spec = GeometrySpec {
        level,
        block_size,
        member_blocks,
        chunk_blocks: 1 << rng.below(5),
        region_blocks: Some(8 << rng.below(4)),
        data_offset_blocks: metadata + rng.pick(&[0, 8, 32]),
    };
    spec.member_blocks.iter_mut().flatten().for_each(|blocks| *blocks += metadata);
    let redundant = matches!(level, Level::Raid1 | Level::Raid10 { .. });
    if redundant && rng.once_in(8) {
        // A slot that is filled later; at times more of them than the level can do without.
        let missing = 1 + usize::from(rng.once_in(4));
        (0..missing.min(members as usize - 1)).for_each(|_| {
            let slot = 1 + rng.index(members as usize - 1);
            spec.member_blocks[slot] = None;
        });
    }
    spec
}

/// Host I/Os of a run at least.
pub(crate) const IOS_MIN: u32 = 500;

impl Workload {
    fn draw(rng: &mut Rng, num_blocks: u64) -> Workload {
        let mut mix = [40, 40, 5, 5, 4, 1].map(|weight: u32| wild(rng, weight));
        mix[0] = mix[0].max(8);
        mix[1] = mix[1].max(8);
        let hot_blocks = if rng.once_in(2) { num_blocks } else { rng.between(1, num_blocks.min(64)) };
        Workload {
            ios: rng.between(u64::from(IOS_MIN), 1200) as u32,
            depth_max: rng.pick(&[1, 3, 8, 24, 48]),
            mix,
            fua: rng.pick(&[Rate::NEVER, Rate::once_in(8), Rate::once_in(2)]),
            blocks_max: rng.pick(&[1, 4, 16, 64, 200]).min(num_blocks),
            hot: (rng.below(num_blocks - hot_blocks + 1), hot_blocks),
            races: rng.once_in(4),
            abort: often_off(rng, 5, 9),
        }
    }
}

impl Pace {
    fn draw(rng: &mut Rng) -> Pace {
        Pace {
            submit: 1 << rng.below(5),
            deliver: 1 << rng.below(5),
            complete: 2 << rng.below(5),
            resume: 1 << rng.below(4),
            in_order: rng.once_in(3),
            impatient: rng.once_in(2),
            metadata: 1 << rng.below(5),
            clock: rng.pick(&[1, 8, 64, 400]),
            early: rng.pick(&[Rate::NEVER, Rate::once_in(2), Rate::once_in(1)]),
        }
    }
}

impl Faults {
    fn draw(rng: &mut Rng, layout: &Layout) -> Faults {
        let together = rng.once_in(3).then(|| rng.below(u64::from(IOS_MIN)));
        let onset = |_| together.unwrap_or_else(|| rng.below(u64::from(IOS_MIN)));
        let onset = layout.slots().iter().map(onset).collect();
        Faults {
            bad: draw_bad(rng, layout),
            onset,
            read_media: often_off(rng, 2, 9),
            write_media: often_off(rng, 2, 10),
            flush_error: often_off(rng, 3, 7),
            path: often_off(rng, 3, 11),
            other: often_off(rng, 4, 11),
            gone: often_off(rng, 2, 11),
            aborted: often_off(rng, 1, 8),
            no_resources_at_submit: often_off(rng, 1, 7),
            no_resources_at_end: often_off(rng, 2, 7),
            metadata: rng.pick(&[Rate::NEVER, Rate::once_in(1), Rate::once_in(1), Rate::once_in(8)]),
        }
    }
}

impl Faults {
    /// Whether `slot` may fail in earnest, once the host has issued so many I/Os.
    #[inline]
    pub fn is_bad(&self, slot: Slot, host_ios: u64) -> bool {
        self.bad.contains(slot) && host_ios >= self.onset[slot.index()]
    }
}

/// In most runs with redundancy, drives that can all be done without: then no host I/O may ever fail.
fn draw_bad(rng: &mut Rng, layout: &Layout) -> SlotSet {
    let all = layout.slots();
    match rng.below(5) {
        0 => return all,
        1 => return any_of(rng, all),
        _ if !layout.is_redundant() => return any_of(rng, all),
        _ => {}
    }
    let mut bad = SlotSet::EMPTY;
    for _ in 0..all.len() {
        let slot = Slot(rng.index(all.len()) as u8);
        if layout.is_served_by(all.minus(bad).without(slot)) {
            bad.insert(slot);
        }
    }
    bad
}

impl Control {
    fn draw(rng: &mut Rng) -> Control {
        Control {
            open: often_off(rng, 3, 8),
            close: often_off(rng, 3, 9),
            revoke: often_off(rng, 2, 8),
            fail_member: often_off(rng, 8, 12),
            remove_member: often_off(rng, 6, 10),
            hot_remove: often_off(rng, 8, 12),
            stall_disk: often_off(rng, 5, 9),
            stall_metadata: often_off(rng, 5, 9),
            stall_link: often_off(rng, 4, 8),
            path_down: often_off(rng, 8, 12),
            bad_blocks: often_off(rng, 6, 10),
        }
    }
}

/// Off in half of the runs; else once in 2^`low` to 2^`high` times.
fn often_off(rng: &mut Rng, low: u64, high: u64) -> Rate {
    if rng.once_in(2) { Rate::NEVER } else { Rate::once_in(1 << rng.between(low, high)) }
}

fn wild(rng: &mut Rng, weight: u32) -> u32 {
    if rng.once_in(5) { 0 } else { weight << rng.below(4) }
}

fn any_of(rng: &mut Rng, slots: SlotSet) -> SlotSet {
    slots.iter().filter(|_| rng.once_in(2)).collect()
}
