//! What a loop counts about itself, and the report of slow callbacks.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::time::Duration;

use wharf_core::TransportId;
use wharf_core::driver::Traffic;
use wharf_core::guard::{self, Caught};

use crate::clock::{TickLength, Ticks};

/// A loop's counters since it was made. Cheap to take; two of them can be subtracted by hand.
///
/// Taken by [`LoopHandle::statistics`](crate::LoopHandle::statistics) on the loop, and by
/// [`Remote::statistics`](crate::Remote::statistics) in any other thread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// How many turns were taken.
    pub turns: u64,
    /// How many readiness events were handed out.
    pub events: u64,
    /// How many bytes streams have read.
    pub bytes_read: u64,
    /// How many bytes streams have written.
    pub bytes_written: u64,
    /// How many connections servers have accepted.
    pub accepted: u64,
    /// How many connections were lost, in the order of [`Lost::NAMES`](wharf_core::Lost::NAMES).
    pub lost: [u64; 9],
    /// How many faults of user code were caught.
    pub faults: u64,
    /// How many callbacks took longer than the slow-callback threshold.
    pub slow_callbacks: u64,
    /// How long the loop waited for something to do.
    pub polling: Duration,
    /// How long it did not, since it was made.
    pub working: Duration,
    /// How many sources are on the loop now.
    pub sources: usize,
    /// How many timers are set now.
    pub timers: usize,
}

/// A callback that took longer than the threshold.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct SlowCallback {
    /// The connection it belongs to, if any.
    pub transport: Option<TransportId>,
    /// Its name, such as `"data_received"`.
    pub callback: &'static str,
    /// How long it took, with the reads and writes around it. Short calls of one turn that were put off or posted are
    /// timed up to sixteen together.
    pub duration: Duration,
}

/// Who is told of a slow callback.
pub(crate) type SlowObserver = Box<dyn FnMut(SlowCallback)>;

pub(crate) struct Counters {
    turns: Cell<u64>,
    events: Cell<u64>,
    bytes_read: Cell<u64>,
    bytes_written: Cell<u64>,
    accepted: Cell<u64>,
    lost: [Cell<u64>; 9],
    faults: Cell<u64>,
    slow: Cell<u64>,
    polling: Cell<i64>,
    /// When the last callback returned, or a wait began or ended.
    last: Cell<Ticks>,
    length: TickLength,
    threshold: Cell<Option<Duration>>,
    /// Ticks that are surely fewer than the threshold: only beyond them is a clock worth asking.
    suspicious: Cell<i64>,
    observer: RefCell<Option<SlowObserver>>,
}

/// Jobs of one name that are timed as one, because reading the ticks takes longer than a short job does: the first of a
/// turn alone, and then twice as many each time, as long as they stay far below the threshold.
pub(crate) struct Group {
    name: &'static str,
    jobs: u32,
    most: u32,
}

impl Group {
    /// More would spare nothing that can be measured.
    const MOST: u32 = 16;

    #[inline]
    pub(crate) fn admits(&self, name: &'static str) -> bool {
        self.jobs == 0 || (self.jobs < self.most && std::ptr::eq(self.name, name))
    }

    #[inline]
    pub(crate) fn add(&mut self, name: &'static str) {
        self.name = name;
        self.jobs += 1;
    }
}

impl Default for Group {
    fn default() -> Self {
        Self { name: "", jobs: 0, most: 1 }
    }
}

/// A group took less than this part of the threshold, so the next one may be larger: for it to be reported although none
/// of its jobs is slow, they would have to become that much longer all at once.
const BRISK: i64 = 64;

/// No processor of today ticks slower than this.
const SLOWEST_TICKS_PER_SECOND: u128 = 100_000_000;

impl Counters {
    pub(crate) fn new(threshold: Option<Duration>, observer: Option<SlowObserver>) -> Self {
        let now = Ticks::now();
        let counters = Self {
            turns: Cell::default(),
            events: Cell::default(),
            bytes_read: Cell::default(),
            bytes_written: Cell::default(),
            accepted: Cell::default(),
            lost: Default::default(),
            faults: Cell::default(),
            slow: Cell::default(),
            polling: Cell::default(),
            last: Cell::new(now),
            length: TickLength::new(),
            threshold: Cell::default(),
            suspicious: Cell::new(i64::MAX),
            observer: RefCell::new(observer),
        };
        counters.set_threshold(threshold);
        counters
    }

