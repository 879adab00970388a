//! One io_uring, polled: what is pushed goes to the kernel with the next `enter`, what is done is picked up
//! by `reap`. No system call when nothing is to be submitted.
//!
//! There is one ring per SPDK thread and not one per drive: what a poll submits for all drives costs one
//! system call (tried with 8 files at queue depth 32: 0.03 calls per I/O against 0.25, same throughput), and
//! a thread has one poller. Neither SINGLE_ISSUER nor COOP_TASKRUN: both tie a ring to the kernel task that
//! made it, and a scheduler may move an SPDK thread to another (and COOP_TASKRUN gained nothing here).

use io_uring::{IoUring, Probe, opcode, squeue};
use std::io;

/// What one `enter` takes at most; a full queue is entered and filled again.
const SQ_ENTRIES: u32 = 256;
/// Operations in the kernel at the same time. More would wait for room in the completion queue.
const CQ_ENTRIES: u32 = 4096;
/// Kernel threads for what may block (fsync, fallocate, writes into holes). The default is 4 per CPU: one
/// disk that hangs with a few of them would hold up the others.
const WORKERS_MAX: u32 = 64;

/// The end of an operation: its `user_data`, and what the system call of its name would have returned, or
/// -errno.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Completion {
    pub(crate) key: u64,
    pub(crate) result: i32,
}

pub(crate) struct Ring {
    ring: IoUring,
    /// Pushed and not reaped.
    in_flight: u32,
    refusals: u64,
}

impl Ring {
    pub(crate) fn new() -> Result<Ring, RingError> {
        let ring =
            IoUring::builder().setup_cqsize(CQ_ENTRIES).build(SQ_ENTRIES).map_err(|e| explain_setup(&e))?;
        require(&ring)?;
        // Only a bound: a kernel before 5.15 does not know it, and keeps its own.
        let _ = ring.submitter().register_iowq_max_workers(&mut [WORKERS_MAX, 0]);
        Ok(Ring { ring, in_flight: 0, refusals: 0 })
    }

    /// Queues an operation; false when the kernel has as many as it may have.
    ///
    /// # Safety
    /// The memory and the file descriptor that `entry` names stay valid, and the memory otherwise unused,
    /// until its completion was reaped or the ring was dropped.
    pub(crate) unsafe fn push(&mut self, entry: &squeue::Entry) -> bool {
        if self.in_flight == CQ_ENTRIES {
            return false;
        }
        if self.ring.submission().is_full() {
            self.enter();
        }
        // SAFETY: the caller's promise is the one that this call asks for.
        if unsafe { self.ring.submission().push(entry) }.is_err() {
            return false;
        }
        self.in_flight += 1;
        true
    }

    /// Hands what was pushed to the kernel. What it does not take now stays queued for the next call.
    pub(crate) fn enter(&mut self) {
        let queue = self.ring.submission();
        if queue.is_empty() && !queue.cq_overflow() {
            return;
        }
        drop(queue);
        match self.ring.submit() {
            Ok(_) => {}
            Err(error) if is_passing(&error) => {}
            Err(error) => {
                self.refusals += 1;
                if self.refusals.is_power_of_two() {
                    let times = self.refusals;
                    tracing::error!(%error, times, "io_uring_enter refuses; file drives wait");
                }
            }
        }
    }

    /// Picks up at most `done.capacity() - done.len()` completions.
    pub(crate) fn reap(&mut self, done: &mut Vec<Completion>) {
        if self.in_flight == 0 {
            return;
        }
        let mut queue = self.ring.completion();
        while done.len() < done.capacity() {
            let Some(entry) = queue.next() else { break };
            done.push(Completion { key: entry.user_data(), result: entry.result() });
            self.in_flight -= 1;
        }
    }
}

impl Drop for Ring {
    /// Waits until the kernel is done with the memory it was lent: closing a ring does not.
    fn drop(&mut self) {
        while self.in_flight > 0 {
            if let Err(error) = self.ring.submit_and_wait(1)
                && !is_passing(&error)
            {
                // Memory that the kernel may still write to can't be given back.
                tracing::error!(%error, in_flight = self.in_flight, "io_uring is broken");
                std::process::abort();
            }
            self.in_flight -= self.ring.completion().count() as u32;
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EBUSY | libc::EINTR | libc::ENOMEM))
}

/// Why there is no ring, and what to type.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{reason}; {remedy}")]
pub struct RingError {
    /// What is wrong, as a clause.
    pub reason: String,
    /// What the operator can do, as a clause.
    pub remedy: String,
}

impl RingError {
    fn new(reason: impl Into<String>, remedy: impl Into<String>) -> RingError {
        RingError { reason: reason.into(), remedy: remedy.into() }
    }
}

fn require(ring: &IoUring) -> Result<(), RingError> {
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(|e| explain_setup(&e))?;
    let needed = [
        ("read", opcode::Read::CODE),
        ("write", opcode::Write::CODE),
        ("readv", opcode::Readv::CODE),
        ("writev", opcode::Writev::CODE),
        ("fsync", opcode::Fsync::CODE),
        ("fallocate", opcode::Fallocate::CODE),
        ("async_cancel", opcode::AsyncCancel::CODE),
    ];
    match needed.iter().find(|(_, code)| !probe.is_supported(*code)) {
        Some((name, _)) => Err(RingError::new(format!("io_uring lacks {name}"), "use Linux 5.10 or later")),
        None => Ok(()),
    }
}

fn explain_setup(error: &io::Error) -> RingError {
    explain(error, &std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default())
}

