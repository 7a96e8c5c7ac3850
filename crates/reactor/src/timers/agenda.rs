//! The agenda: what is due when, put in order no earlier than it has to be.
//!
//! Most timers never run: the time limit of a connection is put off with each message.
//! So those that are far ahead lie on a pile, in the order in which they were set, and only the nearer ones are in a
//! heap. When that is empty, it takes the nearest quarter of the pile.
//!
//! ```text
//!   near, a heap    │ border │    far, a pile      ║ late
//!   deadlines       │        │    deadlines        ║ set since the last run began,
//!   up to the border│        │    beyond it        ║ and due by then
//! ```
//!
//! Cancelled entries stay where they are until they come up, or until there are half as many of them as of live ones.
//! An entry is small, and a pile that is let grow no further stays in the processor's cache.

use super::heap::Heap;
use super::{FEW, TimerKey};

/// Below this many dead entries nothing is cleared away.
const CLEAR: usize = 64;

/// A deadline, and whose it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// Nanoseconds from the origin on; more than the least number.
    pub(super) deadline: i64,
    pub(super) key: TimerKey,
}

/// An entry of the heap. The order of its fields is the order in which timers run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Near {
    deadline: i64,
    /// On the pile its place says this.
    sequence: u64,
    key: TimerKey,
}

pub(super) struct Agenda {
    near: Heap<Near>,
    /// How many entries have come to the heap.
    sequence: u64,
    far: Vec<Entry>,
    /// The last deadline that belongs into the heap.
    border: i64,
    /// They wait until the run is over.
    late: Vec<Entry>,
    /// The last deadline that is due in the run.
    due: i64,
}

impl Default for Agenda {
    fn default() -> Self {
        Self {
            near: Heap::with_capacity(FEW),
            sequence: 0,
            far: Vec::with_capacity(FEW),
            border: i64::MIN,
            late: Vec::new(),
            due: i64::MIN,
        }
    }
}

impl Agenda {
    pub(super) fn len(&self) -> usize {
        self.near.len() + self.far.len() + self.late.len()
    }

    /// Puts an entry behind those that are there.
    #[inline]
    pub(super) fn push(&mut self, entry: Entry) {
        if entry.deadline <= self.due {
            self.late.push(entry);
        } else if entry.deadline <= self.border {
            self.sequence += 1;
            self.near.push(Near::new(entry, self.sequence));
        } else {
            self.far.push(entry);
        }
    }

    /// Begins a run of what is due at `due`: what is pushed from now on, and is due then, is late.
    pub(super) fn begin_run(&mut self, due: i64) {
        self.end_run();
        self.due = due;
    }

    /// What was late is so no longer.
    #[inline]
    pub(super) fn end_run(&mut self) {
        self.due = i64::MIN;
        if !self.late.is_empty() {
            self.admit_late();
        }
    }

    #[cold]
    fn admit_late(&mut self) {
        for entry in std::mem::take(&mut self.late) {
            self.push(entry);
        }
    }

    /// Takes out the first entry that is `live`, due in this run and not late.
    pub(super) fn pop_due(&mut self, live: impl Fn(&TimerKey) -> bool) -> Option<TimerKey> {
        let deadline = self.first(live)?;
        if deadline > self.due {
            return None;
        }
        self.near.pop().map(|entry| entry.key)
    }

    /// The deadline of the first entry that is `live`, late ones left out; those before it are gone.
    #[inline]
    pub(super) fn first(&mut self, live: impl Fn(&TimerKey) -> bool) -> Option<i64> {
        loop {
            while let Some(first) = self.near.first() {
                if live(&first.key) {
                    return Some(first.deadline);
                }
                self.near.pop();
            }
            if self.far.is_empty() {
                return None;
            }
            self.draw_near(&live);
        }
    }

    /// Clears the dead entries away if they are too many for so many `living` ones.
    #[inline]
    pub(super) fn clear_dead(&mut self, living: usize, live: impl Fn(&TimerKey) -> bool) {
        let dead = self.len() - living;
        if dead > CLEAR && 2 * dead > living {
            self.clear(live);
        }
    }

    #[cold]
    fn clear(&mut self, live: impl Fn(&TimerKey) -> bool) {
        retain(&mut self.late, |entry| live(&entry.key));
        retain(&mut self.far, |entry| live(&entry.key));
        self.near.retain(|entry| live(&entry.key));
        if self.near.len() > self.far.len() {
            self.move_far();
        }
    }

    /// Moves the heap to the pile: most of what it has is not near.
    fn move_far(&mut self) {
        let mut entries = self.near.take();
        entries.sort_unstable_by_key(|entry| entry.sequence);
        // No deadline of theirs is one of the pile's, so it does not matter who lies first.
        self.far.extend(entries.into_iter().map(Near::entry));
        self.border = i64::MIN;
    }

    /// Moves the nearest quarter of the pile into the heap, which is empty.
    #[cold]
    fn draw_near(&mut self, live: impl Fn(&TimerKey) -> bool) {
        retain(&mut self.far, |entry| live(&entry.key));
        let border = nearest_quarter(&self.far);
        let near = self.far.iter().filter(|entry| entry.deadline <= border);
        let near =
            near.zip(self.sequence + 1..).map(|(entry, sequence)| Near::new(*entry, sequence));
        self.near.fill(near);
        self.sequence += self.near.len() as u64;
        retain(&mut self.far, |entry| entry.deadline > border);
        self.border = border;
    }
}

impl Near {
    #[inline]
    fn new(Entry { deadline, key }: Entry, sequence: u64) -> Self {
        Self { deadline, sequence, key }
    }

    fn entry(self) -> Entry {
        Entry { deadline: self.deadline, key: self.key }
    }
}

/// The deadline up to which a quarter of the entries are due, or more where deadlines are equal; of none, the least.
fn nearest_quarter(entries: &[Entry]) -> i64 {
    let mut deadlines: Vec<i64> = entries.iter().map(|entry| entry.deadline).collect();
    if deadlines.is_empty() {
        return i64::MIN;
    }
    let quarter = deadlines.len() / 4;
    *deadlines.select_nth_unstable(quarter).1
}

/// `Vec::retain`, without a branch for each: dead and live ones follow each other as chance has it.
fn retain(entries: &mut Vec<Entry>, kept: impl Fn(&Entry) -> bool) {
    let mut len = 0;
    for at in 0..entries.len() {
        let entry = entries[at];
        entries[len] = entry;
        len += usize::from(kept(&entry));
    }
    entries.truncate(len);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_far_ahead_does_not_draw_the_others_into_the_heap_for_ever() {
        let mut agenda = Agenda::default();
        let entry =
            |deadline, generation| Entry { deadline, key: TimerKey { slot: 0, generation } };
        agenda.push(entry(1_000_000, 0));
        assert_eq!(agenda.first(|_| true), Some(1_000_000));
        for (generation, deadline) in (1..=1000).zip(1..) {
            let live = |key: &TimerKey| key.generation == 0 || key.generation + 100 > generation;
            agenda.push(entry(deadline, generation));
            agenda.clear_dead(1 + generation.min(100) as usize, live);
        }
        assert!(agenda.far.len() > agenda.near.len(), "{} are near", agenda.near.len());
    }
}
