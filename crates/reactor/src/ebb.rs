//! The ebb: most connections have gone, and the loop gives back to the system what they needed.

use std::hint::black_box;

use crate::handle::{LoopHandle, LoopState};

impl LoopHandle {
    /// Most have gone: gives back what they needed, in the next turn, because those who leave in this one are to leave
    /// nothing either.
    #[cold]
    pub(crate) fn ebb_soon(&self) {
        let handle = self.clone();
        self.call_soon(move || handle.0.ebb());
    }
}

impl LoopState {
    fn ebb(&self) {
        // It lies among what those who are gone have left.
        self.former.clear();
        nudge_allocator();
    }
}

/// Asks for a large piece of memory, and gives it back.
///
/// glibc puts the small pieces that connections leave behind aside as they are, each for another of its size. Only a large
/// piece has it join them, and give the free end of its heap back to the system; to any other allocator this is nothing.
fn nudge_allocator() {
    const LARGE: usize = 64 * 1024;
    drop(black_box(Vec::<u8>::with_capacity(LARGE)));
}
