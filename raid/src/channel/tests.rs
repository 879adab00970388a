//! Scenarios of one Channel, under a driver that holds each child until the scenario lets it come back.

mod reads;
mod rules;
mod views;
mod writes;

use super::*;
use crate::geometry::{GeometrySpec, Level};
use crate::ids::{LeaseGen, SlotSet};
use crate::msg::ReadRule;

const MEDIA: Fault = Fault::of(FaultKind::Media);
const GONE: Fault = Fault::of(FaultKind::Gone);
const ABORTED: Fault = Fault::of(FaultKind::Aborted);
const SHORT: Fault = Fault::of(FaultKind::NoResources);

/// Blocks of a region of every array here.
const REGION: u64 = 64;

fn geometry(level: Level, members: usize) -> Arc<Geometry> {
    let spec = GeometrySpec {
        level,
        block_size: 512,
        member_blocks: vec![Some(1024); members],
        chunk_blocks: 8,
        region_blocks: Some(REGION),
        data_offset_blocks: 0,
    };
    Arc::new(spec.build().expect("a possible shape"))
}

fn slots(slots: &[u8]) -> SlotSet {
    slots.iter().map(|slot| Slot(*slot)).collect()
}

/// A host I/O: its place in the rig.
type Host = usize;

struct Rig {
    channel: Channel,
    ios: Vec<HostIo>,
    done: Vec<Option<Result<(), Fault>>>,
    /// Submitted, and not back.
    out: Vec<(Host, Child)>,
    on_failed: OnFailed,
    unread: Vec<FromChannel>,
    /// Parts of host buffers that were filled with zeros: I/O, offset and length in blocks.
    zeroed: Vec<(Host, u64, u64)>,
}

impl Rig {
    /// A Channel that knows View 1 with all members, which everybody knows; its messages were read.
    fn new(level: Level, members: usize, on_failed: OnFailed) -> Rig {
        let mut rig = Rig::unopened(level, members, on_failed);
        rig.rules(&[]);
        rig.view(1, &[]);
        rig.settled(1);
        rig.sent();
        rig
    }

    fn mirror() -> Rig {
        Rig::new(Level::Raid1, 2, OnFailed::Error)
    }

    /// A Channel that the Array has not answered yet.
    fn unopened(level: Level, members: usize, on_failed: OnFailed) -> Rig {
        let channel = Channel::new(ChannelId(1), geometry(level, members), 1);
        let (ios, done, out, unread) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Rig { channel, ios, done, out, on_failed, unread, zeroed: Vec::new() }
    }

    /// The Shard's first word. Arrays without redundancy have none.
    fn rules(&mut self, rules: &[(u32, ReadRule)]) {
        if self.channel.geometry.is_redundant() {
            let regions = rules.iter().map(|(region, rule)| (RegionId(*region), *rule)).collect();
            self.on(ToChannel::Rules(Arc::new(crate::msg::Rules { epoch: Epoch(1), regions })));
        }
    }

    /// The host sends an I/O. Leases that it asks for are granted at once.
    fn start(&mut self, op: Op, lba: u64, blocks: u64) -> Host {
        let host = self.start_unleased(HostIo::new(op, lba, blocks, false));
        self.grant_all();
        host
    }

    fn start_unleased(&mut self, io: HostIo) -> Host {
        self.ios.push(io);
        self.done.push(None);
        let host = self.ios.len() - 1;
        self.ask(host);
        host
    }

    /// Asks what to do for the I/O, and does it.
    fn ask(&mut self, host: Host) {
        assert_eq!(self.done[host], None, "I/O {host} is named after its end");
        loop {
            match self.channel.next(IoId(host as u64), &mut self.ios[host]) {
                Step::Submit(child) => self.out.push((host, child)),
                Step::Zeros { offset_blocks, blocks } => self.zeroed.push((host, offset_blocks, blocks)),
                Step::Wait => return,
                Step::Done(result) => {
                    self.done[host] = Some(result);
                    return;
                }
            }
        }
    }

    fn ask_ready(&mut self) {
        while let Some(IoId(host)) = self.channel.take_ready() {
            self.ask(host as Host);
        }
    }

    fn on(&mut self, message: ToChannel) {
        self.channel.on_message(message);
        self.ask_ready();
    }

