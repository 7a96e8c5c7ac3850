//! The agenda: what is due when, put in order no earlier than it has to be.
//!
//! Most timers never run: the time limit of a connection is put off with each message.
//! So those that are far ahead lie on a pile, in no order, and only the nearer ones are in a heap.
//! When that is empty, it takes the nearest quarter of the pile.
//!
//! ```text
//!   near, a heap    │ border │    far, a pile
//!   deadlines       │        │    deadlines
//!   up to the border│        │    beyond it
//! ```
//!
//! Cancelled entries stay where they are until they come up or outnumber the live ones.

use super::heap::Heap;

/// Below this many dead entries nothing is cleared away.
const CLEAR: usize = 64;

/// An entry. The order of its fields is the order in which timers run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    /// Nanoseconds from the origin on.
    pub(super) deadline: i64,
    pub(super) sequence: u64,
    pub(super) key: super::TimerKey,
}

pub(super) struct Agenda {
    near: Heap<Entry>,
    far: Vec<Entry>,
    /// The last deadline that belongs into the heap.
    border: i64,
}

impl Agenda {
    pub(super) const fn new() -> Self {
        Self { near: Heap::new(), far: Vec::new(), border: i64::MIN }
    }

    pub(super) fn len(&self) -> usize {
        self.near.len() + self.far.len()
    }

    #[inline]
    pub(super) fn push(&mut self, entry: Entry) {
        if entry.deadline <= self.border {
            self.near.push(entry);
        } else {
            self.far.push(entry);
        }
    }

    /// The first entry that is `live`; those before it are gone.
    #[inline]
    pub(super) fn first(&mut self, live: impl Fn(&Entry) -> bool) -> Option<Entry> {
        loop {
            while let Some(first) = self.near.first() {
                if live(first) {
                    return Some(*first);
                }
                self.near.pop();
            }
            if self.far.is_empty() {
                return None;
            }
            self.draw_near(&live);
        }
    }

    /// Takes the first entry out, which [`first`](Self::first) has found.
    pub(super) fn pop(&mut self) -> Option<Entry> {
        self.near.pop()
    }

    /// Clears the dead entries away if they are too many: more than the `living`.
    #[inline]
    pub(super) fn clear_dead(&mut self, living: usize, live: impl Fn(&Entry) -> bool) {
        let dead = self.len().saturating_sub(living);
        if dead > CLEAR && dead > living {
            self.clear(live);
        }
    }

    /// Everything goes onto the pile, where there is no order to keep.
    #[cold]
    fn clear(&mut self, live: impl Fn(&Entry) -> bool) {
        self.border = i64::MIN;
        self.near.move_to(&mut self.far);
        retain(&mut self.far, live);
    }

    /// Moves the nearest quarter of the pile into the heap, which is empty.
    #[cold]
    fn draw_near(&mut self, live: &impl Fn(&Entry) -> bool) {
        retain(&mut self.far, live);
        if self.far.is_empty() {
            self.border = i64::MIN;
            return;
        }
        let quarter = self.far.len() / 4;
        let (_, last, _) = self.far.select_nth_unstable_by_key(quarter, |entry| entry.deadline);
        let border = last.deadline;
        self.border = border;
        self.near.take_from(&mut self.far, |entry| entry.deadline <= border);
    }
}

/// `Vec::retain`, without a branch for each: dead and live ones follow each other as chance has it.
fn retain(entries: &mut Vec<Entry>, live: impl Fn(&Entry) -> bool) {
    let mut kept = 0;
    for at in 0..entries.len() {
        let entry = entries[at];
        entries[kept] = entry;
        kept += usize::from(live(&entry));
    }
    entries.truncate(kept);
}
