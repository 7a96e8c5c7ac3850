//! [`Engine`]: TLS without I/O, behind a trait of our own.
//!
//! Its shape is that of rustls 0.24's connection, implemented over the buffered connection of 0.23: moving on is this one
//! file.

use std::io::{self, BufRead, ErrorKind, IoSlice, Read, Write};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, Connection, HandshakeKind, ServerConnection};
use wharf_core::extra::Request;
use wharf_core::guard;

use crate::info;
use crate::settings::{ClientConfig, ServerConfig};

/// What a read of plaintext met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plaintext {
    /// So many bytes; never zero.
    Bytes(usize),
    /// Nothing, until more is fed.
    Nothing,
    /// Nothing, for ever: the peer has said goodbye.
    Ended,
}

/// TLS without I/O: records in, plaintext out, and the other way round.
///
/// Drain the plaintext by [`read`](Self::read) before feeding more, and send what there is to send after every call.
pub(crate) trait Engine {
    /// Takes records, in part or in whole, from the front of `data`; says how many bytes it took, never zero of some.
    ///
    /// # Errors
    /// When they cannot be the peer's; an alert is then to be sent.
    fn feed(&mut self, data: &mut [u8]) -> Result<usize, rustls::Error>;

    /// Moves plaintext into `out`.
    fn read(&mut self, out: &mut [u8]) -> Plaintext;

    /// Drops plaintext; says whether the peer has said goodbye.
    fn discard(&mut self) -> bool;

