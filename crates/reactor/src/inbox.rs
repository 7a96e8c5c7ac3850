//! The inbox: a queue from many threads to one that may be asleep.
//!
//! A sender pushes and looks whether the receiver sleeps; the receiver looks whether something was pushed and says that it
//! sleeps; each does both under the lock.
//! Whichever comes second sees the other, so nothing is left lying while the receiver sleeps, and a sender wakes it at
//! most once for each sleep.
//! What is read without the lock is read by the receiver only, and to spare it the lock.
//! `tests/loom.rs` runs every interleaving of it.

use std::sync::atomic::Ordering;

use crate::sync::{AtomicBool, Mutex};

/// What an inbox keeps its items in, in the order in which they were added.
pub(crate) trait Queue: Default {
    type Item;

    fn add(&mut self, item: Self::Item);

    fn is_empty(&self) -> bool;
}

/// A queue from many threads to one that sleeps.
///
/// What all of them touch lies on one cache line, and nothing else does.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Inbox<Q> {
    /// `None` once the receiver is gone.
    items: Mutex<Option<Q>>,
    /// Whether something is waiting.
    filled: AtomicBool,
    asleep: AtomicBool,
}

/// What came of a push.
#[derive(Debug)]
pub(crate) enum Pushed<T> {
    /// The receiver is awake and will see it.
    Seen,
    /// The receiver sleeps, and it is this sender who must wake it.
    WakeIt,
    /// The receiver is gone; the item comes back.
    Refused(T),
}

impl<Q: Queue> Default for Inbox<Q> {
    fn default() -> Self {
        Self::new()
    }
}

impl<Q: Queue> Inbox<Q> {
    /// An empty inbox with an awake receiver.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self {
            items: Mutex::new(Some(Q::default())),
            filled: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
        }
    }

    /// Sends `item`.
    #[inline]
    pub(crate) fn push(&self, item: Q::Item) -> Pushed<Q::Item> {
        let mut items = lock(&self.items);
        let Some(items) = items.as_mut() else { return Pushed::Refused(item) };
        items.add(item);
        self.filled.store(true, Ordering::Relaxed);
        if self.asleep.load(Ordering::Relaxed) {
            self.awake();
            return Pushed::WakeIt;
        }
        Pushed::Seen
    }

    /// Whether the receiver may go to sleep; if not, something is waiting. After its sleep it calls
    /// [`awake`](Self::awake).
    pub(crate) fn may_sleep(&self) -> bool {
        self.sleeps(lock(&self.items).as_ref())
    }

    /// The same, and takes what is waiting, as [`take`](Self::take) does: once over the lock for both. A busy receiver
    /// that comes back to it again and again takes it away from the senders each time.
    pub(crate) fn may_sleep_or_take(&self, buffer: &mut Q) -> bool {
        let mut items = lock(&self.items);
        let may_sleep = self.sleeps(items.as_ref());
        if let Some(items) = items.as_mut().filter(|_| !may_sleep) {
            self.swap(items, buffer);
        }
        may_sleep
    }

    /// Notes under the lock whether the receiver sleeps.
    fn sleeps(&self, items: Option<&Q>) -> bool {
        let sleeps = items.is_none_or(Q::is_empty);
        self.asleep.store(sleeps, Ordering::Relaxed);
        sleeps
    }

    /// The receiver is awake. A sender that misses this wakes it once for nothing.
    pub(crate) fn awake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// Whether nothing is waiting, as far as the receiver knows without the lock.
    pub(crate) fn is_empty(&self) -> bool {
        !self.filled.load(Ordering::Relaxed)
    }

    /// Takes everything, by swapping with an empty `buffer`.
    pub(crate) fn take(&self, buffer: &mut Q) {
        if self.is_empty() {
            return;
        }
        if let Some(items) = lock(&self.items).as_mut() {
            self.swap(items, buffer);
        }
    }

    fn swap(&self, items: &mut Q, buffer: &mut Q) {
        std::mem::swap(items, buffer);
        self.filled.store(!items.is_empty(), Ordering::Relaxed);
    }

    /// The receiver is gone: refuses everything from now on, and gives what was left.
    pub(crate) fn close(&self) -> Q {
        self.filled.store(false, Ordering::Relaxed);
        lock(&self.items).take().unwrap_or_default()
    }

    /// Whether the receiver is gone.
    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.items).is_none()
    }
}

/// The queue, whoever panicked with it: a push or a swap leaves no half-done state.
#[cfg(not(loom))]
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(loom)]
fn lock<T>(mutex: &Mutex<T>) -> loom::sync::MutexGuard<'_, T> {
    mutex.lock().expect("a model does not panic with the lock held")
}
