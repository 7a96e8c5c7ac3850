//! How a datagram protocol is shared between its user and its transport, as [`shared`](crate::shared) does for streams.

use std::any::type_name;
use std::cell::RefCell;
use std::fmt;
use std::io;
use std::rc::Rc;

use super::batch::Batch;
use crate::handle::DatagramTransportRef;
use crate::lost::Lost;
use crate::protocol::DatagramProtocol;
use crate::shared::free;

/// What can become the protocol of an endpoint: any [`DatagramProtocol`], an object that is shared already, or an
/// [`EndpointProtocol`] as it is.
pub trait IntoDatagramProtocol {
    /// What the user keeps.
    type Shared: Clone;

    /// The shared object, and the transport's hold on it.
    fn share(self) -> (Self::Shared, EndpointProtocol);
}

impl<P: DatagramProtocol> IntoDatagramProtocol for P {
    type Shared = Rc<RefCell<P>>;

    fn share(self) -> (Self::Shared, EndpointProtocol) {
        Rc::new(RefCell::new(self)).share()
    }
}

impl<P: DatagramProtocol> IntoDatagramProtocol for Rc<RefCell<P>> {
    type Shared = Self;

    fn share(self) -> (Self::Shared, EndpointProtocol) {
        (Self::clone(&self), EndpointProtocol(self))
    }
}

impl IntoDatagramProtocol for EndpointProtocol {
    type Shared = Self;

    fn share(self) -> (Self::Shared, EndpointProtocol) {
        (self.clone(), self)
    }
}

/// The protocol of an endpoint, whatever its type: what a transport holds. Equal by identity.
#[derive(Clone)]
pub struct EndpointProtocol(Rc<dyn Callbacks>);

impl EndpointProtocol {
    /// Refuses to go on when the user holds a borrow of the protocol across a turn (rule T11).
    ///
    /// # Panics
    /// When that is so, with the type's name.
    pub fn assert_free(&self) {
        self.0.assert_free();
    }

    /// Whether nobody else holds it.
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
    pub fn connection_made(&self, transport: &DatagramTransportRef) {
        self.0.connection_made(transport);
    }

    /// Tells `datagrams_received`.
    pub fn datagrams_received(&self, transport: &DatagramTransportRef, batch: &Batch<'_>) {
        self.0.datagrams_received(transport, batch);
    }

    /// Tells `error_received`.
    pub fn error_received(&self, transport: &DatagramTransportRef, error: &io::Error) {
        self.0.error_received(transport, error);
    }

    /// Tells `pause_writing`.
    pub fn pause_writing(&self, transport: &DatagramTransportRef) {
        self.0.pause_writing(transport);
    }

    /// Tells `resume_writing`.
    pub fn resume_writing(&self, transport: &DatagramTransportRef) {
        self.0.resume_writing(transport);
    }

    /// Tells `connection_lost`.
    pub fn connection_lost(&self, transport: &DatagramTransportRef, why: &Lost) {
        self.0.connection_lost(transport, why);
    }
}

impl PartialEq for EndpointProtocol {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::addr_eq(Rc::as_ptr(&self.0), Rc::as_ptr(&other.0))
    }
}

impl Eq for EndpointProtocol {}

impl fmt::Debug for EndpointProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EndpointProtocol").field(&self.type_name()).finish()
    }
}

/// The callbacks behind one pointer.
trait Callbacks {
    fn assert_free(&self);
    fn type_name(&self) -> &'static str;
    fn connection_made(&self, transport: &DatagramTransportRef);
    fn datagrams_received(&self, transport: &DatagramTransportRef, batch: &Batch<'_>);
    fn error_received(&self, transport: &DatagramTransportRef, error: &io::Error);
    fn pause_writing(&self, transport: &DatagramTransportRef);
    fn resume_writing(&self, transport: &DatagramTransportRef);
    fn connection_lost(&self, transport: &DatagramTransportRef, why: &Lost);
}

impl<P: DatagramProtocol> Callbacks for RefCell<P> {
    fn assert_free(&self) {
        drop(free(self));
    }
    fn type_name(&self) -> &'static str {
        type_name::<P>()
    }
    fn connection_made(&self, transport: &DatagramTransportRef) {
        self.borrow_mut().connection_made(transport);
    }
    fn datagrams_received(&self, transport: &DatagramTransportRef, batch: &Batch<'_>) {
        self.borrow_mut().datagrams_received(transport, batch);
    }
    fn error_received(&self, transport: &DatagramTransportRef, error: &io::Error) {
        self.borrow_mut().error_received(transport, error);
    }
    fn pause_writing(&self, transport: &DatagramTransportRef) {
        self.borrow_mut().pause_writing(transport);
    }
    fn resume_writing(&self, transport: &DatagramTransportRef) {
        self.borrow_mut().resume_writing(transport);
    }
    fn connection_lost(&self, transport: &DatagramTransportRef, why: &Lost) {
        self.borrow_mut().connection_lost(transport, why);
    }
}
