//! The cores of a runtime as they know each other: inboxes, and which SPDK thread is where.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use spdk_rs::cpuset::CpuSet;
use spdk_rs::thread::{OwnedThread, Scheduler, ThreadId};

use crate::executor::{spawn_local, yield_now};
use crate::mailbox::{Class, SendError, Sender};
use crate::oneshot::{self, Gone};
use crate::placement::Placement;
use crate::reactor::Reactor;
use crate::shutdown::Wishes;

/// What cores send each other. Their lists of threads change by nothing else.
pub(crate) enum Message {
    /// Poll this thread from now on.
    Adopt(OwnedThread),
    /// Run this between two rounds of polling.
    Call(Box<dyn FnOnce(&Reactor) + Send>),
    /// Drop all tasks, and let the core's own SPDK thread exit.
    Close,
    /// Return.
    Stop,
}

/// Shared by all cores.
pub(crate) struct Cores {
    pub(crate) main: u32,
    pub(crate) placement: Placement,
    inboxes: BTreeMap<u32, Sender<Message>>,
}

impl Cores {
    pub(crate) fn new(main: u32, inboxes: BTreeMap<u32, Sender<Message>>) -> Self {
        Cores { main, placement: Placement::new(inboxes.keys().copied().collect()), inboxes }
    }

    pub(crate) fn numbers(&self) -> impl Iterator<Item = u32> {
        self.inboxes.keys().copied()
    }

    pub(crate) fn mask(&self) -> CpuSet {
        CpuSet::of(&self.numbers().collect::<Vec<_>>()).expect("SPDK knows these cores")
    }

    pub(crate) fn inbox(&self, core: u32) -> Option<&Sender<Message>> {
        self.inboxes.get(&core)
    }

    /// Runs `ask` on a core, between two rounds of its polling. [`Gone`] if there is no such core, or it has
    /// stopped.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        core: u32,
        ask: impl FnOnce(&Reactor) -> T + Send + 'static,
    ) -> Result<T, Gone> {
        let inbox = self.inbox(core).ok_or(Gone)?;
        let (answer, awaited) = oneshot::channel();
        let mut call = Message::Call(Box::new(move |reactor| answer.send(ask(reactor))));
        while let Err(refused) = inbox.try_send(Class::Data, call) {
            match refused {
                SendError::Closed(_) => return Err(Gone),
                SendError::Full(again) => call = again,
            }
            yield_now().await;
        }
        awaited.await
    }
}

impl Scheduler for Cores {
    fn schedule(&self, thread: OwnedThread) -> Result<(), OwnedThread> {
        let id = thread.id();
        let core = self.placement.place(id, thread.name(), &thread.cpumask());
        self.inboxes[&core].try_send(Class::Control, Message::Adopt(thread)).map_err(|refused| {
            self.placement.forget(id);
            match refused.into_message() {
                Message::Adopt(thread) => thread,
                _ => unreachable!("it is the message that was sent"),
            }
        })
    }

    fn reschedule(&self, id: ThreadId) {
        // It has been polled, or it could not have changed its mask; so it stays.
        let core = self.placement.find(id).map(|placed| placed.core);
        tracing::debug!(thread = id.raw(), core, "the cores of a running SPDK thread were changed; it stays");
    }
}

/// The runtime as the calling thread sees it.
pub(crate) struct Here {
    pub(crate) cores: Arc<Cores>,
    /// On the main core only.
    wishes: Option<Wishes>,
}

impl Here {
    pub(crate) fn new(cores: Arc<Cores>, wishes: Option<Wishes>) -> Rc<Self> {
        Rc::new(Here { cores, wishes })
    }

    pub(crate) fn wishes(&self) -> &Wishes {
        self.wishes.as_ref().expect("shutdown belongs to the main core: call it there")
    }
}

thread_local! {
    static HERE: RefCell<Option<Rc<Here>>> = const { RefCell::new(None) };
}

/// The runtime whose core the caller is on.
pub(crate) fn here() -> Rc<Here> {
    HERE.with_borrow(Option::clone).expect("this needs a runtime: call it on one of its cores")
}

/// Puts the calling thread into a runtime until the guard is dropped.
pub(crate) fn enter(here: Rc<Here>) -> Entered {
    HERE.set(Some(here));
    Entered
}

pub(crate) struct Entered;

impl Drop for Entered {
    fn drop(&mut self) {
        let left = HERE.take();
        drop(left);
    }
}

/// The cores of this runtime, ascending.
///
/// # Panics
/// Off the cores of a runtime, as [`run_on`].
pub fn cores() -> Vec<u32> {
    here().cores.numbers().collect()
}

/// Runs a future on another core (or this one) and waits for its result. `make` is called there, so that the
/// future need not be `Send`. Dropping the wait does not stop it.
///
/// [`Gone`] if there is no such core, or it stopped before the future was done.
pub async fn run_on<T, F>(core: u32, make: impl FnOnce() -> F + Send + 'static) -> Result<T, Gone>
where
    T: Send + 'static,
    F: Future<Output = T> + 'static,
{
    let (answer, awaited) = oneshot::channel();
    let cores = here().cores.clone();
    cores.ask(core, move |_| spawn_local(async move { answer.send(make().await) }).detach()).await?;
    awaited.await
}
