//! The poller: readiness of descriptors, and waking from elsewhere. The only file that knows `polling` (rule L4).
//!
//! Descriptors are registered through `polling`, level-triggered, with exactly the interest that is wanted now.
//! On Linux the wait itself goes straight to the epoll descriptor inside: `polling` 3.11 spends five system calls on a
//! wait, the direct one is one.
//! That relies on the key being epoll's user data, which is checked once at start; where it does not hold, and on every
//! other system, `Poller::wait` is used.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use polling::{Event, Events, PollMode};
use wharf_core::driver::Readiness;
use wharf_core::stream::Interest;

/// The key of the wake-up, which no registration has: its event hits nothing.
const WAKE: usize = usize::MAX - 1;

/// How many events one wait takes at most; what is left comes with the next. So many that a wait is next to nothing for each,
/// so few that timers and deferred calls do not wait for a thousand connections, and that the buffer is one page.
const BATCH: usize = 256;

/// What a wait found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ready {
    pub(crate) key: usize,
    pub(crate) readiness: Readiness,
}

pub(crate) struct Poller {
    poller: Arc<polling::Poller>,
    waker: Waker,
}

/// Ends a wait from another thread, or from a signal handler: it only ever writes to a descriptor.
#[derive(Clone)]
pub(crate) enum Waker {
    #[cfg(target_os = "linux")]
    Direct(Arc<direct::Wake>),
    Portable(Arc<polling::Poller>),
}

impl Waker {
    pub(crate) fn wake(&self) {
        // A wake-up that cannot be written is one that is pending already.
        match self {
            #[cfg(target_os = "linux")]
            Self::Direct(wake) => wake.wake(),
            Self::Portable(poller) => drop(poller.notify()),
        }
    }
}

/// What a wait found, kept by the loop for the next one.
pub(crate) struct Batch {
    /// How many events have been handed out.
    taken: usize,
    found: Found,
}

/// The events, as the poller's way of waiting gives them.
enum Found {
    #[cfg(target_os = "linux")]
    Direct(direct::Batch),
    Portable(Events),
}

impl Batch {
    /// How many events there are. A wake-up may be one of them.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        match &self.found {
            #[cfg(target_os = "linux")]
            Found::Direct(events) => events.len(),
            Found::Portable(events) => events.len(),
        }
    }

    /// Whether a panic has cut [`each`](Self::each) short. What is left is handed out before the next wait, because what
    /// is polled once is not found again.
    #[inline]
    pub(crate) fn has_rest(&self) -> bool {
        self.taken < self.len()
    }

    /// Hands each event to `take`, in the order of the system.
    #[inline]
    pub(crate) fn each(&mut self, mut take: impl FnMut(Ready)) {
        let Self { taken, found } = self;
        let from = *taken;
        match found {
            #[cfg(target_os = "linux")]
            Found::Direct(events) => {
                for event in events.iter().skip(from) {
                    *taken += 1;
                    take(direct::ready(event));
                }
            }
            Found::Portable(events) => {
                for event in events.iter().skip(from) {
                    *taken += 1;
                    let readiness = Readiness { read: event.readable, write: event.writable };
                    take(Ready { key: event.key, readiness });
                }
            }
        }
    }
}

impl Poller {
    pub(crate) fn new(portable: bool) -> io::Result<Self> {
        let poller = Arc::new(polling::Poller::new()?);
        #[cfg(target_os = "linux")]
        if !portable {
            if let Some(wake) = direct::Wake::register(&poller)? {
                return Ok(Self { poller, waker: Waker::Direct(Arc::new(wake)) });
            }
        }
        let _ = portable;
        let waker = Waker::Portable(Arc::clone(&poller));
        Ok(Self { poller, waker })
    }

    /// Whether waits take the portable path.
    pub(crate) fn is_portable(&self) -> bool {
        matches!(self.waker, Waker::Portable(_))
    }

    pub(crate) fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Starts polling `fd` under `key`, until it is told of once or for as long as it is ready.
    ///
    /// The caller deregisters the descriptor before it is closed: a [`Registration`](crate::source::Registration) does.
    pub(crate) fn add(
        &self,
        fd: BorrowedFd<'_>,
        key: usize,
        interest: Interest,
        trigger: Trigger,
    ) -> io::Result<()> {
        let (event, mode) = what(key, interest, trigger);
        // SAFETY: a registration deletes the descriptor before its owner closes it, or the system forgets it then. If one
        // is closed too early all the same, the poller holds no pointer to it: an event comes under a stale key at worst,
        // and hits nothing.
        unsafe { self.poller.add_with_mode(&fd, event, mode) }
    }

