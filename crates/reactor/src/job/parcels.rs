//! Jobs between threads: one of them, and many in a row.
//!
//! A message is written by one processor and read by another, and what it costs is the cache lines that move between the
//! two. So in a row a job takes a word for its kind, and no more words than its value has.

use std::marker::PhantomData;

use super::{Data, Job, Kind, Run, Word};

/// A job that came from another thread, or goes to one.
#[derive(Debug)]
pub(crate) struct Parcel(Job);

// SAFETY: a parcel is only made of what is `Send`.
unsafe impl Send for Parcel {}

impl Parcel {
    #[inline]
    pub(crate) fn new<R: Run + Send>(run: R) -> Self {
        Self(Job::new(run))
    }
}

impl From<Parcel> for Job {
    #[inline]
    fn from(parcel: Parcel) -> Self {
        parcel.0
    }
}

/// Parcels in a row, to be taken out by way of [`Incoming`].
#[derive(Default)]
pub(crate) struct Parcels {
    kinds: Vec<&'static Kind>,
    /// The values of the parcels behind each other.
    words: Vec<Word>,
}

// SAFETY: the words are those of parcels, which are `Send`.
unsafe impl Send for Parcels {}

impl Parcels {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    #[inline]
    pub(crate) fn push(&mut self, parcel: Parcel) {
        let (kind, data) = parcel.0.into_parts();
        self.kinds.push(kind);
        data.iter().take(kind.words).for_each(|word| self.words.push(*word));
    }
}

impl Drop for Parcels {
    fn drop(&mut self) {
        if !self.is_empty() {
            drop(Incoming::from(std::mem::take(self)));
        }
    }
}

/// Parcels that are being taken out, first in, first out. What was taken out stays in the row until all were, as mere
/// bits.
#[derive(Default)]
pub(crate) struct Incoming {
    parcels: Parcels,
    /// How many of each have been taken out.
    kinds_taken: usize,
    words_taken: usize,
}

impl From<Parcels> for Incoming {
    fn from(parcels: Parcels) -> Self {
        Self { parcels, kinds_taken: 0, words_taken: 0 }
    }
}

impl Incoming {
    /// Where to put the parcels that come next; none while there are some from before.
    #[inline]
    pub(crate) fn room(&mut self) -> Option<&mut Parcels> {
        self.parcels.is_empty().then_some(&mut self.parcels)
    }

    /// Takes one out. With `None` the row is empty, for the next.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Parcel> {
        let Some(kind) = self.parcels.kinds.get(self.kinds_taken).copied() else {
            self.rewind();
            return None;
        };
        let words = &self.parcels.words[self.words_taken..];
        let word = |n| if n < kind.words { words[n] } else { Word::uninit() };
        let data: Data = [word(0), word(1), word(2)];
        self.kinds_taken += 1;
        self.words_taken += kind.words;
        // The words went in with this kind, and are not taken out again.
        Some(Parcel(Job { kind, data, _bound: PhantomData }))
    }

    fn rewind(&mut self) {
        self.parcels.kinds.clear();
        self.parcels.words.clear();
        self.kinds_taken = 0;
        self.words_taken = 0;
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        /// Goes on with the rest when dropping one of them panics.
        struct Rest<'a>(&'a mut Incoming);
        impl Drop for Rest<'_> {
            fn drop(&mut self) {
                while self.0.pop().is_some() {}
            }
        }
        let rest = Rest(self);
        while rest.0.pop().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Post;
    use crate::{EventLoop, LoopHandle};
    use std::sync::{Arc, Mutex};

    fn post(run: impl FnOnce(&LoopHandle) + Send + 'static) -> Parcel {
        Parcel::new(Post(run))
    }

    #[test]
    fn parcels_of_all_sizes_come_out_as_they_went_in() {
        let ev = EventLoop::new().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut incoming = Incoming::default();
        // More than once, because the place of those that were taken is used again.
        for _ in 0..3 {
            let parcels = incoming.room().unwrap();
            for n in 0..50_usize {
                let (two, three, five) = (Arc::clone(&seen), Arc::clone(&seen), Arc::clone(&seen));
                let ballast = [n; 4];
                parcels.push(post(|_| ()));
                parcels.push(post(move |_| two.lock().unwrap().push(0)));
                parcels.push(post(move |_| three.lock().unwrap().push(n)));
                parcels.push(post(move |_| five.lock().unwrap().extend(ballast)));
            }
            while let Some(parcel) = incoming.pop() {
                assert!(incoming.room().is_none(), "no room before all are out");
                Job::from(parcel).run(&ev);
            }
            let expected = (0..50).flat_map(|n| [0, n, n, n, n, n]).collect::<Vec<_>>();
            assert_eq!(std::mem::take(&mut *seen.lock().unwrap()), expected);
        }
    }

    #[test]
    fn parcels_that_nobody_takes_are_dropped_once_each() {
        let token = Arc::new(());
        let mut parcels = Parcels::default();
        for _ in 0..4 {
            let token = Arc::clone(&token);
            parcels.push(post(move |_| drop(token)));
        }
        let mut incoming = Incoming::from(parcels);
        drop(incoming.pop());
        assert_eq!(Arc::strong_count(&token), 4);
        drop(incoming);
        assert_eq!(Arc::strong_count(&token), 1);

        let mut parcels = Parcels::default();
        let held = Arc::clone(&token);
        parcels.push(post(move |_| drop(held)));
        drop(parcels);
        assert_eq!(Arc::strong_count(&token), 1);
    }
}
