//! Unix signals as callbacks of the loop.
//!
//! The handler in signal context sets a bit and wakes the loop; the callback runs in the loop like any other.
//! Handlers that others have installed are called too.
//!
//! Dispositions belong to the process, so this file holds the one piece of global state in the crate (rule L6): how many
//! loops own each signal.
//! When the last one lets go, a signal that had its default action before has it again.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use signal_hook::SigId;
use signal_hook::consts::FORBIDDEN;
use signal_hook::low_level;

use crate::handle::LoopHandle;
use crate::job::{Job, Soon};
use crate::poll::Waker;

/// One more than the highest signal number of Linux.
const SIGNALS: usize = 65;

/// How many loops own each signal.
static OWNERS: [AtomicUsize; SIGNALS] = [const { AtomicUsize::new(0) }; SIGNALS];

/// Whether the default action of each signal is looked after once nobody owns it.
static DEFAULTED: [AtomicBool; SIGNALS] = [const { AtomicBool::new(false) }; SIGNALS];

type Callback = Rc<RefCell<Box<dyn FnMut()>>>;

/// The signals of one loop.
pub(crate) struct Signals {
    pending: Arc<AtomicU64>,
    waker: Waker,
    owned: RefCell<HashMap<i32, (SigId, Callback)>>,
}

impl Signals {
    pub(crate) fn new(waker: Waker) -> Self {
        Self { pending: Arc::default(), waker, owned: RefCell::default() }
    }

    /// The callbacks of the signals that have come since the last call.
    pub(crate) fn take_pending(&self) -> Vec<Callback> {
        let bits = self.pending.swap(0, Ordering::Acquire);
        let owned = self.owned.borrow();
        (1..)
            .take(SIGNALS - 1)
            .filter(|signal| bits >> (signal - 1) & 1 == 1)
            .filter_map(|signal| owned.get(&signal).map(|(_, callback)| Rc::clone(callback)))
            .collect()
    }

    /// Gives the callback that was replaced.
    fn add(&self, signal: i32, callback: Box<dyn FnMut()>) -> io::Result<Option<Callback>> {
        let slot = check(signal)?;
        let callback = Rc::new(RefCell::new(callback));
        if let Some((_, place)) = self.owned.borrow_mut().get_mut(&signal) {
            return Ok(Some(std::mem::replace(place, callback)));
        }
        look_after_default(signal, slot)?;
        let (pending, waker) = (Arc::clone(&self.pending), self.waker.clone());
        let bit = 1 << (signal - 1);
        let action = move || {
            pending.fetch_or(bit, Ordering::Release);
            waker.wake();
        };
        // SAFETY: the action sets an atomic bit and writes to a descriptor: both are allowed in a signal handler.
        let id = unsafe { low_level::register(signal, action) }?;
        OWNERS[slot].fetch_add(1, Ordering::SeqCst);
        self.owned.borrow_mut().insert(signal, (id, callback));
        Ok(None)
    }

    /// Whether a signal has come that was not delivered.
    #[inline]
    pub(crate) fn are_pending(&self) -> bool {
        self.pending.load(Ordering::Relaxed) != 0
    }

    /// Gives the callback that there was.
    fn remove(&self, signal: i32) -> Option<Callback> {
        let (id, callback) = self.owned.borrow_mut().remove(&signal)?;
        low_level::unregister(id);
        // What came and was not delivered is not for a callback that is added later.
        self.pending.fetch_and(!(1 << (signal - 1)), Ordering::Relaxed);
        if let Ok(slot) = check(signal) {
            OWNERS[slot].fetch_sub(1, Ordering::SeqCst);
        }
        Some(callback)
    }

    /// Gives all callbacks that there were.
    pub(crate) fn clear(&self) -> Vec<Callback> {
        let signals: Vec<i32> = self.owned.borrow().keys().copied().collect();
        signals.into_iter().filter_map(|signal| self.remove(signal)).collect()
    }
}

fn check(signal: i32) -> io::Result<usize> {
    match usize::try_from(signal) {
        Ok(slot @ 1..SIGNALS) if !FORBIDDEN.contains(&signal) => Ok(slot),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("signal {signal} cannot be handled"),
        )),
    }
}

/// Arranges that the signal has its default action again when no loop owns it, if that is what it had before the first
/// one did.
fn look_after_default(signal: i32, slot: usize) -> io::Result<()> {
    if DEFAULTED[slot].swap(true, Ordering::SeqCst) || !has_default_action(signal) {
        return Ok(());
    }
    let action = move || {
        if OWNERS[slot].load(Ordering::SeqCst) == 0 {
            let _ = low_level::emulate_default_handler(signal);
        }
    };
    // SAFETY: the action loads an atomic, and emulating a default action is documented as safe in a signal handler.
    unsafe { low_level::register(signal, action) }.map(drop)
}

/// Whether the signal is neither caught nor ignored, as far as the system tells.
fn has_default_action(signal: i32) -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return false };
    let is_in = |field: &str| {
        let mask = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
        u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask >> (signal - 1) & 1 == 1)
    };
    !is_in("SigIgn:") && !is_in("SigCgt:")
}

impl LoopHandle {
    /// Calls `callback` in the loop whenever the process gets `signal`; several deliveries may be one call. Replaces the
    /// callback that this loop had for the signal.
    ///
    /// # Errors
    /// `InvalidInput` for a number that is no signal or cannot be handled (SIGKILL, SIGSTOP, and the signals of
    /// faults); an error on a loop that has been dropped.
    pub fn add_signal_handler(
        &self,
        signal: i32,
        callback: impl FnMut() + 'static,
    ) -> io::Result<()> {
        if self.is_closed() {
            return Err(io::Error::other(crate::LoopClosed));
        }
        let replaced = self.signals().add(signal, Box::new(callback))?;
        self.drop_guarded(replaced);
        Ok(())
    }

    /// Stops that. Says whether there was a callback.
    ///
    /// A signal that had its default action before any loop handled it has it again.
    pub fn remove_signal_handler(&self, signal: i32) -> bool {
        let removed = self.signals().remove(signal);
        let was_there = removed.is_some();
        self.drop_guarded(removed);
        was_there
    }

    /// Queues the callbacks of the signals that have come.
    #[inline]
    pub(crate) fn deliver_signals(&self) {
        if self.signals().are_pending() {
            self.queue_signals();
        }
    }

    #[cold]
    fn queue_signals(&self) {
        for callback in self.signals().take_pending() {
            self.push_job(Job::new(Soon(move || (callback.borrow_mut())())));
        }
    }
}