    pub(crate) fn modify(
        &self,
        fd: BorrowedFd<'_>,
        key: usize,
        interest: Interest,
        trigger: Trigger,
    ) -> io::Result<()> {
        let (event, mode) = what(key, interest, trigger);
        self.poller.modify_with_mode(fd, event, mode)
    }

    /// Whether a descriptor that is closed, and has no duplicate, needs no [`delete`](Self::delete).
    ///
    /// A duplicate that a child process holds for the moment between fork and exec may bring an event under a key that is
    /// stale by then, and hits nothing.
    pub(crate) fn forgets_closed(&self) -> bool {
        cfg!(target_os = "linux") && !self.is_portable()
    }

    pub(crate) fn delete(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.poller.delete(fd)
    }

    /// Room for what a wait finds.
    pub(crate) fn batch(&self) -> Batch {
        let found = match self.waker {
            #[cfg(target_os = "linux")]
            Waker::Direct(_) => Found::Direct(direct::Batch::with_capacity(BATCH)),
            Waker::Portable(_) => Found::Portable(Events::new()),
        };
        Batch { taken: 0, found }
    }

    /// Waits until something is ready or `timeout` has passed, rounded up to milliseconds; the poller's own `batch` gets
    /// what is ready.
    #[inline(always)]
    pub(crate) fn wait(&self, batch: &mut Batch, timeout: Option<Duration>) -> io::Result<()> {
        batch.taken = 0;
        match &mut batch.found {
            #[cfg(target_os = "linux")]
            Found::Direct(events) => direct::wait(&self.poller, events, timeout),
            Found::Portable(events) => self.wait_portably(events, timeout),
        }
    }

    #[inline(never)]
    fn wait_portably(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        events.clear();
        self.poller.wait(events, timeout.map(whole_millis)).map(drop)
    }
}

impl AsFd for Poller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poller.as_fd()
    }
}

/// How often a descriptor that is ready is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// By every wait, as long as it is.
    Level,
    /// Once.
    Once,
}

/// As it was asked for; where nothing is wanted, once: a peer that hangs up on a paused reader would make a
/// level-triggered registration spin.
fn what(key: usize, interest: Interest, trigger: Trigger) -> (Event, PollMode) {
    let event = Event::new(key, interest.read, interest.write);
    let once = trigger == Trigger::Once || interest == Interest::default();
    (event, if once { PollMode::Oneshot } else { PollMode::Level })
}

