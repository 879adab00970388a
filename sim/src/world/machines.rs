//! Messages between the machines, and Channels that come and go.

use raid::array::FromArray;
use raid::channel::FromChannel;
use raid::msg::{Planner, ToArray, ToChannel, ToShard};
use raid::shard::FromShard;
use raid::{Channel, ChannelId, RegionId, ShardId};

use super::{Life, Seat, World};
use crate::check::{Checked, Rule, Violation};
use crate::coverage::Seen;
use crate::net::{Message, Node, Sent};
use crate::trace::Happening;

impl World {
    /// Where the Channel sits.
    pub(super) fn seat_of(&self, channel: ChannelId) -> Result<usize, Violation> {
        let seat = self.seats.iter().position(|seat| seat.id() == channel);
        let text = || format!("ch {channel} is closed, and has I/O in flight");
        seat.ok_or_else(|| Violation { rule: Rule::Completion, text: text() })
    }

    /// After every event of a Channel: runs the I/Os that it names as ready, then sends its messages.
    pub(super) fn pump(&mut self, seat: usize) -> Checked {
        while let Some(id) = self.seats[seat].machine.take_ready() {
            if let Some(request) = self.host.get_mut(id) {
                request.asleep = false;
            }
            self.go_on(seat, id)?;
        }
        let from = self.seats[seat].id();
        while let Some(message) = self.seats[seat].machine.take_message() {
            let (to, message) = match message {
                FromChannel::Array(message) => (Node::Array, Message::Array(message)),
                FromChannel::Shard(shard, message) => (Node::Shard(shard), Message::Shard(message)),
            };
            match &message {
                Message::Array(ToArray::Swapped(..)) => self.forget_trusted(),
                Message::Array(ToArray::Drained(_, epoch)) => {
                    self.check_drained(from, *epoch)?;
                    self.note_drained(from, *epoch);
                }
                Message::Shard(ToShard::Release { region, .. }) => {
                    self.check_released(from, Some(*region))?
                }
                _ => {}
            }
            self.links.send(Sent { from: Node::Channel(from), to, message });
        }
        Ok(())
    }

    fn note_drained(&mut self, channel: ChannelId, epoch: raid::Epoch) {
        let to_array = self.links.between(Node::Channel(channel), Node::Array);
        let swapped = Message::Array(ToArray::Swapped(Planner::Channel(channel), epoch));
        if to_array.last() != Some(&swapped) {
            self.coverage.saw(Seen::DrainedLate);
        }
    }

    /// Sends what the Array has to say, and closes the drives that it lets go of.
    pub(super) fn pump_array(&mut self) -> Checked {
        self.check_array()?;
        while let Some(order) = self.array.take_order() {
            let (to, message) = match order {
                FromArray::Channel(id, message) => (Node::Channel(id), Message::Channel(message)),
                FromArray::Shard(id, message) => (Node::Shard(id), Message::Shard(message)),
                FromArray::Io(io) => {
                    let slot = io.slot;
                    self.start_meta(Node::Array, io)?;
                    self.check_copies_whole(slot)?;
                    continue;
                }
                FromArray::Finished => {
                    self.check_finished()?;
                    self.life = Life::Finished;
                    continue;
                }
                FromArray::ResetMember(slot) => unreachable!("m{slot} has not timed out"),
                FromArray::CloseMember(slot) => {
                    self.trace.note(self.step, &Happening::DriveClosed(slot));
                    self.check_close(slot)?;
                    self.disks[slot.index()].closed = true;
                    self.coverage.saw(Seen::DriveClosed);
                    continue;
                }
            };
            self.links.send(Sent { from: Node::Array, to, message });
        }
        self.check_state()
    }

    pub(super) fn pump_shard(&mut self, id: ShardId) -> Checked {
        while let Some(message) = self.shards[usize::from(id.0)].take_message() {
            let (to, message) = match message {
                FromShard::Channel(channel, message) => {
                    if let ToChannel::Grant { region, lease } = message {
                        self.leases.granted(channel, region, lease)?;
                    }
                    (Node::Channel(channel), Message::Channel(message))
                }
                FromShard::Array(message) => (Node::Array, Message::Array(message)),
                FromShard::Copy(io) => {
                    self.start_copy(id, io)?;
                    continue;
                }
                FromShard::Io(io) => {
                    self.start_meta(Node::Shard(id), io)?;
                    continue;
                }
            };
            self.links.send(Sent { from: Node::Shard(id), to, message });
        }
        Ok(())
    }

