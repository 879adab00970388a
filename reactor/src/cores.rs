//! The cores of a runtime as they know each other: inboxes, and which SPDK thread is where.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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
    /// How often the cores that a thread may run on were changed.
    masks_epoch: AtomicU64,
}

impl Cores {
    pub(crate) fn new(main: u32, inboxes: BTreeMap<u32, Sender<Message>>) -> Self {
        let placement = Placement::new(inboxes.keys().copied().collect());
        Cores { main, placement, inboxes, masks_epoch: AtomicU64::new(0) }
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

    /// Rises whenever the cores that a thread may run on were changed.
    pub(crate) fn masks_epoch(&self) -> u64 {
        // A thread changes its mask on the core that polls it, and that core reads this afterwards: no order
        // between cores is needed.
        self.masks_epoch.load(Ordering::Relaxed)
    }

    /// Whether a thread may not run on this core, but on another of ours.
    pub(crate) fn wants_away(&self, thread: &OwnedThread, core: u32) -> bool {
        let mask = thread.cpumask();
        !mask.contains(core) && self.numbers().any(|core| mask.contains(core))
    }

    /// Sends a thread from a core to the one, of those that it may run on, with the fewest threads. If that
    /// takes no more the thread comes back.
    pub(crate) fn hand_over(&self, thread: OwnedThread, from: u32) -> Result<(), OwnedThread> {
        let (id, name) = (thread.id(), thread.name().to_owned());
        let to = self.placement.place(id, &name, &thread.cpumask());
        self.adopt(to, thread)
            .inspect(|()| tracing::debug!(thread = name, from, to, "an SPDK thread moves"))
            .inspect_err(|_| self.placement.put(id, &name, from))
    }

    fn adopt(&self, core: u32, thread: OwnedThread) -> Result<(), OwnedThread> {
        let sent = self.inboxes[&core].try_send(Class::Control, Message::Adopt(thread));
        sent.map_err(|refused| match refused.into_message() {
            Message::Adopt(thread) => thread,
            _ => unreachable!("it is the message that was sent"),
        })
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
        self.adopt(core, thread).inspect_err(|_| self.placement.forget(id))
    }

    /// The core that polls the thread looks at its mask when that poll is over.
    fn reschedule(&self, _id: ThreadId) {
        self.masks_epoch.fetch_add(1, Ordering::Relaxed);
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
