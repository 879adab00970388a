//! The world of one run: the machines of `raid`, the disks, the host, the operator, and whatever goes wrong.
//!
//! A step picks one thing that can happen and lets it happen. What the host does is in `io`, what happens to
//! member I/O in `drives`, messages and Channels in `machines`, the operator and bad luck in `control`.

mod assemble;
mod control;
mod copy;
pub(crate) mod crash;
mod drives;
mod io;
mod machines;
mod meta;
mod start;

use std::sync::Arc;

use raid::array::EventKind;
use raid::channel::Op;
use raid::format::RegionState;
use raid::msg::ToChannel;
use raid::view::ArrayState;
use raid::{Array, Channel, ChannelId, Epoch, Geometry, IoId, Level, Shard, SlotSet, View};

use crate::check::{Checked, LeaseBook, MembershipCheck, RecordCache, Stable, Violation};
use crate::coverage::{Coverage, Seen};
use crate::disk::Disk;
use crate::host::Requests;
use crate::layout::Layout;
use crate::net::{Links, Message, Node};
use crate::oracle::Oracle;
use crate::profile::{IOS_MIN, Profile};
use crate::rng::Rng;
use crate::stamp::Stamp;
use crate::trace::{Happening, Trace};
use copy::Copying;

/// A Channel and the thread that it lives on.
#[derive(Debug)]
pub(crate) struct Seat {
    pub machine: Channel,
    /// It gets no more host I/O, and goes when it is idle.
    pub closing: bool,
}

impl Seat {
    pub fn id(&self) -> ChannelId {
        self.machine.id()
    }
}

/// The end of a life of the array: it is stopped, its Channels close, it finishes, and is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Running,
    Closing,
    Finishing,
    Finished,
}

/// Everything that there is.
#[derive(Debug)]
pub(crate) struct World {
    pub profile: Profile,
    pub layout: Layout,
    pub geometry: Arc<Geometry>,
    pub array: Array,
    pub shards: Vec<Shard>,
    /// The View that each Shard was given last.
    pub shard_views: Vec<Option<Arc<View>>>,
    pub seats: Vec<Seat>,
    pub disks: Vec<Disk>,
    /// Copies between them, for Shards.
    copies: Vec<Copying>,
    /// Per drive, the superblock that counts if the power goes.
    pub records: Vec<RecordCache>,
    /// Slots that had a member at first.
    pub filled: SlotSet,
    /// Per region: a write was sent to a member, or all of it was written at first.
    pub written: Vec<bool>,
    /// Per region: a write was acknowledged that some member has missed.
    pub owed: Vec<bool>,
    /// Every numbered event that was told: number, kind, View.
    pub chronicle: Vec<(u64, EventKind, Epoch)>,
    pub links: Links,
    pub host: Requests,
    /// Host I/Os whose child could not be submitted.
    pub parked: Vec<IoId>,
    /// Drives that were pulled out, and of which the Array has not been told.
    pub unseen_removals: Vec<raid::Slot>,
    pub oracle: Oracle,
    pub leases: LeaseBook,
    pub membership: MembershipCheck,
    pub coverage: Coverage,
    pub trace: Trace,
    /// Host I/Os in flight at most.
    depth_max: usize,
    trusted: SlotSet,
    rng: Rng,
    step: u64,
    /// Steps that took time.
    ticks: u64,
    next_channel: u32,
    /// Reads that must not go back.
    pub stable: Stable,
    /// How far the end of this life of the array has come.
    pub life: Life,
    /// Some host I/O was served: the array exists.
    pub has_served: bool,
    /// Faults are over.
    is_healed: bool,
}

