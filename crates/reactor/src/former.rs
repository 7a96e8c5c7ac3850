//! The memory of streams that are over, kept for those to come: a connection that comes and goes spares an allocation.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

/// How many are kept: as many as may come and go within a few turns, in less than six kilobytes.
const MOST: usize = 32;

/// Drivers that are at their end.
pub(crate) struct Former(RefCell<Vec<Rc<dyn Any>>>);

impl Default for Former {
    fn default() -> Self {
        // The room is made once: made among connections, it would keep the allocator from giving up their memory.
        Self(RefCell::new(Vec::with_capacity(MOST)))
    }
}

impl Former {
    /// Keeps one, if there are not enough already.
    #[inline]
    pub(crate) fn keep(&self, driver: Rc<dyn Any>) {
        let mut drivers = self.0.borrow_mut();
        if drivers.len() < MOST {
            drivers.push(driver);
        }
    }

    /// Gives the one that was kept last, if it is of this type; one of another type is let go of.
    #[inline]
    pub(crate) fn take<D: 'static>(&self) -> Option<Rc<D>> {
        self.pop()?.downcast().ok()
    }

    /// Lets go of all of them.
    pub(crate) fn clear(&self) {
        while let Some(driver) = self.pop() {
            drop(driver);
        }
    }

    fn pop(&self) -> Option<Rc<dyn Any>> {
        self.0.borrow_mut().pop()
    }
}

impl fmt::Debug for Former {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Former").field("count", &self.0.borrow().len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EventLoop;
    use crate::source::Registration;
    use std::time::Duration;
    use wharf_core::driver::Host;
    use wharf_core::memory::ManualClock;

    #[test]
    fn a_few_are_kept_and_the_last_comes_first() {
        let former = Former::default();
        (0..100_usize).for_each(|number| former.keep(Rc::new(number)));
        assert_eq!(former.take::<usize>().as_deref(), Some(&(MOST - 1)));
        assert_eq!(former.take::<u8>(), None, "that is no usize");
        assert_eq!(former.take::<usize>().as_deref(), Some(&(MOST - 3)), "which is gone, too");
        former.clear();
        assert_eq!(former.take::<usize>(), None);
    }

    /// A loop that keeps `token`, and this many places on it.
    fn crowd(count: usize, token: &Rc<()>, clock: &ManualClock) -> (EventLoop, Vec<Registration>) {
        let ev = EventLoop::builder().clock(clock.clone()).build().unwrap();
        let places = (0..count).map(|_| Registration::new(ev.handle())).collect();
        ev.handle().retire(Rc::clone(token) as Rc<dyn Any>);
        (ev, places)
    }

    #[test]
    fn nothing_is_kept_where_most_have_left() {
        for (count, left) in [(100, true), (1000, false)] {
            let (token, clock) = (Rc::new(()), ManualClock::new());
            let (mut ev, places) = crowd(count, &token, &clock);
            drop(places);
            assert_eq!(Rc::strong_count(&token), 2, "what ends in this turn may come after it");
            clock.advance(Duration::from_secs(1));
            ev.turn(Some(Duration::ZERO)).unwrap();
            assert_eq!(Rc::strong_count(&token) == 2, left, "{count}");
        }
    }
}
