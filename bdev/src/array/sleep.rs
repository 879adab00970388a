//! Waiting, on an SPDK thread.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use spdk_rs::poller::{Busy, Poller};

/// Ends after `ms` milliseconds at the earliest.
pub(super) async fn sleep_ms(ms: u64) {
    let is_over = Rc::new(Cell::new(false));
    let waker: Rc<RefCell<Option<Waker>>> = Rc::default();
    let (over, waiting) = (Rc::clone(&is_over), Rc::clone(&waker));
    let _clock = Poller::register("basalt_sleep", ms * 1000, move || {
        over.set(true);
        if let Some(waker) = waiting.take() {
            waker.wake();
        }
        Busy::Yes
    });
    poll_fn(|cx| {
        if is_over.get() {
            return Poll::Ready(());
        }
        *waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    })
    .await;
}
