//! [`Tray`]: the loop's one buffer for what a callback writes, lent to one callback at a time.
//!
//! While `data_received` runs, a write by the handle that it is given is a comparison and a copy into the tray, without a
//! call of the transport; when it has returned, the bytes go to the system from here.
//! Whoever asks anything else of the transport meanwhile takes the tray away first: its bytes go to the connection's queue,
//! and what is written later by the same handle goes there too.

use std::cell::{Cell, RefCell, RefMut};
use std::fmt;
use std::rc::Rc;

/// The buffer. Every loop has one; see [`Host::tray`](crate::driver::Host::tray).
pub struct Tray {
    room: RefCell<Box<[u8]>>,
    /// How much of it is written to; [`TAKEN`] when nothing more may follow.
    len: Cell<usize>,
}

/// No place is left behind this one, not even for nothing.
const TAKEN: usize = usize::MAX;

impl Tray {
    /// An empty tray for so many bytes.
    #[must_use]
    pub fn new(room: usize) -> Self {
        Self { room: RefCell::new(vec![0; room].into()), len: Cell::new(TAKEN) }
    }

    /// Lends the tray for a callback.
    #[inline]
    pub(crate) fn lend(self: &Rc<Self>) -> Lent {
        self.len.set(0);
        Lent(Some(Rc::clone(self)))
    }

    /// What was written since it was lent.
    #[inline(always)]
    pub(crate) fn bytes(&self) -> RefMut<'_, [u8]> {
        RefMut::map(self.room.borrow_mut(), |room| &mut room[..self.len.get()])
    }

    /// Takes it away from the callback: nothing more may follow.
    pub(crate) fn take_away(&self) {
        self.len.set(TAKEN);
    }
}

impl fmt::Debug for Tray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tray").finish_non_exhaustive()
    }
}

/// What a handle knows of a tray that it may write to: the one that a callback is given does, and none of its clones, which
/// may outlive the callback.
#[derive(Default)]
pub(crate) struct Lent(Option<Rc<Tray>>);

impl Clone for Lent {
    #[inline]
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Lent {
    /// Gathers `data`, if there is room; says whether.
    #[inline]
    pub(crate) fn write(&self, data: &[u8]) -> bool {
        let Some(tray) = &self.0 else { return false };
        let (mut room, len) = (tray.room.borrow_mut(), tray.len.get());
        let end = len.wrapping_add(data.len());
        let Some(place) = room.get_mut(len..end) else { return false };
        place.copy_from_slice(data);
        tray.len.set(end);
        true
    }
}
