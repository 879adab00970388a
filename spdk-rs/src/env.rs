//! The environment: DPDK's memory, its pinned OS threads, and the clock.
//!
//! One process has one environment, once. [`Env`] is the proof that this process initialised it; in an
//! application that is not ours (where our bdev module is a guest) the application did, and there is no
//! `Env`.
//!
//! Thread rules: an `Env` stays on the OS thread that made it, which becomes the main core. Everything else
//! here may be called from anywhere.

use std::ffi::{CString, c_void};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};

use spdk_sys as sys;

use crate::error::Errno;
use crate::gate::Gate;

/// Who uses the environment that this process initialised: the thread library, DMA buffers.
static USERS: Gate = Gate::closed();
/// DPDK can be initialised once per process, even after it was finished.
static CLAIMED: AtomicBool = AtomicBool::new(false);

/// How the memory that drives reach is backed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HugePages {
    /// Huge pages, reserved beforehand; needed for drives behind real or emulated PCI.
    Required,
    /// Ordinary memory, all of it taken at start: `memory_mib` is needed. For network and file drives, and
    /// tests.
    Off,
}

/// What [`Env::init`] is to set up.
#[derive(Clone, Debug)]
pub struct EnvOptions {
    /// The name of the process in DPDK's messages.
    pub name: String,
    /// The cores to pin OS threads to; at least one.
    pub cores: Vec<u32>,
    /// Which of `cores` the calling thread becomes; `None`: the lowest.
    pub main_core: Option<u32>,
    /// Memory to take at start, in MiB. `None`: huge pages are taken as they are needed.
    pub memory_mib: Option<u32>,
    /// How that memory is backed.
    pub huge_pages: HugePages,
    /// Few large memory files rather than one per page: `vfio-user` drives need it.
    pub single_file_segments: bool,
    /// No files in the hugetlbfs at all, so that a killed process leaves no huge pages behind.
    pub in_memory: bool,
    /// Whether to look for PCI devices.
    pub pci: bool,
    /// More arguments for DPDK's EAL, such as `--log-level=lib.eal:8`.
    pub eal_arguments: Vec<String>,
}

impl Default for EnvOptions {
    /// One core, huge pages as needed, no PCI.
    fn default() -> Self {
        EnvOptions {
            name: "basalt".to_owned(),
            cores: vec![0],
            main_core: None,
            memory_mib: None,
            huge_pages: HugePages::Required,
            single_file_segments: false,
            in_memory: false,
            pci: false,
            eal_arguments: Vec::new(),
        }
    }
}

/// Why there is no environment.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EnvError {
    /// The process has, or had, one.
    #[error("this process has initialised its SPDK environment already; start a new process for another")]
    AlreadyInitialised,
    /// `cores` is empty or names a core twice, one that is too high, or `main_core` is none of them.
    #[error("cores {cores:?} with main core {main_core:?} can't be used: {reason}")]
    Cores {
        /// As they were given.
        cores: Vec<u32>,
        /// As it was given.
        main_core: Option<u32>,
        /// What is wrong with them.
        reason: &'static str,
    },
    /// Options that exclude each other.
    #[error("{0}")]
    Options(&'static str),
    /// DPDK refused.
    #[error("DPDK could not be initialised: {errno}. {remedy}")]
    Dpdk {
        /// What it returned.
        errno: Errno,
        /// What usually helps.
        remedy: &'static str,
    },
}

/// The environment of this process. Drop it last: after the thread library and every DMA buffer. Dropping it
/// waits for the work of [`Env::launch_pinned`]; what is still in use is not finished but leaked, with a line
/// in the log.
#[derive(Debug)]
pub struct Env {
    /// `spdk_env_fini` and waiting for pinned threads belong to the thread that initialised.
    _not_send: PhantomData<*const ()>,
}

