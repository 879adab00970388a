//! The end of an array: the Shards flush and clear what they can, then the record says that it was stopped in
//! order, then the drives may be closed. With a member out of reach that still counts it is a crash to the next
//! start: nobody knows what that member has.
//!
//! ```text
//!   Running --finish--> Flushing{shards} --all have--> Recording{version} --durable--> Finished
//! ```

use std::collections::BTreeSet;

use super::{Array, FromArray};
use crate::format::ShutDown;
use crate::ids::ShardId;
use crate::msg::{Planner, ToShard};

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Ending {
    #[default]
    Running,
    Flushing(BTreeSet<ShardId>),
    Recording {
        version: u64,
    },
    Finished,
}

impl Array {
    /// No Channel is left, and none will come: makes durable what the next start is to find, and then says
    /// [`FromArray::Finished`].
    pub fn finish(&mut self, now_ms: u64) {
        if self.ending != Ending::Running {
            return;
        }
        let shards: BTreeSet<ShardId> = self.shards().collect();
        self.outbox.extend(shards.iter().map(|shard| FromArray::Shard(*shard, ToShard::Quit)));
        self.ending = Ending::Flushing(shards);
        self.raise_levels(now_ms);
    }

    pub(super) fn shard_flushed(&mut self, shard: ShardId) {
        if let Ending::Flushing(shards) = &mut self.ending {
            shards.remove(&shard);
        }
    }

    pub(super) fn raise_ending(&mut self, now_ms: u64) {
        if matches!(&self.ending, Ending::Flushing(shards) if shards.is_empty()) {
            // What a member that still counts has in its cache was not flushed if it was out of reach.
            let all_flushed = !self.view.is_frozen() && self.view.can_record();
            let recorder = self.recorder.as_mut().filter(|_| all_flushed);
            let version = recorder.map(|recorder| recorder.set_shut_down(ShutDown::Clean, now_ms));
            self.ending = Ending::Recording { version: version.unwrap_or_default() };
            self.write_record();
        }
        let recorders = self.view.recorders();
        let is_durable = |version| self.recorder.as_ref().is_none_or(|r| r.is_durable(version, recorders));
        if matches!(self.ending, Ending::Recording { version } if is_durable(version)) {
            self.ending = Ending::Finished;
            self.outbox.push_back(FromArray::Finished);
        }
    }

    fn shards(&self) -> impl Iterator<Item = ShardId> {
        self.planners.keys().filter_map(|planner| match planner {
            Planner::Shard(shard) => Some(*shard),
            Planner::Channel(_) => None,
        })
    }
}
