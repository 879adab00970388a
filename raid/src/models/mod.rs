//! Small models that a model checker (stateright) explores whole: the real machines, and an environment in
//! which everything can happen at every point that a bound allows.
//!
//! ```text
//!   replica      one piece of metadata on two members        Replica
//!   page         two regions in a page of the dirty log      Shard, log pages as bytes, merge
//!   membership   a mirror that changes, over two crashes     Array, superblocks as bytes, judge, start
//!   generations  parts of it on two hosts, and a choice      the same, and resolve
//! ```
//!
//! Broken on purpose, and what saw it:
//!
//! ```text
//!   a write ends with the newest content, not what it carried   replica, page (lease without a mark)
//!   a View is published before it is on record                  membership (an event is not there any more)
//!   the next record goes over the newest copy                   membership, torn (the same)
//!   no generation is drawn when a member is lost                membership, generations
//!   no generation is drawn when it starts degraded as before    generations (two sides in sync)
//!   the newest record leads, whatever generations there are     generations (two sides in sync)
//!   a rejected drive stays in the table                         generations (two sides in sync)
//!   cleaning while a member is missing                          page (a merge finds no mark)
//!   cleaning after the first FLUSH                              page (a merge finds no mark)
//!   readers hear of a source before it is durable               page, two crashes (a reader goes back)
//!   marks count without members that can't be recorded on       page, failing (a merge finds no mark)
//!   a region that is used again stays in its batch              page (lease without a mark)
//!   what is damaged everywhere counts as unwritten              page, torn (a merge finds no mark)
//! ```
//!
//! That a merge takes the most pessimistic state is not seen to be needed: every mark that was relied upon is on
//! every good copy, so that any of them will do. What nobody waits for must not be in flight for ever: liveness
//! is checked as "whoever waits is waited upon", since `eventually` misses what ends in a loop.

mod generations;
mod membership;
mod mirror;
mod page;
mod replica;

use std::fmt::Debug;
use std::hash::Hash;

use stateright::{Checker, HasDiscoveries, Model};

/// Explores all states of `model`, and fails with the way to the first one in which a property does not hold.
/// `states_min`: what a model that has not lost its teeth reaches at least.
fn explore<M>(name: &str, model: M, states_min: usize)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync,
    M::Action: Clone + Debug + PartialEq + Send + Sync,
{
    let checker = model.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let states = checker.unique_state_count();
    println!("{name}: {states} states, at most {} steps deep", checker.max_depth());
    checker.assert_properties();
    assert!(
        states >= states_min,
        "{name}: only {states} states were reached, and {states_min} were expected"
    );
}
