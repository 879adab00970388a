use super::*;

const A: ChannelId = ChannelId(1);
const B: ChannelId = ChannelId(2);
const REGION: RegionId = RegionId(7);

fn acquire(channel: ChannelId) -> ToShard {
    ToShard::Acquire { channel, region: REGION }
}

fn release(channel: ChannelId, lease: u32) -> ToShard {
    ToShard::Release { channel, region: REGION, lease: LeaseGen(lease) }
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
    let mut shard = Shard::new(ShardId(0));
    shard.on_message(acquire(A));
    shard.on_message(acquire(B));
    assert_eq!(sent(&mut shard), [granted(A, 1), granted(B, 2)]);
    shard.revoke(REGION);
    assert_eq!(sent(&mut shard), [revoked(A, 1), revoked(B, 2)]);
    shard.on_message(release(A, 1));
    assert!(shard.is_leased(REGION), "B still writes");
    shard.on_message(release(B, 2));
    assert!(!shard.is_leased(REGION));
}

#[test]
fn who_asks_during_a_revoke_is_served_after_it() {
    let mut shard = Shard::new(ShardId(0));
    shard.on_message(acquire(A));
    shard.revoke(REGION);
    shard.on_message(acquire(B));
    assert_eq!(sent(&mut shard), [granted(A, 1), revoked(A, 1)]);
    shard.on_message(release(A, 9));
    assert_eq!(sent(&mut shard), [], "a release of another generation is void");
    shard.on_message(release(A, 1));
    assert_eq!(sent(&mut shard), [granted(B, 2)]);
}

#[test]
fn a_closed_channel_holds_nothing_and_waits_for_nothing() {
    let mut shard = Shard::new(ShardId(0));
    shard.on_message(acquire(A));
    shard.revoke(REGION);
    shard.on_message(acquire(B));
    shard.on_message(ToShard::ChannelClosed(B));
    shard.on_message(ToShard::ChannelClosed(A));
    assert!(!shard.is_leased(REGION));
}
