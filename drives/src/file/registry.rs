//! Creating and deleting file drives, and which there are. Everything here is called on the app thread.
//!
//! ```text
//!   create --> Opening ----------------> Live --delete--> (unregistering) --> done
//!                 |  a thread of its own   |
//!                 +--- refused             +--- SPDK ends: all at once
//! ```

use super::device::FileBdev;
use super::drive::Drive;
use super::error::{FileError, FileErrorKind};
use super::open::OpenedFile;
use super::options::FileOptions;
use super::ring::Ring;
use serde_json::{Value, json};
use spdk_rs::Errno;
use spdk_rs::module::{FiniDone, ModuleOps, Registered, register};
use spdk_rs::poller::{Busy, Poller};
use spdk_rs::thread::{ThreadBound, on_app_thread};
use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

spdk_rs::declare_module!(FILE, "basalt_file", Ops);

struct Ops;

impl ModuleOps for Ops {
    type Devices = (FileBdev,);

    fn fini_start(done: FiniDone) {
        registry().end = End::Wanted(done);
        let_go();
    }

    fn fini(done: FiniDone) {
        // SPDK has removed every bdev by itself.
        let entries = std::mem::take(&mut registry().entries);
        drop(entries);
        drop(done);
    }

    fn config() -> Vec<Value> {
        let registry = registry();
        let live = registry.entries.iter().filter(|entry| matches!(entry.stage, Stage::Live(_)));
        live.map(|entry| json!({ "method": "bdev_basalt_file_create", "params": entry.options })).collect()
    }
}

struct Registry {
    /// In the order of their creation.
    entries: Vec<Entry>,
    end: End,
}

enum End {
    Distant,
    /// SPDK waits until no file is being opened any more.
    Wanted(FiniDone),
    /// Nothing new comes.
    Near,
}

struct Entry {
    options: FileOptions,
    stage: Stage,
}

enum Stage {
    Opening,
    Live(ThreadBound<Registered<FileBdev>>),
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry { entries: Vec::new(), end: End::Distant });

/// Never held across a call into SPDK, which may call us.
fn registry() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registry {
    fn find(&self, name: &str) -> Option<usize> {
        self.entries.iter().position(|entry| entry.options.name == name)
    }

    /// What lets SPDK end, if it wants to and may.
    fn take_end(&mut self) -> Option<FiniDone> {
        if self.entries.iter().any(|entry| matches!(entry.stage, Stage::Opening)) {
            return None;
        }
        match std::mem::replace(&mut self.end, End::Near) {
            End::Wanted(done) => Some(done),
            other => {
                self.end = other;
                None
            }
        }
    }
}

fn let_go() {
    let done = registry().take_end();
    // SPDK goes on, and may call us, from here.
    drop(done);
}

/// Makes a drive of a file, and tells its name or why not. The file is opened, or created, on a thread of its
/// own, so that no I/O waits for that. `done` is called on the app thread, perhaps before this returns.
pub fn create(options: FileOptions, done: impl FnOnce(Result<String, FileError>) + 'static) {
    if let Err(error) = reserve(&options) {
        return done(Err(error));
    }
    let to_open = options.clone();
    let opening = std::thread::Builder::new().name("file drive".into()).spawn(move || open(&to_open));
    match opening {
        Ok(opening) => when_opened(opening, move |opened| {
            let result = opened.and_then(|file| enter(&options, file));
            if result.is_err() {
                forget(&options.name);
            }
            let_go();
            done(result);
        }),
        Err(error) => {
            forget(&options.name);
            done(Err(FileError::from_io(&options.path, "starting a thread to open it", &error)));
        }
    }
}

/// Removes a drive, once nobody has it open any more; its file stays. `done` is called on the app thread,
/// when the file is free for others.
pub fn delete(name: &str, done: impl FnOnce(Result<(), FileError>) + 'static) {
    let path = Path::new(name).to_owned();
    let registered = match take_live(name) {
        Ok(registered) => registered,
        Err(error) => return done(Err(error)),
    };
    registered.into_inner().unregister(move |result| {
        done(result.map_err(|errno| {
            FileError::new(FileErrorKind::Io, &path, format_args!("SPDK keeps it: {errno}"), "see the log")
        }));
    });
}

