//! A bdev_io kept back on a thread, for when SPDK has none.
//!
//! SPDK lets anybody take a bdev_io as long as there are any, so I/Os of hosts can come to hold them all, each
//! waiting for one more to send a part of itself with. Who keeps one back can always send one part.
//!
//! There is no call that just takes a bdev_io. But one that has been completed stays with whoever submitted it
//! until it is freed: a reserve is such a bdev_io, of a question that SPDK answers by itself (where data
//! begins, of a bdev that can't tell) or that at least moves no data.
//!
//! ```text
//!            keep_on          one comes free                answered
//!   Empty -----------> Wanted ---------------> Taken ------------------> Ready
//!     ^                  ^  |                    ^                         |
//!     |                  |  +-- there is one ----+                         | spend: freed, and taken
//!     | keep_on(None)    |                                                 v by the submission
//!  (any but Lent)        +-------------- give_back ---------------------- Lent
//! ```
//!
//! SPDK gives a bdev_io that is freed to whoever waits first in line on the thread. So a bdev_io changes hands
//! by queueing at the head and freeing it then: the queue's callback runs within the call that frees, with
//! that one bdev_io there to be taken. Nobody else comes in between.

use std::cell::{RefCell, UnsafeCell};
use std::ffi::{c_int, c_void};
use std::fmt;
use std::rc::Rc;

use spdk_sys as sys;

use super::channel::{Channel, ChannelInner};
use super::refill::{Refill, bdev_ios_per_thread};
use super::wait::{Entry, call_soon};
use crate::error::Errno;

/// One bdev_io of the current thread, kept back as long as there is a bdev to keep it on. Dropping it gives it
/// back.
pub struct Reserve(Rc<Inner>);

struct Inner {
    /// Where it is kept, or is to be.
    home: RefCell<Option<Rc<ChannelInner>>>,
    state: RefCell<State>,
    /// In SPDK's queue in state Wanted.
    wanted: UnsafeCell<Entry>,
    /// In SPDK's queue within `spend` only.
    spent: UnsafeCell<Entry>,
}

/// The diagram is in the documentation of this module.
enum State {
    Empty,
    Wanted,
    /// The question is with SPDK. The channel that it was asked on is held until it is freed.
    Taken(Rc<ChannelInner>),
    Ready(Spare),
    Lent,
}

/// A bdev_io that is complete and not freed yet.
struct Spare {
    io: *mut sys::spdk_bdev_io,
    /// What it was submitted on; SPDK needs it to free it.
    channel: Rc<ChannelInner>,
}

impl Reserve {
    /// A reserve with nothing in it.
    pub fn new() -> Reserve {
        let entry = || UnsafeCell::new(Entry::new());
        let (home, state) = (RefCell::new(None), RefCell::new(State::Empty));
        Reserve(Rc::new(Inner { home, state, wanted: entry(), spent: entry() }))
    }

    /// Keeps a bdev_io on this channel from now on, or none. It takes one if it has none, from the common pool
    /// if that has one to spare; if SPDK has none at all, the next that comes free on this thread. A bdev_io
    /// that is kept on another channel moves over on the thread's next turn, and nobody can take it meanwhile.
    ///
    /// The channel stays open for as long. Where threads have no cache of bdev_ios (`bdev_io_cache_size` 0)
    /// SPDK serves nobody who waits, and nothing is kept.
    pub fn keep_on(&self, channel: Option<&Channel>) {
        let inner = &self.0;
        let cached = bdev_ios_per_thread();
        let channel = channel.filter(|_| cached > 0);
        let old = inner.home.replace(channel.map(|channel| Rc::clone(channel.inner())));
        match inner.state.replace(State::Empty) {
            State::Empty => {
                inner.take();
                if let Some(channel) = channel {
                    Refill::start(channel, cached);
                }
            }
            State::Ready(spare) => {
                inner.state.replace(State::Ready(spare));
                let me = Rc::into_raw(Rc::clone(inner)).cast_mut().cast();
                // Not now: whoever waits for what is freed would be called under our caller.
                // SAFETY: the callback gets a reference, once.
                unsafe { call_soon(move_over, me) };
            }
            // Each of these looks at the home when it ends.
            state @ (State::Wanted | State::Taken(_) | State::Lent) => drop(inner.state.replace(state)),
        }
        drop(old);
    }

    /// Whether it is kept on this channel, or is to be.
    pub fn is_on(&self, channel: &Channel) -> bool {
        self.0.home.borrow().as_ref().is_some_and(|home| Rc::ptr_eq(home, channel.inner()))
    }

    /// Whether there is a bdev_io to spend.
    pub fn is_ready(&self) -> bool {
        matches!(*self.0.state.borrow(), State::Ready(_))
    }

    /// Calls `submit` while the one bdev_io that was kept is there to be taken, which it does if it returns 0
    /// and is given back by [`give_back`](Reserve::give_back). None: there is nothing to spend, and it was
    /// not called.
    pub(crate) fn spend(&self, submit: impl FnOnce() -> c_int) -> Option<c_int> {
        let inner = &self.0;
        let spare = match inner.state.replace(State::Lent) {
            State::Ready(spare) => spare,
            other => {
                drop(inner.state.replace(other));
                return None;
            }
        };
        let mut spending = Spending { submit: Some(submit), rc: None, reserve: inner };
        // SAFETY: the entry is not in the queue: it only is within this function, between here and the call
        // that takes it out. It is called before `free` returns, while `spending` is there.
        let queued = unsafe {
            let arg = (&raw mut spending).cast();
            Entry::try_queue(inner.spent.get(), &spare.channel, submit_spending_as(&spending), arg)
        };
        if !queued {
            // There are bdev_ios again, so nothing needs to be spent.
            drop(inner.state.replace(State::Ready(spare)));
            return None;
        }
        spare.free();
        assert!(spending.rc.is_some(), "SPDK has not served the first who waited for a bdev_io");
        spending.rc
    }

