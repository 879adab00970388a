//! Starting an array from what is on its drives, and waiting for what is not there yet.
//!
//! ```text
//!   create (existing: assemble) --all members here--> runs
//!        |     stop, of one that ran                    ^
//!        v       |                                      | members came, the wait is over (policy);
//!     Waiting    v                                      | array start --degraded, --force; array resolve
//!        |    Stopped ----------------------------------+
//!        +----------------------------------------------+
//! ```
//!
//! The drives are believed, not what was asked for; what differs is said. Nothing is written before the array
//! runs.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use raid::assembly::{self, ArrayFound, Asked, Found as FoundDrive, HostWatch, Sign, Start, Verdict};
use raid::format::{Consistency, DecodedPage, Generation, LogPage, ShutDown, Superblock, newest_copy};
use raid::{Level, Slot};

use super::Registry;
use super::create::Found;
use super::drives::{Drive, open_drive};
use super::error::CreateError;
use super::label;
use super::owner::Owner;
use super::params::CreateParams;
use super::sleep::sleep_ms;
use crate::clock::now_ms;
use crate::host;
use crate::port::ArrayId;

/// A start against the will of another host waits this long for its heartbeat: three times its interval.
const HOST_GRACE_MS: u64 = 15_000;

/// How often it looks.
const HOST_LOOK_MS: u64 = 1_000;

/// An array that is known and does not run.
pub(super) struct Pending {
    pub params: CreateParams,
    pub phase: Phase,
    /// Why it does not run, and what to do.
    pub why: String,
    pub seen_ms: u64,
    /// When the policy starts it with what is there.
    pub until_ms: Option<u64>,
    /// Drives that were there at the last attempt.
    pub present: BTreeSet<String>,
    /// What they are to one another.
    pub judged: Option<ArrayFound>,
}

/// What an array that does not run is up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It starts by itself when it can.
    Waiting,
    /// It starts when it is told to.
    Stopped,
    /// An attempt is under way.
    Trying,
}

/// What came of asking for an array.
pub(crate) enum Begun {
    Running(Rc<Owner>),
    /// It will start when it can; why it does not yet.
    Assembling(String),
}

/// Who wants it started, and with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Start(Asked),
    /// With the side of this drive.
    Keep(String),
}

/// What came of an attempt.
enum Attempt {
    Running(Rc<Owner>),
    NotYet { why: String, until_ms: Option<u64>, judged: Option<ArrayFound> },
}

/// A drive that is there, and what is on it.
struct Looked {
    drive: Drive,
    found: FoundDrive,
}

impl Registry {
    /// Starts the array that is on the drives of `params`; makes it if they are all there and blank.
    pub(super) async fn assemble(
        self: Rc<Self>,
        params: CreateParams,
        level: Level,
    ) -> Result<Begun, CreateError> {
        let pending = Pending {
            seen_ms: now_ms(),
            phase: Phase::Trying,
            why: "it is being assembled".to_owned(),
            until_ms: None,
            present: BTreeSet::new(),
            judged: None,
            params: params.clone(),
        };
        self.pending.borrow_mut().insert(params.name.clone(), pending);
        let begun =
            self.clone().attempt_pending(params.name.clone(), Wish::Start(Asked::Policy), Some(level)).await;
        if begun.is_err() {
            self.pending.borrow_mut().remove(&params.name);
        }
        self.watch_pending();
        begun
    }