impl World {
    /// The world that follows from `seed`. `readable`: keep the trace as text.
    pub fn new(seed: u64, readable: bool) -> World {
        let mut rng = Rng::new(seed);
        let profile = Profile::draw(&mut rng);
        let geometry = Arc::new(profile.geometry.build().expect("profiles draw possible shapes"));
        let layout = Layout::new(&profile.geometry, geometry.region_blocks());
        let mut array_rng = Rng::new(seed ^ 0x5eed);
        let start = start::Start::create(&profile, &geometry, array_rng.between(1, u64::MAX - 1));
        let array = Array::new(start.array, 0);
        let unwritten = profile.metadata.as_ref().is_some_and(|m| m.initial == RegionState::Unwritten);
        let content = if unwritten { Stamp::FOREIGN } else { Stamp::BLANK };
        let disk = |slot: raid::Slot| {
            let (caches, unmap_wipes) = (profile.flushes.contains(slot), slot.0 % 3 != 2);
            Disk::new(layout.data_offset(), layout.data_blocks(slot), content, caches, unmap_wipes)
        };
        let filled = (0..).map(raid::Slot).zip(&profile.geometry.member_blocks);
        let filled = filled.filter(|(_, blocks)| blocks.is_some()).map(|(slot, _)| slot).collect();
        let mut world = World {
            disks: layout.slots().iter().map(disk).collect(),
            copies: Vec::new(),
            records: layout.slots().iter().map(|_| RecordCache::default()).collect(),
            written: vec![!unwritten; layout.regions() as usize],
            owed: vec![false; layout.regions() as usize],
            chronicle: Vec::new(),
            filled,
            shards: start.shards.into_iter().map(Shard::new).collect(),
            shard_views: vec![None; usize::from(profile.shards)],
            seats: Vec::new(),
            links: Links::default(),
            host: Requests::default(),
            parked: Vec::new(),
            unseen_removals: Vec::new(),
            oracle: Oracle::new(layout.num_blocks(), profile.metadata.is_some()),
            stable: Stable::new(layout.num_blocks()),
            life: Life::Running,
            has_served: false,
            leases: LeaseBook::new(layout.regions()),
            membership: MembershipCheck::new(&array),
            coverage: Coverage::of_one_seed(),
            trace: Trace::new(readable),
            depth_max: profile.workload.depth_max,
            trusted: array.view().in_sync,
            step: 0,
            ticks: 0,
            next_channel: 1,
            is_healed: false,
            profile,
            layout,
            geometry,
            array,
            rng,
        };
        world.note_level();
        world
    }

    /// The first Channel, and the Array's first messages.
    pub fn begin(&mut self) -> Checked {
        self.phase("chaos");
        self.pump_array()?;
        self.open_channel()
    }

    /// Names what comes next in the trace.
    pub fn phase(&mut self, name: &'static str) {
        self.trace.note(self.step, &Happening::Phase(name));
    }

    /// Whether the host has sent all that it wanted to send. To an array that has failed it sends no more
    /// than it must: there is little left to find out.
    pub fn host_is_through(&self) -> bool {
        let failed = self.array.state() == ArrayState::Failed;
        self.host.issued() >= u64::from(if failed { IOS_MIN } else { self.profile.workload.ios })
    }

    /// One step with everything that the profile allows.
    pub fn step_chaos(&mut self) -> Checked {
        self.advance();
        self.ticks += 1;
        self.meddle()?;
        let may_submit = self.host.len() < self.depth_max && !self.seats.is_empty();
        let pace = &self.profile.pace;
        let weights = [
            if may_submit { pace.submit } else { 0 },
            if self.links.are_empty() { 0 } else { pace.deliver },
            if self.disks.iter().any(|disk| !disk.pending.is_empty()) { pace.complete } else { 0 },
            if self.parked.is_empty() { 0 } else { pace.resume },
            if self.disks.iter().any(|disk| !disk.meta.is_empty()) { pace.metadata } else { 0 },
            u32::from(self.is_ringing()),
            if self.copies.is_empty() { 0 } else { pace.metadata },
        ];
        match self.rng.weighted(&weights) {
            Some(0) => self.issue()?,
            Some(1) => self.deliver()?,
            Some(2) => self.complete_some_child()?,
            Some(3) => self.resume_some_io()?,
            Some(4) => self.complete_some_meta()?,
            Some(5) => self.ring()?,
            Some(_) => self.advance_some_copy()?,
            // All that is in flight waits for members that are gone; the host has other things to do.
            None => self.depth_max += 1,
        }
        self.close_idle_seats()?;
        self.go_on_ending()?;
        if self.life == Life::Finished {
            self.restart()?;
        }
        Ok(())
    }

