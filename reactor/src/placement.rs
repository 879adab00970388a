//! Which core an SPDK thread goes to, and which threads there are.
//!
//! A thread is placed when it is made, and again when the cores that it may run on were changed (see
//! `threads.rs`): on the core, of those that it may run on, that has the fewest threads.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use spdk_rs::cpuset::CpuSet;
use spdk_rs::thread::ThreadId;

/// Every SPDK thread of the process, by number.
#[derive(Debug)]
pub(crate) struct Placement {
    cores: Vec<u32>,
    /// A lock, since threads are made from any OS thread; taken only when one comes or goes.
    threads: Mutex<BTreeMap<ThreadId, Placed>>,
}

/// A thread and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) core: u32,
    pub(crate) name: String,
}

impl Placement {
    pub(crate) fn new(cores: Vec<u32>) -> Self {
        Placement { cores, threads: Mutex::default() }
    }

    fn threads(&self) -> MutexGuard<'_, BTreeMap<ThreadId, Placed>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Chooses a core for a thread that is new or has to move. A mask without any of our cores is taken for a
    /// mask of all.
    pub(crate) fn place(&self, id: ThreadId, name: &str, mask: &CpuSet) -> u32 {
        let mut threads = self.threads();
        let load = |core: u32| threads.values().filter(|placed| placed.core == core).count();
        let core = least_loaded(&self.cores, |core| mask.contains(core), load);
        threads.insert(id, Placed { core, name: name.to_owned() });
        core
    }

    /// A thread that was to move is still on this core.
    pub(crate) fn put(&self, id: ThreadId, name: &str, core: u32) {
        self.threads().insert(id, Placed { core, name: name.to_owned() });
    }

    /// The thread has exited, or could not be handed to its core.
    pub(crate) fn forget(&self, id: ThreadId) {
        self.threads().remove(&id);
    }

    pub(crate) fn find(&self, id: ThreadId) -> Option<Placed> {
        self.threads().get(&id).cloned()
    }

    /// The threads but for one, as `name (core N)`.
    pub(crate) fn all_but(&self, one: Option<ThreadId>) -> Vec<String> {
        let others = |id: &ThreadId| Some(*id) != one;
        let describe = |placed: &Placed| format!("{} (core {})", placed.name, placed.core);
        self.threads().iter().filter(|(id, _)| others(id)).map(|(_, placed)| describe(placed)).collect()
    }

    /// Whether there are no threads but, perhaps, one.
    pub(crate) fn none_but(&self, one: Option<ThreadId>) -> bool {
        self.threads().keys().all(|id| Some(*id) == one)
    }
}

/// The first of the least loaded cores that are allowed; of all, if none is.
fn least_loaded(cores: &[u32], allowed: impl Fn(u32) -> bool, load: impl Fn(u32) -> usize) -> u32 {
    let best = |cores: &mut dyn Iterator<Item = u32>| cores.min_by_key(|core| load(*core));
    best(&mut cores.iter().copied().filter(|core| allowed(*core)))
        .or_else(|| best(&mut cores.iter().copied()))
        .expect("a runtime has a core")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_loaded_core_of_the_mask_is_chosen() {
        let load = |core: u32| [4, 2, 3, 2][core as usize];
        assert_eq!(least_loaded(&[0, 1, 2, 3], |_| true, load), 1);
        assert_eq!(least_loaded(&[0, 1, 2, 3], |core| core != 1, load), 3);
        assert_eq!(least_loaded(&[0, 2], |core| core == 0, load), 0);
    }

    #[test]
    fn a_mask_without_our_cores_means_any() {
        assert_eq!(least_loaded(&[5, 6], |core| core == 7, |core| (6 - core) as usize), 6);
    }
}
