//! One value from an OS thread to a future on a reactor.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// What is in between.
#[derive(Debug)]
enum Slot<T> {
    Waiting(Option<Waker>),
    Full(T),
    Gone,
}

/// The thread's end. Dropped without a value, the future gets `None`.
#[derive(Debug)]
pub struct Giver<T>(Arc<Mutex<Slot<T>>>);

/// The future's end.
#[derive(Debug)]
pub struct Taker<T>(Arc<Mutex<Slot<T>>>);

/// A pair of ends.
pub fn pair<T>() -> (Giver<T>, Taker<T>) {
    let slot = Arc::new(Mutex::new(Slot::Waiting(None)));
    (Giver(slot.clone()), Taker(slot))
}

impl<T> Giver<T> {
    /// Hands over, and wakes the future.
    pub fn give(self, value: T) {
        put(&self.0, Slot::Full(value));
    }
}

impl<T> Drop for Giver<T> {
    fn drop(&mut self) {
        if matches!(*lock(&self.0), Slot::Waiting(_)) {
            put(&self.0, Slot::Gone);
        }
    }
}

impl<T> Taker<T> {
    /// Waits for the value; `None` when the thread ended without one.
    pub async fn take(self) -> Option<T> {
        poll_fn(|cx| {
            let mut slot = lock(&self.0);
            match std::mem::replace(&mut *slot, Slot::Gone) {
                Slot::Full(value) => Poll::Ready(Some(value)),
                Slot::Gone => Poll::Ready(None),
                Slot::Waiting(_) => {
                    *slot = Slot::Waiting(Some(cx.waker().clone()));
                    Poll::Pending
                }
            }
        })
        .await
    }
}

fn put<T>(shared: &Mutex<Slot<T>>, new: Slot<T>) {
    let old = std::mem::replace(&mut *lock(shared), new);
    if let Slot::Waiting(Some(waker)) = old {
        waker.wake();
    }
}

fn lock<T>(shared: &Mutex<Slot<T>>) -> MutexGuard<'_, Slot<T>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::mpsc;
    use std::task::{Context, Wake};

    use super::*;

    struct Bell(mpsc::Sender<()>);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.send(()).unwrap();
        }
    }

    /// Polls `future` each time it is woken, until it is ready.
    fn drive<T>(future: impl Future<Output = T>) -> T {
        let (bell, rung) = mpsc::channel();
        let waker = Waker::from(Arc::new(Bell(bell)));
        let mut future = pin!(future);
        loop {
            match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(value) => return value,
                Poll::Pending => rung.recv().unwrap(),
            }
        }
    }

    #[test]
    fn a_value_crosses_whoever_is_first() {
        let (giver, taker) = pair();
        giver.give(7);
        assert_eq!(drive(taker.take()), Some(7));

        let (giver, taker) = pair();
        let (waiting, waited) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            waited.recv().unwrap();
            giver.give(8);
        });
        let got = drive(async move {
            waiting.send(()).unwrap();
            taker.take().await
        });
        assert_eq!(got, Some(8));
        thread.join().unwrap();
    }

    #[test]
    fn a_thread_that_dies_is_noticed() {
        let (giver, taker) = pair::<u8>();
        drop(giver);
        assert_eq!(drive(taker.take()), None);
    }
}