    pub(crate) fn set_threshold(&self, threshold: Option<Duration>) {
        let ticks = threshold.map_or(i64::MAX, |threshold| {
            i64::try_from(threshold.as_nanos() * SLOWEST_TICKS_PER_SECOND / 1_000_000_000)
                .unwrap_or(i64::MAX)
        });
        self.threshold.set(threshold);
        self.suspicious.set(ticks);
    }

    /// A wait begins.
    #[inline]
    pub(crate) fn wait_begins(&self) {
        self.last.set(Ticks::now());
    }

    /// A wait is over.
    #[inline]
    pub(crate) fn wait_ends(&self) {
        self.polling.set(self.polling.get().wrapping_add(self.lap()));
        add(&self.turns, 1);
    }

    /// An event is handed out.
    #[inline]
    pub(crate) fn event(&self) {
        add(&self.events, 1);
    }

    /// A callback has returned; says if it was slow.
    #[inline]
    pub(crate) fn callback_returned(
        &self,
        transport: Option<TransportId>,
        callback: &'static str,
    ) -> Option<SlowCallback> {
        let ticks = self.lap();
        if ticks < self.suspicious.get() {
            return None;
        }
        self.look_closer(transport, callback, ticks)
    }

    /// The jobs of `group` have returned, and it begins anew; otherwise as
    /// [`callback_returned`](Self::callback_returned).
    #[inline]
    pub(crate) fn group_returned(&self, group: &mut Group) -> Option<SlowCallback> {
        let (name, jobs) = (group.name, std::mem::take(&mut group.jobs));
        if jobs == 0 {
            return None;
        }
        let ticks = self.lap();
        let suspicious = self.suspicious.get();
        group.most = if ticks < suspicious / BRISK { (2 * jobs).min(Group::MOST) } else { 1 };
        if ticks < suspicious { None } else { self.look_closer(None, name, ticks) }
    }

    /// How many ticks have passed since the last lap, or the last wait.
    #[inline]
    fn lap(&self) -> i64 {
        let now = Ticks::now();
        now.since(self.last.replace(now))
    }

    #[cold]
    fn look_closer(
        &self,
        transport: Option<TransportId>,
        callback: &'static str,
        ticks: i64,
    ) -> Option<SlowCallback> {
        let duration = self.length.duration(ticks);
        if self.threshold.get().is_some_and(|threshold| duration >= threshold) {
            add(&self.slow, 1);
            return Some(SlowCallback { transport, callback, duration });
        }
        // A false alarm: this processor ticks faster than assumed. What was counted is too few, so half of it surely is,
        // whatever the error of the measurement.
        self.suspicious.set(self.suspicious.get().max(ticks / 2));
        None
    }

    /// Tells the observer of a slow callback; gives its fault, if it failed.
    pub(crate) fn tell_slow(&self, slow: SlowCallback) -> Option<Caught> {
        let observer = self.observer.take();
        let mut observer = observer?;
        let caught = guard::call("slow-callback observer", || observer(slow)).err();
        self.observer.borrow_mut().get_or_insert(observer);
        caught
    }

    /// The observer, when the loop ends.
    pub(crate) fn take_observer(&self) -> Option<SlowObserver> {
        self.observer.take()
    }

    #[inline]
    pub(crate) fn count(&self, traffic: Traffic) {
        match traffic {
            Traffic::Read(count) => add(&self.bytes_read, count),
            Traffic::Written(count) => add(&self.bytes_written, count),
            Traffic::Lost(cause) => add(&self.lost[cause], 1),
        }
    }

    pub(crate) fn accepted(&self) {
        add(&self.accepted, 1);
    }

    /// Events and accepted connections.
    #[inline]
    pub(crate) fn work_done(&self) -> u64 {
        self.events.get().wrapping_add(self.accepted.get())
    }

    pub(crate) fn fault(&self) {
        add(&self.faults, 1);
    }

    pub(crate) fn read(&self, sources: usize, timers: usize) -> Statistics {
        let polling = self.length.duration(self.polling.get());
        Statistics {
            turns: self.turns.get(),
            events: self.events.get(),
            bytes_read: self.bytes_read.get(),
            bytes_written: self.bytes_written.get(),
            accepted: self.accepted.get(),
            lost: std::array::from_fn(|cause| self.lost[cause].get()),
            faults: self.faults.get(),
            slow_callbacks: self.slow.get(),
            polling,
            working: self.length.measured().saturating_sub(polling),
            sources,
            timers,
        }
    }
}

#[inline]
fn add(counter: &Cell<u64>, count: usize) {
    counter.set(counter.get().wrapping_add(count as u64));
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read(0, 0).fmt(f)
    }
}