impl Env {
    /// Initialises DPDK. The calling OS thread is pinned to the main core; one idle OS thread is pinned to
    /// each other.
    pub fn init(options: &EnvOptions) -> Result<Env, EnvError> {
        check_cores(options)?;
        if options.huge_pages == HugePages::Off {
            if options.memory_mib.is_none() {
                return Err(EnvError::Options(
                    "without huge pages the memory size must be given (memory_mib)",
                ));
            }
            if options.single_file_segments || options.in_memory {
                return Err(EnvError::Options("single_file_segments and in_memory need huge pages"));
            }
        }
        let memory_mib = options.memory_mib.map(i32::try_from).transpose();
        let memory_mib = memory_mib.map_err(|_| EnvError::Options("memory_mib is too large"))?;
        let no_nul =
            |text: String| CString::new(text).map_err(|_| EnvError::Options("a NUL byte in an argument"));
        let name = no_nul(options.name.clone())?;
        let core_list = no_nul(core_list(&options.cores))?;
        let mut eal_arguments = options.eal_arguments.clone();
        if options.in_memory {
            eal_arguments.push("--in-memory".to_owned());
        }
        let eal_arguments = no_nul(eal_arguments.join(" "))?;

        if CLAIMED.swap(true, Ordering::AcqRel) {
            return Err(EnvError::AlreadyInitialised);
        }
        // SAFETY: plain integers and pointers, for which zeroes are valid; it is filled just below.
        let mut raw: sys::spdk_env_opts = unsafe { std::mem::zeroed() };
        raw.opts_size = size_of::<sys::spdk_env_opts>();
        // SAFETY: opts_size says how large it is.
        unsafe { sys::spdk_env_opts_init(&mut raw) };
        raw.name = name.as_ptr();
        raw.core_mask = core_list.as_ptr();
        raw.mem_size = memory_mib.unwrap_or(raw.mem_size);
        raw.main_core = options.main_core.map_or(raw.main_core, |core| core as i32);
        raw.no_huge = options.huge_pages == HugePages::Off;
        raw.hugepage_single_segments = options.single_file_segments;
        raw.no_pci = !options.pci;
        if !eal_arguments.is_empty() {
            raw.env_context = eal_arguments.as_ptr() as *mut c_void;
        }
        // SAFETY: the strings outlive the call, which copies them; CLAIMED makes it the first and only one.
        let rc = unsafe { sys::spdk_env_init(&raw) };
        Errno::from_rc(rc).map_err(|errno| EnvError::Dpdk { errno, remedy: remedy(options.huge_pages) })?;
        USERS.open().expect("opened only here, once");
        Ok(Env { _not_send: PhantomData })
    }

    /// The cores, ascending.
    pub fn cores(&self) -> Vec<u32> {
        all_cores()
    }

    /// The core of the thread that called [`Env::init`].
    pub fn main_core(&self) -> u32 {
        // SAFETY: the environment is up.
        unsafe { sys::spdk_env_get_main_core() }
    }

    /// Runs `work` on the OS thread that is pinned to `core`. `EINVAL` if that is the main core (whose thread
    /// is the caller's) or none of ours, `EBUSY` if it works already. A panic in `work` aborts the process.
    pub fn launch_pinned(&self, core: u32, work: impl FnOnce() + Send + 'static) -> Result<(), Errno> {
        if core == self.main_core() || !self.cores().contains(&core) {
            return Err(Errno::EINVAL);
        }
        launch(core, work)
    }

    /// Waits until all work of [`Env::launch_pinned`] has returned.
    pub fn wait_all(&self) {
        // SAFETY: an Env is !Send, so this is the main core's thread, as DPDK demands.
        unsafe { sys::spdk_env_thread_wait_all() };
    }
}

impl Drop for Env {
    fn drop(&mut self) {
        self.wait_all();
        match USERS.close() {
            // SAFETY: nobody uses the environment any more, and nobody can begin to.
            Ok(()) => unsafe { sys::spdk_env_fini() },
            Err(users) => {
                tracing::error!(users, "the SPDK environment is still in use, so it is not finished")
            }
        }
    }
}

fn launch<F: FnOnce() + Send + 'static>(core: u32, work: F) -> Result<(), Errno> {
    extern "C" fn run<F: FnOnce()>(work: *mut c_void) -> i32 {
        // SAFETY: the box that `launch` gave away for this one call.
        let work = unsafe { Box::from_raw(work.cast::<F>()) };
        work();
        0
    }
    let work = Box::into_raw(Box::new(work));
    // SAFETY: the core is one of ours; `run` takes the box over, once, on that core's thread, and F is Send.
    let rc = unsafe { sys::spdk_env_thread_launch_pinned(core, Some(run::<F>), work.cast()) };
    Errno::from_rc(rc).inspect_err(|_| {
        // SAFETY: it was not launched, so the box is still ours.
        drop(unsafe { Box::from_raw(work) });
    })
}

/// Keeps the environment from being finished.
///
/// In an application that is not ours there is nothing to keep: the application finishes it after its
/// modules.
#[derive(Debug)]
pub(crate) struct EnvUse {
    counted: bool,
}

