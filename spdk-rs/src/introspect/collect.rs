//! Visiting every SPDK thread.

use std::ffi::{CStr, c_char, c_void};
use std::ptr::NonNull;

use spdk_sys as sys;

use super::report::{
    ChannelInfo, ChannelsReport, PollerInfo, PollersReport, StatsReport, ThreadChannels, ThreadInfo,
    ThreadPollers,
};
use crate::cpuset::CpuSet;
use crate::env::{current_core, ticks_hz};
use crate::error::Errno;
use crate::thread::{
    Pin, PinKind, Pins, ThreadId, current, current_has_exited, current_raw, pins_of_current,
    set_current_cpumask,
};

/// Runs `visit` on every SPDK thread, one after the other, then `done` with the answers on the current one.
pub fn on_each_thread<T, V, D>(visit: V, done: D) -> Result<(), Errno>
where
    T: Send + 'static,
    V: FnMut() -> T + Send + 'static,
    D: FnOnce(Vec<T>) + 'static,
{
    /// Travels from thread to thread by SPDK's messages, so one thread at a time has it. `done` is only
    /// carried, back to where it began, which is pinned until then.
    struct Tour<T, V, D> {
        visit: V,
        answers: Vec<T>,
        done: D,
        begun: Pin,
    }
    extern "C" fn arrive<T, V: FnMut() -> T, D>(tour: *mut c_void) {
        // SAFETY: the tour is here now, and nowhere else.
        let tour = unsafe { &mut *tour.cast::<Tour<T, V, D>>() };
        tour.answers.push((tour.visit)());
    }
    extern "C" fn end<T, V, D: FnOnce(Vec<T>)>(tour: *mut c_void) {
        // SAFETY: the box that began the tour, which ends here, on the thread where it began.
        let tour = unsafe { Box::from_raw(tour.cast::<Tour<T, V, D>>()) };
        let Tour { answers, done, begun, .. } = *tour;
        done(answers);
        drop(begun);
    }
    current().ok_or(Errno::ESRCH)?;
    if current_has_exited() {
        return Err(Errno::ESHUTDOWN);
    }
    let begun = Pin::new(PinKind::Message);
    let tour = Box::into_raw(Box::new(Tour { visit, answers: Vec::<T>::new(), done, begun }));
    // SAFETY: on an SPDK thread; visitor and answers are Send, and `done` is used only where it was given.
    unsafe { sys::spdk_for_each_thread(Some(arrive::<T, V, D>), tour.cast(), Some(end::<T, V, D>)) };
    Ok(())
}

/// `thread_get_stats`.
pub fn thread_stats(done: impl FnOnce(StatsReport) + 'static) -> Result<(), Errno> {
    let process_mask = process_mask();
    on_each_thread(
        move || thread_info(&process_mask),
        |threads| done(StatsReport { tick_rate: ticks_hz(), threads }),
    )
}

/// `thread_get_pollers`.
pub fn pollers(done: impl FnOnce(PollersReport) + 'static) -> Result<(), Errno> {
    on_each_thread(thread_pollers, |threads| done(PollersReport { tick_rate: ticks_hz(), threads }))
}

/// `thread_get_io_channels`.
pub fn io_channels(done: impl FnOnce(ChannelsReport) + 'static) -> Result<(), Errno> {
    on_each_thread(thread_channels, |threads| done(ChannelsReport { tick_rate: ticks_hz(), threads }))
}

/// Why a thread keeps the cores that it has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CpumaskRefused {
    /// There is no such thread.
    #[error("there is no such thread")]
    NoThread,
    /// None of the cores is this process's.
    #[error("none of the cores is this process's")]
    NoCore,
    /// It can't leave its core, which is not among those.
    #[error("it can't leave its core: {0}")]
    Pinned(Pins),
    /// SPDK's own answer.
    #[error("SPDK refuses: {0}")]
    Spdk(Errno),
}

/// `thread_set_cpumask`: changes the cores that a thread may run on, and tells the scheduler, which moves it
/// if it has to.
pub fn set_cpumask(
    id: ThreadId,
    mask: CpuSet,
    done: impl FnOnce(Result<(), CpumaskRefused>) + 'static,
) -> Result<(), Errno> {
    let usable = process_mask().intersection(&mask).count() > 0;
    let set_here = move || {
        if current() != Some(id) {
            return None;
        }
        if !usable {
            return Some(Err(CpumaskRefused::NoCore));
        }
        if !current_core().is_some_and(|core| mask.contains(core))
            && let Some(pins) = pins_of_current()
        {
            return Some(Err(CpumaskRefused::Pinned(pins)));
        }
        Some(set_current_cpumask(&mask).map_err(CpumaskRefused::Spdk))
    };
    on_each_thread(set_here, |answers| {
        done(answers.into_iter().flatten().next().unwrap_or(Err(CpumaskRefused::NoThread)));
    })
}

