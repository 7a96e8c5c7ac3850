//! The inbox: a queue from many threads to one that may be asleep.
//!
//! A sender pushes and looks whether the receiver sleeps; the receiver looks whether something was pushed and says that it
//! sleeps; each does both under the lock.
//! Whichever comes second sees the other, so nothing is left lying while the receiver sleeps, and a sender wakes it at
//! most once for each sleep.
//! What is read without the lock is read by the receiver only, and to spare it the lock.
//! `tests/loom.rs` runs every interleaving of it.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use crate::sync::{AtomicBool, AtomicUsize, Mutex};

/// A queue from many threads to one that sleeps.
#[derive(Debug)]
pub(crate) struct Inbox<T> {
    /// `None` once the receiver is gone.
    items: Mutex<Option<VecDeque<T>>>,
    len: AtomicUsize,
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

impl<T> Default for Inbox<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Inbox<T> {
    /// An empty inbox with an awake receiver.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self {
            items: Mutex::new(Some(VecDeque::new())),
            len: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
        }
    }

    /// Sends `item`.
    pub(crate) fn push(&self, item: T) -> Pushed<T> {
        let mut items = lock(&self.items);
        let Some(items) = items.as_mut() else { return Pushed::Refused(item) };
        items.push_back(item);
        self.len.store(items.len(), Ordering::Relaxed);
        if self.asleep.load(Ordering::Relaxed) {
            self.awake();
            return Pushed::WakeIt;
        }
        Pushed::Seen
    }

    /// Whether the receiver may go to sleep; if not, something is waiting. After its sleep it calls
    /// [`awake`](Self::awake).
    pub(crate) fn may_sleep(&self) -> bool {
        let items = lock(&self.items);
        let may_sleep = items.as_ref().is_none_or(VecDeque::is_empty);
        self.asleep.store(may_sleep, Ordering::Relaxed);
        may_sleep
    }

    /// The receiver is awake. A sender that misses this wakes it once for nothing.
    pub(crate) fn awake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// Whether nothing is waiting, as far as the receiver knows without the lock.
    pub(crate) fn is_empty(&self) -> bool {
        self.len.load(Ordering::Relaxed) == 0
    }

    /// Takes everything, in the order of the pushes, by swapping with an empty `buffer`.
    pub(crate) fn take(&self, buffer: &mut VecDeque<T>) {
        if self.is_empty() {
            return;
        }
        if let Some(items) = lock(&self.items).as_mut() {
            std::mem::swap(items, buffer);
            self.len.store(items.len(), Ordering::Relaxed);
        }
    }

    /// The receiver is gone: refuses everything from now on, and gives what was left.
    pub(crate) fn close(&self) -> VecDeque<T> {
        self.len.store(0, Ordering::Relaxed);
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
