//! Kills daemons at random moments, with verified writes in flight. `scripts/crash` runs it.

use std::time::{SystemTime, UNIX_EPOCH};

use basalt_tests::crash::{Campaign, Loss};
use clap::Parser;

#[derive(Debug, Parser)]
struct Options {
    /// How many daemons to kill.
    #[arg(long, default_value_t = 50)]
    kills: u64,
    /// Gives the same moments again; from the clock without this.
    #[arg(long)]
    seed: Option<u64>,
    /// The drives have volatile caches, and lose power too.
    #[arg(long)]
    power: bool,
}

fn main() {
    let options = Options::parse();
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let seed = options.seed.unwrap_or_else(clock);
    let loss = if options.power { Loss::Caches } else { Loss::Nothing };
    println!("seed {seed}, {} kills, {loss:?}", options.kills);
    let tally = Campaign::new(seed, loss).run(options.kills, |line| println!("{line}"));
    println!("all is there: {tally:#?}");
}
