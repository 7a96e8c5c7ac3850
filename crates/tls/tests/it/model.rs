//! A client that means harm: what it sends is cut, changed, repeated and left out. Shared with the fuzz target.
//!
//! Whatever comes, the protocol above hears a story that follows the rules, and bytes that the client has sent, in order.

use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use wharf_core::memory::Stage;
use wharf_core::{KeepOpen, Lost, Protocol, TransportRef};
use wharf_tls::config::{self, Identity, Roots};
use wharf_tls::{ServerConfig, rustls};

/// What the client does next.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Deed {
    /// Writes so much plaintext.
    Write(u16),
    /// Sends its records as they are.
    Send,
    /// Sends them with one bit turned.
    Flip(u16, u8),
    /// Sends the first so many of their bytes, and forgets the rest.
    Cut(u16),
    /// Sends them twice.
    Repeat,
    /// Sends bytes of nobody's.
    Garbage(u16, u8),
    /// Says goodbye.
    Goodbye,
    /// Takes in what has come.
    Read,
    /// Asks for new keys.
    Refresh,
    /// Ends the stream below.
    End,
    /// Lets the loop take turns.
    Turn,
    /// The protocol pauses reading, or resumes.
    Pause(bool),
    /// The protocol closes.
    Close,
}

/// The two configurations, made once.
pub(crate) struct Ground {
    server: ServerConfig,
    client: Arc<rustls::ClientConfig>,
}

const NAME: &str = "wharf.test";

impl Ground {
    pub(crate) fn new() -> Self {
        let key = rcgen::KeyPair::generate().expect("a key can be made");
        let params = rcgen::CertificateParams::new(vec![NAME.to_owned()]).expect("a good name");
        let certificate = params.self_signed(&key).expect("a certificate can be made").pem();
        let client = config::client(Roots::pem(certificate.clone())).build().expect("good roots");
        let identity = Identity::pem(certificate, key.serialize_pem());
        let server = config::server(identity).build().expect("a good identity");
        Self { server: server.into(), client }
    }

    /// Plays `deeds` against a server of ours, and holds it to the rules.
    pub(crate) fn play(&self, deeds: &[Deed]) {
        let stage = Stage::new();
        let heard = Rc::new(RefCell::new(Heard::default()));
        let protocol = Listener(Rc::clone(&heard));
        let mut protocol = Some(protocol);
        let mut factory =
            wharf_tls::server(self.server.clone(), || protocol.take().expect("one connection"));
        let (_below, _, wire) = stage.wire(factory());
        let name = ServerName::try_from(NAME).expect("a good name");
        let mut client =
            rustls::ClientConnection::new(Arc::clone(&self.client), name).expect("a good client");
        client.set_buffer_limit(None);
        let mut has_left = false;
        let mut sent: usize = 0;
        for deed in deeds {
            match *deed {
                Deed::Write(count) => {
                    let bytes: Vec<u8> = (sent..sent + usize::from(count)).map(byte_at).collect();
                    if client.writer().write_all(&bytes).is_ok() {
                        sent += bytes.len();
                    }
                }
                Deed::Send => wire.send(&records(&mut client)),
                Deed::Flip(place, bit) => {
                    let mut records = records(&mut client);
                    let place = usize::from(place) % records.len().max(1);
                    if let Some(byte) = records.get_mut(place) {
                        *byte ^= 1 << (bit % 8);
                    }
                    wire.send(&records);
                }
                Deed::Cut(count) => {
                    let records = records(&mut client);
                    wire.send(&records[..records.len().min(usize::from(count))]);
                }
                Deed::Repeat => {
                    let records = records(&mut client);
                    wire.send(&records);
                    wire.send(&records);
                }
                Deed::Garbage(count, byte) => wire.send(&vec![byte; usize::from(count)]),
                Deed::Goodbye => {
                    client.send_close_notify();
                    has_left = true;
                }
                // In a debug build rustls asserts that no alert follows a goodbye, and bad records would make it want to send
                // one.
                Deed::Read if has_left => drop(wire.take()),
                Deed::Read => {
                    let bytes = wire.take();
                    let mut rest = bytes.as_slice();
                    while !rest.is_empty() && client.read_tls(&mut rest).is_ok_and(|n| n > 0) {
                        if client.process_new_packets().is_err() {
                            break;
                        }
                    }
                }
                // Before the handshake is over there are no keys.
                Deed::Refresh => drop(client.refresh_traffic_keys()),
                Deed::End => wire.shutdown(),
                Deed::Turn => drop(stage.turn()),
                Deed::Pause(paused) => {
                    let transport = heard.borrow().transport.clone();
                    match transport {
                        Some(transport) if paused => transport.pause_reading(),
                        Some(transport) => transport.resume_reading(),
                        None => {}
                    }
                }
                Deed::Close => {
                    let transport = heard.borrow().transport.clone();
                    if let Some(transport) = transport {
                        transport.close();
                    }
                }
            }
        }
        stage.run();
        drop(stage);
        let heard = heard.borrow();
        assert_eq!(heard.made, heard.lost, "made and lost pair up");
        assert!(heard.received <= sent, "{} of {sent} bytes", heard.received);
    }
}

/// The byte at this place of what the client writes.
fn byte_at(place: usize) -> u8 {
    u8::try_from(place % 251).unwrap_or_default()
}

fn records(client: &mut rustls::ClientConnection) -> Vec<u8> {
    let mut records = Vec::new();
    while client.wants_write() && client.write_tls(&mut records).is_ok_and(|count| count > 0) {}
    records
}

#[derive(Default)]
struct Heard {
    transport: Option<TransportRef>,
    made: usize,
    lost: usize,
    ended: bool,
    received: usize,
}

struct Listener(Rc<RefCell<Heard>>);

impl Protocol for Listener {
    fn connection_made(&mut self, transport: &TransportRef) {
        let mut heard = self.0.borrow_mut();
        heard.made += 1;
        assert_eq!(heard.made, 1, "connection_made comes once");
        heard.transport = Some(transport.clone());
    }

    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        let mut heard = self.0.borrow_mut();
        assert!(heard.made == 1 && heard.lost == 0 && !heard.ended && !data.is_empty());
        for byte in data {
            assert_eq!(*byte, byte_at(heard.received), "bytes that nobody has sent");
            heard.received += 1;
        }
        drop(heard);
        transport.write(data);
    }

    fn eof_received(&mut self, _: &TransportRef) -> KeepOpen {
        let mut heard = self.0.borrow_mut();
        assert!(heard.made == 1 && heard.lost == 0 && !heard.ended);
        heard.ended = true;
        KeepOpen::No
    }

    fn connection_lost(&mut self, _: &TransportRef, _: &Lost) {
        let mut heard = self.0.borrow_mut();
        heard.lost += 1;
        assert_eq!((heard.made, heard.lost), (1, 1), "connection_lost comes once");
        heard.transport = None;
    }
}
