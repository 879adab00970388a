//! The checkers: what must hold, whatever the machines think. They look at the disks, at the messages and at
//! the Views, and know nothing of how a decision was made.
//!
//! | file | what it watches |
//! |---|---|
//! | `data` | acknowledgements, reads and flushes against the disks and the oracle (clauses 1, 4, 5) |
//! | `submission` | every child: right place, right member, covered by a lease (clause 5, leases) |
//! | `failure` | every failed host I/O: was there no way to serve it (clauses 7, 11, 12) |
//! | `durable` | superblocks, marks and event numbers, by the bytes that a power cut would leave (clauses 1, 2, 10) |
//! | `membership` | every new View, and the events (clauses 7, 10, 11, 12) |
//! | `leases` | who may write where, by the messages that were sent |
//! | `drain` | what `Drained` and the closing of a drive promise |
//! | `survival` | what is found after a crash, and after an end in order (clauses 2, 3, 10) |
//! | `stable` | what was read once after a crash does not go back (clause 5) |
//! | `rest` | what must be true once nothing is under way any more |

mod data;
mod drain;
mod durable;
mod failure;
mod leases;
mod membership;
mod rest;
mod stable;
mod submission;
mod survival;

use std::fmt;

use thiserror::Error;

pub(crate) use durable::RecordCache;
pub(crate) use leases::LeaseBook;
pub(crate) use membership::MembershipCheck;
pub(crate) use stable::Stable;

/// What was broken. Numbers are clauses of the contract (docs/architecture.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// 1: acknowledged before it is everywhere, or before the failure has settled.
    AcknowledgedEarly,
    /// 1: built on a membership that is not durable.
    NotRecorded,
    /// 2: written without a durable mark, or a mark cleared too early.
    NotMarked,
    /// A member is without a whole superblock.
    Superblock,
    /// 4: FLUSH or FUA acknowledged with something still in a volatile cache.
    NotDurable,
    /// 5: a read returned what it must not.
    WrongData,
    /// 5: a member that is not in sync, or not there, was used.
    WrongMember,
    /// 6: completed twice, or before its buffers are free.
    Completion,
    /// 10: events.
    Events,
    /// 11: a short resource or an abort counted as a failure.
    Resources,
    /// 7 and 12: a change of the membership that has no reason, or loses data.
    Membership,
    /// A host I/O failed that could have been served.
    FailedWithoutNeed,
    /// A direct write without its region's lease.
    Lease,
    /// `Drained` was said, or a drive closed, with I/O in flight.
    Drained,
    /// A child goes to the wrong blocks.
    Placement,
    /// A command's answer does not fit.
    Command,
    /// Something never comes to an end.
    Liveness,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rule::AcknowledgedEarly => "clause 1, acknowledged too early",
            Rule::NotRecorded => "clause 1, not recorded",
            Rule::NotMarked => "clause 2, not marked",
            Rule::Superblock => "superblocks",
            Rule::NotDurable => "clause 4, not durable",
            Rule::WrongData => "clause 5, wrong data",
            Rule::WrongMember => "clause 5, wrong member",
            Rule::Completion => "clause 6, completion",
            Rule::Events => "clause 10, events",
            Rule::Resources => "clause 11, resources",
            Rule::Membership => "clauses 7 and 12, membership",
            Rule::FailedWithoutNeed => "failed without need",
            Rule::Lease => "lease",
            Rule::Drained => "drained",
            Rule::Placement => "placement",
            Rule::Command => "command",
            Rule::Liveness => "liveness",
        })
    }
}

/// A rule that was broken, and how.
#[derive(Clone, Debug, Error)]
#[error("{rule}: {text}")]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// How.
    pub text: String,
}

pub(crate) type Checked = Result<(), Violation>;

/// Holds, or is a violation that `text` describes.
#[inline]
pub(crate) fn ensure(holds: bool, rule: Rule, text: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Violation { rule, text: text() }) }
}