    /// Faults end: what is stalled goes on, what was pulled out is noticed.
    pub fn heal(&mut self) -> Checked {
        self.phase("heal");
        self.is_healed = true;
        self.links.heal();
        for disk in &mut self.disks {
            disk.health.stalled_until = 0;
            disk.health.meta_stalled_until = 0;
            disk.health.path_down_until = 0;
            disk.health.bad_blocks = None;
        }
        while let Some(slot) = self.unseen_removals.pop() {
            self.tell_removal(slot)?;
        }
        Ok(())
    }

    /// One step without faults, which takes no time. False when nothing is under way any more.
    pub fn step_healed(&mut self) -> Result<bool, Violation> {
        self.advance();
        let busy = self.disks.iter().any(|disk| !disk.pending.is_empty());
        let meta = self.disks.iter().any(|disk| !disk.meta.is_empty());
        let copies = !self.copies.is_empty();
        let something =
            [!self.links.are_empty(), busy, !self.parked.is_empty(), meta, self.is_ringing(), copies];
        match self.rng.weighted(&something.map(u32::from)) {
            Some(0) => self.deliver()?,
            Some(1) => self.complete_some_child()?,
            Some(2) => self.resume_some_io()?,
            Some(3) => self.complete_some_meta()?,
            Some(4) => self.ring()?,
            Some(_) => self.advance_some_copy()?,
            None => return Ok(false),
        }
        self.close_idle_seats()?;
        self.go_on_ending()?;
        Ok(true)
    }

    #[inline]
    fn advance(&mut self) {
        self.step += 1;
        self.coverage.steps += 1;
    }

    /// The clock that the machines are given.
    fn now_ms(&self) -> u64 {
        self.ticks * self.profile.pace.clock / 64
    }

    /// The Views that planners use, or will use first when they arrive.
    pub(crate) fn views(&self) -> impl Iterator<Item = &View> {
        let of_seats = self.seats.iter().filter_map(|seat| seat.machine.view());
        let new_seats = self.seats.iter().filter(|seat| seat.machine.view().is_none());
        let on_their_way = new_seats.flat_map(|seat| {
            let messages = self.links.between(Node::Array, Node::Channel(seat.id()));
            messages.filter_map(|message| match message {
                Message::Channel(ToChannel::View(view)) => Some(view),
                _ => None,
            })
        });
        of_seats.chain(on_their_way).chain(self.shard_views.iter().flatten()).map(|view| &**view)
    }

    /// Members that somebody may still count on; see `find_trusted`.
    pub(crate) fn trusted(&self) -> SlotSet {
        self.trusted
    }

    /// Views have changed.
    pub(crate) fn forget_trusted(&mut self) {
        self.trusted = self.find_trusted();
    }

    fn note_level(&mut self) {
        let spec = &self.profile.geometry;
        let members = spec.member_blocks.len();
        let seen = match spec.level {
            Level::Concat => Seen::Concat,
            Level::Raid0 => Seen::Raid0,
            Level::Raid1 => Seen::Raid1,
            Level::Raid10 { near } if !members.is_multiple_of(usize::from(near)) => Seen::Raid10Odd,
            Level::Raid10 { .. } => Seen::Raid10,
        };
        self.coverage.saw(seen);
        if spec.member_blocks.contains(&None) {
            self.coverage.saw(Seen::Missing);
        }
    }
}

/// What the coverage calls a host I/O.
pub(crate) fn seen_op(op: Op) -> Seen {
    match op {
        Op::Read => Seen::Read,
        Op::Write => Seen::Write,
        Op::WriteZeroes => Seen::WriteZeroes,
        Op::Unmap => Seen::Unmap,
        Op::Flush => Seen::Flush,
        Op::Reset => Seen::Reset,
    }
}
