//! [`TlsPeer`]: a TLS client or server worked by hand on the raw end of a connection, which may be another of its kind.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::rc::Rc;
use std::sync::Arc;

use wharf::memory::Seen;
use wharf::tls::rustls;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, Connection, ServerConnection};

use super::authority::NAME;
use super::peer::Peer;

/// The other end of TLS.
#[derive(Debug)]
pub(crate) struct TlsPeer {
    engine: RefCell<Connection>,
    below: Peer,
    /// Records, and whatever else was to be sent, that the end below has not taken.
    unsent: RefCell<Vec<u8>>,
    /// Whether the end below closes once it has taken everything.
    closing: Cell<bool>,
}

impl TlsPeer {
    /// A client.
    pub(crate) fn client(below: Peer, config: Arc<rustls::ClientConfig>) -> Rc<Self> {
        let name = ServerName::try_from(NAME).expect("a good name");
        Self::new(below, ClientConnection::new(config, name).expect("a good client").into())
    }

    /// A server.
    pub(crate) fn server(below: Peer, config: rustls::ServerConfig) -> Rc<Self> {
        Self::new(below, ServerConnection::new(Arc::new(config)).expect("a good server").into())
    }

    fn new(below: Peer, mut engine: Connection) -> Rc<Self> {
        engine.set_buffer_limit(None);
        Rc::new(Self {
            engine: RefCell::new(engine),
            below,
            unsent: RefCell::default(),
            closing: Cell::new(false),
        })
    }

    /// The end below.
    pub(crate) fn below(&self) -> &Peer {
        &self.below
    }

    /// Whether every handshake is over, on this side.
    pub(crate) fn is_established(&self) -> bool {
        !self.engine.borrow().is_handshaking() && self.below.is_established()
    }

    /// The engine, for what only an engine can do.
    pub(crate) fn with_engine<R>(&self, act: impl FnOnce(&mut Connection) -> R) -> R {
        act(&mut self.engine.borrow_mut())
    }

    /// Records that are to be sent.
    pub(crate) fn take_records(&self) -> Vec<u8> {
        let mut records = Vec::new();
        self.with_engine(|engine| {
            while engine.wants_write() {
                engine.write_tls(&mut records).expect("a vector takes everything");
            }
        });
        records
    }

    /// Sends what is to be sent, below this layer, too. Says whether there was anything.
    pub(crate) fn flush(&self) -> bool {
        let records = self.take_records();
        self.send_raw(&records);
        self.below.flush() || !records.is_empty()
    }

    /// Sends `bytes` past the engine.
    pub(crate) fn send_raw(&self, bytes: &[u8]) {
        self.unsent.borrow_mut().extend_from_slice(bytes);
        self.push();
    }

    /// Sends what the end below did not take before. Says whether any of it went.
    pub(crate) fn push(&self) -> bool {
        let mut unsent = self.unsent.borrow_mut();
        let mut sent = 0;
        if !unsent.is_empty() {
            // Whoever was left has nobody to send to.
            sent = self.below.try_send(&unsent).unwrap_or(unsent.len());
            unsent.drain(..sent);
        }
        if unsent.is_empty() && self.closing.take() {
            // What has come meanwhile would make a reset of it.
            self.below.read();
            self.below.close();
        }
        sent > 0
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

    /// Closes the end below, without a goodbye, once it has taken everything.
    pub(crate) fn close_below(&self) {
        self.push();
        if self.unsent.borrow().is_empty() {
            self.below.close();
        } else {
            self.closing.set(true);
        }
    }

    /// Takes in what has come, without answering; plaintext goes to `received`.
    pub(crate) fn receive(&self, received: &mut Vec<u8>) {
        self.try_receive(received).expect("the records are good");
    }

    /// The same, with no more than `most` bytes of what has come below.
    pub(crate) fn receive_at_most(&self, most: usize, received: &mut Vec<u8>) {
        self.below.read_at_most(most);
        self.feed(&self.below.take_read(), received).expect("the records are good");
    }

    /// The same, for records that may be refused. Says whether anything came.
    pub(crate) fn try_receive(&self, received: &mut Vec<u8>) -> Result<bool, rustls::Error> {
        self.below.read();
        let bytes = self.below.take_read();
        self.feed(&bytes, received)?;
        Ok(!bytes.is_empty())
    }

    /// Takes in `bytes` as if they had come.
    pub(crate) fn feed(
        &self,
        mut bytes: &[u8],
        received: &mut Vec<u8>,
    ) -> Result<(), rustls::Error> {
        let mut engine = self.engine.borrow_mut();
        while !bytes.is_empty() {
            if engine.read_tls(&mut bytes).is_ok_and(|count| count == 0) {
                break;
            }
            engine.process_new_packets()?;
            // An end without a goodbye is seen below.
            let _ = engine.reader().read_to_end(received);
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

    /// How the stream looks after what has been received.
    pub(crate) fn seen(&self) -> Seen {
        let goodbye = self.with_engine(|engine| {
            engine.process_new_packets().is_ok_and(|state| state.peer_has_closed())
        });
        if goodbye { Seen::Eof } else { self.below.seen() }
    }
}