    /// Some message arrives.
    pub(super) fn deliver(&mut self) -> Checked {
        let Some(sent) = self.links.receive(&mut self.rng, self.step) else { return Ok(()) };
        if let Node::Channel(channel) = sent.to
            && self.seat_of(channel).is_err()
        {
            self.trace.note(self.step, &Happening::Dropped(&sent));
            if matches!(sent.message, Message::Channel(ToChannel::Revoke { .. })) {
                self.coverage.saw(Seen::RevokeVoid);
            }
            return Ok(());
        }
        self.trace.note(self.step, &Happening::Delivered(&sent));
        self.coverage.messages += 1;
        self.coverage.saw(seen_message(&sent.message));
        match (sent.to, sent.message) {
            (Node::Channel(channel), Message::Channel(message)) => self.deliver_to_channel(channel, message),
            (Node::Shard(shard), Message::Shard(message)) => self.deliver_to_shard(shard, message),
            (_, Message::Array(message)) => {
                self.array.on_message(message, self.now_ms());
                self.pump_array()
            }
            (to, message) => unreachable!("{message:?} can't be sent to {to}"),
        }
    }

    fn deliver_to_channel(&mut self, channel: ChannelId, message: ToChannel) -> Checked {
        let seat = self.seat_of(channel)?;
        if let ToChannel::Revoke { region, .. } = message {
            let mut pending = self.disks.iter().flat_map(|disk| &disk.pending);
            if pending.any(|pending| pending.channel == channel && pending.region == Some(region.0)) {
                self.coverage.saw(Seen::RevokedInUse);
            }
        }
        let is_view = matches!(message, ToChannel::View(_) | ToChannel::Rules(_));
        self.seats[seat].machine.on_message(message);
        if is_view {
            self.forget_trusted();
        }
        self.pump(seat)
    }

    fn deliver_to_shard(&mut self, id: ShardId, message: ToShard) -> Checked {
        let at = usize::from(id.0);
        let mut asked = None;
        match &message {
            ToShard::View(view) => self.shard_views[at] = Some(view.clone()),
            ToShard::ChannelOpened(_) | ToShard::RuleSeen { .. } | ToShard::Repair { .. } | ToShard::Quit => {
            }
            ToShard::Acquire { channel, region } => asked = Some((*channel, *region)),
            ToShard::Release { channel, region, lease } => self.leases.released(*channel, *region, *lease),
            ToShard::ChannelClosed(channel) => {
                let (geometry, shards) = (&self.geometry, self.profile.shards);
                let of_shard = |region| geometry.shard_of(region, shards) == id;
                if self.leases.closed(*channel, of_shard) {
                    self.coverage.saw(Seen::ClosedWithLeases);
                }
            }
        }
        let is_view = matches!(message, ToShard::View(_));
        let touched = match &message {
            ToShard::Release { region, .. } => *region..RegionId(region.0 + 1),
            ToShard::ChannelClosed(_) => RegionId(0)..RegionId(self.layout.regions()),
            _ => RegionId(0)..RegionId(0),
        };
        let now_ms = self.now_ms();
        self.shards[at].on_message(message, now_ms);
        if is_view {
            self.forget_trusted();
        }
        self.pump_shard(id)?;
        if let Some((channel, region)) = asked
            && !self.leases.holds(channel, region.0)
        {
            self.coverage.saw(Seen::AcquireWaited);
        }
        for region in (touched.start.0..touched.end.0).map(RegionId) {
            let is_ours = self.geometry.shard_of(region, self.profile.shards) == id;
            if is_ours && !self.shards[at].is_leased(region) {
                self.check_unleased(region)?;
            }
        }
        Ok(())
    }

    /// A new thread wants to do I/O.
    pub(super) fn open_channel(&mut self) -> Checked {
        let id = ChannelId(self.next_channel);
        self.next_channel += 1;
        self.trace.note(self.step, &Happening::Opened(id));
        let machine = Channel::new(id, self.geometry.clone(), self.profile.shards);
        self.seats.push(Seat { machine, closing: false });
        self.pump(self.seats.len() - 1)
    }

