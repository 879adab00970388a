//! A device over several: chunks of a few blocks, in turn on each member. As much of a RAID as is needed to
//! drive every way of sending children.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use spdk_rs::bdev::{Channel, Descriptor, IoError, IoKind, Reserve, wait_for_io};
use spdk_rs::error::Errno;
use spdk_rs::module::{self, BdevSpec, CHILD_SLOTS, Child, Device, Io, Registered};

use crate::lab::Lab;
use crate::module::TEST;

#[derive(Clone, Copy)]
pub struct Layout {
    pub chunk_blocks: u64,
    pub members: u64,
}

impl Layout {
    /// Member and block there of a block.
    pub fn place(self, lba: u64) -> (usize, u64) {
        let (chunk, within) = (lba / self.chunk_blocks, lba % self.chunk_blocks);
        ((chunk % self.members) as usize, chunk / self.members * self.chunk_blocks + within)
    }
}

/// What a test may look at from outside.
#[derive(Default)]
pub struct Counters {
    /// How often an I/O had to wait for a bdev_io.
    pub waits: AtomicUsize,
    /// How often what was in reserve was sent instead.
    pub spent: AtomicUsize,
    pub dropped: AtomicUsize,
    pub channels: AtomicUsize,
}

pub struct Stripe {
    layout: Layout,
    members: Vec<Arc<Descriptor>>,
    counters: Arc<Counters>,
}

pub struct Members {
    layout: Layout,
    channels: Vec<Channel>,
    /// Kept on the first.
    reserve: Reserve,
    counters: Arc<Counters>,
}

#[derive(Default)]
pub struct Progress {
    /// Blocks that were sent; for reset and flush: members.
    sent: u64,
    /// A bit for each child that is out.
    out: u8,
    error: Option<IoError>,
}

impl Stripe {
    /// Opens the members and registers a stripe over them, of the members' size.
    pub fn register(name: &str, members: &[&str], chunk_blocks: u64) -> (Registered<Stripe>, Arc<Counters>) {
        let members: Vec<_> =
            members.iter().map(|name| Descriptor::open(name, true, |_| {}).expect("a member")).collect();
        let counters = Arc::new(Counters::default());
        let layout = Layout { chunk_blocks, members: members.len() as u64 };
        let size = members[0].num_blocks() / chunk_blocks * chunk_blocks * layout.members;
        let spec = BdevSpec::new(name, members[0].block_size(), size);
        let device = Stripe { layout, members, counters: counters.clone() };
        (module::register(&TEST, spec, device).expect("a stripe"), counters)
    }
}

/// Two malloc bdevs m0 and m1 of 1 MiB and a stripe s over them, of chunks of 4 blocks of 512 bytes.
pub fn over_malloc(lab: &mut Lab) -> (Registered<Stripe>, Arc<Counters>) {
    lab.malloc("m0", 512, 2048);
    lab.malloc("m1", 512, 2048);
    lab.on_app(|| Stripe::register("s", &["m0", "m1"], 4))
}

impl Device for Stripe {
    type Channel = Rc<Members>;
    type IoState = Progress;

    fn supports(&self, _kind: IoKind) -> bool {
        true
    }

    fn open_channel(&self) -> Result<Rc<Members>, Errno> {
        let channels: Vec<_> = self.members.iter().map(Descriptor::channel).collect::<Result<_, _>>()?;
        self.counters.channels.fetch_add(1, Ordering::Relaxed);
        let reserve = Reserve::new();
        reserve.keep_on(channels.first());
        Ok(Rc::new(Members { layout: self.layout, channels, reserve, counters: self.counters.clone() }))
    }

    fn reserve(members: &Rc<Members>) -> Option<&Reserve> {
        Some(&members.reserve)
    }

    fn submit(&self, members: &Rc<Members>, io: Io<Stripe>) {
        match io.kind() {
            IoKind::Abort => abort(io),
            _ => go_on(members, io),
        }
    }

    fn child_done(&self, members: &Rc<Members>, mut io: Io<Stripe>, slot: u8, result: Result<(), IoError>) {
        let state = io.state();
        state.out &= !(1 << slot);
        state.error = state.error.or(result.err());
        go_on(members, io);
    }
}

impl Drop for Stripe {
    fn drop(&mut self) {
        self.counters.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        self.counters.channels.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Sends what there are slots for; completes when all is back.
fn go_on(members: &Rc<Members>, mut io: Io<Stripe>) {
    while let Some((member, child)) = next_child(members, &mut io) {
        let slot = io.state().out.trailing_ones() as u8;
        if usize::from(slot) == CHILD_SLOTS {
            break;
        }
        let mut sent = io.submit_child(slot, &members.channels[member], child);
        // One child at least, however little there is.
        if sent == Err(Errno::ENOMEM) && io.state().out == 0 {
            sent = io.submit_child_from_reserve(slot, &members.channels[member], child);
            members.counters.spent.fetch_add(usize::from(sent.is_ok()), Ordering::Relaxed);
        }
        match sent {
            Ok(()) => {
                let state = io.state();
                state.out |= 1 << slot;
                state.sent += if whole_members(child.op) { 1 } else { child.blocks };
            }
            // The next child that comes back tries again.
            Err(Errno::ENOMEM) if io.state().out != 0 => break,
            Err(Errno::ENOMEM) => {
                members.counters.waits.fetch_add(1, Ordering::Relaxed);
                let (again, token) = (members.clone(), io.into_token());
                return wait_for_io(&members.channels[member], move || {
                    // SAFETY: parked just above, on this thread, and only this closure has the token.
                    go_on(&again, unsafe { Io::from_token(token) });
                });
            }
            Err(errno) => io.state().error = Some(errno.into()),
        }
    }
    let state = io.state();
    match (state.out, state.error) {
        (0, Some(error)) => io.complete(Err(error)),
        (0, None) => io.complete(Ok(())),
        _ => drop(io.into_token()),
    }
}

fn whole_members(kind: IoKind) -> bool {
    matches!(kind, IoKind::Reset | IoKind::Flush)
}

fn next_child(members: &Members, io: &mut Io<Stripe>) -> Option<(usize, Child)> {
    let Progress { sent, error, .. } = *io.state();
    if error.is_some() {
        return None;
    }
    let op = io.kind();
    if whole_members(op) {
        let channel = members.channels.get(sent as usize)?;
        let blocks = channel.descriptor().num_blocks();
        return Some((sent as usize, Child { op, lba: 0, blocks, host_offset_blocks: 0 }));
    }
    let lba = io.lba() + sent;
    let left = io.blocks() - sent;
    let (member, place) = members.layout.place(lba);
    let blocks = left.min(members.layout.chunk_blocks - lba % members.layout.chunk_blocks);
    (left > 0).then_some((member, Child { op, lba: place, blocks, host_offset_blocks: sent }))
}

/// Has the members give the target's children up. Whether that worked shows in the target.
fn abort(io: Io<Stripe>) {
    if let Some(target) = io.abort_target() {
        // SAFETY: it is parked, on the thread of this channel.
        let mut target = unsafe { Io::<Stripe>::from_token(target) };
        let out = target.state().out;
        for slot in (0..CHILD_SLOTS as u8).filter(|slot| out & (1 << slot) != 0) {
            target.abort_child(slot).expect("to ask for an abort");
        }
        target.into_token();
    }
    io.complete(Err(IoError::OTHER));
}
