//! Runs of the simulator that belong to every `cargo test`: few enough to take seconds.

use basalt_sim::{Coverage, run};

/// What a run of few seeds may not miss once; the binary demands more of longer runs.
const SEEDS: u64 = 300;

#[test]
fn seeds_find_nothing_and_meet_everything() {
    let mut coverage = Coverage::default();
    for seed in 0..SEEDS {
        let outcome = run(seed, false);
        assert!(outcome.violation.is_none(), "seed {seed}: {}", outcome.violation.unwrap());
        assert!(outcome.coverage.host_ios >= 500, "seed {seed} is tame: {}", outcome.coverage.host_ios);
        coverage.add(&outcome.coverage);
    }
    assert_eq!(coverage.too_rare(1), [], "never met in {SEEDS} seeds");
}

#[test]
fn the_same_seed_is_the_same_run() {
    let hashes: Vec<u64> = (0..20).map(|seed| run(seed, false).trace_hash).collect();
    for (seed, hash) in (0..).zip(&hashes) {
        let again = run(seed, true);
        assert_eq!(again.trace_hash, *hash, "seed {seed}, this time with a readable trace");
        assert!(again.trace.expect("asked for").lines().count() > 500);
    }
    let mut different = hashes.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), hashes.len(), "different seeds are different runs");
}

/// Seeds that failed with what was wrong in `raid` once; `sim/mutants` keeps each of these mistakes, too.
macro_rules! failed_once {
    ($($name:ident: $seed:literal,)*) => {
        $(#[test]
        fn $name() {
            let outcome = run($seed, false);
            assert!(outcome.violation.is_none(), "seed {}: {}", $seed, outcome.violation.unwrap());
        })*
    };
}

failed_once! {
    a_write_planned_without_a_member_was_acknowledged_while_others_read_it: 7,
    an_io_was_named_ready_twice: 12,
    a_retried_read_forgot_the_copies_that_had_failed_it: 71,
    a_hot_removal_emptied_the_slot_of_a_frozen_member: 81,
    without_redundancy_a_write_did_not_wait_for_a_gone_member: 89,
    an_unserved_io_began_anew_when_it_was_asked_about: 89,
    a_member_was_removed_twice: 271,
    patience_with_aborts_was_lost_for_ever: 1067,
    a_write_that_missed_two_members_waited_for_the_wrong_verdict: 1596,
    a_read_waited_for_a_view_that_had_come: 2043,
    a_waiting_read_failed_by_the_error_of_another_child: 2043,
    a_write_to_a_gone_member_was_failed_by_an_older_verdict: 10386,
    a_reset_left_a_member_out: 1,
}
