//! The registry: what lives on the loop, under keys that are never reused.
//!
//! A key is a slot's number and its generation, and it is what the poller gives back with an event.
//! An event for something that is gone finds another generation in its slot and hits nothing.

use std::rc::Rc;

use crate::ebb::Ballast;
use crate::source::Source;

/// The place of a source: slot and generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    index: u32,
    generation: u32,
}

// A key is the poller's user data, whole.
const _: () = assert!(usize::BITS == 64, "wharf needs 64-bit keys");

impl Key {
    /// Bits that no key has set, as the poller's word: there are fewer places than a thousand million.
    pub(crate) const SPARE: [usize; 2] = [1 << 30, 1 << 31];

    pub(crate) fn to_usize(self) -> usize {
        (self.generation as usize) << 32 | self.index as usize
    }

    #[allow(clippy::cast_possible_truncation)] // The two halves, on purpose.
    pub(crate) fn from_usize(key: usize) -> Self {
        Self { index: key as u32, generation: (key >> 32) as u32 }
    }
}

/// A slot is free, promised, or used. A key that leads to it was given with its present generation, so that nobody has
/// one to a slot that is free.
struct Slot {
    generation: u32,
    /// The free slot that follows, if this one is free; else [`TAKEN`].
    next_free: u32,
    /// What lives here; nothing yet in a slot that is promised to a source that is being made.
    source: Option<Rc<dyn Source>>,
}

/// How many places there may be.
const MOST: u32 = 1 << 30;

/// The end of the free list.
const NONE: u32 = u32::MAX;

/// Not in the free list.
const TAKEN: u32 = u32::MAX - 1;

/// So many may be the first of a crowd.
const FIRST: usize = 32;

/// So many slots are kept, taken or not.
const FEW: usize = 128;

/// Beyond those there is room for so many at once, in one piece of more than 128 KiB: glibc has the system map such a piece
/// by itself, so that it does not lie among what connections leave behind. What is not used costs no memory.
const ROOM: usize = 128 * 1024 / size_of::<Slot>() + 1;

/// When no more places than this are taken, each that is given back may be the one that kept the slots before it.
const LAST: usize = 8;

pub(crate) struct Registry {
    slots: Vec<Slot>,
    first_free: u32,
    len: usize,
    /// Where the generations of new slots begin: beyond those of all slots that were given up.
    first_generation: u32,
    /// With fewer places taken than this, it is ebb.
    ebbs_below: usize,
    /// Whether it has been, and nobody has taken notice.
    ebbed: bool,
    /// Made when the first of a crowd have come.
    ballast: Option<Ballast>,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            first_free: NONE,
            len: 0,
            first_generation: 0,
            ebbs_below: 0,
            ebbed: false,
            ballast: None,
        }
    }
}

impl Registry {
    /// How many places are taken.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Takes a place for a source that is yet to be made.
    #[inline]
    pub(crate) fn reserve(&mut self) -> Key {
        self.len += 1;
        let index = self.first_free;
        if let Some(slot) = self.slots.get_mut(index as usize) {
            self.first_free = std::mem::replace(&mut slot.next_free, TAKEN);
            return Key { index, generation: slot.generation };
        }
        self.grow()
    }

    /// Takes a place behind all others.
    #[inline(never)]
    fn grow(&mut self) -> Key {
        let index = u32::try_from(self.slots.len()).ok().filter(|index| *index < MOST);
        let index = index.expect("there are fewer descriptors than that");
        let generation = self.first_generation;
        match self.slots.len() {
            FIRST => self.renew_ballast(),
            FEW => self.slots.reserve_exact(ROOM - FEW),
            _ => (),
        }
        self.slots.push(Slot { generation, next_free: TAKEN, source: None });
        self.ebbs_below = if self.slots.len() > FEW { self.slots.len() / 4 } else { 0 };
        Key { index, generation }
    }

    #[inline]
    pub(crate) fn fill(&mut self, key: Key, source: Rc<dyn Source>) {
        if let Some(slot) = self.slot(key) {
            slot.source = Some(source);
        }
    }

