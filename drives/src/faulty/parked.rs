//! Host I/Os that wait in a lane.

use super::device::FaultyBdev;
use spdk_rs::module::{Io, IoToken};
use std::marker::PhantomData;

/// A host I/O that waits. It must be taken up again, once.
#[must_use = "a host waits for it"]
pub(crate) struct Parked {
    token: IoToken,
    /// Stays on its thread.
    _not_send: PhantomData<*const ()>,
}

impl Parked {
    pub fn park(io: Io<FaultyBdev>) -> Parked {
        Parked { token: io.into_token(), _not_send: PhantomData }
    }

    /// What an abort is to take back, if that is parked with us.
    pub fn target_of(abort: &Io<FaultyBdev>) -> Option<Parked> {
        abort.abort_target().map(|token| Parked { token, _not_send: PhantomData })
    }

    pub fn is(&self, other: &Parked) -> bool {
        self.token == other.token
    }

    pub fn take(self) -> Io<FaultyBdev> {
        // SAFETY: the token is of an I/O of ours: `park` parked it, or SPDK names it in an abort, which it
        // sends to the channel of its target. A lane and what it parks stay on their SPDK thread.
        unsafe { Io::from_token(self.token) }
    }
}
