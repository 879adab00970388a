//! `sim`: runs seeds of the simulator, and says what broke, or what was met.

use std::io::{IsTerminal, Write as _};
use std::ops::Range;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use basalt_sim::{Coverage, Outcome, run};
use clap::Parser;

/// Runs the RAID on simulated drives, from seeds. Exit code 1 if a seed fails, or if the seeds were too tame.
#[derive(Debug, Parser)]
#[command(name = "sim")]
struct Args {
    /// How many seeds, or which: 2000, or 500..700.
    #[arg(long, default_value = "200", value_parser = parse_seeds)]
    seeds: Range<u64>,
    /// The first seed, where --seeds is a number.
    #[arg(long, default_value_t = 0)]
    start: u64,
    /// Only this one.
    #[arg(long, conflicts_with_all = ["seeds", "start", "minutes"])]
    seed: Option<u64>,
    /// With --seed: print everything that happens.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Go on with further seeds for this long.
    #[arg(long)]
    minutes: Option<f64>,
    /// Report coverage without demanding any.
    #[arg(long)]
    tame: bool,
}

/// Every seed issues at least so many host I/Os.
const HOST_IOS_MIN: u64 = 500;

/// So many lines of a failing run are shown.
const TAIL_LINES: usize = 40;

fn main() -> ExitCode {
    let args = Args::parse();
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("{panic}\nA machine of raid or the simulator itself gave up.{}", reproduce(SEED.get()));
    }));
    match args.seed {
        Some(seed) => one(seed, args.trace),
        None => many(&args),
    }
}

thread_local! {
    /// The seed that is running, for the panic message.
    static SEED: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let number = |text: &str| text.parse::<u64>().map_err(|_| format!("'{text}' is no number of seeds"));
    match text.split_once("..") {
        Some((from, to)) => Ok(number(from)?..number(to)?),
        None => Ok(0..number(text)?),
    }
}

fn one(seed: u64, trace: bool) -> ExitCode {
    SEED.set(seed);
    let outcome = run(seed, trace);
    if let Some(trace) = &outcome.trace {
        // Whoever reads this may have seen enough before the end.
        let _ = std::io::stdout().write_all(trace.as_bytes());
    }
    println!("{}", outcome.coverage);
    println!("seed {seed}: trace hash {:016x}", outcome.trace_hash);
    match outcome.violation {
        None => ExitCode::SUCCESS,
        Some(violation) => {
            println!("seed {seed} FAILED: {violation}");
            ExitCode::FAILURE
        }
    }
}

fn many(args: &Args) -> ExitCode {
    let started = Instant::now();
    let until = args.minutes.map(|minutes| started + Duration::from_secs_f64(minutes * 60.0));
    let (first, last) = (args.seeds.start + args.start, args.seeds.end + args.start);
    let mut coverage = Coverage::default();
    for seed in first.. {
        let is_over = match until {
            Some(until) => Instant::now() >= until,
            None => seed >= last,
        };
        if is_over {
            break;
        }
        SEED.set(seed);
        let outcome = run(seed, false);
        coverage.add(&outcome.coverage);
        if outcome.violation.is_some() {
            return fail(&outcome);
        }
        if outcome.coverage.host_ios < HOST_IOS_MIN && !args.tame {
            println!("TOO TAME: seed {seed} issues {} host I/Os", outcome.coverage.host_ios);
            return ExitCode::FAILURE;
        }
        show_progress(&coverage, started);
    }
    println!("{coverage}");
    let seconds = started.elapsed().as_secs_f64();
    let per_minute = coverage.host_ios as f64 / seconds * 60.0;
    println!("{seconds:.1} s, {per_minute:.0} host I/Os per minute, nothing found");
    judge_tameness(args, &coverage)
}

/// Each thing that can be met must be met 10 times, or once in 200 seeds when there are few.
fn judge_tameness(args: &Args, coverage: &Coverage) -> ExitCode {
    let too_rare = coverage.too_rare((coverage.seeds / 200).min(10));
    if too_rare.is_empty() || args.tame {
        return ExitCode::SUCCESS;
    }
    println!("TOO TAME: these were met too rarely for {} seeds:", coverage.seeds);
    too_rare.iter().for_each(|(name, count)| println!("  {count:>10}  {name}"));
    ExitCode::FAILURE
}

fn fail(outcome: &Outcome) -> ExitCode {
    let seed = outcome.seed;
    let again = run(seed, true);
    let trace = again.trace.unwrap_or_default();
    let lines: Vec<&str> = trace.lines().collect();
    println!("the last {TAIL_LINES} of {} lines of the trace:", lines.len());
    lines[lines.len().saturating_sub(TAIL_LINES)..].iter().for_each(|line| println!("  {line}"));
    if let Some(violation) = &outcome.violation {
        println!("seed {seed} FAILED: {violation}{}", reproduce(seed));
    }
    ExitCode::FAILURE
}

fn reproduce(seed: u64) -> String {
    format!("\nTo see it again: cargo run --release -p basalt-sim -- --seed {seed} --trace")
}

fn show_progress(coverage: &Coverage, started: Instant) {
    if coverage.seeds.is_multiple_of(64) && std::io::stderr().is_terminal() {
        let seconds = started.elapsed().as_secs();
        eprint!("\r{} seeds, {} host I/Os, {seconds} s ", coverage.seeds, coverage.host_ios);
    }
}
