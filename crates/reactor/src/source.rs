//! What transport crates build on: a [`Source`] is what the loop calls when a descriptor is ready, and a
//! [`Registration`] is its place on the loop.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;

use wharf_core::driver::{Owner, Readiness, Seat};
use wharf_core::stream::Interest;
use wharf_core::{BaseTransport, TransportRef};

use crate::handle::LoopHandle;
use crate::listeners::LiveListener;
use crate::poll::Trigger;
use crate::registry::Key;
use crate::remote::LoopClosed;

/// Something that lives on the loop and waits for a descriptor.
pub trait Source: 'static {
    /// The descriptor is ready. Called at most once a turn; readiness is a hint.
    fn ready(self: Rc<Self>, readiness: Readiness);

    /// The loop is going away: end now, and tell whoever must know.
    fn shut(self: Rc<Self>);

    /// The source as a transport, if it is one: what [`LoopHandle::connections`] lists.
    fn as_transport(&self) -> Option<&dyn BaseTransport> {
        None
    }

    /// The source as a connection, if it is one.
    fn as_connection(&self) -> Option<&dyn Connection> {
        None
    }

    /// What there is to say of it, if it listens: what [`LoopHandle::listeners`] lists.
    fn listener(&self) -> Option<LiveListener> {
        None
    }

    /// The source itself, if it is the driver of a stream whose [seat](Seat) its place is.
    fn as_driver(self: Rc<Self>) -> Option<Rc<dyn Any>> {
        None
    }
}

/// A source that is a connection: how a server finds its own.
pub trait Connection {
    /// Whether `owner` owns it.
    fn is_owned_by(&self, owner: &Rc<dyn Owner>) -> bool;

    /// A handle on it; `None` while it is being dropped.
    fn transport(&self) -> Option<TransportRef>;
}

/// A place on a loop, and what is polled for there.
///
/// The descriptor is the caller's; it must be given to [`close`](Self::close) or [`forget`](Self::forget) before it is
/// closed.
pub struct Registration {
    handle: LoopHandle,
    place: Cell<Place>,
}

/// A key, and in its spare bits two facts about the descriptor: every connection has one.
#[derive(Clone, Copy)]
struct Place(usize);

impl Place {
    const POLLED: usize = Key::SPARE[0];
    const EXCLUSIVE: usize = Key::SPARE[1];

    /// None any more: it has been given back. No key is like this, so it leads nowhere.
    const LEFT: Self = Self(!(Self::POLLED | Self::EXCLUSIVE));

    fn key(self) -> Key {
        Key::from_usize(self.0 & !(Self::POLLED | Self::EXCLUSIVE))
    }

    fn is(self, fact: usize) -> bool {
        self.0 & fact != 0
    }

    fn with(self, fact: usize, so: bool) -> Self {
        Self(if so { self.0 | fact } else { self.0 & !fact })
    }
}

impl Registration {
    /// Takes a place. Nothing is polled before [`set_interest`](Self::set_interest), and nobody is called before
    /// [`attach`](Self::attach).
    #[inline]
    #[must_use]
    pub fn new(handle: &LoopHandle) -> Self {
        let key = handle.registry().borrow_mut().reserve();
        Self { handle: handle.clone(), place: Cell::new(Place(key.to_usize())) }
    }

    /// The place, for [`LoopHandle::attach`].
    pub(crate) fn key(&self) -> Key {
        self.place.get().key()
    }

    /// Puts the source there that is to be called.
    pub fn attach(&self, source: Rc<dyn Source>) {
        self.handle.attach(self.key(), source);
    }

    /// The loop.
    #[must_use]
    pub fn handle(&self) -> &LoopHandle {
        &self.handle
    }

    /// Whether the descriptor has no duplicate; it may have one unless this was said. A poller that forgets such a
    /// descriptor when it is closed, as epoll does, need not be told then, which spares a system call.
    pub fn set_exclusive(&self, exclusive: bool) {
        self.place.set(self.place.get().with(Place::EXCLUSIVE, exclusive));
    }

    /// Polls `fd` for exactly this from now on.
    ///
    /// # Errors
    /// The poller's: `AlreadyExists` when the descriptor is registered by somebody else, `PermissionDenied` for a
    /// regular file.
    pub fn set_interest(&self, fd: impl AsFd, interest: Interest) -> io::Result<()> {
        self.poll(fd, interest, Trigger::Level)
    }

    /// Polls `fd` until it is readable, and no longer: the source is called once, and not again before this is.
    ///
    /// For what becomes readable for good, as the pidfd of a process does. It may then be called
    /// [exclusive](Self::set_exclusive) even if it has duplicates: they bring one event at most, which hits nothing.
    ///
    /// # Errors
    /// As [`set_interest`](Self::set_interest).
    pub fn poll_once(&self, fd: impl AsFd) -> io::Result<()> {
        self.poll(fd, Interest { read: true, write: false }, Trigger::Once)
    }

    fn poll(&self, fd: impl AsFd, interest: Interest, trigger: Trigger) -> io::Result<()> {
        if self.handle.is_closed() {
            return Err(io::Error::other(LoopClosed));
        }
        let (poller, place) = (self.handle.poller(), self.place.get());
        let key = place.key().to_usize();
        if place.is(Place::POLLED) {
            return poller.modify(fd.as_fd(), key, interest, trigger);
        }
        poller.add(fd.as_fd(), key, interest, trigger)?;
        self.place.set(place.with(Place::POLLED, true));
        Ok(())
    }

    /// Stops polling `fd`, errors and hang-ups included, and keeps the place.
    ///
    /// # Errors
    /// The poller's.
    pub fn suspend(&self, fd: impl AsFd) -> io::Result<()> {
        let place = self.place.get();
        self.place.set(place.with(Place::POLLED, false));
        if place.is(Place::POLLED) { self.handle.poller().delete(fd.as_fd()) } else { Ok(()) }
    }

    /// Stops polling `fd`, which is closed right after, and keeps the place.
    pub fn forget(&self, fd: impl AsFd) {
        let place = self.place.get();
        if place.is(Place::EXCLUSIVE) && self.handle.poller().forgets_closed() {
            self.place.set(place.with(Place::POLLED, false));
        } else {
            // Fails only for a descriptor that is not registered.
            let _ = self.suspend(fd);
        }
    }

    /// Stops polling `fd`, which is closed right after, and gives the place back.
    pub fn close(&self, fd: impl AsFd) {
        self.forget(fd);
        self.release();
    }

    #[inline]
    fn release(&self) {
        let place = self.place.replace(Place::LEFT);
        if place.0 != Place::LEFT.0 {
            self.handle.detach(place.key());
        }
    }
}

impl Seat for Registration {
    type Host = LoopHandle;

    #[inline(always)]
    fn host(&self) -> &LoopHandle {
        &self.handle
    }

    fn driver<D: 'static>(&self) -> Option<Rc<D>> {
        let source = self.handle.registry().borrow().get(self.key())?;
        source.as_driver()?.downcast().ok()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.release();
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration")
            .field("key", &self.key())
            .field("polled", &self.place.get().is(Place::POLLED))
            .finish_non_exhaustive()
    }
}
