//! Which faulty drives there are. Everything here is called on the app thread.
//!
//! ```text
//!   create                vanish, power cut                     nobody uses it
//!   -------> Live ------------------------------> Leaving, then Absent ------> Absent
//!             ^ |  delete, the base goes             | delete                   | |
//!             | +-----------------> Leaving, then Deleted ------> deleted <-----|-+ delete
//!             +------------------------------- return --------------------------+
//! ```

use super::cache::{Cache, LIMIT_BYTES};
use super::device::FaultyBdev;
use super::error::{FaultyError, FaultyErrorKind};
use super::loss::Loss;
use super::options::FaultyOptions;
use super::report::{Report, Whereabouts};
use super::state::{Drive, Presence};
use serde_json::{Value, json};
use spdk_rs::Errno;
use spdk_rs::bdev::{BdevEvent, Descriptor};
use spdk_rs::module::{FiniDone, ModuleOps, Registered, register};
use spdk_rs::thread::{ThreadBound, on_app_thread};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

spdk_rs::declare_module!(FAULTY, "basalt_faulty", Ops);

struct Ops;

impl ModuleOps for Ops {
    type Devices = (FaultyBdev,);

    /// SPDK unregisters all bdevs, and waits for their users: nothing may hang. Drives that are not there
    /// would keep their bases.
    fn fini_start(done: FiniDone) {
        let mut registry = registry();
        registry.end = End::Near;
        let (absent, others): (Vec<_>, Vec<_>) = std::mem::take(&mut registry.entries)
            .into_iter()
            .partition(|entry| matches!(entry.stage, Stage::Absent));
        others.iter().for_each(|entry| retire(&entry.drive));
        registry.entries = others;
        drop(registry);
        drop(absent);
        drop(done);
    }

    fn fini(done: FiniDone) {
        let entries = std::mem::take(&mut registry().entries);
        drop(entries);
        drop(done);
    }

    fn config() -> Vec<Value> {
        let registry = registry();
        let options = registry.entries.iter().map(|entry| &entry.drive.options);
        options.map(|params| json!({ "method": "bdev_basalt_faulty_create", "params": params })).collect()
    }
}

struct Registry {
    /// In the order of their creation.
    entries: Vec<Entry>,
    end: End,
}

#[derive(PartialEq)]
enum End {
    Distant,
    /// Nothing new comes.
    Near,
}

struct Entry {
    drive: Arc<Drive>,
    stage: Stage,
}

enum Stage {
    Live(ThreadBound<Registered<FaultyBdev>>),
    Leaving(Then),
    Absent,
}

/// What comes after the drive has left.
enum Then {
    Absent,
    /// Who wants to know.
    Deleted(Vec<ThreadBound<WhenDeleted>>),
}

type WhenDeleted = Box<dyn FnOnce(Result<(), FaultyError>)>;

static REGISTRY: Mutex<Registry> = Mutex::new(Registry { entries: Vec::new(), end: End::Distant });

/// Never held over a call into SPDK, which may call us.
fn registry() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registry {
    fn find(&self, name: &str) -> Option<usize> {
        self.entries.iter().position(|entry| entry.drive.options.name == name)
    }

    fn entry(&mut self, name: &str) -> Result<&mut Entry, FaultyError> {
        if !on_app_thread() {
            return Err(off_thread(name));
        }
        let at = self.find(name).ok_or_else(|| unknown(name))?;
        Ok(&mut self.entries[at])
    }
}

impl Entry {
    fn whereabouts(&self) -> Whereabouts {
        match self.stage {
            Stage::Live(_) => Whereabouts::Present,
            Stage::Leaving(_) => Whereabouts::Leaving,
            Stage::Absent => Whereabouts::Absent,
        }
    }
}

fn unknown(name: &str) -> FaultyError {
    FaultyError::new(
        FaultyErrorKind::Unknown,
        name,
        "there is no faulty drive of this name",
        "make it with bdev_basalt_faulty_create, or see `faulty` in the YAML",
    )
}

fn off_thread(name: &str) -> FaultyError {
    let reason = "faulty drives are steered on SPDK's app thread";
    FaultyError::new(FaultyErrorKind::Spdk, name, reason, "send a message to it")
}

fn leaving(name: &str) -> FaultyError {
    let reason = "it is leaving: somebody still has it open";
    FaultyError::new(FaultyErrorKind::Busy, name, reason, "wait until bdev_basalt_faulty_get says `absent`")
}

/// The namespace of the drives' UUIDs (version 5), which are made of the UUIDs of their bases.
const UUID_SPACE: Uuid = Uuid::from_u128(0x8f6e_2d0b_3c51_4f27_9a44_d1c0_57b2_6e93);

