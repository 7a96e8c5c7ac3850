//! [`Stream`]: both halves, and the ways to them.

use std::future::IntoFuture;
use std::io;
use std::rc::Rc;

use wharf_core::{IntoProtocol, Lost, TransportRef};

use crate::endpoint::Endpoint;
use crate::reader::StreamReader;
use crate::writer::StreamWriter;

/// A reader and a writer on one connection. Take it apart to use them in two places:
/// `let Stream { reader, writer } = stream;`.
#[derive(Debug)]
pub struct Stream {
    /// Reads.
    pub reader: StreamReader,
    /// Writes.
    pub writer: StreamWriter,
}

impl Stream {
    /// Gives the connection to a protocol, which gets what was not read before anything else. Gives what connecting
    /// gives.
    ///
    /// The protocol hears no `connection_made`; it hears no `eof_received` either when the peer has ended before.
    ///
    /// # Panics
    /// When the halves are of two connections.
    pub fn into_protocol<P: IntoProtocol>(self, protocol: P) -> (TransportRef, P::Shared) {
        let Self { mut reader, writer } = self;
        assert!(
            Rc::ptr_eq(reader.shared(), writer.shared()),
            "`into_protocol` was called on a reader and a writer of two connections"
        );
        let transport = writer.transport().clone();
        let unread = reader.take_unread();
        let (shared, _) = transport.set_protocol(protocol, &unread);
        transport.resume_reading();
        (transport, shared)
    }

    /// A handle on the transport.
    #[must_use]
    pub fn transport(&self) -> &TransportRef {
        self.writer.transport()
    }
}

/// The stream of a connection that is being made with [`Endpoint::new`] for its protocol:
/// `open(tcp::connect(&handle, address, Endpoint::new)).await`.
///
/// Cancel-safe where connecting is: dropping the future takes the connection back.
///
/// # Errors
/// Those of connecting.
#[doc(alias = "open_connection")]
#[doc(alias = "open_unix_connection")]
pub async fn open<F>(connecting: F) -> io::Result<Stream>
where
    F: IntoFuture<Output = io::Result<(TransportRef, Endpoint)>>,
{
    let (_, endpoint) = connecting.await?;
    let taken = || io::Error::new(io::ErrorKind::AlreadyExists, "the stream was taken before");
    endpoint.take().ok_or_else(taken)
}

/// The stream of a transport that talks already: takes the place of its protocol. The first that is read is `leftover`,
/// the rest of what the running callback was given.
///
/// On a transport whose connection is over the stream is at its end.
#[must_use = "dropping the stream closes the connection"]
pub fn take(transport: &TransportRef, leftover: &[u8]) -> Stream {
    let endpoint = Endpoint::new();
    endpoint.shared().made(transport);
    let alive = transport.protocol().is_some();
    transport.set_protocol(endpoint.clone(), leftover);
    if alive {
        transport.resume_reading();
    } else {
        endpoint.shared().lost(&Lost::Closed);
    }
    endpoint.take().expect("a new endpoint with a transport has its stream")
}