    /// Tries to start an array that does not run.
    pub(super) async fn attempt_pending(
        self: Rc<Self>,
        name: String,
        wish: Wish,
        make: Option<Level>,
    ) -> Result<Begun, CreateError> {
        let (params, seen_ms, before) = {
            let mut all = self.pending.borrow_mut();
            let pending = all.get_mut(&name).ok_or_else(|| CreateError::NotPending(name.clone()))?;
            let before = std::mem::replace(&mut pending.phase, Phase::Trying);
            (pending.params.clone(), pending.seen_ms, before)
        };
        let present = params.members.iter().flatten().filter(|name| is_there(name)).cloned().collect();
        let attempt = self.attempt(&params, &wish, seen_ms, make).await;
        let mut all = self.pending.borrow_mut();
        let Some(pending) = all.get_mut(&name) else { return Err(CreateError::NotPending(name)) };
        pending.phase = if before == Phase::Stopped { Phase::Stopped } else { Phase::Waiting };
        pending.present = present;
        match attempt? {
            Attempt::Running(owner) => {
                all.remove(&name);
                Ok(Begun::Running(owner))
            }
            Attempt::NotYet { why, until_ms, judged } => {
                if pending.why != why {
                    tracing::warn!(array = name, "{why}");
                }
                pending.why.clone_from(&why);
                pending.until_ms = until_ms;
                pending.judged = judged.or_else(|| pending.judged.take());
                Ok(Begun::Assembling(why))
            }
        }
    }

    async fn attempt(
        self: &Rc<Self>,
        params: &CreateParams,
        wish: &Wish,
        seen_ms: u64,
        make: Option<Level>,
    ) -> Result<Attempt, CreateError> {
        let id = ArrayId::next();
        let looked = look(id, params).await?;
        let found: Vec<FoundDrive> = looked.iter().map(|looked| looked.found.clone()).collect();
        let mut judged = assembly::judge(&found, host::id(), now_ms());
        let others = std::mem::take(&mut judged.others);
        let mut array = match (judged.arrays.pop(), judged.arrays.pop()) {
            (None, _) => return self.make_on_blank(id, params, looked, make).await,
            (Some(array), None) => array,
            (Some(one), Some(other)) => {
                return Err(CreateError::SeveralArrays { one: one.name, other: other.name });
            }
        };
        if let Wish::Keep(drive) = wish {
            let generation = Generation(host::random());
            array = assembly::resolve(&found, drive, generation, host::id(), now_ms())?;
        }
        // They were named as members: what they are instead is told with the rest.
        array.drives.extend(others);
        let asked = if let Wish::Start(asked) = wish { *asked } else { Asked::Degraded };
        if asked == Asked::Force
            && let Some(other) = array.other_host
            && let Some(why) =
                self.wait_for_silence(&looked, HostWatch::begin(other, now_ms(), HOST_GRACE_MS)).await?
        {
            return Ok(Attempt::NotYet { why, until_ms: None, judged: Some(array) });
        }
        let start = array.start(asked, seen_ms, now_ms());
        let why = array.explain(&start);
        match start {
            Start::Now | Start::Degraded { .. } => {
                tracing::info!(array = params.name, "{why}");
                Ok(Attempt::Running(self.run_found(id, params, looked, &array).await?))
            }
            Start::Wait { until_ms, .. } => Ok(Attempt::NotYet { why, until_ms, judged: Some(array) }),
            Start::NotEnough { .. } | Start::Refused(_) => {
                Ok(Attempt::NotYet { why, until_ms: None, judged: Some(array) })
            }
        }
    }

    /// No drive has anything of ours: a new array, if all of its members are there.
    async fn make_on_blank(
        self: &Rc<Self>,
        id: ArrayId,
        params: &CreateParams,
        looked: Vec<Looked>,
        make: Option<Level>,
    ) -> Result<Attempt, CreateError> {
        let was_read = |name: &&String| looked.iter().any(|looked| looked.found.drive == **name);
        let missing = params.members.iter().flatten().find(|name| !was_read(name));
        let (Some(level), None) = (make, missing) else {
            let missing = missing.map_or_else(
                || "none of them is a member".to_owned(),
                |name| format!("'{name}' is not there, or can't be read, and none of the others is a member"),
            );
            let why = format!("array {}: nothing to start on its drives: {missing}", params.name);
            return Ok(Attempt::NotYet { why, until_ms: None, judged: None });
        };
        let mut drives: Vec<Option<Drive>> = params.members.iter().map(|_| None).collect();
        for Looked { drive, .. } in looked {
            let slot = params.members.iter().position(|member| member.as_deref() == Some(drive.name()));
            drives[slot.expect("it was looked for")] = Some(drive);
        }
        Ok(Attempt::Running(self.create_on(id, params, level, drives).await?))
    }