    /// Channels that get no more I/O go, once they are idle: they tell everyone who knows them.
    pub(super) fn close_idle_seats(&mut self) -> Checked {
        for seat in (0..self.seats.len()).rev() {
            let Seat { machine, closing } = &self.seats[seat];
            let id = machine.id();
            if !closing || !machine.is_idle() || self.host.iter().any(|request| request.channel == id) {
                continue;
            }
            self.trace.note(self.step, &Happening::Closed(id));
            self.check_released(id, None)?;
            self.seats.remove(seat);
            let from = Node::Channel(id);
            let message = Message::Array(ToArray::ChannelClosed(id));
            self.links.send(Sent { from, to: Node::Array, message });
            for shard in (0..self.profile.shards).map(ShardId) {
                let message = Message::Shard(ToShard::ChannelClosed(id));
                self.links.send(Sent { from, to: Node::Shard(shard), message });
            }
            self.forget_trusted();
            self.coverage.saw(Seen::Closed);
        }
        Ok(())
    }

    /// A Shard takes the leases of a region back.
    pub(crate) fn revoke(&mut self, region: RegionId) -> Checked {
        let shard = self.geometry.shard_of(region, self.profile.shards);
        self.trace.note(self.step, &Happening::Revoked { shard: shard.0, region: region.0 });
        self.leases.revoked(region);
        self.shards[usize::from(shard.0)].revoke(region);
        self.pump_shard(shard)
    }

    /// A Channel that takes I/O, opened now if there is none.
    pub(crate) fn reader(&mut self) -> Result<ChannelId, Violation> {
        if self.seats.iter().all(|seat| seat.closing) {
            self.open_channel()?;
        }
        let open = self.seats.iter().find(|seat| !seat.closing);
        Ok(open.expect("opened if there was none").id())
    }

    /// No thread wants to do I/O any more.
    pub(crate) fn close_all(&mut self) {
        self.seats.iter_mut().for_each(|seat| seat.closing = true);
    }
}

fn seen_message(message: &Message) -> Seen {
    match message {
        Message::Array(ToArray::ChannelOpened(_)) => Seen::MsgOpened,
        Message::Array(ToArray::ChannelClosed(_)) => Seen::MsgArrayClosed,
        Message::Array(ToArray::Swapped(..)) => Seen::MsgSwapped,
        Message::Array(ToArray::Drained(..)) => Seen::MsgDrained,
        Message::Array(ToArray::Report { .. }) => Seen::MsgReport,
        Message::Array(ToArray::Unrecorded { .. }) => Seen::MsgUnrecorded,
        Message::Array(ToArray::ShardFlushed(_)) => Seen::MsgShardFlushed,
        Message::Array(ToArray::TimedOut { .. }) => unreachable!("Channels are not told the time here"),
        Message::Array(ToArray::Repaired { .. }) => Seen::MsgRepaired,
        Message::Array(ToArray::Unrepaired { .. }) => Seen::MsgUnrepaired,
        Message::Channel(ToChannel::View(_)) => Seen::MsgView,
        Message::Channel(ToChannel::Settled(_)) => Seen::MsgSettled,
        Message::Channel(ToChannel::Kept { .. }) => Seen::MsgKept,
        Message::Channel(ToChannel::Grant { .. }) => Seen::MsgGrant,
        Message::Channel(ToChannel::Revoke { .. }) => Seen::MsgRevoke,
        Message::Channel(ToChannel::GiveBackIfIdle { .. }) => Seen::MsgGiveBackIfIdle,
        Message::Channel(ToChannel::Rules(_)) => Seen::MsgRules,
        Message::Channel(ToChannel::Rule { .. }) => Seen::MsgRule,
        Message::Channel(ToChannel::Denied { .. }) => Seen::MsgDenied,
        Message::Shard(ToShard::View(_)) => Seen::MsgView,
        Message::Shard(ToShard::Acquire { .. }) => Seen::MsgAcquire,
        Message::Shard(ToShard::Release { .. }) => Seen::MsgRelease,
        Message::Shard(ToShard::ChannelOpened(_)) => Seen::MsgShardOpened,
        Message::Shard(ToShard::RuleSeen { .. }) => Seen::MsgRuleAnswered,
        Message::Shard(ToShard::Quit) => Seen::MsgQuit,
        Message::Shard(ToShard::Repair { .. }) => Seen::MsgRepair,
        Message::Shard(ToShard::ChannelClosed(_)) => Seen::MsgShardClosed,
    }
}