    #[inline]
    pub(crate) fn get(&self, key: Key) -> Option<Rc<dyn Source>> {
        let slot = self.slots.get(key.index as usize)?;
        if slot.generation == key.generation { slot.source.clone() } else { None }
    }

    /// Frees the place; gives what was there, to be dropped outside of any borrow.
    pub(crate) fn remove(&mut self, key: Key) -> Option<Rc<dyn Source>> {
        let next_free = self.first_free;
        let slot = self.slot(key)?;
        // A generation that wraps meets events of its own former life after four billion reuses of one slot; the last
        // one is left out because the poller reserves the key that is all ones.
        slot.generation = if slot.generation >= u32::MAX - 1 { 0 } else { slot.generation + 1 };
        slot.next_free = next_free;
        let source = slot.source.take();
        self.first_free = key.index;
        self.len -= 1;
        if self.len < self.ebbs_below {
            self.ebb();
        }
        source
    }

    /// Whether most places have been given back since [`take_ebb`](Self::take_ebb): their memory has been, too, and what else
    /// was kept for whoever had them may be.
    #[inline]
    pub(crate) fn is_ebb(&self) -> bool {
        self.ebbed
    }

    pub(crate) fn take_ebb(&mut self) -> bool {
        std::mem::take(&mut self.ebbed)
    }

    /// Whether there are no more places than are always kept.
    pub(crate) fn is_small(&self) -> bool {
        self.slots.len() <= FEW
    }

    /// Frees the ballast and takes another, which then lies lower where memory below was freed.
    pub(crate) fn renew_ballast(&mut self) {
        self.ballast = None;
        self.ballast = Some(Ballast::default());
    }

    /// Gives up what can be.
    ///
    /// Tried as often as the number of places has halved, and then for each of the last: the walk over all slots is paid by
    /// those that were given back. When there are no more than [`FEW`], each of the last is one that leaves fewer than there
    /// were before; others come and go above these.
    #[cold]
    fn ebb(&mut self) {
        let kept = self.slots.iter().rposition(|slot| slot.next_free == TAKEN);
        let kept = kept.map_or(0, |last| last + 1).max(FEW);
        let gives_up = kept < self.slots.len();
        if gives_up {
            self.give_up(kept);
        }
        self.ebbed |= gives_up || self.is_small();
        self.ebbs_below = if self.is_small() { LAST.min(self.len) } else { LAST.max(self.len / 2) };
    }

    /// Keeps so many slots, with no more memory than they take.
    fn give_up(&mut self, kept: usize) {
        let given_up = self.slots.drain(kept..).map(|slot| slot.generation).max();
        self.first_generation = self.first_generation.max(given_up.unwrap_or(0));
        self.slots.shrink_to_fit();
        // The lowest first, so that those at the end stay free.
        let mut place = &mut self.first_free;
        for (index, slot) in (0..).zip(&mut self.slots) {
            if slot.next_free != TAKEN {
                *place = index;
                place = &mut slot.next_free;
            }
        }
        *place = NONE;
    }

    /// Everything that lives here, in the order of the slots.
    pub(crate) fn sources(&self) -> Vec<Rc<dyn Source>> {
        self.slots.iter().filter_map(|slot| slot.source.clone()).collect()
    }