/// The cores of this process.
fn process_mask() -> CpuSet {
    let mut mask = CpuSet::empty();
    // SAFETY: called on an SPDK thread, so the environment is up; it fills the mask.
    unsafe { sys::spdk_env_get_cpuset(mask.as_mut_ptr()) };
    mask
}

fn here() -> NonNull<sys::spdk_thread> {
    current_raw().expect("visits are messages of SPDK threads")
}

fn thread_info(process_mask: &CpuSet) -> ThreadInfo {
    let thread = here().as_ptr();
    let mut stats = sys::spdk_thread_stats { busy_tsc: 0, idle_tsc: 0 };
    // SAFETY: on the thread itself, which lives, with room for the answer.
    let (name, mask) = unsafe {
        sys::spdk_thread_get_stats(&mut stats);
        let mask = CpuSet::from_ptr(sys::spdk_thread_get_cpumask(thread));
        (string(sys::spdk_thread_get_name(thread)), mask)
    };
    ThreadInfo {
        name,
        id: current().map_or(0, ThreadId::raw),
        cpumask: process_mask.intersection(&mask).to_string(),
        busy: stats.busy_tsc,
        idle: stats.idle_tsc,
        active_pollers_count: active().count() as u64,
        timed_pollers_count: timed().count() as u64,
        paused_pollers_count: paused().count() as u64,
    }
}

fn thread_pollers() -> ThreadPollers {
    ThreadPollers {
        // SAFETY: on the thread itself, which lives.
        name: unsafe { string(sys::spdk_thread_get_name(here().as_ptr())) },
        id: current().map_or(0, ThreadId::raw),
        active_pollers: active().map(poller_info).collect(),
        timed_pollers: timed().map(poller_info).collect(),
        paused_pollers: paused().map(poller_info).collect(),
    }
}

fn thread_channels() -> ThreadChannels {
    // SAFETY: on the thread itself, whose list of channels does not change while it is walked.
    unsafe {
        let first = sys::spdk_thread_get_first_io_channel(here().as_ptr());
        let info = |channel: *mut sys::spdk_io_channel| ChannelInfo {
            name: string(sys::spdk_io_channel_get_io_device_name(channel)),
            ref_count: sys::spdk_io_channel_get_ref_count(channel).unsigned_abs(),
        };
        ThreadChannels {
            name: string(sys::spdk_thread_get_name(here().as_ptr())),
            io_channels: list(first, sys::spdk_thread_get_next_io_channel).map(info).collect(),
        }
    }
}

type Poller = *mut sys::spdk_poller;

fn active() -> impl Iterator<Item = Poller> {
    // SAFETY: on the thread itself, whose lists of pollers do not change while they are walked.
    let first = unsafe { sys::spdk_thread_get_first_active_poller(here().as_ptr()) };
    list(first, sys::spdk_thread_get_next_active_poller)
}

fn timed() -> impl Iterator<Item = Poller> {
    // SAFETY: as in `active`.
    let first = unsafe { sys::spdk_thread_get_first_timed_poller(here().as_ptr()) };
    list(first, sys::spdk_thread_get_next_timed_poller)
}

fn paused() -> impl Iterator<Item = Poller> {
    // SAFETY: as in `active`.
    let first = unsafe { sys::spdk_thread_get_first_paused_poller(here().as_ptr()) };
    list(first, sys::spdk_thread_get_next_paused_poller)
}

/// Walks one of the current thread's lists, up to its null.
fn list<T>(first: *mut T, next: unsafe extern "C" fn(*mut T) -> *mut T) -> impl Iterator<Item = *mut T> {
    let some = |item: *mut T| (!item.is_null()).then_some(item);
    // SAFETY: an element of a list of the current thread, which only this thread changes.
    std::iter::successors(some(first), move |&item| some(unsafe { next(item) }))
}

fn poller_info(poller: Poller) -> PollerInfo {
    let mut stats = sys::spdk_poller_stats { run_count: 0, busy_count: 0 };
    // SAFETY: a poller of the current thread.
    unsafe {
        sys::spdk_poller_get_stats(poller, &mut stats);
        let period_ticks = sys::spdk_poller_get_period_ticks(poller);
        PollerInfo {
            name: string(sys::spdk_poller_get_name(poller)),
            id: sys::spdk_poller_get_id(poller),
            state: string(sys::spdk_poller_get_state_str(poller)),
            run_count: stats.run_count,
            busy_count: stats.busy_count,
            period_ticks: (period_ticks != 0).then_some(period_ticks),
        }
    }
}

/// # Safety
/// `text` is null or NUL-terminated, and does not change meanwhile.
unsafe fn string(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: by the contract of this function.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