/// Makes a drive over a bdev, which nobody else may write to from then on.
pub fn create(options: FaultyOptions) -> Result<String, FaultyError> {
    let name = options.name.clone();
    let refuse = |kind, reason: String, remedy| Err(FaultyError::new(kind, &name, reason, remedy));
    if !on_app_thread() {
        return Err(off_thread(&name));
    }
    if name.is_empty() || options.base == name {
        let reason = "the drive needs a name, and another one than its base".to_owned();
        return refuse(FaultyErrorKind::Invalid, reason, "give it one");
    }
    if registry().end == End::Near {
        return refuse(FaultyErrorKind::Spdk, "SPDK is ending".to_owned(), "start it again");
    }
    if registry().find(&name).is_some() {
        let reason = "there is a faulty drive of this name, perhaps absent".to_owned();
        return refuse(FaultyErrorKind::Name, reason, "choose another name, or delete that one first");
    }
    let drive = Arc::new(open(options)?);
    let registered = enter(&drive)?;
    registry().entries.push(Entry { drive, stage: Stage::Live(registered) });
    Ok(name)
}

/// Opens the base and claims it.
fn open(options: FaultyOptions) -> Result<Drive, FaultyError> {
    let base = options.base.clone();
    let refuse = |kind, reason: String, remedy| FaultyError::new(kind, &options.name, reason, remedy);
    let name = options.name.clone();
    let on_event = move |event| {
        if event == BdevEvent::Removed {
            base_goes(&name);
        }
    };
    let descriptor = Descriptor::open(&base, true, on_event).map_err(|errno| match errno {
        Errno::ENODEV => refuse(
            FaultyErrorKind::Unknown,
            format!("there is no bdev {base} to lie over"),
            "make that first: bdev_get_bdevs lists those there are",
        ),
        Errno::EPERM => refuse(
            FaultyErrorKind::Busy,
            format!("bdev {base} is claimed by another module"),
            "take it out of its array first, or choose another base",
        ),
        errno => {
            refuse(FaultyErrorKind::Spdk, format!("bdev {base} can't be opened: {errno}"), "see the log")
        }
    })?;
    let claim = descriptor.claim(&FAULTY).map_err(|errno| {
        let reason = format!("bdev {base} can't be claimed ({errno}): somebody else uses it");
        refuse(FaultyErrorKind::Busy, reason, "take it from there first, or choose another base")
    })?;
    let info = descriptor.info();
    if info.md_size > 0 {
        let reason = format!("bdev {base} has {} bytes of metadata per block", info.md_size);
        return Err(refuse(FaultyErrorKind::Invalid, reason, "format it without, or choose another base"));
    }
    let cache = options.volatile_cache.then(|| Cache::new(info.block_size, LIMIT_BYTES));
    let uuid = Uuid::new_v5(&UUID_SPACE, &info.uuid);
    Ok(Drive::new(options, uuid, claim, cache))
}

/// Registers the bdev. Modules examine it at once.
fn enter(drive: &Arc<Drive>) -> Result<ThreadBound<Registered<FaultyBdev>>, FaultyError> {
    let device = FaultyBdev::new(Arc::clone(drive));
    let spec = device.spec();
    register(&FAULTY, spec, device).map(ThreadBound::new).map_err(|errno| {
        let (kind, remedy) = match errno {
            Errno::EEXIST => {
                (FaultyErrorKind::Name, "choose another name: bdev_get_bdevs lists those in use")
            }
            _ => (FaultyErrorKind::Spdk, "see the log"),
        };
        let reason = format!("no bdev of this name can be made: {errno}");
        FaultyError::new(kind, &drive.options.name, reason, remedy)
    })
}

/// Calls `f` with a drive.
pub(super) fn with<R>(name: &str, f: impl FnOnce(&Drive) -> R) -> Result<R, FaultyError> {
    Ok(f(&registry().entry(name)?.drive))
}

pub(super) fn report(name: &str) -> Result<Report, FaultyError> {
    let mut registry = registry();
    let entry = registry.entry(name)?;
    Ok(Report::of(&entry.drive, entry.whereabouts()))
}

/// The drive vanishes, and what it had not flushed with it, as far as `loss` says. Its users are told to
/// close it; it is absent when they have.
pub(super) fn vanish(name: &str, loss: Loss) -> Result<(), FaultyError> {
    {
        let mut registry = registry();
        let entry = registry.entry(name)?;
        if !matches!(entry.stage, Stage::Live(_)) {
            let remedy = "bring it back with bdev_basalt_faulty_return first";
            return Err(FaultyError::new(FaultyErrorKind::State, name, "it is not there", remedy));
        }
        entry.drive.state().presence = Presence::Pulled(loss);
    }
    leave(name, Then::Absent);
    Ok(())
}

