//! The handles: cheap to clone, equal by identity, usable as map keys, and bound to their thread.
//!
//! A handle refers to a transport and does not own the connection: dropping every handle closes nothing, and a
//! connection does not wait for its handles (rule T5).
//!
//! ```compile_fail,E0277
//! fn is_send<T: Send>() {}
//! is_send::<wharf_core::TransportRef>(); // `Rc<dyn Transport>` cannot be sent between threads safely
//! ```
//!
//! A transport that can only be read has no `write`:
//!
//! ```compile_fail,E0599
//! fn refuse(transport: &wharf_core::ReadTransportRef) {
//!     transport.write(b"no such method");
//! }
//! ```

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::rc::Rc;
use std::time::Duration;

use crate::address::Address;
use crate::datagram::{EndpointProtocol, IntoDatagramProtocol};
use crate::extra::{LocalAddr, PeerAddr, Request};
use crate::flow::Flow;
use crate::lingering;
use crate::shared::{IntoProtocol, StreamProtocol};
use crate::transport::{
    DatagramTransport, ReadTransport, SubprocessTransport, Transport, WriteTransport,
};
use crate::tray::Lent;

macro_rules! handle {
    ($(#[$doc:meta])* $name:ident, $target:ident $(, $lent:ident)?) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(Rc<dyn $target> $(, $lent)?);

        impl $name {
            /// A handle on `transport`.
            #[must_use]
            pub fn new(transport: Rc<dyn $target>) -> Self {
                Self(transport $(, $lent::default())?)
            }

            /// The fact `T` about the connection, if it is known; also after the loss.
            ///
            /// See [`extra`](crate::extra) for the facts of core; every transport crate adds its own.
            #[doc(alias = "get_extra_info")]
            #[must_use]
            pub fn extra<T: 'static>(&self) -> Option<T> {
                Request::ask(|request| self.0.provide(request))
            }

            /// The address of our end.
            #[doc(alias = "sockname")]
            #[must_use]
            pub fn local_addr(&self) -> Option<Address> {
                self.extra::<LocalAddr>().map(|fact| fact.0)
            }

            /// The address of the peer's end.
            #[doc(alias = "peername")]
            #[must_use]
            pub fn peer_addr(&self) -> Option<Address> {
                self.extra::<PeerAddr>().map(|fact| fact.0)
            }
        }

        impl Deref for $name {
            type Target = dyn $target;

            fn deref(&self) -> &Self::Target {
                &*self.0
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                std::ptr::addr_eq(Rc::as_ptr(&self.0), Rc::as_ptr(&other.0))
            }
        }

        impl Eq for $name {}

        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                Rc::as_ptr(&self.0).cast::<()>().hash(state);
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("id", &self.0.id().get())
                    .field("closing", &self.0.is_closing())
                    .finish()
            }
        }
    };
}

handle!(
    /// A handle on a byte stream in both directions.
    TransportRef,
    Transport,
    Lent
);
handle!(
    /// A handle on a transport that can only be read.
    ReadTransportRef,
    ReadTransport
);
handle!(
    /// A handle on a transport that can only be written.
    WriteTransportRef,
    WriteTransport
);
handle!(
    /// A handle on a transport of datagrams.
    DatagramTransportRef,
    DatagramTransport
);
handle!(
    /// A handle on a child process.
    SubprocessTransportRef,
    SubprocessTransport
);

impl TransportRef {
    /// A handle for a callback, which writes to a tray.
    #[inline]
    pub(crate) fn lending(transport: Rc<dyn Transport>, tray: Lent) -> Self {
        Self(transport, tray)
    }

    /// Takes a copy of what the system does not take at once. The answer says whether to go on.
    ///
    /// This is the transport's own [`write`](WriteTransport::write), and cheaper by the handle that `data_received` was
    /// given than by a clone of it.
    #[inline]
    pub fn write(&self, data: &[u8]) -> Flow {
        if self.1.write(data) { Flow::Open } else { self.0.write(data) }
    }

    /// Switches the protocol: `protocol` gets the next callback, and `leftover`, the rest of what the running callback
    /// was given, before anything else (rule T8). Gives the new protocol as a shared object, and the previous one.
    ///
    /// The new protocol hears no `connection_made`, the old one no `connection_lost`.
    pub fn set_protocol<P: IntoProtocol>(
        &self,
        protocol: P,
        leftover: &[u8],
    ) -> (P::Shared, Option<StreamProtocol>) {
        let (shared, protocol) = protocol.share();
        let previous = self.0.replace_protocol(protocol, leftover);
        (shared, previous)
    }

    /// Closes so that the peer hears our last words although it may still be talking, as after a refusal.
    ///
    /// A plain [`close`](crate::BaseTransport::close) of a socket that has bytes unread, or gets some later, is answered to
    /// the peer by a reset, which can overtake what was sent before it.
    /// Here everything that is queued goes out and our direction is shut down, as by
    /// [`write_eof`](crate::WriteTransport::write_eof); what still comes is read and thrown away, until the peer ends too,
    /// `patience` is over or 16 MiB have come; then the transport closes.
    /// The protocol hears nothing more but `connection_lost`, with [`Lost::Closed`](crate::Lost::Closed) unless something
    /// fails meanwhile.
    ///
    /// From now on the transport is closing, and `write` answers [`Flow::Closed`].
    /// It is a plain close where nothing more can come, where our direction has no end of its own
    /// ([`can_write_eof`](crate::WriteTransport::can_write_eof)) and without patience.
    /// Calling it again does nothing; `close` and `abort` end it as ever.
    #[doc(alias = "lingering_close")]
    pub fn close_lingering(&self, patience: Duration) {
        lingering::close(self, Rc::downgrade(&self.0), patience);
    }

    /// The transport that the protocol at the top talks to: this one, or that of the layer above it, such as TLS, whose
    /// close says goodbye to the peer where a close of this one would cut it off.
    ///
    /// This one, too, while a layer is not established: there is nobody to say goodbye to yet.
    #[must_use]
    pub fn uppermost(&self) -> Self {
        match self.0.protocol() {
            Some(protocol) => protocol.uppermost(self),
            None => self.clone(),
        }
    }
}

/// The transport itself, for a layer that keeps it: a handle is one word larger.
impl From<TransportRef> for Rc<dyn Transport> {
    fn from(transport: TransportRef) -> Self {
        transport.0
    }
}

impl From<TransportRef> for ReadTransportRef {
    fn from(transport: TransportRef) -> Self {
        Self(transport.0.into_read())
    }
}

impl From<TransportRef> for WriteTransportRef {
    fn from(transport: TransportRef) -> Self {
        Self(transport.0.into_write())
    }
}

impl DatagramTransportRef {
    /// Switches the protocol: `protocol` gets the next callback, and before anything else what the running one has not
    /// been handed yet of its batch. Gives the new protocol as a shared object, and the previous one.
    ///
    /// The new protocol hears no `connection_made`, the old one no `connection_lost`.
    pub fn set_protocol<P: IntoDatagramProtocol>(
        &self,
        protocol: P,
    ) -> (P::Shared, Option<EndpointProtocol>) {
        let (shared, protocol) = protocol.share();
        let previous = self.0.replace_protocol(protocol);
        (shared, previous)
    }
}
