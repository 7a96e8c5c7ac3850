//! How a protocol is shared between its user and its transport: [`StreamProtocol`] and [`IntoProtocol`].
//!
//! A connection holds its protocol as one `Rc<RefCell<P>>`, the very object that connecting gives to the user; after
//! `connection_lost` the transport has let go of it, so `Rc::try_unwrap` gives the protocol back by value.

use std::any::type_name;
use std::cell::{RefCell, RefMut};
use std::fmt;
use std::hint::black_box;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::handle::TransportRef;
use crate::lost::Lost;
use crate::protocol::{BufferedProtocol, KeepOpen, Protocol};

/// Marks a protocol as a [`BufferedProtocol`] when it is handed to a transport.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Buffered<P>(pub P);

/// What can become the protocol of a byte stream: any [`Protocol`], a [`Buffered`] protocol, an object that is shared
/// already, or a [`StreamProtocol`] as it is.
pub trait IntoProtocol {
    /// What the user keeps.
    type Shared: Clone;

    /// The shared object, and the transport's hold on it.
    fn share(self) -> (Self::Shared, StreamProtocol);
}

impl<P: Protocol> IntoProtocol for P {
    type Shared = Rc<RefCell<P>>;

    fn share(self) -> (Self::Shared, StreamProtocol) {
        Rc::new(RefCell::new(self)).share()
    }
}

impl<P: Protocol> IntoProtocol for Rc<RefCell<P>> {
    type Shared = Self;

    fn share(self) -> (Self::Shared, StreamProtocol) {
        (Self::clone(&self), StreamProtocol(self))
    }
}

impl<P: BufferedProtocol> IntoProtocol for Buffered<P> {
    type Shared = Rc<RefCell<Self>>;

    fn share(self) -> (Self::Shared, StreamProtocol) {
        Rc::new(RefCell::new(self)).share()
    }
}

impl<P: BufferedProtocol> IntoProtocol for Rc<RefCell<Buffered<P>>> {
    type Shared = Self;

    fn share(self) -> (Self::Shared, StreamProtocol) {
        (Self::clone(&self), StreamProtocol(self))
    }
}

impl IntoProtocol for StreamProtocol {
    type Shared = Self;

    fn share(self) -> (Self::Shared, StreamProtocol) {
        (self.clone(), self)
    }
}

/// A protocol of either kind, as a transport or a layer holds it. Equal by identity.
///
/// Its methods are the callbacks; they are for those who implement transports and layers.
#[derive(Clone)]
pub struct StreamProtocol(Rc<dyn Layer>);

/// How a protocol takes what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reception {
    /// By `data_received`, out of the loop's buffer.
    Plain,
    /// By `get_buffer` and `buffer_updated`, into its own.
    Buffered,
}

impl StreamProtocol {
    /// The same protocol as `shared`, as a transport holds it.
    pub fn from_shared<P: Protocol>(shared: &Rc<RefCell<P>>) -> Self {
        Self(Rc::clone(shared) as Rc<dyn Layer>)
    }

    /// A layer as the protocol of the transport below it.
    #[must_use]
    pub fn from_layer(layer: Rc<dyn Layer>) -> Self {
        Self(layer)
    }

    /// See [`Layer::poll_established`].
    ///
    /// # Errors
    /// When the layer cannot be established; the connection ends by itself then.
    pub fn poll_established(
        &self,
        below: &TransportRef,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<TransportRef>> {
        self.0.poll_established(below, cx)
    }

    /// See [`Layer::above`].
    #[must_use]
    pub fn above(&self) -> Option<TransportRef> {
        self.0.above()
    }

    /// See [`TransportRef::uppermost`].
    #[must_use]
    pub fn uppermost(&self, below: &TransportRef) -> TransportRef {
        self.0.uppermost(below)
    }

    /// Refuses a protocol that its user holds a borrow of while the loop runs (rule T11). A driver calls this before
    /// each callback but [`data_received`](Self::data_received), and outside its guard, because the bug is not the
    /// protocol's.
    ///
    /// # Panics
    /// With a sentence that names the type.
    #[inline]
    pub fn assert_free(&self) {
        self.0.assert_free();
    }

    /// How it takes what is read.
    #[must_use]
    pub fn reception(&self) -> Reception {
        self.0.reception()
    }

    /// Whether nobody else holds it.
    #[inline]
    #[must_use]
    pub fn is_unshared(&self) -> bool {
        Rc::strong_count(&self.0) == 1
    }

    /// The name of its type, for reports.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        self.0.type_name()
    }