    /// Makes records of all of `data`. For an established connection.
    ///
    /// # Errors
    /// The error of an earlier [`feed`](Self::feed), after which nothing is taken.
    fn write(&mut self, data: &[IoSlice<'_>]) -> Result<(), rustls::Error>;

    /// Says goodbye. Nothing can be written after it.
    fn close_notify(&mut self);

    /// Hands records that are to be sent to `out`, which takes all of them.
    fn send_to(&mut self, out: &mut dyn Write);

    /// Whether there is something to send.
    fn wants_send(&self) -> bool;

    /// Whether the handshake is under way.
    fn is_handshaking(&self) -> bool;

    /// Whether the peer has said goodbye, perhaps behind plaintext that is still to be read.
    fn has_ended(&self) -> bool;

    /// Whether each direction has an end of its own: from TLS 1.3 on.
    fn can_half_close(&self) -> bool;

    /// Changes the keys of our direction, and asks the peer to do the same.
    ///
    /// # Errors
    /// Before TLS 1.3, and before the handshake is over.
    fn refresh_keys(&mut self) -> Result<(), rustls::Error>;

    /// Derives key material from the secrets of the connection (RFC 5705).
    ///
    /// # Errors
    /// Before the handshake is over, and for an empty output.
    fn export(
        &self,
        out: &mut [u8],
        label: &[u8],
        context: Option<&[u8]>,
    ) -> Result<(), rustls::Error>;

    /// Answers a question for a fact.
    fn provide(&self, request: &mut Request<'_>);
}

/// The buffered connection of rustls 0.23.
pub(crate) struct Rustls {
    connection: Connection,
    /// The peer has said goodbye.
    ended: bool,
    /// We have said goodbye.
    said_goodbye: bool,
}

impl Rustls {
    /// The client's side of a connection to `name`.
    pub(crate) fn client(
        config: &ClientConfig,
        name: ServerName<'static>,
    ) -> Result<Self, rustls::Error> {
        Ok(Self::new(ClientConnection::new(config.rustls.clone(), name)?.into()))
    }

    /// The server's side.
    pub(crate) fn server(config: &ServerConfig) -> Result<Self, rustls::Error> {
        Ok(Self::new(ServerConnection::new(config.rustls.clone())?.into()))
    }

    fn new(mut connection: Connection) -> Self {
        // How much is taken is the transport's business: one rule for the whole stack.
        connection.set_buffer_limit(None);
        Self { connection, ended: false, said_goodbye: false }
    }
}

impl Rustls {
    /// Opens the records that were fed; says how much plaintext there is to read.
    fn process(&mut self) -> Result<usize, rustls::Error> {
        let state = if self.said_goodbye {
            // In a debug build rustls asserts that no alert follows a goodbye, and a peer whose records are bad makes it want
            // to send one. That is an end of this connection, and not the user's fault.
            let connection = &mut self.connection;
            guard::call("process_new_packets", || connection.process_new_packets())
                .unwrap_or_else(|caught| Err(rustls::Error::General(caught.fault.message().into())))
        } else {
            self.connection.process_new_packets()
        }?;
        self.ended = state.peer_has_closed();
        Ok(state.plaintext_bytes_to_read())
    }
}

impl Engine for Rustls {
    fn feed(&mut self, data: &mut [u8]) -> Result<usize, rustls::Error> {
        if self.ended {
            // Whatever follows a goodbye means nothing.
            return Ok(data.len());
        }
        let mut rest: &[u8] = data;
        // It takes 4 KiB at a time. It is asked after each whether that was a record: were it filled until it says that
        // it is full, saying so would be an error with three allocations, for each record.
        while !rest.is_empty() {
            if !matches!(self.connection.read_tls(&mut rest), Ok(1..)) {
                return Err(rustls::Error::General("a record does not fit".into()));
            }
            if self.process()? > 0 || self.ended {
                break;
            }
        }
        Ok(data.len() - rest.len())
    }

    fn read(&mut self, out: &mut [u8]) -> Plaintext {
        match self.connection.reader().read(out) {
            Ok(0) => Plaintext::Ended,
            Ok(count) => Plaintext::Bytes(count),
            Err(_) => Plaintext::Nothing,
        }
    }

    fn discard(&mut self) -> bool {
        let mut reader = self.connection.reader();
        loop {
            let count = match reader.fill_buf() {
                Ok(chunk) => chunk.len(),
                Err(error) => {
                    debug_assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    return false;
                }
            };
            if count == 0 {
                return true;
            }
            reader.consume(count);
        }
    }

    fn write(&mut self, data: &[IoSlice<'_>]) -> Result<(), rustls::Error> {
        // Without a limit it takes everything, or nothing at all.
        self.connection.writer().write_vectored(data).map(drop).map_err(|error| {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            inner.cloned().unwrap_or_else(|| rustls::Error::General(error.to_string()))
        })
    }

    fn close_notify(&mut self) {
        self.said_goodbye = true;
        self.connection.send_close_notify();
    }

    fn send_to(&mut self, out: &mut dyn Write) {
        while self.connection.wants_write() {
            if self.connection.write_tls(out).is_err() {
                break;
            }
        }
    }

    fn wants_send(&self) -> bool {
        self.connection.wants_write()
    }

    fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    fn has_ended(&self) -> bool {
        self.ended
    }

    fn can_half_close(&self) -> bool {
        self.connection.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_3)
            && !self.connection.is_handshaking()
    }

    fn refresh_keys(&mut self) -> Result<(), rustls::Error> {
        self.connection.refresh_traffic_keys()
    }

    fn export(
        &self,
        out: &mut [u8],
        label: &[u8],
        context: Option<&[u8]>,
    ) -> Result<(), rustls::Error> {
        match &self.connection {
            Connection::Client(client) => client.export_keying_material(out, label, context),
            Connection::Server(server) => server.export_keying_material(out, label, context),
        }
        .map(drop)
    }

    fn provide(&self, request: &mut Request<'_>) {
        let connection = &self.connection;
        request
            .provide_some(|| connection.protocol_version().and_then(info::TlsVersion::of))
            .provide_some(|| {
                connection.negotiated_cipher_suite().map(|suite| info::CipherSuite(suite.suite()))
            })
            .provide_some(|| {
                let group = connection.negotiated_key_exchange_group();
                group.map(|group| info::KeyExchangeGroup(group.name()))
            })
            .provide_some(|| connection.alpn_protocol().map(|name| info::Alpn(name.to_vec())))
            .provide_some(|| {
                let chain = connection.peer_certificates();
                chain.map(|chain| info::PeerCertificates(chain.to_vec()))
            })
            .provide_some(|| {
                let kind = connection.handshake_kind();
                kind.map(|kind| info::Resumed(kind == HandshakeKind::Resumed))
            })
            .provide_some(|| match connection {
                // Its side knows whom it has asked for.
                Connection::Client(_) => None,
                Connection::Server(server) => {
                    server.server_name().map(|name| info::ServerName(name.to_owned()))
                }
            });
    }
}

/// For those who take all that is handed to them.
pub(crate) fn total(slices: &[IoSlice<'_>]) -> io::Result<usize> {
    Ok(slices.iter().map(|slice| slice.len()).sum())
}
