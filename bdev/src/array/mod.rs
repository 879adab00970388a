//! Arrays, on the app thread: the registry of those that exist, and what is asked of them.

mod assemble;
mod create;
mod drives;
mod error;
mod events;
mod label;
mod owner;
mod params;
mod sleep;
mod status;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use raid::Slot;
use raid::array::{Receipt, Refusal};
use raid::assembly::Asked;
use raid::pool::{Pool, PoolRefusal};
use spdk_rs::Errno;
use spdk_rs::module::DestructDone;
use spdk_rs::poller::{Busy, Poller};
use thiserror::Error;

pub(crate) use assemble::Begun;
use assemble::{Pending, Phase, Wish};
pub(crate) use error::CreateError;
pub(crate) use events::{EventQuery, EventReply};
use owner::Afterwards;
pub(crate) use owner::Owner;
pub(crate) use params::CreateParams;
pub(crate) use status::{ArrayStats, ArrayStatus};

use crate::module;
use crate::port::{ArrayId, Port, ShardAddresses};
use crate::shard::ShardThreads;

/// Everything that the module keeps on the app thread.
pub(crate) struct Registry {
    pub port: Port,
    pool: RefCell<Pool>,
    arrays: RefCell<BTreeMap<ArrayId, Rc<Owner>>>,
    /// Arrays that are known and do not run.
    pending: RefCell<BTreeMap<String, Pending>>,
    /// Looks for what they wait for, while there are any.
    watch: RefCell<Option<Poller>>,
    /// Drives that went before their array was there to be told.
    gone: RefCell<BTreeSet<(ArrayId, Slot)>>,
    shards: RefCell<Option<ShardThreads>>,
    events: events::Waiters,
}

/// How often arrays that wait are looked after.
const WATCH_US: u64 = 500_000;

/// Why a request about an array was refused.
#[derive(Debug, Error)]
pub(crate) enum ArrayError {
    #[error("there is no array '{0}'; 'basalt status' lists those there are")]
    NoSuchArray(String),
    #[error("'{drive}' is not a member of array '{array}'; its members are {members}")]
    NoSuchMember { array: String, drive: String, members: String },
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Pool(#[from] PoolRefusal),
    #[error("array '{0}' is being deleted already")]
    Going(String),
}

impl Registry {
    pub fn new(port: Port) -> Registry {
        Registry {
            port,
            pool: RefCell::default(),
            arrays: RefCell::default(),
            pending: RefCell::default(),
            watch: RefCell::default(),
            gone: RefCell::default(),
            shards: RefCell::default(),
            events: events::Waiters::default(),
        }
    }

    /// The arrays, oldest first, then those that do not run; all of them, or the one with this name.
    pub fn list(&self, name: Option<&str>) -> Result<Vec<ArrayStatus>, ArrayError> {
        let arrays = self.arrays.borrow();
        let running = arrays.values().map(|owner| owner.status());
        let pending = self.pending.borrow();
        let all = running.chain(pending.values().map(ArrayStatus::of_pending));
        let listed: Vec<_> = all.filter(|array| name.is_none_or(|name| array.name() == name)).collect();
        match name {
            Some(name) if listed.is_empty() => Err(ArrayError::NoSuchArray(name.to_owned())),
            _ => Ok(listed),
        }
    }

    /// Starts an array that does not run: with what is there if `degraded`, against another host if `force`.
    pub async fn start(
        self: Rc<Self>,
        name: String,
        degraded: bool,
        force: bool,
    ) -> Result<Begun, CreateError> {
        let asked = match (degraded, force) {
            (_, true) => Asked::Force,
            (true, false) => Asked::Degraded,
            (false, false) => Asked::Policy,
        };
        let begun = Rc::clone(&self).attempt_pending(name.clone(), Wish::Start(asked), None).await?;
        if let Some(pending) = self.pending.borrow_mut().get_mut(&name) {
            pending.phase = Phase::Waiting;
        }
        Ok(begun)
    }

    /// Starts an array whose parts went on without each other with the part of `drive`.
    pub async fn resolve(self: Rc<Self>, name: String, drive: String) -> Result<Begun, CreateError> {
        self.attempt_pending(name, Wish::Keep(drive), None).await
    }

    /// Looks after arrays that wait, as long as there are any.
    fn watch_pending(self: &Rc<Self>) {
        let mut watch = self.watch.borrow_mut();
        if watch.is_some() || self.pending.borrow().is_empty() {
            return;
        }
        let registry = Rc::downgrade(self);
        *watch = Some(Poller::register("basalt_assembly", WATCH_US, move || {
            if let Some(registry) = registry.upgrade() {
                registry.try_pending();
                if registry.pending.borrow().is_empty() {
                    drop(registry.watch.borrow_mut().take());
                }
            }
            Busy::No
        }));
    }

    pub fn array(&self, name: &str) -> Result<Rc<Owner>, ArrayError> {
        let arrays = self.arrays.borrow();
        let found = arrays.values().find(|owner| owner.name() == name);
        found.cloned().ok_or_else(|| ArrayError::NoSuchArray(name.to_owned()))
    }

    /// The calls that would make the arrays anew, those first on which others stand.
    pub fn recipes(&self) -> Vec<CreateParams> {
        self.arrays.borrow().values().map(|owner| owner.recipe()).collect()
    }

    /// Figures of the arrays.
    pub fn stats(&self, name: Option<&str>) -> Result<Vec<ArrayStats>, ArrayError> {
        if let Some(name) = name {
            return Ok(vec![self.array(name)?.stats()]);
        }
        Ok(self.arrays.borrow().values().map(|owner| owner.stats()).collect())
    }

