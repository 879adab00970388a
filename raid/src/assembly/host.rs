//! Another host on the same drives.

use std::fmt;

use crate::format::{ShutDown, Superblock, Uuid16};

/// A host that is not this one, and has not stopped the array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OtherHost {
    /// The host.
    pub host: Uuid16,
    /// When it last said that it lives, by its own clock.
    pub heartbeat_ms: u64,
    /// How long ago that was, if both clocks are right; None: it lies in the future, so they are not.
    pub age_ms: Option<u64>,
}

impl OtherHost {
    pub(super) fn in_records<'a>(
        records: impl Iterator<Item = &'a Superblock>,
        leader: &Superblock,
        host: Uuid16,
        now_ms: u64,
    ) -> Option<OtherHost> {
        if leader.host == host || leader.shut_down == ShutDown::Clean {
            return None;
        }
        let of_it = records.filter(|record| record.host == leader.host);
        let heartbeat_ms = of_it.map(|record| record.heartbeat_ms).max().unwrap_or(leader.heartbeat_ms);
        Some(OtherHost { host: leader.host, heartbeat_ms, age_ms: now_ms.checked_sub(heartbeat_ms) })
    }
}

impl fmt::Display for OtherHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "host {} runs the array, or was cut off while it did; it ", self.host)?;
        match self.age_ms {
            Some(age_ms) => write!(f, "was last heard of {} s ago (if both clocks are right)", age_ms / 1000),
            None => f.write_str("was last heard of in the future: the clocks of the two hosts differ"),
        }
    }
}

/// Watches whether another host's heartbeat moves: what it says of the time is not to be relied upon, since
/// its clock may differ; that it changes is.
///
/// ```text
///   begin --heartbeat moved--> Alive: the array is taken, whatever was asked for
///     |
///     +--still the same when the grace period is over--> Silent: a start that was forced may go on
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HostWatch {
    seen: OtherHost,
    until_ms: u64,
}

/// What the watch has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sign {
    /// Too early to say.
    Watching,
    /// The other host lives.
    Alive,
    /// It has not been heard of for the whole grace period.
    Silent,
}

impl HostWatch {
    /// Watches for `grace_ms`, which should be several times the interval of heartbeats. The clock of `now_ms` is
    /// this host's; it may begin anywhere, and must not jump.
    pub fn begin(seen: OtherHost, now_ms: u64, grace_ms: u64) -> HostWatch {
        HostWatch { seen, until_ms: now_ms.saturating_add(grace_ms) }
    }

    /// The records were read once more, and this is in them now; None: there is no other host any more, since
    /// it stopped the array, or its drives are gone.
    pub fn look(&self, now: Option<OtherHost>, now_ms: u64) -> Sign {
        match now {
            Some(now) if (now.host, now.heartbeat_ms) != (self.seen.host, self.seen.heartbeat_ms) => {
                Sign::Alive
            }
            _ if now_ms >= self.until_ms => Sign::Silent,
            _ => Sign::Watching,
        }
    }
}