impl EnvUse {
    /// `ENXIO` if there is no environment.
    pub(crate) fn begin() -> Result<EnvUse, Errno> {
        if USERS.enter() {
            return Ok(EnvUse { counted: true });
        }
        // SAFETY: reads one pointer.
        let foreign_app_thread = unsafe { sys::spdk_thread_get_app_thread() };
        // SPDK threads need memory of the environment: where the app thread is, it is up.
        if CLAIMED.load(Ordering::Acquire) || foreign_app_thread.is_null() {
            return Err(Errno::ENXIO);
        }
        Ok(EnvUse { counted: false })
    }
}

impl Drop for EnvUse {
    fn drop(&mut self) {
        if self.counted {
            USERS.leave();
        }
    }
}

fn check_cores(options: &EnvOptions) -> Result<(), EnvError> {
    let cores = &options.cores;
    let refuse = |reason| Err(EnvError::Cores { cores: cores.clone(), main_core: options.main_core, reason });
    if cores.is_empty() {
        return refuse("at least one core is needed");
    }
    if cores.iter().any(|&core| core >= sys::SPDK_CONFIG_MAX_LCORES) {
        return refuse("a core number is beyond what SPDK was built for");
    }
    if (1..cores.len()).any(|i| cores[..i].contains(&cores[i])) {
        return refuse("a core is named twice");
    }
    if options.main_core.is_some_and(|main| !cores.contains(&main)) {
        return refuse("the main core is none of them");
    }
    Ok(())
}

/// `[0,2]`: SPDK's notation.
fn core_list(cores: &[u32]) -> String {
    format!("[{}]", cores.iter().map(u32::to_string).collect::<Vec<_>>().join(","))
}

fn remedy(huge_pages: HugePages) -> &'static str {
    match huge_pages {
        HugePages::Required => {
            "Reserve huge pages (echo 1024 > /proc/sys/vm/nr_hugepages, as root), free the ones that a \
             killed process left in /dev/hugepages, or run without huge pages; DPDK's own message is above"
        }
        HugePages::Off => {
            "Check that the cores exist and may be used by this process; DPDK's own message is above"
        }
    }
}

/// The cores of the application, ascending, also of one that is not ours; none before its environment is up.
pub fn all_cores() -> Vec<u32> {
    // SAFETY: these only read DPDK's static table of cores.
    let first = unsafe { sys::spdk_env_get_first_core() };
    // SAFETY: as above.
    let next = |core: &u32| Some(unsafe { sys::spdk_env_get_next_core(*core) });
    std::iter::successors(Some(first), next).take_while(|&core| core != u32::MAX).collect()
}

/// The CPU's time stamp counter: the clock of all SPDK deadlines.
#[inline]
pub fn ticks() -> u64 {
    // SAFETY: reads a counter.
    unsafe { sys::spdk_get_ticks() }
}

/// Ticks per second; 0 before the environment is up.
pub fn ticks_hz() -> u64 {
    // SAFETY: reads an integer.
    unsafe { sys::spdk_get_ticks_hz() }
}

/// The core that the calling OS thread is pinned to; `None` on threads that are not the environment's.
pub fn current_core() -> Option<u32> {
    // SAFETY: reads a thread-local integer.
    let core = unsafe { sys::spdk_env_get_current_core() };
    (core < sys::SPDK_CONFIG_MAX_LCORES).then_some(core)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cores(cores: &[u32], main_core: Option<u32>) -> EnvOptions {
        EnvOptions { cores: cores.to_vec(), main_core, ..EnvOptions::default() }
    }

    #[test]
    fn bad_options_are_refused_before_dpdk_sees_them() {
        for bad in [
            cores(&[], None),
            cores(&[1, 1], None),
            cores(&[0], Some(1)),
            cores(&[4_000_000], None),
            EnvOptions { huge_pages: HugePages::Off, ..EnvOptions::default() },
            EnvOptions { memory_mib: Some(u32::MAX), ..EnvOptions::default() },
            EnvOptions { name: "a\0b".to_owned(), ..EnvOptions::default() },
        ] {
            assert!(Env::init(&bad).is_err(), "{bad:?}");
        }
        assert!(!CLAIMED.load(Ordering::Acquire));
    }

    #[test]
    fn core_lists() {
        assert_eq!(core_list(&[0]), "[0]");
        assert_eq!(core_list(&[3, 1]), "[3,1]");
    }
}