    /// Takes a member out of service.
    pub fn fail_member(&self, array: &str, drive: &str) -> Result<Receipt, ArrayError> {
        let owner = self.array(array)?;
        Ok(owner.fail_member(owner.slot_of(drive)?)?)
    }

    /// Lets go of the drive of a member that is out of service.
    pub fn remove_member(&self, array: &str, drive: &str) -> Result<Receipt, ArrayError> {
        let owner = self.array(array)?;
        Ok(owner.remove_member(owner.slot_of(drive)?)?)
    }

    /// Removes an array: its drives forget that they were members. `done` is called when it is gone.
    pub fn delete(
        &self,
        name: &str,
        done: impl FnOnce(Result<(), Errno>) + 'static,
    ) -> Result<(), ArrayError> {
        self.take_down(name, Afterwards::Wipe, done)
    }

    /// Stops an array: it can be started again from its drives. `done` is called when it is gone.
    pub fn halt(&self, name: &str, done: impl FnOnce(Result<(), Errno>) + 'static) -> Result<(), ArrayError> {
        self.take_down(name, Afterwards::Stop, done)
    }

    fn take_down(
        &self,
        name: &str,
        afterwards: Afterwards,
        done: impl FnOnce(Result<(), Errno>) + 'static,
    ) -> Result<(), ArrayError> {
        if self.pending.borrow_mut().remove(name).is_some() {
            // Its drives are left as they are: they may be what somebody still looks for.
            self.pool.borrow_mut().leave(name);
            done(Ok(()));
            return Ok(());
        }
        let owner = self.array(name)?;
        match afterwards {
            Afterwards::Wipe => self.pool.borrow().may_leave(name)?,
            // What stands on it and is stopped itself will look for it again.
            Afterwards::Stop | Afterwards::Leave => self.may_stop(name)?,
        }
        if owner.unregister(afterwards, done) { Ok(()) } else { Err(ArrayError::Going(name.to_owned())) }
    }

    /// Whether no array that runs stands on this one.
    fn may_stop(&self, name: &str) -> Result<(), PoolRefusal> {
        let pool = self.pool.borrow();
        match pool.user_of(name) {
            Some(above) if self.array(above).is_ok() => pool.may_leave(name),
            _ => Ok(()),
        }
    }

    /// Answers now if there are events, or when there are, or after `query.wait_s` seconds.
    pub fn get_events(
        &self,
        query: EventQuery,
        reply: impl FnOnce(EventReply) + 'static,
    ) -> Result<(), ArrayError> {
        let owner = self.array(&query.name)?;
        self.events.ask(owner, query, reply);
        Ok(())
    }

    /// The Shards' addresses; the first array starts the threads.
    fn shard_addresses(&self) -> Result<ShardAddresses, Errno> {
        let mut shards = self.shards.borrow_mut();
        if shards.is_none() {
            *shards = Some(ShardThreads::start()?);
        }
        Ok(shards.as_ref().expect("made above").addresses())
    }

    /// SPDK says that a drive is going away.
    pub fn drive_gone(&self, array: ArrayId, slot: Slot) {
        let owner = self.arrays.borrow().get(&array).cloned();
        match owner {
            Some(owner) => owner.member_gone(slot),
            None => {
                self.gone.borrow_mut().insert((array, slot));
            }
        }
    }

    /// Tells an array that has just begun to run of the drives that went meanwhile.
    fn tell_gone_drives(&self, array: ArrayId) {
        let gone: Vec<_> = self.gone.borrow_mut().extract_if(.., |(id, _)| *id == array).collect();
        gone.into_iter().for_each(|(array, slot)| self.drive_gone(array, slot));
    }

    /// SPDK is about to remove every bdev.
    pub fn stop_arrays(&self) {
        self.arrays.borrow().values().for_each(|owner| owner.stop());
    }

    /// Ends what waits, the shard threads and the app thread's port, once no array is left.
    pub fn stop(&self) {
        drop(self.watch.borrow_mut().take());
        if let Some(shards) = self.shards.borrow_mut().take() {
            shards.stop(&self.port);
        }
        self.port.close();
    }
}

/// Nobody uses the bdev of an array any more: lets the array come to its end, and then forgets it.
pub(crate) fn finish(id: ArrayId, done: DestructDone) {
    let owner = module::registry().and_then(|registry| registry.arrays.borrow().get(&id).cloned());
    if let Some(owner) = owner {
        owner.finish(done);
    }
}

/// The array has come to its end: closes its drives.
fn forget(id: ArrayId) {
    let Some(registry) = module::registry() else { return };
    let Some(owner) = registry.arrays.borrow_mut().remove(&id) else { return };
    registry.port.remove_owner(id);
    owner.end();
    match owner.stopped() {
        Some(stopped) => {
            registry.pending.borrow_mut().insert(owner.name().to_owned(), stopped);
            registry.watch_pending();
        }
        None => registry.pool.borrow_mut().leave(owner.name()),
    }
    registry.events.end(id);
    tracing::info!(array = owner.name(), "array is gone");
}

/// What SPDK's `bdev_get_bdevs` says about an array.
pub(crate) fn info(id: ArrayId) -> Option<serde_json::Value> {
    let registry = module::registry()?;
    let owner = registry.arrays.borrow().get(&id).cloned()?;
    serde_json::to_value(owner.status()).ok()
}
