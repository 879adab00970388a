//! The process and its cores, as the operating system sees them.

use crate::error::Errno;

/// What a core did since the machine started, in clock ticks (1/100 s).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CoreTimes {
    /// In user space.
    pub usr: u64,
    /// In the kernel.
    pub sys: u64,
    /// In interrupts, soft ones too.
    pub irq: u64,
}

/// Reads a core's times from `/proc/stat`; `None` if it is not there. `framework_get_reactors` shows them
/// since the start of the process: keep the first ones and subtract.
pub fn core_times(core: u32) -> Option<CoreTimes> {
    parse_core_times(&std::fs::read_to_string("/proc/stat").ok()?, core)
}

/// A line reads `cpu0 user nice system idle iowait irq softirq ...` (proc(5)).
fn parse_core_times(stat: &str, core: u32) -> Option<CoreTimes> {
    let label = format!("cpu{core}");
    let line = stat.lines().find(|line| line.split_whitespace().next() == Some(&*label))?;
    let times: Vec<u64> = line.split_whitespace().skip(1).map_while(|time| time.parse().ok()).collect();
    match times[..] {
        [usr, _nice, sys, _idle, _iowait, irq, softirq, ..] => {
            Some(CoreTimes { usr, sys, irq: irq + softirq })
        }
        _ => None,
    }
}

/// The kernel's number of the calling OS thread.
pub fn os_thread_id() -> u64 {
    // SAFETY: a system call without arguments that can't fail.
    let tid = unsafe { libc::gettid() };
    tid.unsigned_abs().into()
}

/// `spdk_kill_instance`: sends a signal, by name or number, to this process. `EINVAL` for one that SPDK does
/// not offer.
pub fn raise_signal(sig_name: &str) -> Result<(), Errno> {
    let signal = signal_number(sig_name).ok_or(Errno::EINVAL)?;
    // SAFETY: a signal to ourselves, which has the effect that was asked for and none on memory.
    match unsafe { libc::kill(libc::getpid(), signal) } {
        0 => Ok(()),
        _ => Err(Errno::last()),
    }
}

fn signal_number(name: &str) -> Option<i32> {
    const OFFERED: [(&str, i32); 6] = [
        ("SIGINT", libc::SIGINT),
        ("SIGTERM", libc::SIGTERM),
        ("SIGQUIT", libc::SIGQUIT),
        ("SIGHUP", libc::SIGHUP),
        ("SIGKILL", libc::SIGKILL),
        ("SIGUSR1", libc::SIGUSR1),
    ];
    let number: Option<i32> = name.parse().ok();
    OFFERED
        .iter()
        .find(|(offered, signal)| *offered == name || Some(*signal) == number)
        .map(|(_, signal)| *signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_a_core() {
        let stat = "cpu  1 1 1 1 1 1 1 0 0 0\ncpu0 10 2 30 4 5 6 7 0 0 0\ncpu10 1 2 3\nintr 5\n";
        assert_eq!(parse_core_times(stat, 0), Some(CoreTimes { usr: 10, sys: 30, irq: 13 }));
        assert_eq!(parse_core_times(stat, 1), None);
        assert_eq!(parse_core_times(stat, 10), None);
        assert!(core_times(0).is_some(), "/proc/stat of this machine");
    }

    #[test]
    fn signals() {
        assert_eq!(signal_number("SIGTERM"), Some(libc::SIGTERM));
        assert_eq!(signal_number("9"), Some(libc::SIGKILL));
        assert_eq!(signal_number("SIGSTOP"), None);
        assert_eq!(raise_signal("19"), Err(Errno::EINVAL));
    }
}
