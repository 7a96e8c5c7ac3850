//! Raw readiness: callbacks on descriptors that are not transports.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::rc::Rc;

use wharf_core::driver::Readiness;
use wharf_core::guard::{self, FaultReport};
use wharf_core::stream::Interest;

use crate::handle::LoopHandle;
use crate::source::{Registration, Source};

type Callback = Rc<RefCell<Box<dyn FnMut()>>>;

/// The watched descriptors of a loop, by number.
pub(crate) type Watches = RefCell<HashMap<RawFd, Rc<Watch>>>;

/// One descriptor with at most one callback for each direction.
pub(crate) struct Watch {
    handle: LoopHandle,
    fd: Box<dyn AsFd>,
    registration: Registration,
    reader: RefCell<Option<Callback>>,
    writer: RefCell<Option<Callback>>,
    interest: Cell<Interest>,
}

#[derive(Clone, Copy)]
enum Direction {
    Read,
    Write,
}

impl Watch {
    fn slot(&self, direction: Direction) -> &RefCell<Option<Callback>> {
        match direction {
            Direction::Read => &self.reader,
            Direction::Write => &self.writer,
        }
    }

    /// Polls for the directions that have a callback.
    fn update(&self) -> io::Result<()> {
        let wanted = Interest {
            read: self.reader.borrow().is_some(),
            write: self.writer.borrow().is_some(),
        };
        if wanted != self.interest.get() {
            self.registration.set_interest(self.fd.as_fd(), wanted)?;
            self.interest.set(wanted);
        }
        Ok(())
    }

    fn call(&self, direction: Direction, name: &'static str) {
        // Looked up again for each direction: the other one's callback may have removed it.
        let callback = self.slot(direction).borrow().clone();
        if let Some(callback) = callback {
            if let Err(caught) = guard::call(name, move || {
                (callback.borrow_mut())();
                // Inside the guard: a callback that has removed itself ends here.
                drop(callback);
            }) {
                self.handle.report(FaultReport::caught(caught));
            }
            self.handle.callback_returned(None, name);
        }
    }
}

impl Source for Watch {
    fn ready(self: Rc<Self>, readiness: Readiness) {
        if readiness.read {
            self.call(Direction::Read, "reader");
        }
        if readiness.write {
            self.call(Direction::Write, "writer");
        }
    }

    fn shut(self: Rc<Self>) {
        self.handle.watches().borrow_mut().remove(&self.fd.as_fd().as_raw_fd());
        self.registration.close(self.fd.as_fd());
        for callback in [self.reader.take(), self.writer.take()] {
            self.handle.drop_guarded(callback);
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("fd", &self.fd.as_fd()).finish_non_exhaustive()
    }
}

impl LoopHandle {
    /// Calls `callback` in every turn in which `fd` can be read, until [`remove_reader`](Self::remove_reader). Replaces
    /// the reader that the descriptor had.
    ///
    /// The loop keeps `fd`, so it stays open as long as it is watched; pass an `Rc` of a socket to go on using it.
    ///
    /// # Errors
    /// `AlreadyExists` for a descriptor that belongs to a transport, `PermissionDenied` for a regular file or a
    /// directory, which are always ready: read them with [`spawn_blocking`](Self::spawn_blocking).
    pub fn add_reader(
        &self,
        fd: impl AsFd + 'static,
        callback: impl FnMut() + 'static,
    ) -> io::Result<()> {
        self.watch(Box::new(fd), Direction::Read, Box::new(callback))
    }

    /// Calls `callback` in every turn in which `fd` can be written. See [`add_reader`](Self::add_reader).
    ///
    /// # Errors
    /// As [`add_reader`](Self::add_reader).
    pub fn add_writer(
        &self,
        fd: impl AsFd + 'static,
        callback: impl FnMut() + 'static,
    ) -> io::Result<()> {
        self.watch(Box::new(fd), Direction::Write, Box::new(callback))
    }

    /// Removes the reader of `fd`, also when its event has come already in this turn. Says whether there was one.
    pub fn remove_reader(&self, fd: impl AsFd) -> bool {
        self.unwatch(fd.as_fd().as_raw_fd(), Direction::Read)
    }

    /// Removes the writer of `fd`. See [`remove_reader`](Self::remove_reader).
    pub fn remove_writer(&self, fd: impl AsFd) -> bool {
        self.unwatch(fd.as_fd().as_raw_fd(), Direction::Write)
    }

    fn watch(
        &self,
        fd: Box<dyn AsFd>,
        direction: Direction,
        callback: Box<dyn FnMut()>,
    ) -> io::Result<()> {
        if self.is_closed() {
            return Err(io::Error::other(crate::LoopClosed));
        }
        let number = fd.as_fd().as_raw_fd();
        let callback = Some(Rc::new(RefCell::new(callback)));
        let known = self.watches().borrow().get(&number).cloned();
        if let Some(watch) = known {
            let replaced = watch.slot(direction).replace(callback);
            self.drop_guarded(replaced);
            return watch.update();
        }
        let watch = Rc::new(Watch {
            handle: self.clone(),
            fd,
            registration: Registration::new(self),
            reader: RefCell::default(),
            writer: RefCell::default(),
            interest: Cell::default(),
        });
        watch.slot(direction).replace(callback);
        watch.update()?;
        watch.registration.attach(Rc::clone(&watch) as Rc<dyn Source>);
        self.watches().borrow_mut().insert(number, watch);
        Ok(())
    }

    fn unwatch(&self, number: RawFd, direction: Direction) -> bool {
        let watch = self.watches().borrow().get(&number).cloned();
        let Some(watch) = watch else { return false };
        let removed = watch.slot(direction).take();
        let was_there = removed.is_some();
        self.drop_guarded(removed);
        if watch.reader.borrow().is_none() && watch.writer.borrow().is_none() {
            watch.shut();
        } else {
            // Narrowing what is polled for cannot fail on a descriptor that is registered.
            let _ = watch.update();
        }
        was_there
    }
}