/// Rounded up, so that a wait is never cut short and then repeated in tiny steps.
fn whole_millis(timeout: Duration) -> Duration {
    let millis = timeout.as_nanos().div_ceil(1_000_000);
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

/// The direct wait on Linux.
#[cfg(target_os = "linux")]
mod direct {
    use std::io;
    use std::os::fd::{AsFd, OwnedFd};
    use std::time::Duration;

    use polling::{Event, PollMode};
    use rustix::buffer::spare_capacity;
    use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
    use rustix::io::Errno;
    use wharf_core::driver::Readiness;

    use super::{Ready, WAKE};

    pub(super) type Batch = Vec<epoll::Event>;

    /// An eventfd that is registered edge-triggered and never read: a wake-up is one write.
    pub(crate) struct Wake(OwnedFd);

    impl Wake {
        /// Registers the wake-up and sees whether it comes back under its key; if not, direct waits are not possible.
        pub(super) fn register(poller: &polling::Poller) -> io::Result<Option<Self>> {
            let wake = Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
            let event = Event::readable(WAKE);
            // SAFETY: the poller holds the wake-up, and both are dropped together; an epoll descriptor forgets
            // descriptors that are closed.
            unsafe { poller.add_with_mode(&wake.0, event, PollMode::Edge)? };
            wake.wake();
            let mut batch = Batch::with_capacity(8);
            wait(poller, &mut batch, Some(Duration::ZERO))?;
            if matches!(batch[..], [event] if ready(&event).key == WAKE) {
                return Ok(Some(wake));
            }
            poller.delete(&wake.0)?;
            Ok(None)
        }

        pub(super) fn wake(&self) {
            let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
        }
    }

    #[inline(always)]
    pub(super) fn wait(
        poller: &polling::Poller,
        batch: &mut Batch,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        batch.clear();
        match epoll::wait(poller.as_fd(), spare_capacity(batch), timeout.as_ref()) {
            Ok(_) => Ok(()),
            Err(error) => failed(error),
        }
    }

    #[cold]
    fn failed(error: Errno) -> io::Result<()> {
        // A signal has come; its handler has written the wake-up.
        if error == Errno::INTR { Ok(()) } else { Err(error.into()) }
    }

    #[inline]
    pub(super) fn ready(event: &epoll::Event) -> Ready {
        let broken = epoll::EventFlags::HUP | epoll::EventFlags::ERR;
        let flags = event.flags;
        let read = flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::PRI | broken);
        let write = flags.intersects(epoll::EventFlags::OUT | broken);
        let key = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
        Ready { key, readiness: Readiness { read, write } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Option<Duration> = Some(Duration::from_secs(5));

    fn each_path(test: impl Fn(&Poller, &mut dyn FnMut(Option<Duration>) -> Vec<Ready>)) {
        for portable in [false, true] {
            let poller = Poller::new(portable).unwrap();
            assert_eq!(poller.is_portable(), portable || !cfg!(target_os = "linux"));
            let mut batch = poller.batch();
            let mut wait = |timeout| {
                poller.wait(&mut batch, timeout).unwrap();
                let mut found = Vec::new();
                batch.each(|ready| found.push(ready));
                found.retain(|ready| ready.key != WAKE);
                found
            };
            test(&poller, &mut wait);
        }
    }

    #[test]
    fn a_hung_up_peer_does_not_spin_a_registration_without_interest() {
        use std::os::unix::net::UnixStream;
        each_path(|poller, wait| {
            let (ours, theirs) = UnixStream::pair().unwrap();
            poller.add(ours.as_fd(), 7, Interest::default(), Trigger::Level).unwrap();
            drop(theirs);
            let notices: usize = (0..10).map(|_| wait(Some(Duration::ZERO)).len()).sum();
            assert!(notices <= 1, "{notices} notices");
            poller.delete(ours.as_fd()).unwrap();
        });
    }

    #[test]
    fn interest_is_level_triggered() {
        use std::io::Write;
        use std::os::unix::net::UnixStream;
        each_path(|poller, wait| {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let reading = Interest { read: true, write: false };
            poller.add(ours.as_fd(), 7, reading, Trigger::Level).unwrap();
            theirs.write_all(b"x").unwrap();
            for _ in 0..3 {
                let readiness = Readiness { read: true, write: false };
                assert_eq!(wait(SOON), [Ready { key: 7, readiness }]);
            }
            let both = Interest { read: true, write: true };
            poller.modify(ours.as_fd(), 7, both, Trigger::Level).unwrap();
            assert_eq!(
                wait(SOON),
                [Ready { key: 7, readiness: Readiness { read: true, write: true } }]
            );
            poller.delete(ours.as_fd()).unwrap();
            assert_eq!(wait(Some(Duration::ZERO)), []);
        });
    }

    #[test]
    fn what_is_polled_once_is_told_once_until_it_is_polled_again() {
        use std::os::unix::net::UnixStream;
        each_path(|poller, wait| {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let reading = Interest { read: true, write: false };
            poller.add(ours.as_fd(), 7, reading, Trigger::Once).unwrap();
            assert_eq!(wait(Some(Duration::ZERO)), []);
            drop(theirs);
            assert_eq!(wait(SOON).len(), 1);
            assert_eq!(wait(Some(Duration::ZERO)), []);
            poller.modify(ours.as_fd(), 7, reading, Trigger::Once).unwrap();
            assert_eq!(wait(SOON).len(), 1);
            poller.delete(ours.as_fd()).unwrap();
        });
    }

    #[test]
    fn what_a_panic_cuts_short_is_handed_out_later() {
        use std::os::unix::net::UnixStream;
        use std::panic::{AssertUnwindSafe, catch_unwind};
        for portable in [false, true] {
            let poller = Poller::new(portable).unwrap();
            let ends = [(); 3].map(|()| UnixStream::pair().unwrap().0);
            for (key, end) in ends.iter().enumerate() {
                let reading = Interest { read: true, write: false };
                poller.add(end.as_fd(), key, reading, Trigger::Once).unwrap();
            }
            let mut batch = poller.batch();
            poller.wait(&mut batch, SOON).unwrap();
            let mut keys = Vec::new();
            while batch.has_rest() {
                let one = AssertUnwindSafe(|| {
                    batch.each(|ready| {
                        keys.push(ready.key);
                        panic!("on purpose");
                    });
                });
                assert!(catch_unwind(one).is_err());
            }
            keys.sort_unstable();
            assert_eq!(keys, [0, 1, 2]);
            ends.iter().for_each(|end| poller.delete(end.as_fd()).unwrap());
        }
    }

    #[test]
    fn a_wake_up_ends_a_wait_each_time() {
        each_path(|poller, wait| {
            for _ in 0..3 {
                let waker = poller.waker();
                let thread = std::thread::spawn(move || waker.wake());
                wait(None);
                thread.join().unwrap();
            }
        });
    }

    #[test]
    fn timeouts_round_up() {
        assert_eq!(whole_millis(Duration::from_nanos(1)), Duration::from_millis(1));
        assert_eq!(whole_millis(Duration::from_millis(3)), Duration::from_millis(3));
        assert_eq!(whole_millis(Duration::ZERO), Duration::ZERO);
    }
}
