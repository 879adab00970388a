//! What is wrong with a drive, and how a child ends because of it.

use raid::FaultKind;
use raid::channel::Op;

use crate::profile::Faults;
use crate::rng::Rng;

/// The state of the drive and of the way to it. Times are steps of the world.
#[derive(Clone, Debug, Default)]
pub(crate) struct Health {
    pub gone: bool,
    /// Nothing completes before.
    pub stalled_until: u64,
    /// No metadata I/O completes before.
    pub meta_stalled_until: u64,
    /// Everything fails before.
    pub path_down_until: u64,
    /// Blocks that can't be read, until they are written.
    pub bad_blocks: Option<(u64, u64)>,
}

/// Which blocks of a write are on the medium after it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Torn {
    Nothing,
    Everything,
    /// The first so many.
    Head(u64),
    /// Those whose bit is set, by number modulo 64.
    Scattered(u64),
}

/// What a member I/O does to the drive: its operation and its blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doing {
    pub op: Op,
    pub lba: u64,
    pub blocks: u64,
}

impl Torn {
    /// What both take, of at most 64.
    pub fn and(self, other: Torn) -> Torn {
        match (self, other) {
            (Torn::Everything, torn) | (torn, Torn::Everything) => torn,
            (a, b) => {
                let bits = (0..64).filter(|bit| a.takes(*bit) && b.takes(*bit));
                Torn::Scattered(bits.fold(0, |mask, bit| mask | 1 << bit))
            }
        }
    }

    #[inline]
    pub fn takes(self, block: u64) -> bool {
        match self {
            Torn::Nothing => false,
            Torn::Everything => true,
            Torn::Head(blocks) => block < blocks,
            Torn::Scattered(mask) => mask >> (block % 64) & 1 == 1,
        }
    }

    pub fn draw(rng: &mut Rng, blocks: u64) -> Torn {
        match rng.below(4) {
            0 => Torn::Nothing,
            1 => Torn::Everything,
            2 => Torn::Head(rng.below(blocks + 1)),
            _ => Torn::Scattered(rng.between(0, u64::MAX - 1)),
        }
    }
}

impl Health {
    /// How `doing` ends now: aborts and short resources can hit any drive, the rest bad ones only.
    pub fn outcome(
        &mut self,
        rng: &mut Rng,
        faults: &Faults,
        doing: &Doing,
        now: u64,
        is_bad: bool,
    ) -> Result<(), FaultKind> {
        if self.gone {
            return Err(FaultKind::Gone);
        }
        if now < self.path_down_until {
            return Err(FaultKind::Path);
        }
        if rng.happens(faults.aborted) {
            return Err(FaultKind::Aborted);
        }
        if rng.happens(faults.no_resources_at_end) {
            return Err(FaultKind::NoResources);
        }
        if doing.op == Op::Read && self.hits_bad_blocks(doing) {
            return Err(FaultKind::Media);
        }
        if is_bad {
            self.break_down(rng, faults, doing.op)?;
        }
        if doing.op.modifies() && self.hits_bad_blocks(doing) {
            self.bad_blocks = None; // written anew
        }
        Ok(())
    }

    fn break_down(&mut self, rng: &mut Rng, faults: &Faults, op: Op) -> Result<(), FaultKind> {
        if rng.happens(faults.gone) {
            self.gone = true;
            return Err(FaultKind::Gone);
        }
        let of_op = match op {
            Op::Read => faults.read_media,
            Op::Flush => faults.flush_error,
            _ => faults.write_media,
        };
        for (rate, kind) in
            [(of_op, FaultKind::Media), (faults.path, FaultKind::Path), (faults.other, FaultKind::Other)]
        {
            if rng.happens(rate) {
                return Err(kind);
            }
        }
        Ok(())
    }

    fn hits_bad_blocks(&self, doing: &Doing) -> bool {
        self.bad_blocks.is_some_and(|(from, to)| doing.lba < to && from < doing.lba + doing.blocks)
    }
}
