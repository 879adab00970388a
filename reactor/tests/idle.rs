//! The idle machine: what it promises about latency, whatever happens when.

use proptest::prelude::*;
use reactor::idle::{
    Depth, Idle, IdlePolicy, LIGHT_AFTER_FALSE_ALARM_US, NAP_MIN_US, Next, Round, STEPS, State, Work,
};

/// One tick is a nanosecond.
const TICKS_PER_S: u64 = 1_000_000_000;
const US: u64 = 1_000;

fn adaptive() -> Idle {
    Idle::new(IdlePolicy::Adaptive, Depth::Deep, TICKS_PER_S, 0)
}

/// A round without a deadline, after a nap that nobody cut short.
fn round(idle: &mut Idle, work: Work, now_us: u64) -> Next {
    idle.after_poll(Round { work, woken_by_kernel: false, now_ticks: now_us * US, deadline_ticks: None })
}

fn light(nap_us: u64) -> Next {
    Next::Nap { ticks: nap_us * US, depth: Depth::Light }
}

fn deep(nap_us: u64) -> Next {
    Next::Nap { ticks: nap_us * US, depth: Depth::Deep }
}

#[test]
fn it_spins_for_a_while_then_naps_longer_and_longer() {
    let mut idle = adaptive();
    assert_eq!(round(&mut idle, Work::None, 999), Next::Poll);
    assert_eq!(idle.state(), State::Spinning { active_ticks: 0 });
    for (quiet_us, nap_us) in [(1_000, 62), (1_999, 62), (2_000, 125), (4_000, 250), (63_999, 250)] {
        assert_eq!(round(&mut idle, Work::None, quiet_us), light(nap_us), "after {quiet_us} us of quiet");
    }
    assert_eq!(round(&mut idle, Work::None, 64_000), deep(4_000));
    assert_eq!(round(&mut idle, Work::None, 9_000_000), deep(4_000));
    assert_eq!(idle.state(), State::Dozing { active_ticks: 0, step: 3 });
}

#[test]
fn activity_ends_the_doze() {
    let mut idle = adaptive();
    round(&mut idle, Work::None, 10_000);
    assert_eq!(round(&mut idle, Work::Active, 10_250), Next::Poll);
    assert_eq!(round(&mut idle, Work::None, 11_249), Next::Poll, "a whole millisecond of spinning again");
    assert_eq!(round(&mut idle, Work::None, 11_250), light(62));
}

#[test]
fn timed_work_is_run_on_time_and_keeps_nobody_awake() {
    let mut idle = adaptive();
    let mut round = |work, now_us: u64, deadline_us: u64| {
        let deadline_ticks = Some(deadline_us * US);
        idle.after_poll(Round { work, woken_by_kernel: false, now_ticks: now_us * US, deadline_ticks })
    };
    assert_eq!(round(Work::None, 10_000, 10_040), light(40));
    assert_eq!(round(Work::Timed, 10_040, 14_040), Next::Poll, "one look at its effects");
    assert_eq!(round(Work::None, 10_041, 14_040), light(250));
    assert_eq!(round(Work::None, 100_000, 101_500), deep(1_500));
    assert_eq!(round(Work::None, 100_000, 100_000 + NAP_MIN_US - 1), Next::Poll, "near enough to stay awake");
    assert_eq!(round(Work::None, 100_000, 99_999), Next::Poll, "overdue");
}

#[test]
fn a_false_alarm_makes_naps_light_for_a_while() {
    let mut idle = adaptive();
    let mut woken = |work, now_us: u64, by_kernel| {
        idle.after_poll(Round {
            work,
            woken_by_kernel: by_kernel,
            now_ticks: now_us * US,
            deadline_ticks: None,
        })
    };
    assert_eq!(woken(Work::None, 100_000, false), deep(4_000));
    assert_eq!(woken(Work::None, 101_000, true), light(250));
    assert_eq!(woken(Work::None, 101_000 + LIGHT_AFTER_FALSE_ALARM_US - 1, false), light(250));
    assert_eq!(woken(Work::None, 101_000 + LIGHT_AFTER_FALSE_ALARM_US, false), deep(4_000));
    assert_eq!(woken(Work::Timed, 400_000, true), Next::Poll);
    assert_eq!(woken(Work::None, 400_001, false), deep(4_000), "timed work is no false alarm");
}

