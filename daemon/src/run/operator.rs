//! The daemon's own operator: an OS thread that types the bring-up into the daemon's socket, waits, and types
//! the shutdown. It never touches SPDK, so it may block; the reactor, which answers it, never does.
//!
//! ```text
//!   bring-up --all done--> up --stop--> stopping --> Stopped      up: does what was put off
//!      |                                   ^
//!      +------- a step failed, or stop ----+
//! ```

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use basalt_config::Colour;
use serde_json::{Value, json};

use super::bring_up::{Later, Up};
use super::failure;
use super::progress::Progress;
use crate::client::{Client, ClientError};
use crate::paint::Paint;
use crate::plan::teardown::{self, Live, Phase};
use crate::plan::{Made, Step};

/// The daemon is to stop: by Ctrl-C, SIGTERM or `spdk_kill_instance`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop;

/// How the daemon's life went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It came up, and was stopped.
    Stopped,
    /// It did not come up.
    StartFailed,
    /// It was stopped, but something did not go down in time.
    StopIncomplete,
}

/// What the operator has to do, and how it tells.
pub struct Operator {
    /// Where to type.
    pub socket: PathBuf,
    /// What to type.
    pub plan: Vec<Step>,
    /// Says when to stop.
    pub stop: Receiver<Stop>,
    /// What to say when all is up.
    pub ready: String,
    /// Where to say it.
    pub progress: Progress,
}

/// So long each phase of stopping may take.
const PHASE_TIMEOUT: Duration = Duration::from_secs(20);
/// After this it is said what is being waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// So often it is looked whether an array runs that something waits for.
const LOOK_AFTER_PERIOD: Duration = Duration::from_millis(500);
/// So often a call that is under way is left for a look at `stop`.
const LOOK_PERIOD: Duration = Duration::from_millis(200);

/// What a call came to.
pub(super) enum Called {
    Answered(Result<Value, ClientError>),
    Stopped,
}

/// Whether a call is given up when the daemon is told to stop.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Heed {
    Stop,
    Nothing,
}

impl Operator {
    /// The whole life. Blocks its thread.
    pub fn work(self) -> Outcome {
        let mut client = match Client::connect(&self.socket) {
            Ok(client) => client,
            Err(error) => {
                self.progress.failed(&format!("cannot talk to my own socket: {error}"));
                return Outcome::StartFailed;
            }
        };
        let mut made = Vec::new();
        let outcome = match self.bring_up(&mut client, &mut made) {
            Up::Failed => {
                self.progress.notice("not started; taking back what was done");
                Outcome::StartFailed
            }
            Up::Stopped => {
                self.progress.notice("asked to stop in the middle of the start");
                Outcome::Stopped
            }
            Up::All(later) => {
                self.tell_ready(&later);
                let asked = self.stay_up(&mut client, later, &mut made);
                self.progress.notice(if asked { "asked to stop" } else { "the reactor ended: stopping" });
                Outcome::Stopped
            }
        };
        if self.take_back(&mut client, &made) { outcome } else { worse(outcome) }
    }

    fn tell_ready(&self, later: &Later) {
        match &later.waits_for()[..] {
            [] => self.progress.headline(&self.ready),
            waiting => {
                let waiting = waiting.join(", ");
                self.progress.headline(&format!("{}; exports wait for array {waiting}", self.ready));
            }
        }
    }

    /// Does what was put off, until the daemon is asked to stop. False if nobody will ever ask.
    fn stay_up(&self, client: &mut Client, mut later: Later, made: &mut Vec<Made>) -> bool {
        loop {
            match self.stop.recv_timeout(LOOK_AFTER_PERIOD) {
                Ok(Stop) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => {
                    if self.look_after(client, &mut later, made) {
                        return true;
                    }
                }
            }
        }
    }

    /// A call that says what it waits for when it takes long.
    pub(super) fn call(
        &self,
        client: &mut Client,
        method: &str,
        params: &Value,
        timeout: Duration,
        what: &str,
        heed: Heed,
    ) -> Called {
        let started = Instant::now();
        let mut told = false;
        let mut answer = client.call(method, params, timeout.min(LOOK_PERIOD));
        while let Err(ClientError::TimedOut { .. }) = answer {
            let left = timeout.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Called::Answered(Err(ClientError::TimedOut {
                    method: method.to_owned(),
                    after: timeout,
                }));
            }
            if heed == Heed::Stop
                && let Ok(Stop) = self.stop.try_recv()
            {
                return Called::Stopped;
            }
            if !told && started.elapsed() >= PATIENCE {
                self.progress.notice(&format!("waiting for {what} (up to {} s more)", left.as_secs() + 1));
                told = true;
            }
            answer = client.wait_for_last(method, left.min(LOOK_PERIOD));
        }
        Called::Answered(answer)
    }

    pub(super) fn report(&self, step: &Step, params: &Value, error: &ClientError) {
        let colour = match self.progress.paint() {
            Paint::On => Colour::Always,
            Paint::Off => Colour::Never,
        };
        eprint!("{}", failure::explain(step, params, error, colour));
    }

    /// Exports, then arrays, then drives. True if all went down in time.
    fn take_back(&self, client: &mut Client, made: &[Made]) -> bool {
        let order = teardown::order(made, &ask_live(client));
        let mut complete = true;
        for phase in Phase::ALL {
            let started = Instant::now();
            let of_phase: Vec<&Made> = order.iter().filter(|one| one.phase() == phase).collect();
            let mut left = Vec::new();
            for one in &of_phase {
                if !self.take_back_one(client, one, started + PHASE_TIMEOUT) {
                    left.push(one.to_string());
                }
            }
            if !left.is_empty() {
                complete = false;
                self.progress.failed(&format!("{}: going on without {}", phase.as_str(), left.join(", ")));
            } else if !of_phase.is_empty() {
                self.progress.done(&format!("stopped {}: {}", phase.as_str(), of_phase.len()));
            }
        }
        complete
    }

    fn take_back_one(&self, client: &mut Client, one: &Made, deadline: Instant) -> bool {
        let (method, params) = one.undo();
        let left = deadline.saturating_duration_since(Instant::now()).max(PATIENCE);
        match self.call(client, method, &params, left, &format!("{one} to stop"), Heed::Nothing) {
            Called::Answered(Ok(_)) => true,
            Called::Answered(Err(ClientError::Refused(refusal))) if refusal.code == NO_SUCH_DEVICE => true,
            Called::Answered(Err(error)) => {
                self.progress.failed(&format!("{one}: {error}"));
                false
            }
            Called::Stopped => unreachable!("stop is not heeded here"),
        }
    }
}

/// SPDK's JSON-RPC errors are negative errno values: it is gone already.
const NO_SUCH_DEVICE: i64 = -19;

fn worse(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::StartFailed => Outcome::StartFailed,
        Outcome::Stopped | Outcome::StopIncomplete => Outcome::StopIncomplete,
    }
}

/// What runs. What can't be asked is left to the mirrored plan.
fn ask_live(client: &mut Client) -> Live {
    let names = |list: Result<Vec<Value>, ClientError>, key: &str, keep: fn(&Value) -> bool| {
        let list = list.ok()?;
        Some(
            list.iter()
                .filter(|one| keep(one))
                .filter_map(|one| one[key].as_str().map(str::to_owned))
                .collect(),
        )
    };
    Live {
        exports: names(client.get("nvmf_get_subsystems", &Value::Null), "nqn", |one| {
            one["subtype"] != "Discovery"
        }),
        arrays: names(client.get("bdev_basalt_get_arrays", &json!({})), "name", |one| {
            one["state"] != "stopped"
        }),
    }
}
