//! Host I/Os in flight, and where they are kept.

use raid::channel::{Child, HostIo, Op};
use raid::{ChannelId, Epoch, FaultKind, IoId, Slot, SlotSet};

use crate::oracle::{Moment, Write};
use crate::stamp::Stamp;

/// A command that was aborted this often is taken for one that failed.
const ABORTS_BELIEVED: usize = 16;

/// A host I/O on its way.
#[derive(Debug)]
pub(crate) struct Request {
    pub id: IoId,
    pub channel: ChannelId,
    pub op: Op,
    pub lba: u64,
    pub blocks: u64,
    pub fua: bool,
    pub began: Moment,
    /// For what modifies.
    pub write: Option<Write>,
    /// The machine's own state of it.
    pub machine: HostIo,
    /// For a read: what came in, a stamp per block.
    pub buffer: Vec<Stamp>,
    /// Bit per child index: in flight.
    pub live: u8,
    /// Whether any child was ever submitted.
    pub touched: bool,
    /// The machine has it wait, and must name it ready before it goes on.
    pub asleep: bool,
    /// Waits for a resource that was short.
    pub parked: bool,
    pub errors: Vec<ChildError>,
    /// The View of the last child.
    pub planned_under: Epoch,
    /// Others were planned under older ones.
    pub is_mixed: bool,
    /// For a write that needs leases: regions that something was sent to.
    pub sent: Vec<u32>,
    /// The same: regions and members that have taken something of it (true), or failed to.
    pub reached: Vec<(u32, Slot, bool)>,
    /// Members that have had a child of it, and answered other than that they lack a resource.
    pub answered: SlotSet,
}

/// A child that came back with an error.
#[derive(Clone, Debug)]
pub(crate) struct ChildError {
    pub child: Child,
    pub kind: FaultKind,
}

impl ChildError {
    /// Whether it says something about the member, other than aborts and short resources.
    pub fn is_real(&self) -> bool {
        !matches!(self.kind, FaultKind::Aborted | FaultKind::NoResources)
    }
}

impl Request {
    /// Whether some child failed, and not for want of a resource or by an abort.
    pub fn has_failed_children(&self) -> bool {
        self.errors.iter().any(ChildError::is_real)
    }

    /// How many members may have been aborted on so often that nobody believes in aborts any more.
    pub fn patience_lost(&self) -> usize {
        let aborts = self.errors.iter().filter(|error| error.kind == FaultKind::Aborted);
        aborts.count() / ABORTS_BELIEVED
    }

    /// Whether a child of this I/O was aborted on `slot`.
    pub fn was_aborted_on(&self, slot: Slot) -> bool {
        self.errors.iter().any(|error| error.child.slot == slot && error.kind == FaultKind::Aborted)
    }
}

/// The host I/Os in flight, by id. An id is a running number and the place in the table, so that one that is
/// named after its end is noticed.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    table: Vec<Option<Request>>,
    free: Vec<usize>,
    issued: u64,
    live: usize,
}

impl Requests {
    /// The id that the next I/O gets.
    pub fn next_id(&self) -> IoId {
        let place = self.free.last().copied().unwrap_or(self.table.len());
        IoId((self.issued + 1) << 16 | place as u64)
    }

    pub fn insert(&mut self, request: Request) {
        assert_eq!(request.id, self.next_id());
        self.issued += 1;
        self.live += 1;
        match self.free.pop() {
            Some(place) => self.table[place] = Some(request),
            None => self.table.push(Some(request)),
        }
    }

    #[inline]
    pub fn get(&self, id: IoId) -> Option<&Request> {
        self.table.get(place(id))?.as_ref().filter(|request| request.id == id)
    }

    #[inline]
    pub fn get_mut(&mut self, id: IoId) -> Option<&mut Request> {
        self.table.get_mut(place(id))?.as_mut().filter(|request| request.id == id)
    }

    pub fn remove(&mut self, id: IoId) -> Option<Request> {
        self.get(id)?;
        self.free.push(place(id));
        self.live -= 1;
        self.table[place(id)].take()
    }

    /// All of them, at once: the process that had them is gone.
    pub fn take_all(&mut self) -> Vec<Request> {
        (self.live, self.free) = (0, Vec::new());
        std::mem::take(&mut self.table).into_iter().flatten().collect()
    }

    /// How many are in flight.
    #[inline]
    pub fn len(&self) -> usize {
        self.live
    }

    /// How many there were so far.
    pub fn issued(&self) -> u64 {
        self.issued
    }

    pub fn iter(&self) -> impl Iterator<Item = &Request> {
        self.table.iter().flatten()
    }

    /// When the oldest one began.
    pub fn oldest(&self) -> Moment {
        self.iter().map(|request| request.began).min().unwrap_or(Moment::MAX)
    }
}

fn place(id: IoId) -> usize {
    (id.0 & 0xffff) as usize
}
