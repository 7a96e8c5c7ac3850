//! When transports were made: marks of number and time, from which the age of any of them is told.
//!
//! Numbers are given in order, so a transport needs no word for its age: it is no older than the last mark before its
//! number says.
//! Where marks are close together next to how long ago they are, some are let go; so they stay few, however long the loop
//! runs, and an age is told to a sixteenth of itself, or to a tenth of a second.

use std::time::{Duration, Instant};

use wharf_core::TransportId;

/// Marks are no closer than this: nobody reads ages more exactly on a page for people.
const GRAIN: Duration = Duration::from_millis(100);

/// How many marks there are when some are let go. Twice what is left then even after ten years of connections, see the
/// test.
const MOST: usize = 1024;

/// A gap between two marks is no longer than this part of their age.
const PRECISION: u32 = 16;

/// From this number on, until the next mark, transports were made at this time or soon after.
#[derive(Debug, Clone, Copy)]
struct Mark {
    first: u64,
    at: Instant,
}

#[derive(Debug)]
pub(crate) struct Ages {
    marks: Vec<Mark>,
    /// When the next mark is due, once there is one: all that most transports are asked.
    due: Option<Instant>,
}

impl Default for Ages {
    fn default() -> Self {
        // All that there will ever be, so that it lies where the loop does: what grows among connections stays behind
        // when they go, and keeps the allocator from giving up what lies before it. What is not used costs no memory.
        Self { marks: Vec::with_capacity(MOST), due: None }
    }
}

impl Ages {
    /// A transport was given this number.
    #[inline]
    pub(crate) fn made(&mut self, id: u64, now: Instant) {
        if self.due.is_none_or(|due| now >= due) {
            self.mark(id, now);
        }
    }

    #[cold]
    fn mark(&mut self, first: u64, at: Instant) {
        if self.marks.len() >= MOST {
            self.thin_out(at);
        }
        self.marks.push(Mark { first, at });
        self.due = Some(at + GRAIN);
    }

    /// Lets each mark go without which its neighbours are still close enough.
    fn thin_out(&mut self, now: Instant) {
        let mut kept: usize = 0;
        for place in 0..self.marks.len() {
            let before = kept.checked_sub(1).map(|last| self.marks[last]);
            if let (Some(before), Some(after)) = (before, self.marks.get(place + 1)) {
                let gap = after.at.saturating_duration_since(before.at);
                if gap <= now.saturating_duration_since(after.at) / PRECISION {
                    continue;
                }
            }
            self.marks[kept] = self.marks[place];
            kept += 1;
        }
        self.marks.truncate(kept);
    }

    /// How old the transport with this number is.
    pub(crate) fn age(&self, id: TransportId, now: Instant) -> Duration {
        let later = self.marks.partition_point(|mark| mark.first <= id.get());
        let mark = later.checked_sub(1).and_then(|place| self.marks.get(place));
        mark.map_or(Duration::ZERO, |mark| now.saturating_duration_since(mark.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_core::Clock;
    use wharf_core::memory::ManualClock;

    #[test]
    fn ten_years_of_connections_are_a_few_hundred_marks_and_ages_stay_true() {
        let clock = ManualClock::new();
        let begin = clock.now();
        let mut ages = Ages::default();
        let mut births = Vec::new();
        let mut most = 0;
        // Ever rarer, so that ten years take few steps; the first hour is as busy as it can be.
        let mut step = GRAIN;
        while clock.now() - begin < Duration::from_secs(10 * 365 * 24 * 60 * 60) {
            let id = births.len() as u64;
            ages.made(id, clock.now());
            births.push(clock.now());
            most = most.max(ages.marks.len());
            clock.advance(step);
            if clock.now() - begin > Duration::from_secs(3600) {
                step += step / 1000;
            }
        }
        assert!(most <= MOST, "{most}");
        let now = clock.now();
        ages.thin_out(now);
        assert!(ages.marks.len() <= MOST / 2, "{}", ages.marks.len());
        for (id, birth) in births.iter().enumerate() {
            let (told, age) = (ages.age(TransportId::new(id as u64), now), now - *birth);
            assert!(told >= age && told - age <= GRAIN.max(age / PRECISION), "{told:?} {age:?}");
        }
    }

    #[test]
    fn a_mark_dates_whatever_is_made_within_a_tenth_of_a_second() {
        let clock = ManualClock::new();
        let mut ages = Ages::default();
        let marks = [0, 99, 1, 0, 100].map(|millis| {
            clock.advance(Duration::from_millis(millis));
            ages.made(0, clock.now());
            ages.marks.len()
        });
        assert_eq!(marks, [1, 1, 2, 2, 3]);
    }

    #[test]
    fn a_number_that_nobody_has_is_new() {
        let clock = ManualClock::new();
        let mut ages = Ages::default();
        assert_eq!(ages.age(TransportId::new(1), clock.now()), Duration::ZERO);
        ages.made(5, clock.now());
        clock.advance(Duration::from_secs(1));
        assert_eq!(ages.age(TransportId::new(4), clock.now()), Duration::ZERO);
        assert_eq!(ages.age(TransportId::new(9), clock.now()), Duration::from_secs(1));
    }
}