    /// View `epoch`, in which the members of `out` are out.
    fn view(&mut self, epoch: u64, out: &[u8]) {
        let all = self.channel.geometry.slots();
        self.view_of(epoch, all.minus(slots(out)), all);
    }

    /// View `epoch`, in which the members of `lost` are in sync and do not answer.
    fn view_frozen(&mut self, epoch: u64, lost: &[u8]) {
        let all = self.channel.geometry.slots();
        self.view_of(epoch, all, all.minus(slots(lost)));
    }

    fn view_of(&mut self, epoch: u64, in_sync: SlotSet, reachable: SlotSet) {
        let all = self.channel.geometry.slots();
        let (epoch, on_failed) = (Epoch(epoch), self.on_failed);
        let view = View {
            epoch,
            in_sync,
            reachable,
            attached: all,
            flushes: all,
            unrecordable: SlotSet::EMPTY,
            on_failed,
        };
        self.on(ToChannel::View(Arc::new(view)));
    }

    fn settled(&mut self, epoch: u64) {
        self.on(ToChannel::Settled(Epoch(epoch)));
    }

    fn kept(&mut self, slot: u8, report: u64) {
        self.on(ToChannel::Kept { slot: Slot(slot), report });
    }

    /// Grants the leases that were asked for.
    fn grant_all(&mut self) {
        for message in self.sent() {
            match message {
                FromChannel::Shard(_, ToShard::Acquire { region, .. }) => {
                    self.on(ToChannel::Grant { region, lease: LeaseGen(1) });
                }
                other => self.unread.push(other),
            }
        }
    }

    /// What the Channel has sent since this was asked last, but for leases that were granted.
    fn sent(&mut self) -> Vec<FromChannel> {
        let mut sent = std::mem::take(&mut self.unread);
        sent.extend(std::iter::from_fn(|| self.channel.take_message()));
        sent
    }

    /// The members that children of the I/O are out to, in the order in which they were sent.
    fn out_to(&self, host: Host) -> Vec<u8> {
        self.out.iter().filter(|(of, _)| *of == host).map(|(_, child)| child.slot.0).collect()
    }

    /// The first child of the I/O that is out to `slot`.
    fn child(&self, host: Host, slot: u8) -> Child {
        let mut out = self.out.iter();
        out.find(|(of, child)| *of == host && child.slot.0 == slot).expect("a child is out there").1
    }

    /// The first child of the I/O that is out to `slot` comes back, and the driver asks what to do next.
    fn back(&mut self, host: Host, slot: u8, result: Result<(), Fault>) {
        self.back_child(host, self.child(host, slot).index, result);
        self.ask(host);
        self.ask_ready();
    }

    /// A child comes back; the driver does not ask yet.
    fn back_child(&mut self, host: Host, index: u8, result: Result<(), Fault>) {
        let mut out = self.out.iter();
        let at = out.position(|(of, child)| *of == host && child.index == index);
        self.out.remove(at.expect("the child is out there"));
        self.channel.child_done(&mut self.ios[host], index, result);
    }

    /// Everything that is out comes back well, and what is sent then, too.
    fn all_back(&mut self) {
        while let Some((host, child)) = self.out.first().copied() {
            self.back(host, child.slot.0, Ok(()));
            self.grant_all();
        }
    }
}

fn report(report: u64, slot: u8, class: FaultClass, fault: Fault) -> FromChannel {
    FromChannel::Array(ToArray::Report { channel: ChannelId(1), report, slot: Slot(slot), class, fault })
}

fn swapped(epoch: u64) -> FromChannel {
    FromChannel::Array(ToArray::Swapped(Planner::Channel(ChannelId(1)), Epoch(epoch)))
}

fn drained(epoch: u64) -> FromChannel {
    FromChannel::Array(ToArray::Drained(Planner::Channel(ChannelId(1)), Epoch(epoch)))
}

fn acquire(region: u32) -> FromChannel {
    let (channel, region) = (ChannelId(1), RegionId(region));
    FromChannel::Shard(ShardId(0), ToShard::Acquire { channel, region })
}

fn release(region: u32, lease: u32) -> FromChannel {
    let (channel, region, lease) = (ChannelId(1), RegionId(region), LeaseGen(lease));
    FromChannel::Shard(ShardId(0), ToShard::Release { channel, region, lease })
}
