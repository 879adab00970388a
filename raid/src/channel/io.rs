//! One host I/O on its way through a Channel.
//!
//! ```text
//!              lease, View                 all children back
//!   Entering -------------> Sending ------------------------------+--> Settling --> Done
//!      ^  (waits for them)   |  ^ View changed: the segment       |   (a write missed a member: waits until
//!      |                     +--+ is planned anew, once idle      |    that member's failure has settled)
//!      +------------------ next segment, then FUA's flush --------+
//! ```
//!
//! A *segment* is what is planned in one go under one View: the whole I/O, or, for a write to a redundant
//! array, the part of it in one region, because a write needs that region's lease.

use crate::fault::{Fault, FaultKind};
use crate::ids::{Epoch, RegionId, Slot, SlotSet};

/// The most member I/Os that one host I/O has in flight.
pub const CHILDREN_MAX: usize = 8;

/// What a host, or one of our own jobs, asks of a member or an array.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Op {
    /// Read blocks.
    #[default]
    Read,
    /// Write blocks.
    Write,
    /// Make blocks read as zeros.
    WriteZeroes,
    /// Tell that blocks are not needed any more.
    Unmap,
    /// Make everything that was acknowledged durable.
    Flush,
    /// Reset the drive.
    Reset,
}

impl Op {
    /// Whether members hold something else afterwards.
    #[inline]
    pub fn modifies(self) -> bool {
        matches!(self, Op::Write | Op::WriteZeroes | Op::Unmap)
    }
}

/// A member I/O to submit. Its buffer, if it has one, is a part of the host's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Child {
    /// Names the child within its host I/O, `0..CHILDREN_MAX`; free again once it is done.
    pub index: u8,
    /// The member.
    pub slot: Slot,
    /// What to do there.
    pub op: Op,
    /// First block on the member. 0 for flush and reset, which are about the whole member.
    pub lba: u64,
    /// Number of blocks; 0 for flush and reset.
    pub blocks: u64,
    /// Where in the host's buffer the child's part begins, in blocks.
    pub host_offset_blocks: u64,
}

/// What to do next for a host I/O.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Submit this, then ask again.
    Submit(Child),
    /// Fill this part of the host's buffer with zeros, then ask again.
    Zeros {
        /// Where in the host's buffer, in blocks.
        offset_blocks: u64,
        /// How many blocks.
        blocks: u64,
    },
    /// Complete the host I/O. The machine has forgotten it.
    Done(Result<(), Fault>),
    /// Nothing now: a child completes first, or the Channel names the I/O as ready.
    Wait,
}

/// A [`Step`] whose child was filled in elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Submit the child, then ask again.
    Submit,
    /// As [`Step::Zeros`]: the child says where (`host_offset_blocks`) and how many (`blocks`).
    Zeros,
    /// As [`Step::Done`].
    Done(Result<(), Fault>),
    /// As [`Step::Wait`].
    Wait,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    #[default]
    Entering,
    /// No member served it under the View of `epoch`; it begins anew with the next one.
    Unserved,
    Sending,
    Settling,
}

/// How a segment is cut into children.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Cut {
    /// Runs of blocks, each on one or all of its copies: read, write.
    #[default]
    Runs,
    /// One extent per member: commands without data.
    Extents,
    /// One command per member: flush, reset.
    Members,
}

/// The state of one host I/O. It lives where the driver keeps its per-I/O context; small, and cheap to begin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct HostIo {
    pub(super) op: Op,
    pub(super) fua: bool,
    pub(super) phase: Phase,
    pub(super) cut: Cut,
    pub(super) lba: u64,
    pub(super) end: u64,
    pub(super) epoch: Epoch,
    /// The segment `[segment_start, segment_end)`, and the region whose lease it holds.
    pub(super) segment_start: u64,
    pub(super) segment_end: u64,
    pub(super) lease: Option<RegionId>,
    /// The next child: a run and a copy of it, or a member.
    pub(super) next_lba: u64,
    pub(super) next_copy: u8,
    pub(super) children: Children,
    /// Members that a write or flush did not reach.
    pub(super) missed: SlotSet,
    /// Those of them that are gone: no verdict will come about them, but a View that says so.
    pub(super) gone: SlotSet,
    /// The number of the first report about a member that it missed. A verdict on one of the members may come
    /// for any of the reports since; while no member comes back, it stands for the later ones.
    pub(super) report: u64,
    /// What the host is told if the I/O fails.
    pub(super) last_fault: Option<Fault>,
    /// The I/O fails with `last_fault` once its children are back.
    pub(super) doomed: bool,
}

impl HostIo {
    /// A host I/O on the array's blocks `[lba, lba + blocks)`; flush and reset take no blocks. `fua`: the
    /// data must be durable before the I/O completes (write-zeroes are always treated so: NVMe-oF targets
    /// lose the bit).
    pub fn new(op: Op, lba: u64, blocks: u64, fua: bool) -> HostIo {
        let mut io = HostIo::default();
        io.begin(op, lba, blocks, fua);
        io
    }

