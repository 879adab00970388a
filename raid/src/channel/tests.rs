use super::*;
use crate::geometry::{GeometrySpec, Level};
use crate::ids::{LeaseGen, SlotSet};

const HOST_IO: IoId = IoId(1);

fn mirror() -> Arc<Geometry> {
    let spec = GeometrySpec {
        level: Level::Raid1,
        block_size: 512,
        member_blocks: vec![Some(1 << 16); 2],
        chunk_blocks: 128,
        region_blocks: None,
        data_offset_blocks: 0,
    };
    Arc::new(spec.build().expect("a mirror"))
}

fn view(epoch: u64, in_sync: SlotSet) -> ToChannel {
    let both = SlotSet::first(2);
    let on_failed = OnFailed::Error;
    let view =
        View { epoch: Epoch(epoch), in_sync, reachable: both, attached: both, flushes: both, on_failed };
    ToChannel::View(Arc::new(view))
}

/// A Channel that plans with View 1, of both members, which everybody knows; it has the lease of region 0.
fn opened() -> Channel {
    let mut channel = Channel::new(ChannelId(1), mirror(), 1);
    channel.on_message(view(1, SlotSet::first(2)));
    channel.on_message(ToChannel::Settled(Epoch(1)));
    let mut io = HostIo::new(Op::Write, 0, 8, false);
    assert_eq!(channel.next(HOST_IO, &mut io), Step::Wait, "for the lease");
    channel.on_message(ToChannel::Grant { region: RegionId(0), lease: LeaseGen(1) });
    assert_eq!(channel.take_ready(), Some(HOST_IO));
    assert_eq!(run(&mut channel, &mut io), (2, Step::Done(Ok(()))));
    channel
}

/// Runs an I/O whose children all succeed; returns how many there were, and the step that is no child.
fn run(channel: &mut Channel, io: &mut HostIo) -> (usize, Step) {
    let mut children = 0;
    let mut outstanding = Vec::new();
    loop {
        match channel.next(HOST_IO, io) {
            Step::Submit(child) => {
                children += 1;
                outstanding.push(child.index);
            }
            step => match outstanding.pop() {
                Some(index) => channel.child_done(io, index, Ok(())),
                None => return (children, step),
            },
        }
    }
}

/// Another Channel may still read the member that is out: it would return what was there before the write.
#[test]
fn a_write_planned_without_a_member_is_answered_only_when_nobody_reads_that_member() {
    let mut channel = opened();
    channel.on_message(view(2, SlotSet::first(1)));
    for op in [Op::Write, Op::WriteZeroes, Op::Unmap] {
        let mut io = HostIo::new(op, 0, 8, false);
        let (_, step) = run(&mut channel, &mut io);
        assert_eq!(step, Step::Wait, "{op:?}");
    }
    let mut read = HostIo::new(Op::Read, 0, 8, false);
    assert_eq!(run(&mut channel, &mut read), (1, Step::Done(Ok(()))), "a read waits for nobody");

    let mut io = HostIo::new(Op::Write, 0, 8, false);
    assert_eq!(run(&mut channel, &mut io), (1, Step::Wait));
    while channel.take_ready().is_some() {}
    channel.on_message(ToChannel::Settled(Epoch(2)));
    assert_eq!(channel.take_ready(), Some(HOST_IO));
    assert_eq!(channel.next(HOST_IO, &mut io), Step::Done(Ok(())));
}
