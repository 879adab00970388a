//! One value, from one thread to a task on another.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The other side went away without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer will never come: who owed it has gone")]
pub struct Gone;

/// ```text
///            polled             sent
///   Empty ----------> Waiting -------> Sent --> Taken
///     |  \__ sent ______|_______________^
///     +--- dropped -----+------> Dropped
/// ```
enum State<T> {
    Empty,
    Waiting(Waker),
    Sent(T),
    Taken,
    Dropped,
}

type Shared<T> = Arc<Mutex<State<T>>>;

fn lock<T>(shared: &Shared<T>) -> MutexGuard<'_, State<T>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A sender and the future that it completes.
pub(crate) fn channel<T: Send>() -> (Answer<T>, Awaited<T>) {
    let shared = Arc::new(Mutex::new(State::Empty));
    (Answer { shared: shared.clone() }, Awaited { shared })
}

/// The value that is owed.
pub(crate) struct Answer<T> {
    shared: Shared<T>,
}

impl<T> Answer<T> {
    pub(crate) fn send(self, value: T) {
        self.finish(State::Sent(value));
    }

    fn finish(&self, end: State<T>) {
        let mut state = lock(&self.shared);
        if let State::Sent(_) | State::Taken = *state {
            return;
        }
        let before = std::mem::replace(&mut *state, end);
        // Outside the lock: a waker may run anything.
        drop(state);
        if let State::Waiting(waker) = before {
            waker.wake();
        }
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        self.finish(State::Dropped);
    }
}

/// A value that comes from elsewhere; [`Gone`] if it never will. Dropping the future does not stop what it
/// waits for.
#[must_use = "the answer is in the future"]
pub(crate) struct Awaited<T> {
    shared: Shared<T>,
}

impl<T> Future for Awaited<T> {
    type Output = Result<T, Gone>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = lock(&self.shared);
        match std::mem::replace(&mut *state, State::Taken) {
            State::Sent(value) => Poll::Ready(Ok(value)),
            State::Dropped => Poll::Ready(Err(Gone)),
            State::Taken => panic!("an answer was awaited after it had been taken"),
            State::Empty | State::Waiting(_) => {
                *state = State::Waiting(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll<T>(awaited: &mut Awaited<T>) -> Poll<Result<T, Gone>> {
        Pin::new(awaited).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn an_answer_comes_before_or_after_it_is_awaited() {
        let (answer, mut awaited) = channel();
        assert_eq!(poll(&mut awaited), Poll::Pending);
        answer.send(1);
        assert_eq!(poll(&mut awaited), Poll::Ready(Ok(1)));
        let (answer, mut awaited) = channel();
        answer.send(2);
        assert_eq!(poll(&mut awaited), Poll::Ready(Ok(2)));
    }

    #[test]
    fn who_goes_without_answering_is_noticed() {
        let (answer, mut awaited) = channel::<u32>();
        assert_eq!(poll(&mut awaited), Poll::Pending);
        drop(answer);
        assert_eq!(poll(&mut awaited), Poll::Ready(Err(Gone)));
    }

    #[test]
    fn an_answer_that_nobody_awaits_is_dropped() {
        let (answer, awaited) = channel();
        let value = Arc::new(());
        drop(awaited);
        answer.send(value.clone());
        assert_eq!(Arc::strong_count(&value), 1);
    }
}