    /// Tells `connection_made`.
    pub fn connection_made(&self, transport: &TransportRef) {
        self.0.connection_made(transport);
    }

    /// Tells `data_received`; for a plain protocol only. [`feed`](Self::feed) serves both kinds.
    ///
    /// # Errors
    /// When the user holds the protocol, which was told nothing then.
    ///
    /// # Panics
    /// When the protocol is a buffered one: a driver's bug.
    #[inline]
    pub fn data_received(&self, transport: &TransportRef, data: &[u8]) -> Result<(), Held> {
        self.0.data_received(transport, data)
    }

    /// Asks a buffered protocol for its buffer and lends it to `read`, which answers how much of it was filled.
    ///
    /// # Panics
    /// When the protocol is a plain one: a driver's bug.
    pub fn get_buffer(&self, size_hint: Option<usize>, read: &mut dyn FnMut(&mut [u8]) -> usize) {
        self.0.get_buffer(size_hint, read);
    }

    /// Tells `buffer_updated`.
    ///
    /// # Panics
    /// When the protocol is a plain one: a driver's bug.
    pub fn buffer_updated(&self, transport: &TransportRef, count: usize) {
        self.0.buffer_updated(transport, count);
    }

    /// Tells `eof_received`.
    pub fn eof_received(&self, transport: &TransportRef) -> KeepOpen {
        self.0.eof_received(transport)
    }

    /// Tells `pause_writing`.
    pub fn pause_writing(&self, transport: &TransportRef) {
        self.0.pause_writing(transport);
    }

    /// Tells `resume_writing`.
    pub fn resume_writing(&self, transport: &TransportRef) {
        self.0.resume_writing(transport);
    }

    /// Tells `connection_lost`.
    pub fn connection_lost(&self, transport: &TransportRef, why: &Lost) {
        self.0.connection_lost(transport, why);
    }

    /// Hands over bytes that were read already: all of `data` to a plain protocol, as much as fits into its buffer to a
    /// buffered one. Says how many were taken; zero when the buffer it gave was empty.
    pub fn feed(&self, transport: &TransportRef, data: &[u8]) -> usize {
        match self.reception() {
            Reception::Plain => self.data_received(transport, data).map_or(0, |()| data.len()),
            Reception::Buffered => {
                let mut taken = 0;
                self.get_buffer(Some(data.len()), &mut |buffer| {
                    taken = buffer.len().min(data.len());
                    buffer[..taken].copy_from_slice(&data[..taken]);
                    taken
                });
                if taken > 0 {
                    self.buffer_updated(transport, taken);
                }
                taken
            }
        }
    }
}

impl PartialEq for StreamProtocol {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::addr_eq(Rc::as_ptr(&self.0), Rc::as_ptr(&other.0))
    }
}

impl Eq for StreamProtocol {}

impl fmt::Debug for StreamProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StreamProtocol").field(&self.type_name()).finish()
    }
}

/// The callbacks of both kinds of protocols behind one pointer, on a shared object: what a transport sees of its protocol.
///
/// Users write a [`Protocol`] or a [`BufferedProtocol`] and never see this.
/// A *layer* implements it itself: a protocol for the transport below, and a transport for the protocol above, such as
/// TLS. It has its own ways of sharing, so it is not behind a `RefCell` of ours.
/// Its callbacks are called as those of any protocol are, see [`protocol`](crate::protocol).
pub trait Layer: 'static {
    /// Refuses with a panic while the user holds a borrow of the protocol, here or above (rule T11).
    fn assert_free(&self);

    /// How it takes what is read: always the same.
    fn reception(&self) -> Reception;

    /// The name of its type, for reports.
    fn type_name(&self) -> &'static str {
        type_name::<Self>()
    }

    /// See [`Protocol::connection_made`].
    fn connection_made(&self, transport: &TransportRef);

    /// See [`Protocol::data_received`]. The one callback that is not preceded by [`assert_free`](Self::assert_free): it is
    /// the one that most depends on being short.
    ///
    /// # Errors
    /// When the user holds a borrow of the protocol, here or above; the bytes were not taken then.
    fn data_received(&self, transport: &TransportRef, data: &[u8]) -> Result<(), Held> {
        let _ = (transport, data);
        unreachable!("a buffered protocol was given data_received");
    }

    /// See [`BufferedProtocol::get_buffer`]; `read` answers how much of the buffer was filled.
    fn get_buffer(&self, size_hint: Option<usize>, read: &mut dyn FnMut(&mut [u8]) -> usize) {
        let _ = (size_hint, read);
        unreachable!("a plain protocol was asked for its buffer");
    }

    /// See [`BufferedProtocol::buffer_updated`].
    fn buffer_updated(&self, transport: &TransportRef, count: usize) {
        let _ = (transport, count);
        unreachable!("a plain protocol was given buffer_updated");
    }

    /// See [`Protocol::eof_received`].
    fn eof_received(&self, transport: &TransportRef) -> KeepOpen;

    /// See [`Protocol::pause_writing`].
    fn pause_writing(&self, transport: &TransportRef);

    /// See [`Protocol::resume_writing`].
    fn resume_writing(&self, transport: &TransportRef);

    /// See [`Protocol::connection_lost`].
    fn connection_lost(&self, transport: &TransportRef, why: &Lost);

    /// Whether the layer stands, and what transport its user talks to then. A protocol stands from the beginning, on the
    /// transport `below`; TLS does after its handshake, and gives a transport of its own.
    ///
    /// # Errors
    /// When it cannot be established; the connection ends by itself then.
    fn poll_established(
        &self,
        below: &TransportRef,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<TransportRef>> {
        let _ = cx;
        Poll::Ready(Ok(below.clone()))
    }

    /// The transport that the layer has put above the one below, from its beginning to its loss. For those who look at a
    /// connection from outside; whoever waits for the layer asks [`poll_established`](Self::poll_established).
    fn above(&self) -> Option<TransportRef> {
        None
    }

    /// The transport that the protocol at the top of the layers talks to, which is `below` where none stands above it. A
    /// layer that stands, and is not broken, gives the uppermost one of its own.
    fn uppermost(&self, below: &TransportRef) -> TransportRef {
        below.clone()
    }
}

