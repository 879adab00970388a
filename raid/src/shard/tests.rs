//! Scenarios of the Shard; Channels, members and Array are played by the tests.

mod cleaning;
mod marks;
mod repairs;
mod unwritten;

use super::*;
use crate::fault::FaultKind;
use crate::format::LogPage;
use crate::format::Uuid16;
use crate::geometry::{GeometrySpec, Level};
use crate::view::OnFailed;

const A: ChannelId = ChannelId(1);
const B: ChannelId = ChannelId(2);
const REGION: RegionId = RegionId(7);

fn acquire(channel: ChannelId) -> ToShard {
    ToShard::Acquire { channel, region: REGION }
}

fn release(channel: ChannelId, lease: u32) -> ToShard {
    ToShard::Release { channel, region: REGION, lease: LeaseGen(lease) }
}

fn geometry(members: usize) -> Arc<Geometry> {
    let spec = GeometrySpec {
        level: Level::Raid1,
        block_size: 512,
        member_blocks: vec![Some(20_000); members],
        chunk_blocks: 8,
        region_blocks: Some(64),
        data_offset_blocks: 16_384,
    };
    Arc::new(spec.build().expect("a possible shape"))
}

/// A Shard of an array that keeps no log.
fn unlogged() -> Shard {
    Shard::new(ShardSpec { id: ShardId(0), geometry: geometry(2), log: None, idle_ms: 1000 })
}

/// A Shard of a mirror of two whose regions are all in `state` and which knows View 1. Its first log writes were
/// answered, and its messages were read.
fn logged(state: RegionState, crashed: Option<Slot>) -> Shard {
    let geometry = geometry(2);
    let mut pages: BTreeMap<u16, LogPage> = BTreeMap::new();
    for region in (0..geometry.regions()).map(RegionId) {
        let place = crate::format::log::place(region);
        pages.entry(place.page).or_default().set(place.index, state);
    }
    let log = LogSpec { array: Uuid16([7; 16]), members: 2, pages, crashed };
    let mut shard = Shard::new(ShardSpec { id: ShardId(0), geometry, log: Some(log), idle_ms: 1000 });
    view(&mut shard, 1, &[0, 1]);
    answer_all(&mut shard);
    shard
}

/// View `epoch`, in which these members are in sync and reachable.
fn view(shard: &mut Shard, epoch: u64, slots: &[u8]) {
    view_unrecordable(shard, epoch, slots, &[]);
}

fn view_unrecordable(shard: &mut Shard, epoch: u64, slots: &[u8], unrecordable: &[u8]) {
    let set = |slots: &[u8]| slots.iter().map(|slot| Slot(*slot)).collect::<SlotSet>();
    let in_sync = set(slots);
    let view = View {
        epoch: Epoch(epoch),
        in_sync,
        reachable: in_sync,
        attached: in_sync,
        flushes: in_sync,
        unrecordable: set(unrecordable),
        on_failed: OnFailed::Error,
    };
    shard.on_message(ToShard::View(Arc::new(view)), 0);
}

/// The metadata I/O among what the Shard has sent; the rest is returned too.
fn orders(shard: &mut Shard) -> (Vec<MetaIo>, Vec<FromShard>) {
    let mut rest = sent(shard);
    let io = rest.extract_if(.., |message| matches!(message, FromShard::Io(_)));
    let io = io.map(|message| if let FromShard::Io(io) = message { io } else { unreachable!() }).collect();
    (io, rest)
}

/// Answers all metadata I/O well until none comes any more; what else was sent.
fn answer_all(shard: &mut Shard) -> Vec<FromShard> {
    let mut others = Vec::new();
    loop {
        let (io, rest) = orders(shard);
        others.extend(rest);
        if io.is_empty() {
            return others;
        }
        io.into_iter().for_each(|io| shard.io_done(io.ticket, Ok(()), 0));
    }
}

fn slots_of(io: &[MetaIo]) -> Vec<u8> {
    io.iter().map(|io| io.slot.0).collect()
}

fn sent(shard: &mut Shard) -> Vec<FromShard> {
    std::iter::from_fn(|| shard.take_message()).collect()
}

fn granted(channel: ChannelId, lease: u32) -> FromShard {
    FromShard::Channel(channel, ToChannel::Grant { region: REGION, lease: LeaseGen(lease) })
}

fn revoked(channel: ChannelId, lease: u32) -> FromShard {
    FromShard::Channel(channel, ToChannel::Revoke { region: REGION, lease: LeaseGen(lease) })
}

#[test]
fn several_channels_may_hold_a_region_and_a_revoke_asks_them_all() {
    let mut shard = unlogged();
    shard.on_message(acquire(A), 0);
    shard.on_message(acquire(B), 0);
    assert_eq!(sent(&mut shard), [granted(A, 1), granted(B, 2)]);
    shard.revoke(REGION);
    assert_eq!(sent(&mut shard), [revoked(A, 1), revoked(B, 2)]);
    shard.on_message(release(A, 1), 0);
    assert!(shard.is_leased(REGION), "B still writes");
    shard.on_message(release(B, 2), 0);
    assert!(!shard.is_leased(REGION));
}

#[test]
fn who_asks_during_a_revoke_is_served_after_it() {
    let mut shard = unlogged();
    shard.on_message(acquire(A), 0);
    shard.revoke(REGION);
    shard.on_message(acquire(B), 0);
    assert_eq!(sent(&mut shard), [granted(A, 1), revoked(A, 1)]);
    shard.on_message(release(A, 9), 0);
    assert_eq!(sent(&mut shard), [], "a release of another generation is void");
    shard.on_message(release(A, 1), 0);
    assert_eq!(sent(&mut shard), [granted(B, 2)]);
}

#[test]
fn a_closed_channel_holds_nothing_and_waits_for_nothing() {
    let mut shard = unlogged();
    shard.on_message(acquire(A), 0);
    shard.revoke(REGION);
    shard.on_message(acquire(B), 0);
    shard.on_message(ToShard::ChannelClosed(B), 0);
    shard.on_message(ToShard::ChannelClosed(A), 0);
    assert!(!shard.is_leased(REGION));
}