#[test]
fn a_core_that_the_kernel_can_not_wake_naps_lightly() {
    let mut idle = Idle::new(IdlePolicy::Adaptive, Depth::Light, TICKS_PER_S, 0);
    assert_eq!(round(&mut idle, Work::None, 9_000_000), light(250));
    let mut idle = adaptive();
    assert_eq!(round(&mut idle, Work::None, 9_000_000), deep(4_000));
    idle.stay_light();
    assert_eq!(round(&mut idle, Work::None, 9_004_000), light(250));
}

#[test]
fn poll_mode_never_naps() {
    let mut idle = Idle::new(IdlePolicy::Poll, Depth::Deep, TICKS_PER_S, 0);
    for second in 0..100 {
        assert_eq!(round(&mut idle, Work::None, second * 1_000_000), Next::Poll);
    }
}

proptest! {
    /// Against any history: no nap in the first millisecond after activity, none longer than a sixteenth of
    /// the quiet so far, no light one longer than 250 us, no deep one soon after a false alarm, and none past
    /// a deadline.
    #[test]
    fn a_nap_never_costs_more_than_promised(
        rounds in prop::collection::vec(
            (prop_oneof![4 => 1..2_000u64, 1 => 1..200_000u64],
             prop_oneof![8 => Just(Work::None), 1 => Just(Work::Timed), 1 => Just(Work::Active)],
             any::<bool>(), prop::option::of(0..9_000u64)),
            1..200,
        ),
        ticks_per_us in 1..3_000u64,
    ) {
        let mut idle = Idle::new(IdlePolicy::Adaptive, Depth::Deep, ticks_per_us * 1_000_000, 0);
        let (mut now, mut active, mut alarm, mut slept_deep) = (0, 0, None, false);
        for (pause_us, work, by_kernel, deadline_us) in rounds {
            now += pause_us * ticks_per_us;
            let woken_by_kernel = by_kernel && slept_deep;
            if work == Work::Active {
                active = now;
            } else if work == Work::None && woken_by_kernel {
                alarm = Some(now);
            }
            let deadline_ticks = deadline_us.map(|us| now + us * ticks_per_us);
            let next = idle.after_poll(Round { work, woken_by_kernel, now_ticks: now, deadline_ticks });
            slept_deep = false;
            match next {
                Next::Nap { ticks, depth } => {
                    prop_assert_eq!(work, Work::None);
                    prop_assert!(now - active >= 1_000 * ticks_per_us);
                    prop_assert!(ticks * 16 <= now - active);
                    prop_assert!(deadline_ticks.is_none_or(|deadline| now + ticks <= deadline));
                    slept_deep = depth == Depth::Deep;
                    let light_ticks = LIGHT_AFTER_FALSE_ALARM_US * ticks_per_us;
                    let calm = alarm.is_none_or(|alarm| now - alarm >= light_ticks);
                    let longest_us = if slept_deep { 4_000 } else { 250 };
                    prop_assert!((1..=longest_us * ticks_per_us).contains(&ticks));
                    prop_assert!(calm || !slept_deep);
                    now += ticks;
                }
                Next::Poll => {
                    let near = now + NAP_MIN_US * ticks_per_us;
                    let far = deadline_ticks.is_none_or(|deadline| deadline >= near);
                    let quiet = now - active >= STEPS[0].quiet_us * ticks_per_us;
                    prop_assert!(!(work == Work::None && quiet && far), "an idle core does nap");
                }
            }
        }
    }
}
