//! A piece of metadata that is kept on several members: the record in the superblocks, or a page of the dirty
//! log. Contents have generations: a change is complete in memory before it gets one, a write carries the one
//! that it began with, and who needs a change to be durable waits for its generation, never for a flag.
//!
//! ```text
//!   on each member, with `content` the newest generation in memory:
//!
//!   Idle{written = content}  --change-->  Idle{written < content}  --begin-->  Writing{gen}
//!        "clean"                               "dirty"                         "writeback"
//!          ^                                      ^                                 |
//!          |                                      +--- done, content > gen ---------+--- failed --> Failed
//!          +------------------------------------------ done, content = gen ---------+
//! ```
//!
//! A write that was begun with generation `gen` makes `gen` durable and nothing newer: what changed meanwhile
//! is still to be written.

use crate::ids::{Slot, SlotSet};

/// The state of the copies of one piece of metadata.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Replica {
    content: u64,
    copies: Vec<Copy>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Copy {
    Idle { written: u64 },
    Writing { written: u64, gen_: u64 },
    Failed { written: u64 },
}

impl Copy {
    fn written(self) -> u64 {
        match self {
            Copy::Idle { written } | Copy::Writing { written, .. } | Copy::Failed { written } => written,
        }
    }
}

impl Replica {
    /// Generation `content` is durable on all of `members` members.
    pub fn new(members: usize, content: u64) -> Replica {
        Replica { content, copies: vec![Copy::Idle { written: content }; members] }
    }

    /// The newest generation.
    pub fn content(&self) -> u64 {
        self.content
    }

    /// The content has changed: the generation that it has now.
    pub fn change(&mut self) -> u64 {
        self.content += 1;
        self.content
    }

    /// Begins a write to one of `targets` that lacks the newest generation and has no write under way.
    pub fn begin(&mut self, targets: SlotSet) -> Option<Slot> {
        let content = self.content;
        let lacks = |copy: &Copy| matches!(copy, Copy::Idle { written } if *written < content);
        let slot = targets.iter().find(|slot| lacks(&self.copies[slot.index()]))?;
        let copy = &mut self.copies[slot.index()];
        *copy = Copy::Writing { written: copy.written(), gen_: content };
        Some(slot)
    }

    /// The write to `slot` ended, and the member has flushed; or it failed, and nothing more is written there.
    pub fn end(&mut self, slot: Slot, is_durable: bool) {
        let copy = &mut self.copies[slot.index()];
        let Copy::Writing { written, gen_ } = *copy else {
            unreachable!("a write of metadata ends on slot {slot}, and none was begun");
        };
        *copy = if is_durable { Copy::Idle { written: gen_ } } else { Copy::Failed { written } };
    }

    /// The write to `slot` failed for a reason that says nothing about the member: it is to be begun again.
    pub fn end_transient(&mut self, slot: Slot) {
        let copy = &mut self.copies[slot.index()];
        *copy = Copy::Idle { written: copy.written() };
    }

    /// The newest generation that is durable on all of `targets`; with no targets, the newest there is.
    pub fn durable(&self, targets: SlotSet) -> u64 {
        targets.iter().map(|slot| self.copies[slot.index()].written()).min().unwrap_or(self.content)
    }

    /// Whether a write to `slot` is under way.
    pub fn is_writing(&self, slot: Slot) -> bool {
        matches!(self.copies[slot.index()], Copy::Writing { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Slot; 2] = [Slot(0), Slot(1)];

    fn both() -> SlotSet {
        BOTH.into_iter().collect()
    }

    #[test]
    fn what_changes_while_it_is_written_is_written_again() {
        let mut replica = Replica::new(2, 7);
        assert_eq!(replica.begin(both()), None, "everything is durable");
        let first = replica.change();
        assert_eq!([replica.begin(both()), replica.begin(both())], BOTH.map(Some));
        let second = replica.change();
        assert_eq!(replica.begin(both()), None, "one write at a time to each member");
        replica.end(Slot(0), true);
        replica.end(Slot(1), true);
        assert_eq!(replica.durable(both()), first, "the write carried what it began with");
        assert_eq!(replica.begin(both()), Some(Slot(0)));
        replica.end(Slot(0), true);
        assert_eq!((replica.durable(both()), replica.durable(SlotSet::first(1))), (first, second));
    }

    #[test]
    fn a_copy_that_failed_is_left_alone_and_holds_up_those_who_count_on_it() {
        let mut replica = Replica::new(2, 0);
        let changed = replica.change();
        assert_eq!([replica.begin(both()), replica.begin(both())], BOTH.map(Some));
        replica.end(Slot(0), false);
        replica.end(Slot(1), true);
        assert_eq!(replica.begin(both()), None);
        assert_eq!(replica.durable(both()), 0);
        assert_eq!(replica.durable(both().without(Slot(0))), changed);
        assert_eq!(replica.durable(SlotSet::EMPTY), changed, "nobody is there to miss it");
    }
}
