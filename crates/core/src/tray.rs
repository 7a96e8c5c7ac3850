//! [`Tray`]: the loop's one buffer for what a callback writes, lent to one callback at a time.
//!
//! While `data_received` runs, a write by the handle that it is given is a comparison and a copy into the tray, without a
//! call of the transport; when it has returned, the bytes go to the system from here.
//! Whoever asks anything else of the transport meanwhile takes the tray away first: its bytes go to the connection's queue,
//! and what is written later by the same handle goes there too.

use std::cell::{RefCell, RefMut};
use std::fmt;
use std::rc::Rc;

/// The buffer. Every loop has one; see [`Host::tray`](crate::driver::Host::tray).
pub struct Tray(RefCell<Gathered>);

struct Gathered {
    room: Box<[u8]>,
    /// How much of it is written to; [`TAKEN`] when nothing more may follow.
    len: usize,
}

/// No place is left behind this one, not even for nothing.
const TAKEN: usize = usize::MAX;

impl Tray {
    /// An empty tray for so many bytes.
    #[must_use]
    pub fn new(room: usize) -> Self {
        Self(RefCell::new(Gathered { room: vec![0; room].into(), len: TAKEN }))
    }

    /// Lends the tray for a callback.
    #[inline]
    pub(crate) fn lend(self: &Rc<Self>) -> Lent {
        self.0.borrow_mut().len = 0;
        Lent(Some(Rc::clone(self)))
    }

    /// What was written since it was lent.
    #[inline]
    pub(crate) fn bytes(&self) -> RefMut<'_, [u8]> {
        RefMut::map(self.0.borrow_mut(), |gathered| &mut gathered.room[..gathered.len])
    }

    /// Takes it away from the callback: nothing more may follow.
    pub(crate) fn take_away(&self) {
        self.0.borrow_mut().len = TAKEN;
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
        let gathered = &mut *tray.0.borrow_mut();
        let end = gathered.len.wrapping_add(data.len());
        let Some(place) = gathered.room.get_mut(gathered.len..end) else { return false };
        place.copy_from_slice(data);
        gathered.len = end;
        true
    }
}
