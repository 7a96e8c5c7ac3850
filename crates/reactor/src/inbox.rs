//! The inbox: a queue from many threads to one that may be asleep.
//!
//! The items lie under a lock. What a sender and a receiver that goes to sleep must know of each other is one word:
//!
//! ```text
//!              push                  push, and wake it
//!   Idle ──────────────▶ Filled ◀────────────────────── Asleep
//!    ▲ ▲                    │                            │ ▲
//!    │ └─────── take ───────┘                            │ │
//!    ├────────────────────────── take ───────────────────┘ │
//!    └──────────────────────── may_sleep ──────────────────┘
//! ```
//!
//! Everything to and from Filled happens under the lock, so the word says whether something lies there; and nobody goes to
//! sleep, or is woken, without looking at what the word was.
//! So nothing is left lying while the receiver sleeps, a sender wakes it at most once for each sleep, and a receiver that
//! finds nothing needs no lock.
//! `tests/loom.rs` runs every interleaving of it.

use std::sync::atomic::Ordering;

use crate::sync::{AtomicU8, Mutex};

/// What an inbox keeps its items in, in the order in which they were added.
pub(crate) trait Queue: Default {
    type Item;

    fn add(&mut self, item: Self::Item);
}

/// A queue from many threads to one that sleeps.
///
/// What all of them touch lies on one cache line, and nothing else does.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Inbox<Q> {
    /// `None` once the receiver is gone.
    items: Mutex<Option<Q>>,
    state: AtomicU8,
}

/// Nothing is waiting, and the receiver is awake.
const IDLE: u8 = 0;
/// Something is waiting, and the receiver is awake, or is being woken.
const FILLED: u8 = 1;
/// Nothing is waiting, and the receiver sleeps.
const ASLEEP: u8 = 2;

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
        Self { items: Mutex::new(Some(Q::default())), state: AtomicU8::new(IDLE) }
    }

    /// Sends `item`.
    #[inline]
    pub(crate) fn push(&self, item: Q::Item) -> Pushed<Q::Item> {
        let mut items = lock(&self.items);
        let Some(items) = items.as_mut() else { return Pushed::Refused(item) };
        items.add(item);
        // Only who comes first says so.
        if self.state.load(Ordering::Relaxed) != FILLED
            && self.state.swap(FILLED, Ordering::Relaxed) == ASLEEP
        {
            return Pushed::WakeIt;
        }
        Pushed::Seen
    }

    /// Whether the receiver may go to sleep; if not, something is waiting. After its sleep it calls
    /// [`awake`](Self::awake).
    #[inline]
    pub(crate) fn may_sleep(&self) -> bool {
        let state = &self.state;
        state.compare_exchange(IDLE, ASLEEP, Ordering::Relaxed, Ordering::Relaxed).is_ok()
            || state.load(Ordering::Relaxed) == ASLEEP
    }

    /// Whether nothing is waiting.
    pub(crate) fn is_empty(&self) -> bool {
        self.state.load(Ordering::Relaxed) != FILLED
    }

    /// The receiver is awake; says whether something is waiting.
    #[inline]
    pub(crate) fn awake(&self) -> bool {
        let state = &self.state;
        state.load(Ordering::Relaxed) != IDLE
            && state.compare_exchange(ASLEEP, IDLE, Ordering::Relaxed, Ordering::Relaxed).is_err()
    }

    /// Takes everything that is waiting, by swapping with an empty `buffer`.
    pub(crate) fn take(&self, buffer: &mut Q) {
        if let Some(items) = lock(&self.items).as_mut() {
            std::mem::swap(items, buffer);
            self.state.store(IDLE, Ordering::Relaxed);
        }
    }

    /// The receiver is gone: refuses everything from now on, and gives what was left.
    pub(crate) fn close(&self) -> Q {
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
