//! A slice of the crash campaign; more of it: `scripts/crash`.

use basalt_tests::crash::{Campaign, Loss, Tally};
use basalt_tests::machine;

const KILLS: u64 = 10;

fn slice(loss: Loss) -> Tally {
    let _alone = machine::alone();
    let seed = std::env::var("BASALT_CRASH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let tally = Campaign::new(seed, loss).run(KILLS, |line| println!("{line}"));
    assert!(tally.in_flight > 0, "nothing was in flight: {tally:#?}");
    assert_eq!(tally.moments.values().sum::<u64>(), KILLS);
    tally
}

#[test]
fn what_was_acknowledged_survives_kills() {
    slice(Loss::Nothing);
}

#[test]
fn what_was_flushed_survives_power_cuts() {
    slice(Loss::Caches);
}
