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
    /// Off the agenda while the timers that are older than they are run.
    passed_over: Vec<Entry>,
    /// How many timers each slot has had; an entry of the agenda with another generation is dead.
    generations: Vec<u32>,
    /// What the timer in each slot runs.
    values: Vec<Place<T>>,
    free: Vec<u32>,
    live: usize,
    sequence: u64,
}

/// On one cache line, whatever the address of the first.
#[repr(align(32))]
struct Place<T>(Option<T>);

/// Whether the timer of an entry has neither run nor been cancelled.
#[inline]
fn is_live(generations: &[u32]) -> impl Fn(&Entry) -> bool {
    |entry| generations[entry.key.slot as usize] == entry.key.generation
}

impl<T> Timers<T> {
    /// No timers. Those to come are about `origin`: three centuries before or after it at most.
    pub(crate) fn new(origin: Instant) -> Self {
        Self {
            origin,
            agenda: Agenda::new(),
            passed_over: Vec::new(),
            generations: Vec::new(),
            values: Vec::new(),
            free: Vec::new(),
            live: 0,
            sequence: 0,
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
        self.sequence += 1;
        self.agenda.push(Entry { deadline, sequence: self.sequence, key });
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
        let living = self.live.saturating_sub(self.passed_over.len());
        self.agenda.clear_dead(living, is_live(&self.generations));
    }

    /// The deadline of the first live timer.
    pub(crate) fn next_deadline(&mut self) -> Option<Instant> {
        let nanos = self.first()?;
        let distance = Duration::from_nanos(nanos.unsigned_abs());
        Some(if nanos < 0 { self.origin - distance } else { self.origin + distance })
    }

    fn first(&mut self) -> Option<i64> {
        self.agenda.first(is_live(&self.generations)).map(|entry| entry.deadline)
    }

    /// Takes the first timer out that is due at `now` (a deadline that is exactly now is) and was set no later than the
    /// one with the sequence number `last`. Newer ones that are due are passed over until there is none left.
    pub(crate) fn pop_due(&mut self, now: Instant, last: u64) -> Option<T> {
        let now = self.nanos(now);
        while self.first().is_some_and(|deadline| deadline <= now) {
            let entry = self.agenda.pop()?;
            if entry.sequence <= last {
                return self.take(entry.key);
            }
            self.passed_over.push(entry);
        }
        for entry in self.passed_over.drain(..) {
            self.agenda.push(entry);
        }
        None
    }

    /// The sequence number of the last timer that was set.
    pub(crate) fn last_sequence(&self) -> u64 {
        self.sequence
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
        /// Those that are due, of the ones that were set no later than number `last`.
        fn due(&mut self, millis: u64, last: u64) -> Vec<u32> {
            let now = self.at(millis);
            std::iter::from_fn(|| self.timers.pop_due(now, last)).collect()
        }
        fn run(&mut self, millis: u64) -> Vec<u32> {
            self.due(millis, u64::MAX)
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
    fn a_newer_timer_is_passed_over_and_not_lost() {
        let mut bench = Bench::new();
        bench.set(10, 1);
        bench.set(20, 2);
        let last = bench.timers.last_sequence();
        bench.set(5, 3);
        assert_eq!(bench.due(100, last), [1, 2]);
        assert_eq!(bench.run(100), [3]);
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

    #[test]
    fn timers_run_in_order_whatever_is_set_reset_and_cancelled_meanwhile() {
        let mut bench = Bench::new();
        let mut expected = std::collections::BTreeMap::new();
        let (mut keys, mut chance, mut now) = (Vec::new(), 1_u64, 0);
        for round in 0..20_000_u32 {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let ahead = now + (chance >> 33) % 500;
            let order = (ahead, bench.timers.last_sequence() + 1);
            match (chance >> 60, keys.len()) {
                (0..3, _) | (_, 0) => {
                    keys.push((bench.set(ahead, round), order));
                    expected.insert(order, round);
                }
                (3..5, len) => {
                    let (key, order) = keys.swap_remove(chance as usize % len);
                    assert_eq!(bench.timers.cancel(key), expected.remove(&order));
                }
                (5..15, len) => {
                    let at = chance as usize % len;
                    let (key, before) = keys[at];
                    let reset = bench.timers.reset(key, bench.at(ahead));
                    assert_eq!(reset.is_some(), expected.contains_key(&before));
                    if let Some(key) = reset {
                        let name = expected.remove(&before).unwrap();
                        expected.insert(order, name);
                        keys[at] = (key, order);
                    }
                }
                _ => {
                    now += 20;
                    let later = expected.split_off(&(now, u64::MAX));
                    assert!(bench.run(now).into_iter().eq(expected.into_values()));
                    expected = later;
                    let next = expected.keys().next().map(|(millis, _)| bench.at(*millis));
                    assert_eq!(bench.timers.next_deadline(), next);
                }
            }
            assert_eq!(bench.timers.len(), expected.len());
        }
    }

    #[test]
    fn cancelled_timers_do_not_pile_up() {
        let mut bench = Bench::new();
        bench.set(1_000_000, 0);
        for round in 0..10_000 {
            let key = bench.set(1_000_000 + round, 1);
            if round % 2 == 0 {
                bench.timers.reset(key, bench.at(round)).map(|key| bench.timers.cancel(key));
            }
            bench.timers.cancel(key);
        }
        assert!(bench.timers.agenda.len() <= 130, "{} entries", bench.timers.agenda.len());
        assert!(bench.timers.values.len() <= 2);
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
