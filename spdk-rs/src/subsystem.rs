//! SPDK's subsystems (bdev, nvmf, sock, ...): configuring, starting and finishing them.
//!
//! Only in a process of our own; in another application they are that application's. Everything here is
//! called on the app thread and answers later, on the app thread, by calling `done` exactly once. An `Err`
//! that is returned at once means that nothing was begun: `EPERM` off the app thread or in an application
//! that is not ours, `EBUSY` while something else goes on, `EALREADY` when that is over.
//!
//! ```text
//!   Down --init--> Starting --ok--> Up ---fini--> Stopping --> Finished
//!    |  \              \---error--> Failed --fini--^  ^
//!    |   \--fini--------------------------------------/
//!    Down --load_config--> Loading --> Down,   Up --load_config--> Loading --> Up
//! ```

use std::ffi::{c_int, c_void};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use spdk_sys as sys;

use crate::error::Errno;
use crate::rpc::{SERVERS, with_private_umask};
use crate::thread::{defer, lib_is_ours, require_app_thread};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Not started: start-up configuration may be loaded.
    Down,
    /// A configuration is being loaded; then it is as it was before.
    LoadingDown,
    LoadingUp,
    Starting,
    /// Started: run-time configuration may be loaded.
    Up,
    /// A subsystem could not be started; what was started can be finished.
    Failed,
    Stopping,
    /// For good: SPDK can't start them twice.
    Finished,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Load,
    Loaded,
    Init,
    Started,
    StartFailed,
    Fini,
    Stopped,
}

static STAGE: Mutex<Stage> = Mutex::new(Stage::Down);

/// The stage after `event`, or why it can't happen.
fn next(stage: Stage, event: Event) -> Result<Stage, Errno> {
    use Event::*;
    use Stage::*;
    match (stage, event) {
        (Down, Load) => Ok(LoadingDown),
        (LoadingDown, Loaded) => Ok(Down),
        (Up, Load) => Ok(LoadingUp),
        (LoadingUp, Loaded) => Ok(Up),
        (Down, Init) => Ok(Starting),
        (Starting, Started) => Ok(Up),
        (Starting, StartFailed) => Ok(Failed),
        (Down | Up | Failed, Fini) => Ok(Stopping),
        (Stopping, Stopped) => Ok(Finished),
        (LoadingDown | LoadingUp | Starting | Stopping, Load | Init | Fini) => Err(Errno::EBUSY),
        (Up | Failed | Finished, Init) | (Failed | Finished, Load) | (Finished, Fini) => Err(Errno::EALREADY),
        (_, Loaded | Started | StartFailed | Stopped) => Err(Errno::EPROTO),
    }
}

fn advance(event: Event) -> Result<(), Errno> {
    let mut stage = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    *stage = next(*stage, event)?;
    Ok(())
}

/// The end of something that was begun.
fn finish(event: Event) {
    advance(event).expect("SPDK ends only what was begun");
}

fn begin(event: Event) -> Result<(), Errno> {
    require_app_thread()?;
    if !lib_is_ours() {
        return Err(Errno::EPERM);
    }
    advance(event)
}

/// Hands `done` to SPDK as a callback's argument.
fn give<F>(done: F) -> *mut c_void {
    Box::into_raw(Box::new(done)).cast()
}

/// Takes back what [`give`] gave.
///
/// # Safety
/// `done` came from `give::<F>`, and is taken once.
unsafe fn take<F>(done: *mut c_void) -> F {
    // SAFETY: by the contract of this function.
    *unsafe { Box::from_raw(done.cast::<F>()) }
}

/// Runs the RPC calls of a configuration, in SPDK's own format (`{"subsystems": [{"subsystem": "bdev",
/// "config": [{"method": ..., "params": ...}]}]}`). Of its methods those run that may be called now: load the
/// same text before and after [`init`]. It stops at the first that fails: `EINVAL`, with the reason in the
/// log.
///
/// For a moment the umask of the process is 0177: SPDK sends the calls to itself through a socket in
/// `/var/tmp`.
pub fn load_config<F>(json: &str, done: F) -> Result<(), Errno>
where
    F: FnOnce(Result<(), Errno>) + 'static,
{
    extern "C" fn loaded<F: FnOnce(Result<(), Errno>)>(rc: c_int, done: *mut c_void) {
        finish(Event::Loaded);
        // SAFETY: SPDK calls back once with what it was given.
        let done = unsafe { take::<F>(done) };
        done(outcome(rc));
    }
    begin(Event::Load)?;
    let mut json = json.as_bytes().to_vec();
    defer(move || {
        let done = give(done);
        // SAFETY: on the app thread; SPDK copies the text, and parses within the given length.
        with_private_umask(|| unsafe {
            let len = json.len() as isize;
            sys::spdk_subsystem_load_config(json.as_mut_ptr().cast(), len, Some(loaded::<F>), done, true);
        });
    })
}

