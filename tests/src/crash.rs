//! The crash campaign: a daemon is killed at a random moment with verified writes in flight, started again, and
//! asked for everything that it has acknowledged; again and again.
//!
//! ```text
//!   round:  start daemon -> host reads all that must be there, then writes -> moment -> kill -9
//!                ^                                                              |
//!                +--- next round; now and then with a new array ----------------+
//! ```
//!
//! The host is a process of its own and outlives the daemon: it knows what was acknowledged, and what was in
//! flight. A block in flight is old or new, and stays what it was seen to be.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::daemon::{Daemon, Place};
use crate::machine;
use crate::model::{Outcome, Run};
use crate::wait::{self, PATIENCE};

/// What a crash leaves of what the daemon has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Everything: only the process was killed.
    Nothing,
    /// The drives have volatile caches, and lose power: what was not flushed is lost, wholly or in part.
    Caches,
}

/// When the daemon is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    /// While it starts, and the array is assembled or made.
    Start,
    /// While the first writes go into regions.
    FirstWrites,
    /// Under load.
    Load,
    /// While a member fails.
    MemberFails,
    /// While regions that are idle are cleaned.
    Cleaning,
    /// In the middle of a clean stop, under load.
    Stop,
}

const MOMENTS: [Moment; 6] =
    [Moment::Start, Moment::FirstWrites, Moment::Load, Moment::MemberFails, Moment::Cleaning, Moment::Stop];

const DRIVES: [&str; 3] = ["f0", "f1", "f2"];
const DRIVE_MIB: usize = 14;

/// So long a host may write.
const WRITING: Duration = Duration::from_secs(8);

/// An array lives for so many rounds.
const ROUNDS_OF_AN_ARRAY: u64 = 8;

/// A campaign.
pub struct Campaign {
    loss: Loss,
    dice: Dice,
    place: Place,
    /// Members that were seen out of sync: nothing brings them back.
    out: BTreeSet<String>,
    /// Cores of the daemon. On two it shares one with the host, and both are slow.
    cores: usize,
    turn: u64,
    moments: BTreeMap<String, u64>,
    /// Host I/Os in all.
    ios: u64,
    /// Host I/Os that were in flight when the daemon was killed.
    in_flight: u64,
}

/// What came of a campaign.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Kills by moment.
    pub moments: BTreeMap<String, u64>,
    /// Host I/Os in all, those of the reading included.
    pub ios: u64,
    /// Those that were in flight in a crash.
    pub in_flight: u64,
}

/// splitmix64 (Steele, Lea, Flood 2014).
struct Dice(u64);

impl Dice {
    fn toss(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.toss() % bound
    }

    fn pause(&mut self, max_us: u64) -> Duration {
        Duration::from_micros(self.below(max_us))
    }
}

impl Campaign {
    /// A campaign that the seed determines, but for the machine's own timing.
    pub fn new(seed: u64, loss: Loss) -> Campaign {
        Campaign {
            loss,
            dice: Dice(seed),
            place: Place::new(),
            out: BTreeSet::new(),
            cores: 1,
            turn: 0,
            moments: BTreeMap::new(),
            ios: 0,
            in_flight: 0,
        }
    }

    /// Kills `kills` daemons. `tell` gets a line for each.
    ///
    /// # Panics
    /// When anything is not as it must be.
    pub fn run(mut self, kills: u64, mut tell: impl FnMut(&str)) -> Tally {
        for kill in 0..kills {
            if kill % ROUNDS_OF_AN_ARRAY == 0 {
                self.begin_anew();
            }
            // Each moment comes in turn; each array begins with another one.
            let moment = MOMENTS[((kill + self.turn) % MOMENTS.len() as u64) as usize];
            let begun = Instant::now();
            tell(&format!("kill {kill}: {moment:?}"));
            self.round(moment);
            *self.moments.entry(format!("{moment:?}")).or_default() += 1;
            tell(&format!("kill {kill}: {moment:?} survived, {} ms", begun.elapsed().as_millis()));
        }
        self.verify(200);
        Tally { moments: self.moments, ios: self.ios, in_flight: self.in_flight }
    }

