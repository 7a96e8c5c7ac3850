//! Timers: deadlines on an [agenda](agenda), ties in the order of insertion, and what each timer runs.
//!
//! A deadline is a number of nanoseconds, more than the least one.
//!
//! The deadlines, what says whether an entry of the agenda is still meant, and what a timer runs lie apart, because the
//! first two are read all the time and the last once. With a hundred thousand timers what an operation costs is the cache
//! lines that it misses, and how many it misses is a matter of how small all this is.

mod agenda;
mod heap;

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

/// What timers run, each in the place that its slot is the number of.
pub(crate) trait Places: Default {
    type Value;

    /// Puts a value into a place that is empty.
    fn put(&mut self, place: usize, value: Self::Value);

    /// Empties a place.
    fn take(&mut self, place: usize) -> Option<Self::Value>;
}

/// So many have room from the beginning, so that it lies where the loop does: what grows among connections stays behind when
/// they go, and keeps the allocator from giving up what lies before it.
pub(crate) const FEW: usize = 4;

/// The timers of a loop, each with what it runs.
pub(crate) struct Timers<P> {
    agenda: Agenda,
    /// How many timers each slot has had; an entry of the agenda with another generation is dead.
    generations: Vec<u32>,
    values: P,
    free: Vec<u32>,
    live: usize,
}

impl<P: Places> Default for Timers<P> {
    fn default() -> Self {
        Self {
            agenda: Agenda::default(),
            generations: Vec::with_capacity(FEW),
            values: P::default(),
            free: Vec::with_capacity(FEW),
            live: 0,
        }
    }
}

/// Whether a timer has neither run nor been cancelled nor been reset.
#[inline]
fn is_live(generations: &[u32]) -> impl Fn(&TimerKey) -> bool {
    |key| generations[key.slot as usize] == key.generation
}

impl<P: Places> Timers<P> {
    #[inline]
    pub(crate) fn insert(&mut self, deadline: i64, value: P::Value) -> TimerKey {
        let slot = self.free.pop().unwrap_or_else(|| self.grow());
        self.values.put(slot as usize, value);
        self.live += 1;
        let key = TimerKey { slot, generation: self.generations[slot as usize] };
        self.agenda.push(Entry { deadline, key });
        key
    }

    /// Gives a timer another deadline, as if it were set anew, under another key; `None` if it has run or was cancelled.
    /// What it runs is not looked at.
    #[inline]
    pub(crate) fn reset(&mut self, key: TimerKey, deadline: i64) -> Option<TimerKey> {
        let generation = self.generations.get_mut(key.slot as usize)?;
        if *generation != key.generation {
            return None;
        }
        *generation = generation.wrapping_add(1);
        let key = TimerKey { slot: key.slot, generation: *generation };
        self.agenda.push(Entry { deadline, key });
        self.clear_dead();
        Some(key)
    }

    #[cold]
    fn grow(&mut self) -> u32 {
        let slot =
            u32::try_from(self.generations.len()).ok().filter(|slot| *slot != TimerKey::DEAD.slot);
        self.generations.push(0);
        slot.expect("fewer timers than that")
    }

    /// Takes a timer back; gives what it would have run, to be dropped outside of any borrow.
    #[inline]
    pub(crate) fn cancel(&mut self, key: TimerKey) -> Option<P::Value> {
        let value = self.take(key);
        self.clear_dead();
        value
    }

    #[inline]
    fn clear_dead(&mut self) {
        self.agenda.clear_dead(self.live, is_live(&self.generations));
    }

    /// The deadline of the first live timer. The last run is over, also one that a panic has cut short.
    pub(crate) fn next_deadline(&mut self) -> Option<i64> {
        self.agenda.end_run();
        self.agenda.first(is_live(&self.generations))
    }

    /// Begins a run of the timers that are due at `now`; a deadline that is exactly now is.
    pub(crate) fn begin_run(&mut self, now: i64) {
        self.agenda.begin_run(now);
    }

