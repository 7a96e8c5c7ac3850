//! [`TlsPeer`]: a TLS client or server worked by hand on a wire, through one layer of TLS or several.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::sync::Arc;

use wharf::memory::{Seen, Wire};
use wharf::tls::rustls;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, Connection, ServerConnection};

use super::authority::NAME;

/// The other end. The first engine is the user's, the last one stands on the wire.
#[derive(Debug)]
pub(crate) struct TlsPeer {
    engines: RefCell<Vec<Connection>>,
    wire: Wire,
}

impl TlsPeer {
    /// A client by each of `configs`, the user's first.
    pub(crate) fn new(wire: Wire, configs: &[Arc<rustls::ClientConfig>]) -> Self {
        let engine = |config: &Arc<rustls::ClientConfig>| {
            let name = ServerName::try_from(NAME).expect("a good name");
            let mut engine =
                ClientConnection::new(Arc::clone(config), name).expect("a good client");
            engine.set_buffer_limit(None);
            Connection::from(engine)
        };
        let engines = configs.iter().map(engine).collect();
        Self { engines: RefCell::new(engines), wire }
    }

    /// A server.
    pub(crate) fn server(wire: Wire, config: rustls::ServerConfig) -> Self {
        let mut engine = ServerConnection::new(Arc::new(config)).expect("a good server");
        engine.set_buffer_limit(None);
        Self { engines: RefCell::new(vec![engine.into()]), wire }
    }

    pub(crate) fn wire(&self) -> &Wire {
        &self.wire
    }

    /// Whether every handshake is over, on this side.
    pub(crate) fn is_established(&self) -> bool {
        self.engines.borrow().iter().all(|engine| !engine.is_handshaking())
    }

    /// The user's engine, for what only an engine can do.
    pub(crate) fn with_engine<R>(&self, act: impl FnOnce(&mut Connection) -> R) -> R {
        act(&mut self.engines.borrow_mut()[0])
    }

    /// Records that are to be sent, from all layers.
    pub(crate) fn take_records(&self) -> Vec<u8> {
        let mut engines = self.engines.borrow_mut();
        let mut records = Vec::new();
        for engine in &mut *engines {
            if !records.is_empty() {
                engine.writer().write_all(&records).expect("an engine takes everything");
            }
            records.clear();
            while engine.wants_write() {
                engine.write_tls(&mut records).expect("a vector takes everything");
            }
        }
        records
    }

    /// Sends what is to be sent.
    pub(crate) fn flush(&self) {
        let records = self.take_records();
        if !records.is_empty() {
            self.wire.send(&records);
        }
    }

    /// Writes plaintext.
    pub(crate) fn send(&self, bytes: &[u8]) {
        self.with_engine(|engine| engine.writer().write_all(bytes).expect("an engine takes all"));
        self.flush();
    }

    /// Says goodbye, and nothing else.
    pub(crate) fn say_goodbye(&self) {
        self.with_engine(|engine| engine.send_close_notify());
        self.flush();
    }

    /// Takes in what has come, without sending anything; plaintext goes to `received`.
    pub(crate) fn receive(&self, received: &mut Vec<u8>) {
        self.try_receive(received).expect("the records are good");
    }

    /// The same, for records that may be refused.
    pub(crate) fn try_receive(&self, received: &mut Vec<u8>) -> Result<(), rustls::Error> {
        let mut bytes = self.wire.take();
        for (place, engine) in self.engines.borrow_mut().iter_mut().enumerate().rev() {
            let mut plaintext = Vec::new();
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                if engine.read_tls(&mut rest).is_ok_and(|count| count == 0) {
                    break;
                }
                engine.process_new_packets()?;
                // An end without a goodbye is seen by the wire.
                let _ = engine.reader().read_to_end(&mut plaintext);
            }
            if place == 0 {
                received.extend_from_slice(&plaintext);
            }
            bytes = plaintext;
        }
        Ok(())
    }

    /// What has come and was not seen before.
    pub(crate) fn take(&self) -> Vec<u8> {
        let mut received = Vec::new();
        self.receive(&mut received);
        self.flush();
        received
    }

    /// The error that what has come amounts to: an alert, most often.
    pub(crate) fn error(&self) -> Option<rustls::Error> {
        self.try_receive(&mut Vec::new()).err()
    }

    /// How the user's stream looks after what has been received.
    pub(crate) fn seen(&self) -> Seen {
        let goodbye = self.with_engine(|engine| {
            engine.process_new_packets().is_ok_and(|state| state.peer_has_closed())
        });
        if goodbye { Seen::Eof } else { self.wire.seen() }
    }
}