/// The drive comes back, with what its medium holds.
pub(super) fn come_back(name: &str) -> Result<(), FaultyError> {
    let drive = {
        let mut registry = registry();
        if registry.end == End::Near {
            let remedy = "start it again";
            return Err(FaultyError::new(FaultyErrorKind::Spdk, name, "SPDK is ending", remedy));
        }
        let entry = registry.entry(name)?;
        match entry.stage {
            Stage::Absent => Arc::clone(&entry.drive),
            Stage::Leaving(_) => return Err(leaving(name)),
            Stage::Live(_) => {
                let remedy = "make it vanish with bdev_basalt_faulty_vanish first";
                return Err(FaultyError::new(FaultyErrorKind::State, name, "it is there", remedy));
            }
        }
    };
    let was = std::mem::replace(&mut drive.state().presence, Presence::Here);
    match enter(&drive) {
        Ok(registered) => {
            registry().entry(name)?.stage = Stage::Live(registered);
            Ok(())
        }
        Err(error) => {
            drive.state().presence = was;
            Err(error)
        }
    }
}

/// Removes a drive, once nobody has it open any more. What hangs goes on, rules no longer count, and the
/// cache is written out. `done` is called on the app thread, when the base is free for others.
pub fn delete(name: &str, done: impl FnOnce(Result<(), FaultyError>) + 'static) {
    let found = registry().entry(name).map(|entry| Arc::clone(&entry.drive));
    match found {
        Err(error) => done(Err(error)),
        Ok(drive) => {
            if !drive.state().is_pulled() {
                retire(&drive);
            }
            drop(drive);
            leave(name, Then::Deleted(vec![ThreadBound::new(Box::new(done))]));
        }
    }
}

/// The base is to be closed.
fn base_goes(name: &str) {
    tracing::warn!(drive = name, "the bdev under a faulty drive goes, and the drive with it");
    if with(name, retire).is_ok() {
        leave(name, Then::Deleted(Vec::new()));
    }
}

fn retire(drive: &Drive) {
    let mut state = drive.state();
    if state.presence == Presence::Here {
        state.presence = Presence::Retiring;
    }
}

/// Starts the drive's departure, or says what comes after it.
fn leave(name: &str, then: Then) {
    let mut registry = registry();
    let Some(at) = registry.find(name) else { return };
    match (&mut registry.entries[at].stage, then) {
        (stage @ Stage::Live(_), then) => {
            let Stage::Live(registered) = std::mem::replace(stage, Stage::Leaving(then)) else {
                unreachable!("matched above")
            };
            drop(registry);
            let name = name.to_owned();
            registered.into_inner().unregister(move |_| left(&name));
        }
        (Stage::Leaving(Then::Deleted(waiting)), Then::Deleted(more)) => waiting.extend(more),
        (stage @ Stage::Leaving(_), then) => *stage = Stage::Leaving(then),
        (Stage::Absent, Then::Absent) => {}
        (Stage::Absent, Then::Deleted(waiting)) => {
            let entry = registry.entries.remove(at);
            drop(registry);
            deleted(entry, waiting);
        }
    }
}

/// The bdev is gone: nobody uses it any more, and what its cache leaves is on the medium.
fn left(name: &str) {
    let mut registry = registry();
    let Some(at) = registry.find(name) else { return };
    let then = match &mut registry.entries[at].stage {
        Stage::Leaving(then) => std::mem::replace(then, Then::Absent),
        Stage::Live(_) | Stage::Absent => return,
    };
    match (then, &registry.end) {
        (Then::Absent, End::Distant) => registry.entries[at].stage = Stage::Absent,
        (then, _) => {
            let entry = registry.entries.remove(at);
            drop(registry);
            deleted(entry, if let Then::Deleted(waiting) = then { waiting } else { Vec::new() });
        }
    }
}

/// Closes the base, then tells.
fn deleted(entry: Entry, waiting: Vec<ThreadBound<WhenDeleted>>) {
    drop(entry);
    waiting.into_iter().for_each(|done| done.into_inner()(Ok(())));
}

/// SPDK unregisters a bdev that nobody uses. If that was not our idea, SPDK is ending, and our part of the
/// drive ends with the bdev.
pub(super) fn nobody_uses(drive: &Drive) {
    let mut registry = registry();
    let Some(at) = registry.find(&drive.options.name) else { return };
    if matches!(registry.entries[at].stage, Stage::Live(_)) {
        let entry = registry.entries.remove(at);
        drop(registry);
        drop(entry);
    }
}
