//! Metadata I/O that machines want done: a write of bytes to a place on a member, and a FLUSH after it.
//!
//! A driver has buffers of its own for it, and never lets it wait for host I/O or sync I/O. Each is answered
//! once, with the ticket that it carries. What lacked a resource the driver tries again by itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ids::{Epoch, Slot};

/// Names a metadata I/O of one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// A metadata I/O.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MetaIo {
    /// What its answer must name.
    pub ticket: Ticket,
    /// The member.
    pub slot: Slot,
    /// What to write first; None: only the FLUSH.
    pub write: Option<MetaWrite>,
    /// Whether a FLUSH is to follow once the write has completed; false for members that have none.
    pub flush: bool,
}

/// What is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MetaWrite {
    /// Bytes, a multiple of 4096 of them, at a byte offset on the member that is a multiple of 4096.
    Bytes {
        /// The offset.
        offset: u64,
        /// The bytes.
        bytes: Arc<[u8]>,
    },
    /// Zeros in the member's blocks `[lba, lba + blocks)`.
    Zeroes {
        /// The first block.
        lba: u64,
        /// How many.
        blocks: u64,
    },
}

/// What a machine has under way, and the View under which it was begun.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct UnderWay<T> {
    last: u64,
    open: BTreeMap<Ticket, (Epoch, T)>,
}

impl<T> Default for UnderWay<T> {
    fn default() -> UnderWay<T> {
        UnderWay { last: 0, open: BTreeMap::new() }
    }
}

impl<T> UnderWay<T> {
    /// A new ticket, for `what`.
    pub fn begin(&mut self, epoch: Epoch, what: T) -> Ticket {
        self.last += 1;
        self.open.insert(Ticket(self.last), (epoch, what));
        Ticket(self.last)
    }

    /// The I/O is back: what it was for.
    pub fn end(&mut self, ticket: Ticket) -> T {
        self.open.remove(&ticket).expect("a metadata I/O is answered once").1
    }

    /// Whether something is under way that `is_such`.
    pub fn any(&self, is_such: impl Fn(&T) -> bool) -> bool {
        self.open.values().any(|(_, what)| is_such(what))
    }

    /// The oldest View under which something was begun that is still under way.
    pub fn oldest(&self) -> Option<Epoch> {
        self.open.values().map(|(epoch, _)| *epoch).min()
    }
}
