//! The ebb: most connections have gone, and the loop gives back to the system what they needed.
//!
//! An allocator gives back what lies together, and glibc's only what lies at the end of its heap.
//! So the loop keeps nothing that could lie there, and has the allocator join the pieces that connections leave behind.
//! All of it is done by asking for memory and freeing it; to an allocator that works otherwise it is nothing.

use std::array;
use std::hint::black_box;
use std::mem;
use std::time::Duration;

use crate::handle::{LoopHandle, LoopState};

/// Those who leave meanwhile are to leave nothing either, and crowds that come in waves are not to pay for each: what is
/// done at ebb takes some fifty microseconds.
const PAUSE: Duration = Duration::from_millis(100);

/// The sizes of small pieces are multiples of this, less a word that the allocator has in each.
const STEP: usize = 16;

/// So many sizes are gathered, up to 248 bytes: the driver of a connection takes half of this, most protocols less.
const SIZES: usize = 15;

/// How many of each. glibc has seven in its cache, and when there are none left it moves others of that size there.
const EACH: usize = 16;

/// How much larger a piece is made, so that it is too large for the cache, which ends at 1,032 bytes.
const LARGER: usize = 1088;

/// From 64 KiB on a piece that is freed makes glibc join what is free, and give back the end of its heap.
const HUGE: usize = 64 * 1024;

/// A huge piece that nobody touches, so that it costs addresses only. It lies below what a crowd needs.
///
/// When glibc gives back the end of its heap, it keeps the first 128 KiB. Those have been in use where a crowd has been;
/// where this is freed, they are this.
pub(crate) struct Ballast {
    _memory: Vec<u8>,
}

impl Ballast {
    /// All of what is kept, nearly: a piece of 128 KiB would not come from the heap.
    const SIZE: usize = 128 * 1024 - 32;
}

impl Default for Ballast {
    fn default() -> Self {
        Self { _memory: black_box(Vec::with_capacity(Self::SIZE)) }
    }
}

impl LoopHandle {
    /// Most have gone: gives back what they needed, after a pause.
    #[cold]
    pub(crate) fn ebb_later(&self) {
        let handle = self.clone();
        drop(self.call_later(PAUSE, move || handle.0.ebb()));
    }
}

impl LoopState {
    fn ebb(&self) {
        // What was kept for connections to come.
        self.former.clear();
        drop((self.queue.take(), self.queues.take(), self.outboxes.take()));
        self.ready.borrow_mut().shrink();
        join_what_is_free();
        let mut registry = self.registry.borrow_mut();
        registry.take_ebb();
        // Small pieces among connections that have stayed have no room to grow.
        if registry.is_small() {
            gather_small_pieces();
            registry.renew_ballast();
        }
    }
}

/// Has the allocator join the small pieces that it has put aside as they are.
///
/// glibc does that with all but a few of them; these are in its cache.
fn join_what_is_free() {
    drop(black_box(Vec::<u8>::with_capacity(HUGE)));
}

/// Empties the cache.
///
/// It has a few pieces of each size, the first that were freed, and one of them at the end of the heap keeps all that lies
/// before it.
/// So they are taken out here, and each is made too large for the cache, which adds the free memory behind it; the last one
/// first, so that where two are neighbours the first finds free memory where the second was.
/// They are taken out together, because what is left behind one that has grown may be small, and go to the cache.
fn gather_small_pieces() {
    // Not in a vector, which would lie among them.
    let mut pieces: [Box<[_]>; SIZES * EACH] = array::from_fn(|number| {
        Box::<[u8]>::new_uninit_slice((number / EACH + 2) * STEP - size_of::<usize>())
    });
    pieces.sort_unstable_by_key(|piece| piece.as_ptr().addr());
    for piece in pieces.iter_mut().rev() {
        let mut piece = mem::take(piece).into_vec();
        piece.reserve_exact(LARGER);
        drop(black_box(piece));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use wharf_core::driver::Host;
    use wharf_core::memory::ManualClock;

    use super::PAUSE;
    use crate::EventLoop;
    use crate::source::Registration;

    #[test]
    fn what_was_kept_for_connections_to_come_goes_with_the_crowd() {
        let clock = ManualClock::new();
        let mut ev = EventLoop::builder().clock(clock.clone()).build().unwrap();
        let handle = ev.handle().clone();
        let places: Vec<_> = (0..1000).map(|_| Registration::new(&handle)).collect();
        for queue in (0..4).map(|_| handle.take_queue()).collect::<Vec<_>>() {
            handle.put_queue(queue);
        }
        handle.put_outbox(handle.take_outbox());
        let kept = || (handle.0.queues.borrow().len(), handle.0.outboxes.borrow().len());
        ev.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(kept(), (3, 1));
        drop(places);
        clock.advance(PAUSE - Duration::from_millis(1));
        ev.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(kept(), (3, 1), "another wave may come");
        clock.advance(Duration::from_millis(1));
        ev.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(kept(), (0, 0));
        assert!(handle.0.queue.take().is_none());
    }
}