/// Starts every subsystem. When that succeeds the RPC methods of the run-time phase may be called.
pub fn init<F>(done: F) -> Result<(), Errno>
where
    F: FnOnce(Result<(), Errno>) + 'static,
{
    extern "C" fn started<F: FnOnce(Result<(), Errno>)>(rc: c_int, done: *mut c_void) {
        finish(if rc == 0 { Event::Started } else { Event::StartFailed });
        if rc == 0 {
            // SAFETY: on the app thread, where the server reads it.
            unsafe { sys::spdk_rpc_set_state(sys::SPDK_RPC_RUNTIME) };
        }
        // SAFETY: SPDK calls back once with what it was given.
        let done = unsafe { take::<F>(done) };
        done(outcome(rc));
    }
    begin(Event::Init)?;
    // SAFETY: on the app thread; the stages make it the first and only start.
    defer(move || unsafe { sys::spdk_subsystem_init(Some(started::<F>), give(done)) })
}

/// Finishes every subsystem that was started. Drop the RPC servers first: `EBUSY` is passed to `done` while
/// there are any, and nothing is finished.
pub fn fini<F>(done: F) -> Result<(), Errno>
where
    F: FnOnce(Result<(), Errno>) + 'static,
{
    extern "C" fn stopped<F: FnOnce(Result<(), Errno>)>(done: *mut c_void) {
        finish(Event::Stopped);
        // SAFETY: SPDK calls back once with what it was given.
        let done = unsafe { take::<F>(done) };
        done(Ok(()));
    }
    require_app_thread()?;
    // By a message, so that it comes after servers that were dropped just now.
    defer(move || {
        if SERVERS.load(Ordering::Acquire) != 0 {
            return done(Err(Errno::EBUSY));
        }
        if let Err(errno) = begin(Event::Fini) {
            return done(Err(errno));
        }
        // SAFETY: on the app thread; the stages make it the only end, while nothing else goes on.
        unsafe { sys::spdk_subsystem_fini(Some(stopped::<F>), give(done)) };
    })
}

/// SPDK reports failure by any value but 0.
fn outcome(rc: c_int) -> Result<(), Errno> {
    match rc {
        0 => Ok(()),
        rc => Err(Errno::new(rc.unsigned_abs().min(i32::MAX as u32) as i32)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages() {
        use Event::*;
        use Stage::*;
        let run = |events: &[Event]| events.iter().try_fold(Down, |stage, &event| next(stage, event));
        assert_eq!(run(&[Load, Loaded, Init, Started, Load, Loaded, Fini, Stopped]), Ok(Finished));
        assert_eq!(run(&[Init, StartFailed, Fini, Stopped]), Ok(Finished));
        assert_eq!(run(&[Fini, Stopped]), Ok(Finished));
        assert_eq!(run(&[Init, Init]), Err(Errno::EBUSY));
        assert_eq!(run(&[Init, Started, Init]), Err(Errno::EALREADY));
        assert_eq!(run(&[Load, Fini]), Err(Errno::EBUSY));
        assert_eq!(run(&[Fini, Stopped, Init]), Err(Errno::EALREADY));
        assert_eq!(run(&[Loaded]), Err(Errno::EPROTO));
    }

    #[test]
    fn outcomes() {
        assert_eq!(outcome(0), Ok(()));
        assert_eq!(outcome(-22), Err(Errno::EINVAL));
        assert_eq!(outcome(22), Err(Errno::EINVAL));
        assert_eq!(outcome(i32::MIN), Err(Errno::new(i32::MAX)));
    }

    #[test]
    fn off_the_app_thread_nothing_begins() {
        assert_eq!(init(|_| unreachable!()), Err(Errno::EPERM));
        assert_eq!(fini(|_| unreachable!()), Err(Errno::EPERM));
        assert_eq!(load_config("{}", |_| unreachable!()), Err(Errno::EPERM));
        assert_eq!(*STAGE.lock().unwrap(), Stage::Down);
    }
}
