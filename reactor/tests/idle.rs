//! The idle machine: what it promises about latency, whatever happens when.

use proptest::prelude::*;
use reactor::idle::{Idle, IdlePolicy, NAP_MIN_US, Next, STEPS, State, Work};

/// One tick is a nanosecond.
const TICKS_PER_S: u64 = 1_000_000_000;
const US: u64 = 1_000;

fn adaptive() -> Idle {
    Idle::new(IdlePolicy::Adaptive, TICKS_PER_S, 0)
}

#[test]
fn it_spins_for_a_while_then_naps_longer_and_longer() {
    let mut idle = adaptive();
    assert_eq!(idle.after_poll(Work::None, 999 * US, None), Next::Poll);
    assert_eq!(idle.state(), State::Spinning { active_ticks: 0 });
    for (quiet_us, nap_us) in [(1_000, 62), (1_999, 62), (2_000, 125), (4_000, 250), (9_000_000, 250)] {
        let next = idle.after_poll(Work::None, quiet_us * US, None);
        assert_eq!(next, Next::Nap { ticks: nap_us * US }, "after {quiet_us} us of quiet");
    }
    assert_eq!(idle.state(), State::Dozing { active_ticks: 0, step: 2 });
}

#[test]
fn activity_ends_the_doze() {
    let mut idle = adaptive();
    idle.after_poll(Work::None, 10_000 * US, None);
    assert_eq!(idle.after_poll(Work::Active, 10_250 * US, None), Next::Poll);
    assert_eq!(
        idle.after_poll(Work::None, 11_249 * US, None),
        Next::Poll,
        "a whole millisecond of spinning again"
    );
    assert_eq!(idle.after_poll(Work::None, 11_250 * US, None), Next::Nap { ticks: 62 * US });
}

#[test]
fn timed_work_is_run_on_time_and_keeps_nobody_awake() {
    let mut idle = adaptive();
    let at = 10_000 * US;
    assert_eq!(idle.after_poll(Work::None, at, Some(at + 40 * US)), Next::Nap { ticks: 40 * US });
    assert_eq!(
        idle.after_poll(Work::Timed, at + 40 * US, Some(at + 4_040 * US)),
        Next::Poll,
        "one look at its effects"
    );
    assert_eq!(
        idle.after_poll(Work::None, at + 41 * US, Some(at + 4_040 * US)),
        Next::Nap { ticks: 250 * US }
    );
}

#[test]
fn a_deadline_that_is_near_or_past_is_waited_for_awake() {
    let mut idle = adaptive();
    let at = 10_000 * US;
    assert_eq!(idle.after_poll(Work::None, at, Some(at + (NAP_MIN_US - 1) * US)), Next::Poll);
    assert_eq!(idle.after_poll(Work::None, at, Some(at - 1)), Next::Poll);
}

#[test]
fn poll_mode_never_naps() {
    let mut idle = Idle::new(IdlePolicy::Poll, TICKS_PER_S, 0);
    for second in 0..100 {
        assert_eq!(idle.after_poll(Work::None, second * TICKS_PER_S, None), Next::Poll);
    }
}

proptest! {
    /// Against any history: no nap in the first millisecond after activity, none longer than a sixteenth of the
    /// quiet so far or than 250 us, and none past a deadline.
    #[test]
    fn a_nap_never_costs_more_than_promised(
        rounds in prop::collection::vec(
            (1..2_000u64, prop_oneof![8 => Just(Work::None), 1 => Just(Work::Timed), 1 => Just(Work::Active)],
             prop::option::of(0..3_000u64)),
            1..200,
        ),
        ticks_per_us in 1..3_000u64,
    ) {
        let mut idle = Idle::new(IdlePolicy::Adaptive, ticks_per_us * 1_000_000, 0);
        let (mut now, mut active) = (0, 0);
        for (pause_us, work, deadline_us) in rounds {
            now += pause_us * ticks_per_us;
            if work == Work::Active {
                active = now;
            }
            let deadline = deadline_us.map(|us| now + us * ticks_per_us);
            match idle.after_poll(work, now, deadline) {
                Next::Nap { ticks } => {
                    prop_assert_eq!(work, Work::None);
                    prop_assert!(now - active >= 1_000 * ticks_per_us);
                    prop_assert!(ticks * 16 <= now - active);
                    prop_assert!((1..=250 * ticks_per_us).contains(&ticks));
                    prop_assert!(deadline.is_none_or(|deadline| now + ticks <= deadline));
                    now += ticks;
                }
                Next::Poll => {
                    let far = deadline.is_none_or(|deadline| deadline >= now + NAP_MIN_US * ticks_per_us);
                    let quiet = now - active >= STEPS[0].quiet_us * ticks_per_us;
                    prop_assert!(!(work == Work::None && quiet && far), "an idle core does nap");
                }
            }
        }
    }
}
