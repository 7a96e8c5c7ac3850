//! The registry: what lives on the loop, under keys that are never reused.
//!
//! A key is a slot's number and its generation, and it is what the poller gives back with an event.
//! An event for something that is gone finds another generation in its slot and hits nothing.

use std::rc::Rc;

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
    /// The free slot that follows, if this one is free.
    next_free: u32,
    /// What lives here; nothing yet in a slot that is promised to a source that is being made.
    source: Option<Rc<dyn Source>>,
}

/// The end of the free list.
const NONE: u32 = u32::MAX;

pub(crate) struct Registry {
    slots: Vec<Slot>,
    first_free: u32,
    len: usize,
}

impl Default for Registry {
    fn default() -> Self {
        Self { slots: Vec::new(), first_free: NONE, len: 0 }
    }
}

impl Registry {
    /// How many places are taken.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Takes a place for a source that is yet to be made.
    pub(crate) fn reserve(&mut self) -> Key {
        self.len += 1;
        let index = self.first_free;
        if let Some(slot) = self.slots.get(index as usize) {
            self.first_free = slot.next_free;
            return Key { index, generation: slot.generation };
        }
        let index = u32::try_from(self.slots.len()).ok().filter(|index| *index != NONE);
        let index = index.expect("there are fewer descriptors than that");
        self.slots.push(Slot { generation: 0, next_free: NONE, source: None });
        Key { index, generation: 0 }
    }

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
        source
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