    /// [`HostIo::new`] in place, on a default value: for a hot path that has one already.
    #[inline(always)]
    pub fn begin(&mut self, op: Op, lba: u64, blocks: u64, fua: bool) {
        self.op = op;
        self.fua = fua && op == Op::Write || op == Op::WriteZeroes;
        self.cut = match op {
            Op::Read | Op::Write => Cut::Runs,
            Op::WriteZeroes | Op::Unmap => Cut::Extents,
            Op::Flush | Op::Reset => Cut::Members,
        };
        (self.lba, self.end) = (lba, lba + blocks);
        (self.segment_start, self.segment_end) = (lba, lba);
    }

    /// The operation.
    pub fn op(&self) -> Op {
        self.op
    }

    /// Whether member I/O is outstanding.
    pub fn has_children(&self) -> bool {
        self.children.in_flight > 0
    }

    /// Whether nothing was done for it yet; or it is to begin anew, once members are back.
    pub(super) fn is_untouched(&self) -> bool {
        matches!(self.phase, Phase::Entering | Phase::Unserved)
            && self.segment_start == self.lba
            && self.children.in_flight == 0
    }
}

/// The children of a host I/O.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Children {
    pub in_flight: u8,
    /// Bit per index: in flight, or waiting to be sent again.
    used: u8,
    /// Bit per index: to be sent again.
    resend: u8,
    /// Bit per index: failed for a reason that says nothing about the member.
    transient: u8,
    /// Bit per index: failed because the drive is gone.
    gone: u8,
    slot: [Slot; CHILDREN_MAX],
    attempts: [u8; CHILDREN_MAX],
    /// First block of the run, counted from the host I/O's first block.
    offset: [u32; CHILDREN_MAX],
    /// When it was sent; see `Overdue`.
    pub tick: [u8; CHILDREN_MAX],
    /// The read that is retried now, and the copies it has failed on.
    retrying: Option<u8>,
    tried: SlotSet,
    found_gone: SlotSet,
}

impl Children {
    /// A free index.
    #[inline]
    pub fn free(&self) -> Option<u8> {
        (self.used != u8::MAX).then(|| self.used.trailing_ones() as u8)
    }

    #[inline]
    pub fn sent(&mut self, index: u8, slot: Slot, offset: u32) {
        debug_assert!(self.used & (1 << index) == 0);
        self.in_flight += 1;
        self.used |= 1 << index;
        self.slot[usize::from(index)] = slot;
        self.offset[usize::from(index)] = offset;
        self.attempts[usize::from(index)] = 0;
        if self.retrying == Some(index) {
            self.retrying = None;
        }
    }

    pub fn sent_again(&mut self, index: u8, slot: Slot) {
        debug_assert!(self.resend & (1 << index) != 0);
        self.in_flight += 1;
        self.resend &= !(1 << index);
        self.slot[usize::from(index)] = slot;
    }

    /// The child came back; its index is free. Returns the member it was on.
    #[inline]
    pub fn done(&mut self, index: u8) -> Slot {
        assert!(self.used & !self.resend & (1 << index) != 0, "child {index} is not in flight");
        self.in_flight -= 1;
        self.used &= !(1 << index);
        self.slot[usize::from(index)]
    }

    /// The child came back, and is to be sent again.
    pub fn failed(&mut self, index: u8, fault: Fault) {
        self.used |= 1 << index;
        self.resend |= 1 << index;
        self.transient = self.transient & !(1 << index) | u8::from(fault.is_transient()) << index;
        self.gone = self.gone & !(1 << index) | u8::from(fault.kind == FaultKind::Gone) << index;
    }

    /// Counts an abort; false when there were too many to believe that they will pass. The next copy begins
    /// with new patience.
    pub fn may_try_again(&mut self, index: u8) -> bool {
        let attempts = &mut self.attempts[usize::from(index)];
        *attempts = (*attempts + 1) % ATTEMPTS_MAX;
        *attempts != 0
    }

    /// The first child that is to be sent again. A read that is on its way through the copies goes on before
    /// others begin, or it would forget where it has been.
    #[inline]
    pub fn to_resend(&self) -> Option<u8> {
        if let Some(index) = self.retrying.filter(|index| self.resend & (1 << index) != 0) {
            return Some(index);
        }
        (self.resend != 0).then(|| self.resend.trailing_zeros() as u8)
    }

    pub fn slot(&self, index: u8) -> Slot {
        self.slot[usize::from(index)]
    }

    pub fn offset(&self, index: u8) -> u32 {
        self.offset[usize::from(index)]
    }

    /// The copies that the retried read `index` must not use again. Reads are retried one at a time.
    pub fn tried(&mut self, index: u8) -> SlotSet {
        if self.retrying != Some(index) {
            (self.retrying, self.tried, self.found_gone) = (Some(index), SlotSet::EMPTY, SlotSet::EMPTY);
        }
        if self.transient & (1 << index) == 0 {
            self.tried.insert(self.slot(index));
        }
        if self.gone & (1 << index) != 0 {
            self.found_gone.insert(self.slot(index));
        }
        self.tried
    }

    /// Of those copies, the ones that were gone. The View may still be to come that says so.
    pub fn found_gone(&self) -> SlotSet {
        self.found_gone
    }

    /// Forgets what was to be sent again: the segment is planned anew.
    pub fn forget_resends(&mut self) {
        self.used &= !self.resend;
        self.resend = 0;
    }
}

/// A command that was aborted this often by resets is taken for a path error.
const ATTEMPTS_MAX: u8 = 16;
