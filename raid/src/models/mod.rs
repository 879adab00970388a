//! Small models that a model checker (stateright) explores whole: the real machines, and an environment in
//! which everything can happen at every point that a bound allows.

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