fn reserve(options: &FileOptions) -> Result<(), FileError> {
    options.check()?;
    let refuse = |kind, reason: &str, remedy| Err(FileError::new(kind, &options.path, reason, remedy));
    if !on_app_thread() {
        return refuse(FileErrorKind::Io, "drives are made on SPDK's app thread", "send a message to it");
    }
    let mut registry = registry();
    if !matches!(registry.end, End::Distant) {
        return refuse(FileErrorKind::Io, "SPDK is ending", "start it again");
    }
    if registry.find(&options.name).is_some() {
        let reason = format!("there is a file drive {} already", options.name);
        return refuse(FileErrorKind::Name, &reason, "choose another name, or delete that one first");
    }
    registry.entries.push(Entry { options: options.clone(), stage: Stage::Opening });
    Ok(())
}

/// On the thread that may block. SPDK does not pass on why a channel can't be opened, so that is found out
/// first.
fn open(options: &FileOptions) -> Result<OpenedFile, FileError> {
    Ring::new()
        .map_err(|e| FileError::new(FileErrorKind::IoUring, &options.path, e.reason, e.remedy))
        .and_then(|_| OpenedFile::open(options))
}

/// Calls `then` with what the thread found, from a poller.
fn when_opened<T: 'static>(opening: JoinHandle<T>, then: impl FnOnce(T) + 'static) {
    const PERIOD_US: u64 = 200;
    let poller = Rc::new(RefCell::new(None));
    let itself = Rc::clone(&poller);
    let mut pending = Some((opening, then));
    *poller.borrow_mut() = Some(Poller::register("basalt_file_open", PERIOD_US, move || {
        let Some((opening, then)) = pending.take_if(|(opening, _)| opening.is_finished()) else {
            return Busy::No;
        };
        drop(itself.take());
        then(opening.join().expect("opening a file does not panic"));
        Busy::Yes
    }));
}

/// Registers the bdev.
fn enter(options: &FileOptions, file: OpenedFile) -> Result<String, FileError> {
    let name = options.name.clone();
    let refuse = |errno: Errno| {
        let (kind, remedy) = match errno {
            Errno::EEXIST => (FileErrorKind::Name, "choose another name: bdev_get_bdevs lists those in use"),
            _ => (FileErrorKind::Io, "see the log"),
        };
        FileError::new(kind, &options.path, format_args!("no bdev {name} can be made: {errno}"), remedy)
    };
    let note = file.note.clone();
    let effective =
        FileOptions { path: file.path.clone(), size_bytes: Some(file.size_bytes), ..options.clone() };
    let drive = Drive::new(name.clone(), file, options.block_size, options.assume_durable);
    let device = FileBdev::new(Arc::clone(&drive)).map_err(&refuse)?;
    let spec = device.spec();
    let registered = register(&FILE, spec, device).map_err(&refuse)?;
    drive.file.keep();
    if let Some(note) = note {
        tracing::warn!(drive = name, path = %effective.path.display(), "{note}");
    }
    let mut registry = registry();
    let at = registry.find(&name).expect("it was reserved");
    registry.entries[at] = Entry { options: effective, stage: Stage::Live(ThreadBound::new(registered)) };
    Ok(name)
}

/// A drive that did not come about.
fn forget(name: &str) {
    let mut registry = registry();
    if let Some(at) = registry.find(name) {
        registry.entries.remove(at);
    }
}

fn take_live(name: &str) -> Result<ThreadBound<Registered<FileBdev>>, FileError> {
    let refuse = |kind, reason: &str, remedy| Err(FileError::new(kind, Path::new(name), reason, remedy));
    if !on_app_thread() {
        return refuse(FileErrorKind::Io, "drives are deleted on SPDK's app thread", "send a message to it");
    }
    let mut registry = registry();
    let Some(at) = registry.find(name) else {
        let remedy = "bdev_get_bdevs lists them all: it is those of product \"Basalt file drive\"";
        return refuse(FileErrorKind::Unknown, "there is no file drive of this name", remedy);
    };
    if matches!(registry.entries[at].stage, Stage::Opening) {
        return refuse(FileErrorKind::Busy, "it is being created", "wait for that to end");
    }
    match registry.entries.remove(at).stage {
        Stage::Live(registered) => Ok(registered),
        Stage::Opening => unreachable!("looked at above"),
    }
}
