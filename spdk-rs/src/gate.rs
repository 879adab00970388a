//! Counts the users of something that is shut down once, so that it is never shut down under a user.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::Errno;

const CLOSED: usize = usize::MAX;

/// ```text
///            open            enter / leave
///   Closed -------> Open(0) <-------------> Open(n)
///      ^               |
///      +---------------+
///       close: only from Open(0)
/// ```
pub(crate) struct Gate(AtomicUsize);

impl Gate {
    pub(crate) const fn closed() -> Gate {
        Gate(AtomicUsize::new(CLOSED))
    }

    /// From now on users may enter. `EALREADY` if it is open.
    pub(crate) fn open(&self) -> Result<(), Errno> {
        let opened = self.0.compare_exchange(CLOSED, 0, Ordering::AcqRel, Ordering::Relaxed);
        opened.map(drop).map_err(|_| Errno::EALREADY)
    }

    /// One user more; false if it is closed.
    #[must_use]
    pub(crate) fn enter(&self) -> bool {
        let one_more = |users| if users == CLOSED { None } else { Some(users + 1) };
        self.0.fetch_update(Ordering::Acquire, Ordering::Relaxed, one_more).is_ok()
    }

    /// Ends what a successful [`Gate::enter`] began.
    pub(crate) fn leave(&self) {
        let users = self.0.fetch_sub(1, Ordering::Release);
        assert!(users != 0 && users != CLOSED, "left a gate that nobody had entered");
    }

    /// Closes it for good or until the next `open`; if there are users it stays open and their number is
    /// returned.
    pub(crate) fn close(&self) -> Result<(), usize> {
        self.0.compare_exchange(0, CLOSED, Ordering::AcqRel, Ordering::Acquire).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closes_only_when_nobody_is_in() {
        let gate = Gate::closed();
        assert!(!gate.enter());
        assert_eq!(gate.open(), Ok(()));
        assert_eq!(gate.open(), Err(Errno::EALREADY));
        assert!(gate.enter());
        assert!(gate.enter());
        assert_eq!(gate.close(), Err(2));
        gate.leave();
        assert_eq!(gate.close(), Err(1));
        gate.leave();
        assert_eq!(gate.close(), Ok(()));
        assert!(!gate.enter());
    }
}