    fn slot(&mut self, key: Key) -> Option<&mut Slot> {
        self.slots.get_mut(key.index as usize).filter(|slot| slot.generation == key.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_core::driver::Readiness;

    struct Nothing;
    impl Source for Nothing {
        fn ready(self: Rc<Self>, _: Readiness) {}
        fn shut(self: Rc<Self>) {}
    }

    #[test]
    fn a_stale_key_hits_nothing() {
        let mut registry = Registry::default();
        let old = registry.reserve();
        registry.fill(old, Rc::new(Nothing));
        assert!(registry.get(old).is_some());
        registry.remove(old);
        let new = registry.reserve();
        registry.fill(new, Rc::new(Nothing));
        assert_eq!((old.index, new.index), (0, 0), "the slot is reused");
        assert!(registry.get(old).is_none());
        assert!(registry.remove(old).is_none());
        assert!(registry.get(new).is_some());
        assert_eq!(registry.len(), 1);
    }

    #[test]
    fn keys_survive_the_poller() {
        let key = Key { index: 5, generation: u32::MAX - 1 };
        assert_eq!(Key::from_usize(key.to_usize()), key);
    }

    fn hold(registry: &mut Registry, count: usize) -> Vec<Key> {
        let keys: Vec<Key> = (0..count).map(|_| registry.reserve()).collect();
        keys.iter().for_each(|key| registry.fill(*key, Rc::new(Nothing)));
        keys
    }

    #[test]
    fn an_empty_registry_gives_its_memory_back_whatever_the_order_of_leaving() {
        const MANY: usize = 10_000;
        // A step that is coprime to the count comes by every place once.
        for step in [1, 7919, MANY - 1] {
            let mut registry = Registry::default();
            let listener = hold(&mut registry, 1)[0];
            let keys = hold(&mut registry, MANY);
            // One that is promised and has nothing in it yet is not free.
            let promised = registry.reserve();
            for n in 0..MANY {
                registry.remove(keys[n * step % MANY]);
            }
            registry.fill(promised, Rc::new(Nothing));
            assert!(registry.get(promised).is_some());
            registry.remove(promised);
            assert!(registry.slots.capacity() <= 2 * FEW, "{}", registry.slots.capacity());
            assert!(registry.take_ebb());

            let old: Vec<u64> = keys.iter().map(|key| key.to_usize() as u64).collect();
            let mut new: Vec<u64> = Vec::new();
            for key in hold(&mut registry, MANY) {
                assert!(registry.get(key).is_some());
                new.push(key.to_usize() as u64);
            }
            new.sort_unstable();
            assert!(new.windows(2).all(|pair| pair[0] != pair[1]), "each has a place of its own");
            assert!(old.iter().all(|key| new.binary_search(key).is_err()), "no key comes again");
            assert!(registry.get(listener).is_some());
            assert!(keys.iter().all(|key| registry.get(*key).is_none()));
        }
    }

    #[test]
    fn one_that_stays_at_the_end_keeps_the_slots_and_costs_no_walk() {
        let mut registry = Registry::default();
        let keys = hold(&mut registry, 10_000);
        keys[..9_999].iter().for_each(|key| drop(registry.remove(*key)));
        assert_eq!(registry.slots.len(), 10_000);
        for _ in 0..10 {
            let key = hold(&mut registry, 1)[0];
            registry.remove(key);
        }
        assert!(registry.get(keys[9_999]).is_some());
        registry.remove(keys[9_999]);
        assert_eq!(registry.slots.len(), FEW);
    }

    #[test]
    fn an_ebb_is_told_once_and_again_for_each_of_the_last_to_leave() {
        let mut registry = Registry::default();
        // As many as a loop has without a crowd come and go untold.
        for key in hold(&mut registry, FEW) {
            registry.remove(key);
            assert!(!registry.is_ebb());
        }
        let keys = hold(&mut registry, 10 * FEW);
        let (last, others) = keys.split_at(LAST);
        others.iter().for_each(|key| drop(registry.remove(*key)));
        assert!(registry.is_small() && registry.take_ebb(), "the crowd has gone");
        assert!(!registry.take_ebb());
        for key in last {
            // One that comes and goes is none of the last.
            let another = hold(&mut registry, 1)[0];
            registry.remove(another);
            assert!(!registry.is_ebb());
            registry.remove(*key);
            assert!(registry.take_ebb(), "{} have stayed", registry.len());
        }
    }

    #[test]
    fn freed_places_are_reused_last_first() {
        let mut registry = Registry::default();
        let keys: Vec<Key> = (0..4).map(|_| registry.reserve()).collect();
        registry.remove(keys[1]);
        registry.remove(keys[2]);
        assert_eq!(
            [registry.reserve().index, registry.reserve().index, registry.reserve().index],
            [2, 1, 4]
        );
    }
}