    /// Takes out the first timer that is due in this run, and was not set since the run has begun.
    pub(crate) fn pop_due(&mut self) -> Option<P::Value> {
        let key = self.agenda.pop_due(is_live(&self.generations))?;
        self.take(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// What never ran, in its places.
    pub(crate) fn into_places(self) -> P {
        self.values
    }

    #[inline]
    fn take(&mut self, key: TimerKey) -> Option<P::Value> {
        let generation = self.generations.get_mut(key.slot as usize)?;
        if *generation != key.generation {
            return None;
        }
        *generation = generation.wrapping_add(1);
        self.free.push(key.slot);
        self.live -= 1;
        self.values.take(key.slot as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Default)]
    struct Names(Vec<Option<u32>>);

    impl Places for Names {
        type Value = u32;

        fn put(&mut self, place: usize, value: u32) {
            if place == self.0.len() {
                self.0.push(None);
            }
            assert_eq!(self.0[place].replace(value), None);
        }

        fn take(&mut self, place: usize) -> Option<u32> {
            self.0[place].take()
        }
    }

    fn run(timers: &mut Timers<Names>, now: i64) -> Vec<u32> {
        timers.begin_run(now);
        std::iter::from_fn(|| timers.pop_due()).collect()
    }

    #[test]
    fn deadlines_come_in_order_and_ties_in_the_order_of_insertion() {
        let mut timers = Timers::<Names>::default();
        for (millis, name) in [(30, 1), (10, 2), (20, 3), (10, 4), (10, 5)] {
            timers.insert(millis, name);
        }
        assert_eq!(run(&mut timers, 9), []);
        assert_eq!(run(&mut timers, 10), [2, 4, 5]);
        assert_eq!(run(&mut timers, 100), [3, 1]);
    }

    #[test]
    fn deadlines_before_the_origin_keep_their_order() {
        let mut timers = Timers::<Names>::default();
        for (before, name) in [(1, 1), (3, 2), (2, 3)] {
            timers.insert(-before, name);
        }
        assert_eq!(timers.next_deadline(), Some(-3));
        assert_eq!(run(&mut timers, 0), [2, 3, 1]);
    }

    #[test]
    fn what_is_set_while_timers_run_waits_and_is_not_lost() {
        let mut timers = Timers::<Names>::default();
        timers.insert(10, 1);
        let reset = timers.insert(20, 2);
        timers.begin_run(100);
        assert_eq!(timers.pop_due(), Some(1));
        timers.insert(5, 3);
        timers.reset(reset, 100);
        timers.insert(101, 4);
        assert_eq!(timers.pop_due(), None);
        assert_eq!(timers.next_deadline(), Some(5));
        assert_eq!(run(&mut timers, 100), [3, 2]);
        assert_eq!(run(&mut timers, 101), [4]);
    }

    #[test]
    fn a_run_that_is_cut_short_is_over() {
        let mut timers = Timers::<Names>::default();
        timers.insert(10, 1);
        timers.insert(20, 2);
        timers.begin_run(100);
        assert_eq!(timers.pop_due(), Some(1));
        timers.insert(5, 3);
        assert_eq!(timers.next_deadline(), Some(5));
        timers.insert(4, 4);
        assert_eq!(run(&mut timers, 100), [4, 3, 2]);

        timers.insert(10, 5);
        timers.insert(10, 6);
        timers.begin_run(100);
        assert_eq!(timers.pop_due(), Some(5));
        timers.insert(10, 7);
        assert_eq!(run(&mut timers, 100), [6, 7]);
    }

    #[test]
    fn a_cancelled_timer_never_runs_and_its_key_is_dead() {
        let mut timers = Timers::<Names>::default();
        let first = timers.insert(10, 1);
        assert_eq!(timers.cancel(first), Some(1));
        assert_eq!(timers.cancel(first), None);
        timers.insert(10, 2);
        assert_eq!(timers.cancel(first), None, "the slot has another timer now");
        assert_eq!(run(&mut timers, 10), [2]);
        assert_eq!(timers.len(), 0);
    }

    #[test]
    fn a_timer_that_is_reset_runs_once_at_its_last_deadline_and_behind_its_equals() {
        let mut timers = Timers::<Names>::default();
        let first = timers.insert(10, 1);
        timers.insert(20, 2);
        let again = timers.reset(first, 20).unwrap();
        assert_eq!(timers.reset(first, 5), None, "the key is another one");
        assert_eq!(timers.len(), 2);
        assert_eq!(run(&mut timers, 19), []);
        assert_eq!(run(&mut timers, 20), [2, 1]);
        assert_eq!(timers.reset(again, 30), None, "it has run");
        assert_eq!(timers.cancel(again), None);
    }

    /// Timers, and what they are to do: all that is live, in the order in which it is to run.
    struct Model {
        timers: Timers<Names>,
        expected: BTreeMap<Order, u32>,
        keys: Vec<(TimerKey, Order)>,
        now: i64,
        sequence: u32,
        chance: u64,
    }

    /// Deadline and number.
    type Order = (i64, u32);

    impl Model {
        fn new() -> Self {
            Self {
                timers: Timers::<Names>::default(),
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

        fn next(&mut self, ahead: i64) -> Order {
            self.sequence += 1;
            (self.now + self.chance() as i64 % ahead, self.sequence)
        }

        fn set(&mut self, ahead: i64) {
            let order = self.next(ahead);
            self.keys.push((self.timers.insert(order.0, order.1), order));
            self.expected.insert(order, order.1);
        }

        fn cancel(&mut self) {
            if self.keys.is_empty() {
                return;
            }
            let at = self.chance() as usize % self.keys.len();
            let (key, order) = self.keys.swap_remove(at);
            assert_eq!(self.timers.cancel(key), self.expected.remove(&order));
        }

        fn reset(&mut self, ahead: i64) {
            if self.keys.is_empty() {
                return;
            }
            let at = self.chance() as usize % self.keys.len();
            let (key, order) = self.keys[at];
            let next = self.next(ahead);
            let again = self.timers.reset(key, next.0);
            assert_eq!(again.is_some(), self.expected.contains_key(&order));
            if let Some(key) = again {
                let name = self.expected.remove(&order).unwrap();
                self.expected.insert(next, name);
                self.keys[at] = (key, next);
            } else {
                self.keys.swap_remove(at);
            }
        }

        fn set_or_reset_or_cancel(&mut self, ahead: i64) {
            match self.chance() % 16 {
                0..4 => self.set(ahead),
                4..7 => self.cancel(),
                _ => self.reset(ahead),
            }
            assert_eq!(self.timers.len(), self.expected.len());
            let entries = self.timers.agenda.len();
            assert!(entries <= self.expected.len() * 3 / 2 + 64, "{entries} entries");
        }

        /// Runs what is due a few milliseconds later; each timer does something, too.
        fn run(&mut self) {
            self.now += 1 + self.chance() as i64 % 20;
            let last = (self.now, self.sequence);
            let is_due = |order: &Order| order.0 <= last.0 && order.1 <= last.1;
            self.timers.begin_run(self.now);
            loop {
                let due = self.expected.keys().find(|order| is_due(order)).copied();
                let due = due.and_then(|order| self.expected.remove(&order));
                assert_eq!(self.timers.pop_due(), due);
                if due.is_none() {
                    return;
                }
                self.set_or_reset_or_cancel(2);
                self.set_or_reset_or_cancel(500);
            }
        }

        fn look(&mut self) {
            let next = self.expected.keys().next().map(|order| order.0);
            assert_eq!(self.timers.next_deadline(), next);
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
        let mut timers = Timers::<Names>::default();
        timers.insert(1_000_000, 0);
        for runs in [false, true] {
            if runs {
                timers.begin_run(5000);
            }
            for round in 0..10_000 {
                let key = timers.insert(1_000_000 + round, 1);
                if round % 2 == 0 {
                    timers.reset(key, round).map(|key| timers.cancel(key));
                }
                timers.cancel(key);
                if round % 7 == 0 && !runs {
                    timers.next_deadline();
                }
            }
            assert!(timers.agenda.len() <= 70, "{} entries", timers.agenda.len());
            assert!(timers.values.0.len() <= 2);
        }
    }

    #[test]
    fn cancelled_timers_do_not_stay_in_the_heap() {
        let mut timers = Timers::<Names>::default();
        let keys: Vec<TimerKey> =
            (0..1000).map(|name| timers.insert(i64::from(name), name)).collect();
        timers.next_deadline();
        for key in keys {
            timers.cancel(key);
            let entries = timers.agenda.len();
            assert!(entries <= timers.len() * 3 / 2 + 64, "{entries} entries");
        }
    }

    #[test]
    fn a_hundred_thousand_timers_that_are_reset_all_the_time() {
        let mut timers = Timers::<Names>::default();
        let mut keys: Vec<TimerKey> =
            (0..100_000).map(|name| timers.insert(i64::from(name), name)).collect();
        for (name, key) in keys.iter_mut().enumerate() {
            timers.next_deadline();
            timers.cancel(*key);
            *key = timers.insert(200_000 - name as i64, u32::try_from(name).unwrap());
        }
        assert_eq!(timers.len(), 100_000);
        let fired = run(&mut timers, 200_000);
        assert_eq!(fired.len(), 100_000);
        assert!(fired.windows(2).all(|pair| pair[0] > pair[1]));
    }
}