    /// Takes back what was spent: frees `child`, which has come back, and keeps a bdev_io for it.
    ///
    /// # Safety
    /// `child` is a completed I/O of the caller's that was submitted by a [`spend`](Reserve::spend) of this
    /// reserve; it ends here.
    pub(crate) unsafe fn give_back(&self, child: *mut sys::spdk_bdev_io) {
        let was = self.0.state.replace(State::Empty);
        debug_assert!(matches!(was, State::Lent), "a reserve gets back what it has not lent");
        self.0.take();
        // SAFETY: by the caller's promise.
        unsafe { sys::spdk_bdev_free_io(child) };
    }
}

/// A submission that waits for the bdev_io which is being freed for it.
struct Spending<'a, F> {
    submit: Option<F>,
    rc: Option<c_int>,
    reserve: &'a Rc<Inner>,
}

/// The callback that fits.
fn submit_spending_as<F: FnOnce() -> c_int>(_: &Spending<'_, F>) -> unsafe extern "C" fn(*mut c_void) {
    submit_spending::<F>
}

unsafe extern "C" fn submit_spending<F: FnOnce() -> c_int>(spending: *mut c_void) {
    // SAFETY: queued by `spend`, which waits for this.
    let spending = unsafe { &mut *spending.cast::<Spending<'_, F>>() };
    let Some(submit) = spending.submit.take() else { return };
    let rc = submit();
    spending.rc = Some(rc);
    if rc != 0 {
        // It was not taken: nobody else may have it.
        spending.reserve.state.replace(State::Empty);
        spending.reserve.take();
    }
}

impl Inner {
    /// From Empty: takes a bdev_io, or queues for one, if there is a home for it.
    fn take(self: &Rc<Self>) {
        let Some(home) = self.home.borrow().clone() else { return };
        self.state.replace(State::Taken(Rc::clone(&home)));
        let me = Rc::into_raw(Rc::clone(self)).cast_mut().cast();
        // SAFETY: the channel is held until the answer was freed, and `me` is a reference for the callback.
        let rc = unsafe { sys::spdk_bdev_seek_data(home.desc(), home.raw(), 0, Some(taken), me) };
        match Errno::from_rc(rc) {
            Ok(()) => {}
            Err(Errno::ENOMEM) => {
                self.state.replace(State::Wanted);
                // SAFETY: the entry is in the queue in state Wanted only; it is part of what `me` refers to.
                unsafe { Entry::queue(self.wanted.get(), &home, wanted, me) };
            }
            Err(errno) => {
                self.state.replace(State::Empty);
                tracing::warn!(%errno, "no bdev_io can be kept in reserve");
                // SAFETY: nothing was sent, so the reference is still ours.
                drop(unsafe { Rc::from_raw(me.cast::<Inner>().cast_const()) });
            }
        }
    }

    /// From Empty: keeps `spare`, if it is where it is to be kept; or has another for it, or none.
    fn settle(self: &Rc<Self>, spare: Spare) {
        let at_home = self.home.borrow().as_ref().is_some_and(|home| Rc::ptr_eq(home, &spare.channel));
        if at_home {
            self.state.replace(State::Ready(spare));
        } else {
            self.take();
            spare.free();
        }
    }
}

/// What is kept may be kept on the wrong channel.
unsafe extern "C" fn move_over(me: *mut c_void) {
    // SAFETY: the reference from `keep_on`, in its only message.
    let inner = unsafe { Rc::from_raw(me.cast::<Inner>().cast_const()) };
    match inner.state.replace(State::Empty) {
        State::Ready(spare) => inner.settle(spare),
        other => drop(inner.state.replace(other)),
    }
}

/// A bdev_io has come free, and we are the first in the queue.
unsafe extern "C" fn wanted(me: *mut c_void) {
    // SAFETY: the reference that `take` gave the queue, which calls once.
    let inner = unsafe { Rc::from_raw(me.cast::<Inner>().cast_const()) };
    inner.state.replace(State::Empty);
    inner.take();
}

/// The question is answered. The answer does not matter.
unsafe extern "C" fn taken(io: *mut sys::spdk_bdev_io, _success: bool, me: *mut c_void) {
    // SAFETY: the reference that `take` gave with the question, which is answered once.
    let inner = unsafe { Rc::from_raw(me.cast::<Inner>().cast_const()) };
    let State::Taken(channel) = inner.state.replace(State::Empty) else {
        unreachable!("an answer to a reserve that did not ask");
    };
    inner.settle(Spare { io, channel });
}

impl Spare {
    /// Frees it, for whoever is first in SPDK's queue on this thread; that one is called before this returns.
    fn free(self) {
        // SAFETY: it is complete and ours, and freed once, before its channel is let go.
        unsafe { sys::spdk_bdev_free_io(self.io) };
    }
}

impl Default for Reserve {
    fn default() -> Reserve {
        Reserve::new()
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        self.keep_on(None);
    }
}

impl fmt::Debug for Reserve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reserve").field("state", &*self.0.state.borrow()).finish()
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Empty => "Empty",
            State::Wanted => "Wanted",
            State::Taken(_) => "Taken",
            State::Ready(_) => "Ready",
            State::Lent => "Lent",
        })
    }
}
