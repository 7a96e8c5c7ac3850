//! Keys, values, and when they expire.
//!
//! Time is told by the caller, who asks the loop.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::time::{Duration, Instant};

type Key = Rc<[u8]>;

#[derive(Debug)]
struct Entry {
    value: Vec<u8>,
    expires: Option<Instant>,
}

#[derive(Debug, Default)]
pub(crate) struct Store {
    entries: HashMap<Key, Entry>,
    /// The keys that expire, the next one first.
    expiries: BTreeSet<(Instant, Key)>,
}

impl Store {
    /// Drops what has expired by `now`.
    pub(crate) fn expire(&mut self, now: Instant) {
        while self.expiries.first().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, key)) = self.expiries.pop_first() {
                self.entries.remove(&key);
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.entries.get(key).map(|entry| &entry.value[..])
    }

    /// Sets a value that does not expire.
    pub(crate) fn set(&mut self, key: &[u8], value: &[u8]) {
        if self.entries.get(key).is_some_and(|entry| entry.expires.is_some()) {
            self.remove(key);
        }
        self.replace(key, value);
    }

    /// Puts another value in the place of one that is there; when it expires stays the same.
    pub(crate) fn replace(&mut self, key: &[u8], value: &[u8]) {
        match self.entries.get_mut(key) {
            // The space of the old one serves again, unless it is far too large.
            Some(entry) if entry.value.capacity() / 2 <= value.len().max(64) => {
                entry.value.clear();
                entry.value.extend_from_slice(value);
            }
            Some(entry) => entry.value = value.to_vec(),
            None => {
                let entry = Entry { value: value.to_vec(), expires: None };
                self.entries.insert(key.into(), entry);
            }
        }
    }

    /// Says whether it was there.
    pub(crate) fn remove(&mut self, key: &[u8]) -> bool {
        let Some((key, entry)) = self.entries.remove_entry(key) else { return false };
        if let Some(at) = entry.expires {
            self.expiries.remove(&(at, key));
        }
        true
    }

    /// Lets a key expire at `at`. Says whether it is there.
    pub(crate) fn expire_at(&mut self, key: &[u8], at: Instant) -> bool {
        let Some((key, mut entry)) = self.entries.remove_entry(key) else { return false };
        if let Some(before) = entry.expires.replace(at) {
            self.expiries.remove(&(before, Rc::clone(&key)));
        }
        self.expiries.insert((at, Rc::clone(&key)));
        self.entries.insert(key, entry);
        true
    }

    /// How long a key has to live, if it is there, and if it expires.
    pub(crate) fn time_to_live(&self, key: &[u8], now: Instant) -> Option<Option<Duration>> {
        let entry = self.entries.get(key)?;
        Some(entry.expires.map(|at| at.saturating_duration_since(now)))
    }
}