    /// Runs the array that was found, on its members that are in sync.
    async fn run_found(
        self: &Rc<Self>,
        id: ArrayId,
        params: &CreateParams,
        looked: Vec<Looked>,
        array: &ArrayFound,
    ) -> Result<Rc<Owner>, CreateError> {
        let mut record = array.leader().expect("an array that starts has one").clone();
        record.version = record.version.max(array.top_version);
        let level = record.shape.level;
        tell_differences(params, &record, array);
        let geometry = Arc::new(record.geometry()?);
        let mut drives: Vec<Option<Drive>> = (0..geometry.members()).map(|_| None).collect();
        let mut copies = vec![None; geometry.members()];
        let mut left_out = Vec::new();
        for Looked { drive, found } in looked {
            let verdict = array.drives.iter().find(|one| one.drive == found.drive).map(|one| &one.verdict);
            let Some(Verdict::InSync { slot }) = verdict else {
                let verdict = verdict.map_or_else(|| Verdict::Blank.to_string(), Verdict::to_string);
                tracing::warn!(array = params.name, drive = found.drive, "is not used: {verdict}");
                left_out.extend(array.drives.iter().find(|one| one.drive == found.drive).cloned());
                continue;
            };
            copies[slot.index()] = newest_copy(&found.copies).map(|copy| copy as u8);
            record.members[slot.index()].drive = label::cut_name(drive.name());
            drives[slot.index()] = Some(drive);
        }
        let crashed = record.shut_down == ShutDown::Unclean;
        let logs = match record.policy.consistency {
            Consistency::Bitmap => Some(self.read_logs(&record, &drives, crashed).await?),
            Consistency::None | Consistency::Log => None,
        };
        let consistency = record.policy.consistency;
        record.policy = raid::format::Policy { consistency, ..params.policy(level) };
        (record.shut_down, record.host) = (ShutDown::Unclean, host::id());
        let found = Found { left_out, ..Found::of(record, copies, logs) };
        self.run(id, params, geometry, drives, found)
    }

    async fn read_logs(
        &self,
        record: &Superblock,
        drives: &[Option<Drive>],
        crashed: bool,
    ) -> Result<Vec<raid::shard::LogSpec>, CreateError> {
        let geometry = record.geometry()?;
        let (members, used) = (geometry.members(), label::used_pages(&geometry));
        let mut read = Vec::new();
        for drive in drives.iter().flatten() {
            read.push(label::read_pages(drive, used).await?);
        }
        let lowest = drives.iter().position(Option::is_some).unwrap_or(0);
        let source = Slot(lowest as u8);
        let pages = (0..used).map(|number| {
            let at = usize::from(number) * raid::format::log::PAGE_BYTES;
            let decode = |bytes: &Vec<u8>| DecodedPage::decode(&bytes[at..], record.array, number, members);
            let copies: Vec<DecodedPage> = read.iter().map(decode).collect();
            let mut page = LogPage::new();
            page.generation = copies.iter().filter_map(DecodedPage::generation).max().unwrap_or(0);
            let states = raid::format::merge(&copies, source);
            states.into_iter().enumerate().for_each(|(index, state)| page.set(index, state));
            page
        });
        let shards = self.shard_addresses().map_err(CreateError::Shards)?.count();
        let crashed = crashed.then_some(source);
        Ok(label::split(record.array, members, pages.collect(), shards, crashed))
    }