/// `disabled` is what the sysctl of that name holds; empty on kernels before 6.6, which have none.
fn explain(error: &io::Error, disabled: &str) -> RingError {
    match (error.raw_os_error(), disabled.trim()) {
        (Some(libc::EPERM | libc::EACCES), value @ ("1" | "2")) => RingError::new(
            format!("io_uring is switched off (kernel.io_uring_disabled is {value})"),
            "type: sysctl -w kernel.io_uring_disabled=0",
        ),
        (Some(libc::EPERM | libc::EACCES), _) => RingError::new(
            "this process may not use io_uring: a seccomp filter forbids it",
            "allow io_uring_setup, io_uring_enter and io_uring_register in the container's profile \
             (docker: --security-opt seccomp=FILE) or the unit's SystemCallFilter",
        ),
        (Some(libc::ENOSYS), _) => RingError::new(
            "there is no io_uring here: the kernel is built without it, or a seccomp filter hides it",
            "use Linux 5.10 or later with CONFIG_IO_URING, and a container profile that allows it",
        ),
        (Some(libc::ENOMEM), _) => RingError::new(
            "there is no memory for an io_uring",
            "raise the limit of locked memory (ulimit -l unlimited), or free some",
        ),
        (Some(libc::EMFILE | libc::ENFILE), _) => {
            RingError::new("there are too many open files for an io_uring", "raise their limit (ulimit -n)")
        }
        _ => RingError::new(format!("io_uring_setup failed: {error}"), "see the kernel's log (dmesg)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use io_uring::types::Fd;
    use std::os::fd::AsRawFd;

    fn wait_for(ring: &mut Ring, count: usize) -> Vec<Completion> {
        let mut done = Vec::with_capacity(64);
        let mut all = Vec::new();
        while all.len() < count {
            ring.enter();
            ring.reap(&mut done);
            all.append(&mut done);
        }
        all
    }

    fn nop(key: u64) -> squeue::Entry {
        opcode::Nop::new().build().user_data(key)
    }

    #[test]
    fn more_than_the_submission_queue_holds_arrives_once_each() {
        let mut ring = Ring::new().unwrap();
        let count = u64::from(SQ_ENTRIES) * 3 + 7;
        for key in 0..count {
            // SAFETY: a no-op names no memory.
            assert!(unsafe { ring.push(&nop(key)) });
        }
        let mut keys: Vec<u64> = wait_for(&mut ring, count as usize).iter().map(|done| done.key).collect();
        keys.sort_unstable();
        assert!(keys.into_iter().eq(0..count));
        assert_eq!(ring.in_flight, 0);
    }

    #[test]
    fn a_full_ring_refuses_and_takes_more_after_reaping() {
        let mut ring = Ring::new().unwrap();
        let mut pushed = 0;
        // SAFETY: a no-op names no memory.
        while unsafe { ring.push(&nop(pushed)) } {
            pushed += 1;
        }
        assert_eq!(pushed, u64::from(CQ_ENTRIES));
        assert_eq!(wait_for(&mut ring, 1).len().min(1), 1);
        // SAFETY: a no-op names no memory.
        assert!(unsafe { ring.push(&nop(pushed)) });
    }

    #[test]
    fn reap_takes_no_more_than_there_is_room_for() {
        let mut ring = Ring::new().unwrap();
        for key in 0..5 {
            // SAFETY: a no-op names no memory.
            assert!(unsafe { ring.push(&nop(key)) });
        }
        ring.enter();
        let mut done = Vec::with_capacity(2);
        while ring.in_flight > 0 {
            ring.reap(&mut done);
            assert!(done.len() <= 2);
            done.clear();
        }
    }

    #[test]
    fn errors_come_as_results() {
        let mut ring = Ring::new().unwrap();
        let file = std::fs::File::open("/proc/self/cmdline").unwrap();
        let entry = opcode::Fallocate::new(Fd(file.as_raw_fd()), 4096).build().user_data(1);
        // SAFETY: no memory is named; the file is open until the end of the test.
        assert!(unsafe { ring.push(&entry) });
        assert_eq!(wait_for(&mut ring, 1), [Completion { key: 1, result: -libc::EBADF }]);
    }

    /// The write end of the pipe is closed by another thread only when the ring's drop is likely to wait
    /// already; whichever comes first, the drop returns only after the read.
    #[test]
    fn drop_waits_for_the_kernel() {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut ring = Ring::new().unwrap();
        let mut buffer = [0u8; 4];
        let entry = opcode::Read::new(Fd(reader.as_raw_fd()), buffer.as_mut_ptr(), 4).build();
        // SAFETY: `buffer` and `reader` outlive `ring`, which is dropped below.
        assert!(unsafe { ring.push(&entry) });
        ring.enter();
        let writing = std::thread::spawn(move || io::Write::write_all(&mut { writer }, b"data").unwrap());
        drop(ring);
        assert_eq!(&buffer, b"data");
        writing.join().unwrap();
    }

    #[test]
    fn each_refusal_says_what_to_do() {
        let says =
            |errno: i32, disabled: &str| explain(&io::Error::from_raw_os_error(errno), disabled).to_string();
        assert!(says(libc::EPERM, "2\n").contains("sysctl -w kernel.io_uring_disabled=0"));
        assert!(says(libc::EPERM, "1\n").contains("sysctl -w kernel.io_uring_disabled=0"));
        assert!(says(libc::EPERM, "0\n").contains("seccomp"));
        assert!(says(libc::EPERM, "").contains("seccomp"));
        assert!(says(libc::ENOSYS, "").contains("CONFIG_IO_URING"));
        assert!(says(libc::ENOMEM, "0").contains("ulimit -l"));
        assert!(says(libc::EMFILE, "0").contains("ulimit -n"));
        assert!(says(libc::EINVAL, "0").contains("io_uring_setup failed"));
    }
}
