//! Messages on their way between machines: any delay, but between two machines always in order.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use raid::msg::{ToArray, ToChannel, ToShard};
use raid::{ChannelId, ShardId};

use crate::rng::Rng;

/// A machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Node {
    Array,
    Shard(ShardId),
    Channel(ChannelId),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Message {
    Array(ToArray),
    Shard(ToShard),
    Channel(ToChannel),
}

/// A message with its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sent {
    pub from: Node,
    pub to: Node,
    pub message: Message,
}

#[derive(Debug)]
struct Link {
    ends: (Node, Node),
    queue: VecDeque<Message>,
    stalled_until: u64,
}

/// One queue per ordered pair of machines.
#[derive(Debug, Default)]
pub(crate) struct Links {
    links: Vec<Link>,
    by_ends: BTreeMap<(Node, Node), usize>,
    /// Links with something in them, in no order that means anything.
    busy: Vec<usize>,
}

impl Links {
    pub fn send(&mut self, sent: Sent) {
        let Sent { from, to, message } = sent;
        let at = *self.by_ends.entry((from, to)).or_insert_with(|| {
            self.links.push(Link { ends: (from, to), queue: VecDeque::new(), stalled_until: 0 });
            self.links.len() - 1
        });
        let queue = &mut self.links[at].queue;
        if queue.is_empty() {
            self.busy.push(at);
        }
        queue.push_back(message);
    }

    #[inline]
    pub fn are_empty(&self) -> bool {
        self.busy.is_empty()
    }

    /// The next message of some link, unless that link is stalled.
    pub fn receive(&mut self, rng: &mut Rng, now: u64) -> Option<Sent> {
        let n = rng.index(self.busy.len());
        let link = &mut self.links[self.busy[n]];
        if link.stalled_until > now {
            return None;
        }
        let message = link.queue.pop_front().expect("a busy link has a message");
        let (from, to) = link.ends;
        if link.queue.is_empty() {
            self.busy.swap_remove(n);
        }
        Some(Sent { from, to, message })
    }

    /// Some link delivers nothing for a while.
    pub fn stall(&mut self, rng: &mut Rng, until: u64) {
        if !self.links.is_empty() {
            let n = rng.index(self.links.len());
            self.links[n].stalled_until = until;
        }
    }

    pub fn heal(&mut self) {
        self.links.iter_mut().for_each(|link| link.stalled_until = 0);
    }

    /// What is under way from one machine to another.
    pub fn between(&self, from: Node, to: Node) -> impl Iterator<Item = &Message> {
        self.by_ends.get(&(from, to)).into_iter().flat_map(|at| &self.links[*at].queue)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Array => f.write_str("array"),
            Node::Shard(id) => write!(f, "shard {id}"),
            Node::Channel(id) => write!(f, "ch {id}"),
        }
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} => {}: ", self.from, self.to)?;
        match &self.message {
            Message::Array(message) => write!(f, "{message:?}"),
            Message::Shard(ToShard::View(view)) | Message::Channel(ToChannel::View(view)) => write!(
                f,
                "View {} in_sync {:?} reachable {:?} attached {:?}",
                view.epoch, view.in_sync, view.reachable, view.attached
            ),
            Message::Shard(message) => write!(f, "{message:?}"),
            Message::Channel(message) => write!(f, "{message:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raid::Epoch;

    #[test]
    fn order_is_kept_per_pair_and_free_between_pairs() {
        let mut orders = std::collections::BTreeSet::new();
        for seed in 0..50 {
            let (mut links, mut rng) = (Links::default(), Rng::new(seed));
            for epoch in 1..=3 {
                for channel in 0..2 {
                    let (from, to) = (Node::Array, Node::Channel(ChannelId(channel)));
                    let message = Message::Channel(ToChannel::Settled(Epoch(epoch)));
                    links.send(Sent { from, to, message });
                }
            }
            let mut received = Vec::new();
            while !links.are_empty() {
                received.push(links.receive(&mut rng, 0).unwrap());
            }
            for channel in 0..2 {
                let of_one = received.iter().filter(|sent| sent.to == Node::Channel(ChannelId(channel)));
                let epochs: Vec<_> = of_one.map(|sent| format!("{:?}", sent.message)).collect();
                assert!(epochs.is_sorted() && epochs.len() == 3);
            }
            orders.insert(received.iter().map(|sent| sent.to).collect::<Vec<_>>());
        }
        assert!(orders.len() > 10, "{}", orders.len());
    }
}
