//! What transport crates build on: a [`Source`] is what the loop calls when a descriptor is ready, and a
//! [`Registration`] is its place on the loop.

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;

use wharf_core::driver::{Owner, Readiness};
use wharf_core::stream::Interest;
use wharf_core::{BaseTransport, TransportRef};

use crate::handle::LoopHandle;
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
/// The descriptor is the caller's; it must be given to [`close`](Self::close) before it is closed.
pub struct Registration {
    handle: LoopHandle,
    key: Key,
    polled: bool,
}

impl Registration {
    /// Takes a place. Nothing is polled before [`set_interest`](Self::set_interest), and nobody is called before
    /// [`attach`](Self::attach).
    #[must_use]
    pub fn new(handle: &LoopHandle) -> Self {
        let key = handle.registry().borrow_mut().reserve();
        Self { handle: handle.clone(), key, polled: false }
    }

    /// The place, for [`LoopHandle::attach`].
    pub(crate) fn key(&self) -> Key {
        self.key
    }

    /// Puts the source there that is to be called.
    pub fn attach(&self, source: Rc<dyn Source>) {
        self.handle.attach(self.key, source);
    }

    /// The loop.
    #[must_use]
    pub fn handle(&self) -> &LoopHandle {
        &self.handle
    }

    /// Polls `fd` for exactly this from now on.
    ///
    /// # Errors
    /// The poller's: `AlreadyExists` when the descriptor is registered by somebody else, `PermissionDenied` for a
    /// regular file.
    pub fn set_interest(&mut self, fd: impl AsFd, interest: Interest) -> io::Result<()> {
        self.poll(fd, interest, Trigger::Level)
    }

    /// Polls `fd` until it is readable, and no longer: the source is called once, and not again before this is.
    ///
    /// For what becomes readable for good, as the pidfd of a process does. It may then be closed by
    /// [`close_exclusive`](Self::close_exclusive) even if it has duplicates: they bring one event at most, which hits
    /// nothing.
    ///
    /// # Errors
    /// As [`set_interest`](Self::set_interest).
    pub fn poll_once(&mut self, fd: impl AsFd) -> io::Result<()> {
        self.poll(fd, Interest { read: true, write: false }, Trigger::Once)
    }

    fn poll(&mut self, fd: impl AsFd, interest: Interest, trigger: Trigger) -> io::Result<()> {
        if self.handle.is_closed() {
            return Err(io::Error::other(LoopClosed));
        }
        let poller = self.handle.poller();
        if self.polled {
            return poller.modify(fd.as_fd(), self.key.to_usize(), interest, trigger);
        }
        poller.add(fd.as_fd(), self.key.to_usize(), interest, trigger)?;
        self.polled = true;
        Ok(())
    }

    /// Stops polling `fd`, errors and hang-ups included, and keeps the place.
    ///
    /// # Errors
    /// The poller's.
    pub fn suspend(&mut self, fd: impl AsFd) -> io::Result<()> {
        if std::mem::take(&mut self.polled) {
            self.handle.poller().delete(fd.as_fd())?;
        }
        Ok(())
    }

    /// Stops polling `fd` and gives the place back.
    pub fn close(&mut self, fd: impl AsFd) {
        // Fails only for a descriptor that is not registered.
        let _ = self.suspend(fd);
        self.release();
    }

    /// The same for a descriptor that is closed right after and has no duplicate. Where the system then forgets it by
    /// itself, as epoll does, this spares the call.
    pub fn close_exclusive(&mut self, fd: impl AsFd) {
        if self.handle.poller().forgets_closed() {
            self.polled = false;
        }
        self.close(fd);
    }

    fn release(&self) {
        let source = self.handle.registry().borrow_mut().remove(self.key);
        drop(source);
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
            .field("key", &self.key)
            .field("polled", &self.polled)
            .finish_non_exhaustive()
    }
}