    /// Watches whether the other host lives. Some: it does, or it can't be told.
    async fn wait_for_silence(
        &self,
        looked: &[Looked],
        watch: HostWatch,
    ) -> Result<Option<String>, CreateError> {
        loop {
            sleep_ms(HOST_LOOK_MS).await;
            let mut found = Vec::new();
            for Looked { drive, found: before } in looked {
                let copies = label::read_head(drive).await?.copies;
                found.push(FoundDrive { copies, ..before.clone() });
            }
            let now = assembly::judge(&found, host::id(), now_ms()).arrays.pop();
            match watch.look(now.and_then(|array| array.other_host), now_ms()) {
                Sign::Watching => {}
                Sign::Silent => return Ok(None),
                Sign::Alive => {
                    return Ok(Some(
                        "the other host is alive: its heartbeat on the drives has just moved; stop the array there"
                            .to_owned(),
                    ));
                }
            }
        }
    }

    /// Tries those that wait, as soon as something has changed for them.
    pub(super) fn try_pending(self: &Rc<Self>) {
        let now_ms = now_ms();
        let is_ripe = |pending: &Pending| {
            let names = pending.params.members.iter().flatten();
            let present: BTreeSet<String> = names.filter(|name| is_there(name)).cloned().collect();
            let is_over = pending.until_ms.is_some_and(|until_ms| until_ms <= now_ms);
            pending.phase == Phase::Waiting && (is_over || present != pending.present)
        };
        let all = self.pending.borrow();
        let ripe: Vec<String> =
            all.iter().filter(|(_, pending)| is_ripe(pending)).map(|(name, _)| name.clone()).collect();
        drop(all);
        for name in ripe {
            let registry = Rc::clone(self);
            self.port.spawn(async move {
                let attempt = registry.attempt_pending(name.clone(), Wish::Start(Asked::Policy), None).await;
                if let Err(error) = attempt {
                    tracing::error!(array = name, "can't be started: {error}");
                }
            });
        }
    }
}

/// Whether there is a bdev of this name.
fn is_there(name: &str) -> bool {
    spdk_rs::bdev::exists(name)
}

/// Opens the drives that are there, and reads what is on them.
async fn look(id: ArrayId, params: &CreateParams) -> Result<Vec<Looked>, CreateError> {
    let mut looked: Vec<Looked> = Vec::new();
    for (slot, name) in params.members.iter().enumerate() {
        let Some(name) = name else { continue };
        let drive = match open_drive(id, Slot(slot as u8), name, params) {
            Ok(drive) => drive,
            Err(CreateError::NoSuchDrive(_)) => continue,
            Err(error) => return Err(error),
        };
        let copies = match label::read_head(&drive).await {
            Ok(head) => head.copies,
            // As if it were not there: the others may do without it.
            Err(error) => {
                tracing::error!(array = params.name, "{error}");
                continue;
            }
        };
        let found = FoundDrive {
            drive: name.clone(),
            blocks: drive.num_blocks(),
            block_size: drive.block_size(),
            copies,
            serial: String::new(),
            nguid: [0; 16],
        };
        looked.push(Looked { drive, found });
    }
    Ok(looked)
}

/// Says where what was asked for is not what the drives say.
fn tell_differences(params: &CreateParams, record: &Superblock, array: &ArrayFound) {
    let name = &params.name;
    let differs = |what: &str, asked: String, is: String| {
        if asked != is {
            tracing::warn!(array = name, "{what}: asked for {asked}; the drives say {is}, and are believed");
        }
    };
    differs("name", name.clone(), record.name.clone());
    let level = params.check().map_or_else(|_| params.level.clone(), |level| level.to_string());
    differs("level", level, record.shape.level.to_string());
    if let Some(chunk_kb) = params.chunk_kb {
        let is = record.shape.chunk_blocks * u64::from(record.shape.block_size) / 1024;
        differs("chunk", format!("{chunk_kb} KiB"), format!("{is} KiB"));
    }
    differs("members", params.members.len().to_string(), record.members.len().to_string());
    for (slot, member) in params.members.iter().enumerate() {
        let is = array.drive_in(Slot(slot as u8));
        if let (Some(asked), Some(is)) = (member.as_deref(), is)
            && asked != is
        {
            tracing::warn!(array = name, slot, "is {is} by its metadata, and {asked} was listed there");
        }
    }
}
