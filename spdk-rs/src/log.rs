//! SPDK's log: its levels and flags, and sending it to `tracing`.
//!
//! Everything here may be called on any thread. Levels and flags are plain variables of SPDK, without a lock:
//! what is logged just then may follow either value.

use std::ffi::{CStr, CString, c_char, c_int};
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use spdk_sys as sys;

use crate::error::Errno;

/// How important a message is, as SPDK grades it. Displays, and is read in any case, as SPDK's RPCs write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As a threshold: nothing.
    Disabled,
    /// Something failed.
    Error,
    /// Something is wrong but goes on.
    Warning,
    /// Worth knowing.
    Notice,
    /// Needs the flag of its component.
    Info,
    /// Needs the flag of its component, and an SPDK that was built for debugging.
    Debug,
}

const NAMED: [(Level, &str); 5] = [
    (Level::Error, "ERROR"),
    (Level::Warning, "WARNING"),
    (Level::Notice, "NOTICE"),
    (Level::Info, "INFO"),
    (Level::Debug, "DEBUG"),
];

impl Level {
    /// SPDK's number: -1 for `Disabled`, 0 for `Error`, up to 4.
    fn raw(self) -> sys::spdk_log_level {
        self as sys::spdk_log_level - 1
    }

    fn from_raw(raw: c_int) -> Level {
        match raw {
            ..0 => Level::Disabled,
            0 => Level::Error,
            1 => Level::Warning,
            2 => Level::Notice,
            3 => Level::Info,
            4.. => Level::Debug,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAMED.iter().find(|(level, _)| level == self).map_or("DISABLED", |(_, name)| name))
    }
}

impl FromStr for Level {
    type Err = Errno;

    /// `EINVAL` for anything but the five names.
    fn from_str(text: &str) -> Result<Level, Errno> {
        let named = NAMED.iter().find(|(_, name)| name.eq_ignore_ascii_case(text));
        named.map(|(level, _)| *level).ok_or(Errno::EINVAL)
    }
}

/// The level up to which messages go to the system log.
pub fn level() -> Level {
    // SAFETY: reads an integer.
    Level::from_raw(unsafe { sys::spdk_log_get_level() })
}

/// Sets the level up to which messages go to the system log.
pub fn set_level(level: Level) {
    // SAFETY: sets an integer to a value in its range.
    unsafe { sys::spdk_log_set_level(level.raw()) };
}

/// The level up to which messages are printed.
pub fn print_level() -> Level {
    // SAFETY: reads an integer.
    Level::from_raw(unsafe { sys::spdk_log_get_print_level() })
}

/// Sets the level up to which messages are printed.
pub fn set_print_level(level: Level) {
    // SAFETY: sets an integer to a value in its range.
    unsafe { sys::spdk_log_set_print_level(level.raw()) };
}

/// Held while our side reads or changes flags.
static FLAGS: Mutex<()> = Mutex::new(());

fn lock_flags() -> MutexGuard<'static, ()> {
    FLAGS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Every component's flag, and whether it is set: whether its `Info` and `Debug` messages are made at all.
pub fn flags() -> Vec<(String, bool)> {
    let _lock = lock_flags();
    // SAFETY: the list is made before main and never changes; its names are NUL-terminated.
    let first = unsafe { sys::spdk_log_get_first_flag().as_ref() };
    // SAFETY: as above.
    let next = |flag: &&sys::spdk_log_flag| unsafe {
        sys::spdk_log_get_next_flag(*flag as *const sys::spdk_log_flag as *mut sys::spdk_log_flag).as_ref()
    };
    let entry = |flag: &sys::spdk_log_flag| {
        // SAFETY: as above.
        let name = unsafe { CStr::from_ptr(flag.name) };
        (name.to_string_lossy().into_owned(), flag.enabled)
    };
    std::iter::successors(first, next).map(entry).collect()
}

/// Sets the flags that a name or pattern (`nvmf*`, `all`) matches. `EINVAL` if none does.
pub fn set_flag(pattern: &str) -> Result<(), Errno> {
    let pattern = CString::new(pattern).map_err(|_| Errno::EINVAL)?;
    let _lock = lock_flags();
    // SAFETY: the pattern is NUL-terminated.
    Errno::from_rc(unsafe { sys::spdk_log_set_flag(pattern.as_ptr()) })
}

/// Clears the flags that a name or pattern matches. `EINVAL` if none does.
pub fn clear_flag(pattern: &str) -> Result<(), Errno> {
    let pattern = CString::new(pattern).map_err(|_| Errno::EINVAL)?;
    let _lock = lock_flags();
    // SAFETY: the pattern is NUL-terminated.
    Errno::from_rc(unsafe { sys::spdk_log_clear_flag(pattern.as_ptr()) })
}

/// Sends SPDK's messages, from now on and for good, to `tracing` under the target `spdk` instead of to the
/// system log and standard error. SPDK's levels still choose among them. Call it at the start of a process,
/// before the environment; DPDK prints for itself.
pub fn forward_to_tracing() {
    static ONCE: Once = Once::new();
    // SAFETY: the sink may be called on any thread, and is static.
    ONCE.call_once(|| unsafe { sys::basalt_log_open(Some(sink)) });
}

extern "C" fn sink(level: c_int, file: *const c_char, line: c_int, func: *const c_char, text: *const c_char) {
    let string = |text: *const c_char| match text.is_null() {
        true => "".into(),
        // SAFETY: the shim passes null or NUL-terminated strings that live during the call.
        false => unsafe { CStr::from_ptr(text) }.to_string_lossy(),
    };
    let (file, function, text) = (string(file), string(func), string(text));
    let (file, function, text) = (&*file, &*function, text.trim_end());
    match Level::from_raw(level) {
        Level::Disabled => {}
        Level::Error => tracing::error!(target: "spdk", file, line, function, "{text}"),
        Level::Warning => tracing::warn!(target: "spdk", file, line, function, "{text}"),
        Level::Notice => tracing::info!(target: "spdk", file, line, function, "{text}"),
        Level::Info => tracing::debug!(target: "spdk", file, line, function, "{text}"),
        Level::Debug => tracing::trace!(target: "spdk", file, line, function, "{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn level_names() {
        for (level, name) in NAMED {
            assert_eq!(level.to_string(), name);
            assert_eq!(name.to_lowercase().parse(), Ok(level));
            assert_eq!(Level::from_raw(level.raw()), level);
        }
        assert_eq!(Level::from_raw(Level::Disabled.raw()), Level::Disabled);
        assert_eq!("disabled".parse::<Level>(), Err(Errno::EINVAL));
    }

    #[test]
    fn flags_are_set_and_cleared_by_pattern() {
        let is_set = |name: &str| flags().iter().any(|(flag, set)| flag == name && *set);
        assert!(!is_set("bdev_malloc"));
        set_flag("bdev_mal*").unwrap();
        assert!(is_set("bdev_malloc") && !is_set("bdev_null"));
        clear_flag("bdev_malloc").unwrap();
        assert!(!is_set("bdev_malloc"));
        assert_eq!(set_flag("no such flag"), Err(Errno::EINVAL));
    }
}
