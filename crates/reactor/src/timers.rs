//! Timers: deadlines on an [agenda](agenda), ties in the order of insertion, and what each timer runs.
//!
//! The deadlines, what says whether an entry of the agenda is still meant, and what a timer runs lie apart, because the
//! first two are read all the time and the last once: with a hundred thousand timers each cache line that is not read
//! counts.

mod agenda;
mod heap;

use std::time::{Duration, Instant};

use agenda::{Agenda, Entry};

/// A timer's place: slot and generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TimerKey {
    slot: u32,
    generation: u32,
}

impl TimerKey {
    /// One that leads nowhere.
    pub(crate) const DEAD: Self = Self { slot: u32::MAX, generation: 0 };
}

/// The timers of a loop, each with what it runs.
pub(crate) struct Timers<T> {
    /// Deadlines are counted from here, in both directions.
    origin: Instant,
    agenda: Agenda,
    /// How many timers each slot has had; an entry of the agenda with another generation is dead.
    generations: Vec<u32>,
    /// What the timer in each slot runs.
    values: Vec<Place<T>>,
    free: Vec<u32>,
    live: usize,
}

/// On one cache line, whatever the address of the first.
#[repr(align(32))]
struct Place<T>(Option<T>);

/// Whether a timer has neither run nor been cancelled nor been reset.
#[inline]
fn is_live(generations: &[u32]) -> impl Fn(&TimerKey) -> bool {
    |key| generations[key.slot as usize] == key.generation
}

impl<T> Timers<T> {
    /// No timers. Those to come are about `origin`: three centuries before or after it at most.
    pub(crate) fn new(origin: Instant) -> Self {
        Self {
            origin,
            agenda: Agenda::new(),
            generations: Vec::new(),
            values: Vec::new(),
            free: Vec::new(),
            live: 0,
        }
    }

    #[inline]
    pub(crate) fn insert(&mut self, deadline: Instant, value: T) -> TimerKey {
        let slot = self.free.pop().unwrap_or_else(|| self.grow());
        self.values[slot as usize].0 = Some(value);
        self.live += 1;
        let key = TimerKey { slot, generation: self.generations[slot as usize] };
        self.enter(key, deadline);
        key
    }

    /// Puts a timer on the agenda, behind those that are there.
    #[inline]
    fn enter(&mut self, key: TimerKey, deadline: Instant) {
        let deadline = self.nanos(deadline);
        self.agenda.push(Entry { deadline, key });
    }

    /// Gives a timer another deadline, as if it were set anew, under another key; `None` if it has run or was cancelled.
    /// What it runs is not looked at.
    #[inline]
    pub(crate) fn reset(&mut self, key: TimerKey, deadline: Instant) -> Option<TimerKey> {
        let generation = self.generations.get_mut(key.slot as usize)?;
        if *generation != key.generation {
            return None;
        }
        *generation = generation.wrapping_add(1);
        let key = TimerKey { slot: key.slot, generation: *generation };
        self.enter(key, deadline);
        self.clear_dead();
        Some(key)
    }

    #[cold]
    fn grow(&mut self) -> u32 {
        let slot =
            u32::try_from(self.values.len()).ok().filter(|slot| *slot != TimerKey::DEAD.slot);
        self.generations.push(0);
        self.values.push(Place(None));
        slot.expect("fewer timers than that")
    }

    /// Takes a timer back; gives what it would have run, to be dropped outside of any borrow.
    #[inline]
    pub(crate) fn cancel(&mut self, key: TimerKey) -> Option<T> {
        let value = self.take(key);
        self.clear_dead();
        value
    }

    #[inline]
    fn clear_dead(&mut self) {
        self.agenda.clear_dead(self.live, is_live(&self.generations));
    }

    /// The deadline of the first live timer. No timers run: if a panic has cut a run short, it is over.
    pub(crate) fn next_deadline(&mut self) -> Option<Instant> {
        self.agenda.end_run();
        let nanos = self.agenda.first(is_live(&self.generations))?;
        let distance = Duration::from_nanos(nanos.unsigned_abs());
        Some(if nanos < 0 { self.origin - distance } else { self.origin + distance })
    }

    /// Begins a run of the timers that are due at `now`; a deadline that is exactly now is.
    pub(crate) fn begin_run(&mut self, now: Instant) {
        self.agenda.begin_run(self.nanos(now));
    }

    /// Takes out the first timer that is due in this run, and was not set since the run has begun; where there is none,
    /// the run is over.
    pub(crate) fn pop_due(&mut self) -> Option<T> {
        let Some(entry) = self.agenda.pop_due(is_live(&self.generations)) else {
            self.agenda.end_run();
            return None;
        };
        self.take(entry.key)
    }

    pub(crate) fn len(&self) -> usize {
        self.live
    }

    #[inline]
    fn take(&mut self, key: TimerKey) -> Option<T> {
        let generation = self.generations.get_mut(key.slot as usize)?;
        if *generation != key.generation {
            return None;
        }
        *generation = generation.wrapping_add(1);
        self.free.push(key.slot);
        self.live -= 1;
        self.values[key.slot as usize].0.take()
    }

