//! Futures on an SPDK thread, in any application: for what is rare and has several steps (metadata I/O, making
//! and assembling arrays). The thread's port runs them.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;

use async_task::Runnable;
use crossbeam_queue::SegQueue;

/// The futures of one thread that have something to do.
#[derive(Clone, Default)]
pub(crate) struct Tasks {
    ready: Arc<SegQueue<Runnable>>,
}

impl Tasks {
    /// Runs `future` on this thread, from the next poll of its port on.
    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        let ready = Arc::clone(&self.ready);
        let (first, task) = async_task::spawn_local(future, move |runnable| ready.push(runnable));
        first.schedule();
        task.detach();
    }

    /// Lets those go on that can. Returns how many there were.
    pub fn run(&self) -> usize {
        let count = self.ready.len();
        (0..count).filter_map(|_| self.ready.pop()).map(Runnable::run).count()
    }
}

/// Ends at the next poll of this thread's port.
pub(crate) async fn next_poll() {
    let is_next = Cell::new(false);
    poll_fn(|cx| {
        if is_next.replace(true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
