//! Jobs in numbered places.
//!
//! There may be a hundred thousand of them, taken out in no order, and what that costs is the cache lines that are read.
//! So kind and first word lie apart from the other words, which most jobs do not have.

use std::marker::PhantomData;

use super::{Job, Kind, Word};
use crate::timers::{FEW, Places};

/// Jobs, each in its place.
pub(crate) struct Shelf {
    heads: Vec<Option<Head>>,
    /// What jobs of more than one word have besides; as long as the last of them needs.
    tails: Vec<Tail>,
}

#[derive(Clone, Copy)]
struct Head {
    kind: &'static Kind,
    first: Word,
}

type Tail = [Word; 2];

const NO_TAIL: Tail = [Word::uninit(); 2];

impl Default for Shelf {
    fn default() -> Self {
        Self { heads: Vec::with_capacity(FEW), tails: Vec::with_capacity(FEW) }
    }
}

impl Places for Shelf {
    type Value = Job;

    #[inline]
    fn put(&mut self, place: usize, job: Job) {
        let (kind, [first, tail @ ..]) = job.into_parts();
        if place >= self.heads.len() {
            self.heads.resize(place + 1, None);
        }
        debug_assert!(self.heads[place].is_none(), "a job would be forgotten");
        self.heads[place] = Some(Head { kind, first });
        if kind.words > 1 {
            if place >= self.tails.len() {
                self.tails.resize(place + 1, NO_TAIL);
            }
            self.tails[place] = tail;
        }
    }

    #[inline]
    fn take(&mut self, place: usize) -> Option<Job> {
        let Head { kind, first } = self.heads.get_mut(place)?.take()?;
        let [second, third] = if kind.words > 1 { self.tails[place] } else { NO_TAIL };
        // The words went in with this kind, and are not taken out again.
        Some(Job { kind, data: [first, second, third], _bound: PhantomData })
    }
}

impl Shelf {
    /// Takes a job out, whichever; `None` when there is none.
    pub(crate) fn pop(&mut self) -> Option<Job> {
        while let Some(last) = self.heads.len().checked_sub(1) {
            let job = self.take(last);
            self.heads.truncate(last);
            if job.is_some() {
                return job;
            }
        }
        None
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        while let Some(job) = self.pop() {
            drop(job);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EventLoop;
    use crate::job::Timed;
    use std::cell::RefCell;
    use std::rc::Rc;

    fn job(run: impl FnOnce() + 'static) -> Job {
        Job::new(Timed(run))
    }

    #[test]
    fn jobs_of_all_sizes_come_out_as_they_went_in() {
        let ev = EventLoop::new().unwrap();
        let seen = Rc::new(RefCell::new(Vec::new()));
        let mut shelf = Shelf::default();
        // Each place holds jobs of all sizes one after the other.
        for round in 0..5 {
            for place in 0..50_usize {
                let (seen, ballast) = (Rc::clone(&seen), [place; 4]);
                let [n, m, ..] = ballast;
                shelf.put(
                    place,
                    match (place + round) % 5 {
                        0 => job(|| ()),
                        1 => job(move || seen.borrow_mut().push(0)),
                        2 => job(move || seen.borrow_mut().push(n)),
                        3 => job(move || seen.borrow_mut().extend([n, m])),
                        _ => job(move || seen.borrow_mut().extend(ballast)),
                    },
                );
            }
            for place in (0..50).rev() {
                shelf.take(place).unwrap().run(&ev);
                assert!(shelf.take(place).is_none(), "it was taken out");
                let expected = match (place + round) % 5 {
                    0 => vec![],
                    1 => vec![0],
                    2 => vec![place],
                    3 => vec![place; 2],
                    _ => vec![place; 4],
                };
                assert_eq!(seen.take(), expected);
            }
        }
        assert!(shelf.take(50).is_none(), "there is no such place");
    }

    #[test]
    fn jobs_that_nobody_takes_are_dropped_once_each() {
        let token = Rc::new(());
        let mut shelf = Shelf::default();
        for place in [0, 1, 3] {
            let token = Rc::clone(&token);
            shelf.put(place, job(move || drop(token)));
        }
        drop(shelf.take(1));
        assert_eq!(Rc::strong_count(&token), 3);
        drop(shelf.pop());
        assert_eq!(Rc::strong_count(&token), 2);
        drop(shelf);
        assert_eq!(Rc::strong_count(&token), 1);
    }
}
