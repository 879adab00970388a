//! What a crash has left open, a read settles: once a value was read, it does not go back, as long as the
//! members stay that it was read from.

use raid::SlotSet;

use super::{Checked, Rule, ensure};
use crate::coverage::Seen;
use crate::host::Request;
use crate::oracle::Moment;
use crate::stamp::WriteId;
use crate::world::World;

/// Per block, what a crash has left open and what was read since.
#[derive(Clone, Debug)]
pub(crate) struct Stable {
    /// The newest write at the crash that left the block open; None: no crash has.
    open_since: Vec<Option<WriteId>>,
    read: Vec<Option<(WriteId, Moment)>>,
    any: bool,
    /// The members that reads come from.
    usable: SlotSet,
}

impl Stable {
    pub fn new(num_blocks: u64) -> Stable {
        let blocks = num_blocks as usize;
        Stable {
            open_since: vec![None; blocks],
            read: vec![None; blocks],
            any: false,
            usable: SlotSet::EMPTY,
        }
    }

    /// A crash leaves block `lba` open; no write newer than `last` is there.
    pub fn open(&mut self, lba: u64, last: WriteId) {
        self.any = true;
        (self.open_since[lba as usize], self.read[lba as usize]) = (Some(last), None);
    }

    /// Members have gone: their successors may hold the other value.
    pub fn forget(&mut self) {
        if self.any {
            self.read.fill(None);
        }
    }

    /// The array was started, with these members to read from.
    pub fn forget_if(&mut self, usable: SlotSet) {
        if std::mem::replace(&mut self.usable, usable) != usable {
            self.forget();
        }
    }
}

impl World {
    /// A read returns what is in its buffer.
    pub(crate) fn check_stable(&mut self, request: &Request) -> Checked {
        if !self.stable.any || !request.errors.is_empty() {
            return Ok(());
        }
        let newest = self.array.view().usable();
        // Until everybody plans with the newest View, reads may come from others.
        let is_planned_anew = request.planned_under == self.array.view().epoch && !request.is_mixed;
        if !is_planned_anew || self.views().any(|view| view.usable() != newest) {
            return Ok(());
        }
        for (lba, stamp) in (request.lba..).zip(&request.buffer) {
            let Some(last) = self.stable.open_since[lba as usize] else { continue };
            let Some(id) = stamp.write_for(lba).filter(|id| *id <= last) else { continue };
            if let Some((before, at)) = self.stable.read[lba as usize] {
                ensure(id == before || at >= request.began, Rule::WrongData, || {
                    format!("block {lba} was read as w{before} after the crash, and is w{id} now")
                })?;
                self.coverage.saw(Seen::ReadPinned);
            } else {
                self.stable.read[lba as usize] = Some((id, self.oracle.now()));
            }
        }
        Ok(())
    }
}
