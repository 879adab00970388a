//! Sleeping until the kernel has something for this process.
//!
//! Napping by the clock alone is a poor deal: short naps cost (20 us each on some virtual machines), long
//! ones delay whoever wants something. But most of what ends a quiet time comes from the kernel, which tells
//! the process through two kinds of queue: epoll instances, in which SPDK keeps its sockets, and io_urings. A
//! queue can itself be waited for. So a core that has been quiet for long sleeps on all of the process's
//! queues at once: a command of a host ends the sleep at once, and the sleep may be long.
//!
//! The queues are found in `/proc/self/fd`, since SPDK does not hand them out. They are only waited for,
//! never read, so a wrong one does no harm but to wake us. Of several cores each waits for the queues of all;
//! what wakes a core for nothing keeps it from such sleep for a while (see [`crate::idle`]).

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Poll, Token};
use rustix::event::epoll;

const QUEUE: Token = Token(0);
const ALARM: Token = Token(1);
const QUEUE_LINKS: [&str; 2] = ["anon_inode:[eventpoll]", "anon_inode:[io_uring]"];
/// Queues of which one wait tells; the rest is told of next time.
const EVENTS: usize = 32;

/// Our own epoll instances, which must not watch each other.
static OURS: Mutex<BTreeSet<RawFd>> = Mutex::new(BTreeSet::new());

/// What ended a sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// The time was over, or another core called.
    Otherwise,
    /// A queue of the kernel has something new.
    ByKernel,
}

/// An epoll instance over the other queues of this process, and an alarm for other threads.
#[derive(Debug)]
pub(crate) struct Watch {
    poll: Poll,
}

impl Watch {
    /// The watch, and what ends its sleep from another thread.
    pub(crate) fn new() -> io::Result<(Self, mio::Waker)> {
        let poll = Poll::new()?;
        let alarm = mio::Waker::new(poll.registry(), ALARM)?;
        OURS.lock().unwrap_or_else(PoisonError::into_inner).insert(poll.as_raw_fd());
        Ok((Watch { poll }, alarm))
    }

    /// Watches the queues that were made since the last time. (Those that were closed have left by
    /// themselves.)
    pub(crate) fn refresh(&self) -> io::Result<()> {
        for entry in std::fs::read_dir("/proc/self/fd")? {
            let path = entry?.path();
            // A descriptor may be closed meanwhile, and is then no loss.
            let Ok(link) = std::fs::read_link(&path) else { continue };
            if !QUEUE_LINKS.iter().any(|queue| link.as_os_str() == *queue) {
                continue;
            }
            let number = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
            if let Some(queue) = number {
                self.add(queue)?;
            }
        }
        Ok(())
    }

    fn add(&self, queue: RawFd) -> io::Result<()> {
        if OURS.lock().unwrap_or_else(PoisonError::into_inner).contains(&queue) {
            return Ok(());
        }
        match self.poll.registry().register(&mut SourceFd(&queue), QUEUE, Interest::READABLE) {
            Err(error) if !matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => {
                Err(error)
            }
            _ => Ok(()),
        }
    }

    /// Sleeps until a queue has something new, the alarm is raised, or `limit` is over. It may return early.
    pub(crate) fn wait(&mut self, limit: Duration) -> Woken {
        let mut events = Vec::with_capacity(EVENTS);
        let limit = limit.try_into().ok();
        let told = epoll::wait(
            self.poll.registry().as_fd(),
            rustix::buffer::spare_capacity(&mut events),
            limit.as_ref(),
        );
        match told {
            Ok(_) if events.iter().any(|event| event.data.u64() == QUEUE.0 as u64) => Woken::ByKernel,
            _ => Woken::Otherwise,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        OURS.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.poll.as_raw_fd());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::time::Instant;

    use super::*;

    /// Longer than any test takes.
    const LONG: Duration = Duration::from_secs(600);

    /// As SPDK does it: a socket in an epoll instance that somebody else made.
    fn queue_with_a_socket() -> (Poll, UnixStream, UnixStream) {
        let queue = Poll::new().expect("epoll");
        let (near, far) = UnixStream::pair().expect("sockets");
        let fd = near.as_raw_fd();
        queue.registry().register(&mut SourceFd(&fd), Token(0), Interest::READABLE).expect("registered");
        (queue, near, far)
    }

    #[test]
    fn a_queue_of_the_process_or_the_alarm_ends_the_sleep() {
        let began = Instant::now();
        let (mut queue, _near, mut far) = queue_with_a_socket();
        let (mut watch, alarm) = Watch::new().expect("a watch");
        let (other, _other_alarm) = Watch::new().expect("another core's");
        watch.refresh().expect("refreshed");
        watch.refresh().expect("what is watched already is left alone");
        other.refresh().expect("two watches do not watch each other");
        assert_eq!(watch.wait(Duration::from_millis(1)), Woken::Otherwise);

        let writing = std::thread::spawn(move || far.write_all(b"x").map(|()| far).expect("written"));
        assert_eq!(watch.wait(LONG), Woken::ByKernel);
        let mut far = writing.join().expect("the writer");
        assert_eq!(watch.wait(Duration::from_millis(1)), Woken::Otherwise, "told once");

        let mut events = mio::Events::with_capacity(4);
        queue.poll(&mut events, Some(Duration::ZERO)).expect("polled");
        far.write_all(b"y").expect("written");
        assert_eq!(watch.wait(LONG), Woken::ByKernel, "also when the owner has polled in between");

        // The alarm stays until the sleep is over: closing it would take it out of the watch, raised or not.
        let raising = std::thread::spawn(move || alarm.wake().map(|()| alarm).expect("raised"));
        assert_eq!(watch.wait(LONG), Woken::Otherwise);
        drop(raising.join().expect("the other thread"));
        drop(queue);
        assert!(began.elapsed() < LONG);
    }
}