    /// Nanoseconds from the origin to `moment`.
    #[inline]
    fn nanos(&self, moment: Instant) -> i64 {
        moment
            .checked_duration_since(self.origin)
            .map_or_else(|| -nanos(self.origin.duration_since(moment)), nanos)
    }
}

/// The nanoseconds of a duration, three centuries at most.
#[inline]
fn nanos(duration: Duration) -> i64 {
    const SECOND: i64 = 1_000_000_000;
    let seconds = i64::try_from(duration.as_secs()).ok();
    seconds
        .and_then(|seconds| seconds.checked_mul(SECOND))
        .and_then(|nanos| nanos.checked_add(i64::from(duration.subsec_nanos())))
        .unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use wharf_core::Clock;
    use wharf_core::memory::ManualClock;

    struct Bench {
        timers: Timers<u32>,
        start: Instant,
    }

    impl Bench {
        fn new() -> Self {
            let start = ManualClock::new().now();
            Self { timers: Timers::new(start), start }
        }
        fn at(&self, millis: u64) -> Instant {
            self.start + Duration::from_millis(millis)
        }
        fn set(&mut self, millis: u64, name: u32) -> TimerKey {
            self.timers.insert(self.at(millis), name)
        }
        fn run(&mut self, millis: u64) -> Vec<u32> {
            self.timers.begin_run(self.at(millis));
            std::iter::from_fn(|| self.timers.pop_due()).collect()
        }
    }

    #[test]
    fn deadlines_come_in_order_and_ties_in_the_order_of_insertion() {
        let mut bench = Bench::new();
        for (millis, name) in [(30, 1), (10, 2), (20, 3), (10, 4), (10, 5)] {
            bench.set(millis, name);
        }
        assert_eq!(bench.run(9), []);
        assert_eq!(bench.run(10), [2, 4, 5]);
        assert_eq!(bench.run(100), [3, 1]);
    }

    #[test]
    fn deadlines_before_the_first_moment_keep_their_order() {
        let mut bench = Bench::new();
        for (before, name) in [(1, 1), (3, 2), (2, 3)] {
            bench.timers.insert(bench.start - Duration::from_nanos(before), name);
        }
        assert_eq!(bench.timers.next_deadline(), Some(bench.start - Duration::from_nanos(3)));
        assert_eq!(bench.run(0), [2, 3, 1]);
    }

    #[test]
    fn what_is_set_while_timers_run_waits_and_is_not_lost() {
        let mut bench = Bench::new();
        bench.set(10, 1);
        let reset = bench.set(20, 2);
        bench.timers.begin_run(bench.at(100));
        assert_eq!(bench.timers.pop_due(), Some(1));
        bench.set(5, 3);
        bench.timers.reset(reset, bench.at(100));
        bench.set(101, 4);
        assert_eq!(bench.timers.pop_due(), None);
        assert_eq!(bench.timers.next_deadline(), Some(bench.at(5)));
        assert_eq!(bench.run(100), [3, 2]);
        assert_eq!(bench.run(101), [4]);
    }

    #[test]
    fn a_run_that_is_cut_short_is_over() {
        let mut bench = Bench::new();
        bench.set(10, 1);
        bench.set(20, 2);
        bench.timers.begin_run(bench.at(100));
        assert_eq!(bench.timers.pop_due(), Some(1));
        bench.set(5, 3);
        assert_eq!(bench.timers.next_deadline(), Some(bench.at(5)));
        bench.set(4, 4);
        assert_eq!(bench.run(100), [4, 3, 2]);
    }

    #[test]
    fn a_cancelled_timer_never_runs_and_its_key_is_dead() {
        let mut bench = Bench::new();
        let first = bench.set(10, 1);
        assert_eq!(bench.timers.cancel(first), Some(1));
        assert_eq!(bench.timers.cancel(first), None);
        bench.set(10, 2);
        assert_eq!(bench.timers.cancel(first), None, "the slot has another timer now");
        assert_eq!(bench.run(10), [2]);
        assert_eq!(bench.timers.len(), 0);
    }

    #[test]
    fn a_timer_that_is_reset_runs_once_at_its_last_deadline_and_behind_its_equals() {
        let mut bench = Bench::new();
        let first = bench.set(10, 1);
        bench.set(20, 2);
        let again = bench.timers.reset(first, bench.at(20)).unwrap();
        assert_eq!(bench.timers.reset(first, bench.at(5)), None, "the key is another one");
        assert_eq!(bench.timers.len(), 2);
        assert_eq!(bench.run(19), []);
        assert_eq!(bench.run(20), [2, 1]);
        assert_eq!(bench.timers.reset(again, bench.at(30)), None, "it has run");
        assert_eq!(bench.timers.cancel(again), None);
    }

    /// Timers, and what they are to do: all that is live, in the order in which it is to run.
    struct Model {
        bench: Bench,
        expected: BTreeMap<Order, u32>,
        keys: Vec<(TimerKey, Order)>,
        now: u64,
        sequence: u64,
        chance: u64,
    }

    /// Deadline and number.
    type Order = (u64, u64);

    impl Model {
        fn new() -> Self {
            let bench = Bench::new();
            Self {
                bench,
                expected: BTreeMap::new(),
                keys: Vec::new(),
                now: 0,
                sequence: 0,
                chance: 1,
            }
        }

        fn chance(&mut self) -> u64 {
            self.chance = self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            self.chance >> 33
        }

        fn next(&mut self, ahead: u64) -> Order {
            self.sequence += 1;
            (self.now + self.chance() % ahead, self.sequence)
        }

        fn set(&mut self, ahead: u64) {
            let order = self.next(ahead);
            let name = u32::try_from(order.1).unwrap();
            self.keys.push((self.bench.set(order.0, name), order));
            self.expected.insert(order, name);
        }

        fn cancel(&mut self) {
            if self.keys.is_empty() {
                return;
            }
            let at = self.chance() as usize % self.keys.len();
            let (key, order) = self.keys.swap_remove(at);
            assert_eq!(self.bench.timers.cancel(key), self.expected.remove(&order));
        }

        fn reset(&mut self, ahead: u64) {
            if self.keys.is_empty() {
                return;
            }
            let at = self.chance() as usize % self.keys.len();
            let (key, order) = self.keys[at];
            let next = self.next(ahead);
            let again = self.bench.timers.reset(key, self.bench.at(next.0));
            assert_eq!(again.is_some(), self.expected.contains_key(&order));
            if let Some(key) = again {
                let name = self.expected.remove(&order).unwrap();
                self.expected.insert(next, name);
                self.keys[at] = (key, next);
            } else {
                self.keys.swap_remove(at);
            }
        }

        fn set_or_reset_or_cancel(&mut self, ahead: u64) {
            match self.chance() % 16 {
                0..4 => self.set(ahead),
                4..7 => self.cancel(),
                _ => self.reset(ahead),
            }
            assert_eq!(self.bench.timers.len(), self.expected.len());
            let entries = self.bench.timers.agenda.len();
            assert!(entries <= self.expected.len() * 3 / 2 + 64, "{entries} entries");
        }

        /// Runs what is due a few milliseconds later; each timer does something, too.
        fn run(&mut self) {
            self.now += 1 + self.chance() % 20;
            let last = (self.now, self.sequence);
            let is_due = |order: &Order| order.0 <= last.0 && order.1 <= last.1;
            self.bench.timers.begin_run(self.bench.at(self.now));
            loop {
                let due = self.expected.keys().find(|order| is_due(order)).copied();
                let due = due.and_then(|order| self.expected.remove(&order));
                assert_eq!(self.bench.timers.pop_due(), due);
                if due.is_none() {
                    return;
                }
                self.set_or_reset_or_cancel(2);
                self.set_or_reset_or_cancel(500);
            }
        }

        fn look(&mut self) {
            let next = self.expected.keys().next().map(|order| self.bench.at(order.0));
            assert_eq!(self.bench.timers.next_deadline(), next);
        }
    }

    #[test]
    fn timers_run_in_order_whatever_is_set_reset_and_cancelled_meanwhile() {
        let mut model = Model::new();
        for round in 0..30_000 {
            // A lonely timer that is far ahead draws everything near.
            let ahead = if round % 5000 == 4999 { 100_000 } else { 400 };
            match model.chance() % 256 {
                0..16 => model.look(),
                16..24 => model.run(),
                24 => (0..100).for_each(|_| model.set(ahead)),
                25 => (0..500).for_each(|_| model.cancel()),
                _ => model.set_or_reset_or_cancel(ahead),
            }
        }
    }

    #[test]
    fn cancelled_timers_do_not_pile_up() {
        let mut bench = Bench::new();
        bench.set(1_000_000, 0);
        for runs in [false, true] {
            if runs {
                bench.timers.begin_run(bench.at(5000));
            }
            for round in 0..10_000 {
                let key = bench.set(1_000_000 + round, 1);
                if round % 2 == 0 {
                    bench.timers.reset(key, bench.at(round)).map(|key| bench.timers.cancel(key));
                }
                bench.timers.cancel(key);
                if round % 7 == 0 && !runs {
                    bench.timers.next_deadline();
                }
            }
            assert!(bench.timers.agenda.len() <= 70, "{} entries", bench.timers.agenda.len());
            assert!(bench.timers.values.len() <= 2);
        }
    }

    #[test]
    fn a_hundred_thousand_timers_that_are_reset_all_the_time() {
        let mut bench = Bench::new();
        let mut keys: Vec<TimerKey> =
            (0..100_000).map(|name| bench.set(u64::from(name), name)).collect();
        for (name, key) in keys.iter_mut().enumerate() {
            bench.timers.next_deadline();
            bench.timers.cancel(*key);
            *key = bench.set(200_000 - name as u64, u32::try_from(name).unwrap());
        }
        assert_eq!(bench.timers.len(), 100_000);
        let fired = bench.run(200_000);
        assert_eq!(fired.len(), 100_000);
        assert!(fired.windows(2).all(|pair| pair[0] > pair[1]));
    }
}