    /// The folder is kept, for those who look for the reason of a failure.
    pub fn folder(&self) -> std::path::PathBuf {
        self.place.folder().to_owned()
    }

    fn begin_anew(&mut self) {
        if self.place.path("model.json").exists() {
            self.verify(100);
        }
        self.out.clear();
        self.turn = self.dice.below(MOMENTS.len() as u64);
        self.cores = if self.dice.below(4) == 0 { 2 } else { 1 };
        for entry in std::fs::read_dir(self.place.folder()).expect("our folder").flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "img" || extension == "json") {
                std::fs::remove_file(path).expect("our file");
            }
        }
    }

    fn body(&self) -> String {
        let cache = self.loss == Loss::Caches;
        let mut body = "drives:\n".to_owned();
        for drive in DRIVES {
            let base = drive.replace('f', "d");
            body += &format!(
                "  - {{ name: {base}, file: {{ path: {base}.img, size: {DRIVE_MIB}MiB }} }}\n  \
                 - {{ name: {drive}, faulty: {{ over: {base}, volatile_cache: {cache} }} }}\n"
            );
        }
        body + &format!(
            "arrays: [{{ name: data, level: raid1, members: [{}], region: 64KiB, start_degraded_after: 1s }}]\n",
            DRIVES.join(", ")
        ) + &Place::export(&["data"])
    }

    fn start(&self) -> Daemon {
        self.place.start(&format!("cores: [{}]", machine::cores(self.cores)), &self.body())
    }

    /// Starts the daemon, and waits until the array is there for hosts.
    fn up(&mut self) -> Daemon {
        let daemon = self.start();
        let ready = daemon.child.wait_for_line(PATIENCE, |line| line.contains("ready: "));
        assert!(ready.is_some(), "it ended: {}", daemon.child.stderr());
        daemon.wait_for_export("data");
        let array = daemon.array("data");
        for member in array["members"].as_array().expect("members") {
            let drive = member["drive"].as_str().unwrap_or_default();
            let is_in = member["state"] == "in_sync";
            assert!(!(is_in && self.out.contains(drive)), "{drive} came back by itself: {array:#}");
        }
        self.note_members(&array);
        let answer = daemon.call("bdev_basalt_get_events", json!({ "name": "data" }));
        let events = answer["events"].as_array().expect("events");
        let numbers: Vec<u64> = events.iter().filter_map(|event| event["seq"].as_u64()).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "gaps in {numbers:?}");
        daemon
    }

    fn note_members(&mut self, array: &Value) {
        for (slot, member) in array["members"].as_array().expect("members").iter().enumerate() {
            if member["state"] != "in_sync" {
                self.out.insert(DRIVES[slot].to_owned());
            }
        }
    }

    fn host(&self) -> Run {
        let memory = self.place.path("model.json");
        let run = self.place.model(1, &machine::last_core(2));
        let run = if memory.exists() { run.option("--load", memory.display()) } else { run };
        run.option("--save", memory.display())
    }

    /// A host after which the daemon is killed.
    fn writer(&self) -> Run {
        let host = self.host();
        if self.loss == Loss::Caches { host.switch("--power-cut") } else { host }
    }

    /// Everything must be there; then some more I/O.
    fn verify(&mut self, ios: u64) {
        let daemon = self.up();
        let verdict = self.host().option("--ios", ios).must_pass();
        self.ios += verdict.ios;
        daemon.stop_well();
    }

    fn round(&mut self, moment: Moment) {
        if moment == Moment::Start {
            let daemon = self.start();
            let up = daemon.child.wait_for_line(PATIENCE, |line| line.contains("SPDK is up"));
            assert!(up.is_some(), "it ended: {}", daemon.child.stderr());
            std::thread::sleep(self.dice.pause(120_000));
            return drop(daemon.kill());
        }
        let daemon = self.up();
        if moment == Moment::Cleaning {
            let verdict = self.writer().option("--ios", 150).must_pass();
            self.ios += verdict.ios;
            std::thread::sleep(Duration::from_millis(1_500) + self.dice.pause(1_500_000));
            return self.crash(daemon);
        }
        let host = self.writer().option("--ios", u32::MAX).switch("--until-failure").spawn();
        let writes = match moment {
            Moment::FirstWrites => 1 + self.dice.below(20),
            _ if self.cores > 1 => 1 + self.dice.below(50),
            _ => 50 + self.dice.below(1_000),
        };
        wait_for_writes(&daemon, writes);
        match moment {
            Moment::MemberFails => self.fail_a_member(&daemon),
            Moment::Stop => daemon.child.signal(Signal::TERM),
            Moment::Start | Moment::FirstWrites | Moment::Load | Moment::Cleaning => {}
        }
        std::thread::sleep(self.dice.pause(if moment == Moment::Stop { 300_000 } else { 40_000 }));
        self.crash(daemon);
        self.take_in(host.outcome());
    }

    fn take_in(&mut self, outcome: Outcome) {
        let verdict = outcome.verdict;
        assert!(verdict.mismatches == 0, "the model disagrees: {verdict:#?}");
        self.ios += verdict.ios;
        self.in_flight += verdict.failed;
    }

    /// The process ends at once, and in a power cut the drives' caches are lost.
    fn crash(&mut self, daemon: Daemon) {
        if self.loss == Loss::Caches && self.dice.below(2) == 0 {
            self.cut_power();
        }
        daemon.kill();
    }

    /// Cuts the power of all drives at once: parts of the caches survive. (Of a daemon that is killed without
    /// this, nothing survives that was not flushed.) Any of it may fail: the daemon may be on its way out.
    fn cut_power(&mut self) {
        let keep = if self.dice.below(2) == 0 { "random" } else { "torn" };
        let mut calls = String::new();
        for (id, drive) in (1..).zip(DRIVES) {
            let params = json!({ "name": drive, "keep": keep, "seed": self.dice.toss() >> 1 });
            let method = "bdev_basalt_faulty_power_cut";
            calls += &json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string();
        }
        let Ok(mut stream) = UnixStream::connect(self.place.socket()) else { return };
        if stream.write_all(calls.as_bytes()).is_err() {
            return;
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        let is_gone = |drive: &&str| {
            let client = crate::rpc::Client::connect(&self.place.socket(), Duration::from_secs(5));
            let report = client
                .map_err(Into::into)
                .and_then(|mut client| client.call("bdev_basalt_faulty_get", json!({ "name": drive })));
            report.map_or(true, |report: Value| report["state"] == "absent")
        };
        while Instant::now() < deadline && !DRIVES.iter().all(is_gone) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Has a member fail a write, or fails it by command. Not the last one.
    fn fail_a_member(&mut self, daemon: &Daemon) {
        let array = daemon.array("data");
        self.note_members(&array);
        let there: Vec<&str> = DRIVES.into_iter().filter(|drive| !self.out.contains(*drive)).collect();
        if there.len() < 2 {
            return;
        }
        let drive = there[self.dice.below(there.len() as u64) as usize];
        let (method, params) = match self.dice.below(3) {
            0 => ("bdev_basalt_fail_member", json!({ "name": "data", "drive": drive })),
            1 => ("bdev_basalt_faulty_vanish", json!({ "name": drive })),
            _ => {
                let rule = json!({ "ops": ["write"], "do": { "error": "media_write" } });
                ("bdev_basalt_faulty_inject", json!({ "name": drive, "rule": rule }))
            }
        };
        daemon.call(method, params);
    }
}

/// Waits until hosts have written so often since the start. Not for ever: on a busy machine the moment comes earlier,
/// which is as good as any other; but the host must have begun.
fn wait_for_writes(daemon: &Daemon, writes: u64) {
    let deadline = Instant::now() + WRITING;
    wait::until("the host to write", || {
        let stats = daemon.call("bdev_get_iostat", json!({ "name": "data" }));
        let done = stats["bdevs"][0]["num_write_ops"].as_u64().unwrap_or(0);
        let is_time = done >= writes || (done > 0 && Instant::now() > deadline);
        if is_time { Ok(()) } else { Err(format!("{done} writes")) }
    });
}