/// The user holds a borrow of the protocol while the loop runs, which rule T11 forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held;

/// Refuses to go on when the user holds a borrow of the protocol across a turn (rule T11).
#[inline]
pub(crate) fn free<P>(cell: &RefCell<P>) -> RefMut<'_, P> {
    match cell.try_borrow_mut() {
        Ok(protocol) => protocol,
        Err(_) => borrowed::<P>(),
    }
}

/// The answer of a protocol that is held. Opaque to the compiler, which would otherwise ask once more, on the way out of the
/// call, whether it was.
#[cold]
#[inline(never)]
fn held() -> Result<(), Held> {
    black_box(Err(Held))
}

#[cold]
fn borrowed<P>() -> ! {
    panic!(
        "the protocol {} is borrowed while the loop runs: drop the borrow before the next turn",
        type_name::<P>()
    )
}

macro_rules! common_callbacks {
    ($p:ident, |$cell:ident| $enter:expr) => {
        fn type_name(&self) -> &'static str {
            type_name::<$p>()
        }
        fn connection_made(&self, transport: &TransportRef) {
            let $cell = self;
            $enter.connection_made(transport);
        }
        fn eof_received(&self, transport: &TransportRef) -> KeepOpen {
            let $cell = self;
            $enter.eof_received(transport)
        }
        fn pause_writing(&self, transport: &TransportRef) {
            let $cell = self;
            $enter.pause_writing(transport);
        }
        fn resume_writing(&self, transport: &TransportRef) {
            let $cell = self;
            $enter.resume_writing(transport);
        }
        fn connection_lost(&self, transport: &TransportRef, why: &Lost) {
            let $cell = self;
            $enter.connection_lost(transport, why);
        }
    };
}

impl<P: Protocol> Layer for RefCell<P> {
    common_callbacks!(P, |cell| cell.borrow_mut());

    fn assert_free(&self) {
        free(self);
    }
    fn reception(&self) -> Reception {
        Reception::Plain
    }
    #[inline]
    fn data_received(&self, transport: &TransportRef, data: &[u8]) -> Result<(), Held> {
        match self.try_borrow_mut() {
            Ok(mut protocol) => {
                protocol.data_received(transport, data);
                Ok(())
            }
            Err(_) => held(),
        }
    }
}

impl<P: BufferedProtocol> Layer for RefCell<Buffered<P>> {
    common_callbacks!(P, |cell| cell.borrow_mut().0);

    fn assert_free(&self) {
        free(self);
    }
    fn reception(&self) -> Reception {
        Reception::Buffered
    }
    fn get_buffer(&self, size_hint: Option<usize>, read: &mut dyn FnMut(&mut [u8]) -> usize) {
        read(self.borrow_mut().0.get_buffer(size_hint));
    }
    fn buffer_updated(&self, transport: &TransportRef, count: usize) {
        self.borrow_mut().0.buffer_updated(transport, count);
    }
}
