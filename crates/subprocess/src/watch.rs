//! [`Watch`]: a child and its place on the loop. Whoever is called there owns the child until it is reaped.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::process::Signal;
use wharf_reactor::LoopHandle;
use wharf_reactor::source::{Registration, Source};

use crate::child::{Child, Reaped};

pub(crate) struct Watch {
    child: RefCell<Child>,
    /// `None` once nobody is called any more.
    place: RefCell<Option<Registration>>,
}

impl Watch {
    /// Takes a place for `child`. Its end is not seen before [`start`](Self::start).
    pub(crate) fn new(handle: &LoopHandle, child: Child) -> Self {
        let place = RefCell::new(Some(Registration::new(handle)));
        Self { child: RefCell::new(child), place }
    }

    /// Puts the one there who is called when the child may have ended, and when the loop goes away.
    pub(crate) fn attach(&self, source: Rc<dyn Source>) {
        if let Some(place) = &*self.place.borrow() {
            place.attach(source);
        }
    }

    /// Gives the place back: the child is reaped, and nobody needs to be called.
    pub(crate) fn leave(&self) {
        let place = self.place.take();
        drop(place);
    }

    /// Waits for the end: once, because nothing becomes of a child that has ended but to be reaped.
    ///
    /// # Errors
    /// The poller's, and on a loop that is gone: nobody but [`finish`](Self::finish) will reap the child then.
    pub(crate) fn start(&self) -> io::Result<()> {
        let child = self.child.borrow();
        let (Some(end), Some(place)) = (child.end(), &*self.place.borrow()) else {
            return Ok(());
        };
        place.poll_once(end)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.borrow().id()
    }

    pub(crate) fn signal(&self, number: i32) -> io::Result<()> {
        self.child.borrow().signal(number)
    }

    /// Kills the child, if it runs. Its end is seen as any other.
    pub(crate) fn kill(&self) {
        // It has ended, or runs as somebody else by now and ends when it likes.
        let _ = self.signal(Signal::KILL.as_raw());
    }

    /// Reaps the child, if it has ended; called when its end was seen.
    pub(crate) fn reap(&self) -> Reaped {
        let reaped = self.child.borrow_mut().reap();
        self.forget_end();
        reaped
    }

    /// Kills and reaps the child before returning: nobody will take another turn.
    pub(crate) fn finish(&self) -> Reaped {
        let reaped = self.child.borrow_mut().finish();
        self.forget_end();
        reaped
    }

    /// A descriptor that becomes readable when the child ends; `None` once it is reaped.
    pub(crate) fn duplicate(&self) -> Option<OwnedFd> {
        self.child.borrow().end()?.try_clone_to_owned().ok()
    }

    /// Lets go of the descriptor of a child that was reaped.
    fn forget_end(&self) {
        let Some(end) = self.child.borrow_mut().take_end() else { return };
        if let Some(place) = &*self.place.borrow() {
            // Its duplicates, of whoever has asked for one and of children that others are starting, say nothing more.
            place.set_exclusive(true);
            place.forget(end);
        }
    }
}
