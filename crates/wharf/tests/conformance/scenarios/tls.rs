//! Scenarios of TLS. The peer is an engine worked by hand, as in the recorded ones; the wire is in memory.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use wharf::memory::Seen;
use wharf::tls::{self, ClientConfig, rustls};
use wharf::{Flow, KeepOpen, Lost, Protocol, TransportRef};

use super::comparison::assert_conforms;
use crate::support::authority::{Authority, BOTH, NAME};
use crate::support::tls_peer::TlsPeer;
use crate::support::{Over, poll};
use crate::tls::rig::Rig;

/// What a scenario has written so far.
#[derive(Clone, Default)]
struct Trace(Rc<RefCell<Vec<String>>>);

impl Trace {
    fn line(&self, line: impl Into<String>) {
        self.0.borrow_mut().push(line.into());
    }

    fn value(&self, what: &str, is_so: bool) {
        self.line(format!("= {what} {}", if is_so { "True" } else { "False" }));
    }

    fn has(&self, text: &str) -> bool {
        self.0.borrow().iter().any(|line| line.contains(text))
    }

    fn assert_conforms(&self, scenario: &str) {
        assert_conforms(scenario, &self.0.borrow());
    }
}

/// Bytes as the traces show them.
fn shown(data: &[u8]) -> String {
    format!("{} b'{}'", data.len(), data.escape_ascii())
}

fn raised(why: &Lost) -> String {
    match why {
        Lost::Closed | Lost::Eof | Lost::Aborted => "None".into(),
        Lost::TimedOut => "TimeoutError".into(),
        Lost::Io(error) if error.kind() == io::ErrorKind::ConnectionReset => {
            "ConnectionResetError[ECONNRESET]".into()
        }
        other => match tls::Error::of(other) {
            Some(tls::Error::Protocol(rustls::Error::InvalidMessage(what))) => {
                format!("SSLError[{what:?}]")
            }
            _ => format!("{other:?}"),
        },
    }
}

/// What a failed handshake makes of connecting.
fn raised_by_connecting(error: &io::Error) -> String {
    match tls::Error::find(error) {
        Some(tls::Error::HandshakeTimedOut) => "TimeoutError".into(),
        Some(tls::Error::HandshakeEnded) => "EOFError".into(),
        Some(tls::Error::Protocol(rustls::Error::InvalidCertificate(why))) => {
            let why = format!("{why:?}");
            let name = why.split(' ').next().unwrap_or_default();
            format!("SSLCertVerificationError[{name}]")
        }
        _ if error.kind() == io::ErrorKind::ConnectionReset => {
            "ConnectionResetError[ECONNRESET]".into()
        }
        _ => format!("{error:?}"),
    }
}

type Hook = Box<dyn FnMut(&TransportRef, &[u8])>;

/// A protocol that writes what it hears.
struct Recorder {
    trace: Trace,
    name: &'static str,
    made: Box<dyn FnMut(&TransportRef)>,
    got: Hook,
}

impl Recorder {
    fn new(trace: &Trace, name: &'static str) -> Self {
        Self { trace: trace.clone(), name, made: Box::new(|_| {}), got: Box::new(|_, _| {}) }
    }

    fn made(mut self, hook: impl FnMut(&TransportRef) + 'static) -> Self {
        self.made = Box::new(hook);
        self
    }

    fn got(mut self, hook: impl FnMut(&TransportRef, &[u8]) + 'static) -> Self {
        self.got = Box::new(hook);
        self
    }

    fn heard(&self, what: impl std::fmt::Display) {
        self.trace.line(format!("cb {} {what}", self.name));
    }
}

impl Protocol for Recorder {
    fn connection_made(&mut self, transport: &TransportRef) {
        self.heard("connection_made");
        (self.made)(transport);
    }

    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        self.heard(format!("data_received {}", shown(data)));
        (self.got)(transport, data);
    }

    fn eof_received(&mut self, _: &TransportRef) -> KeepOpen {
        self.heard("eof_received");
        KeepOpen::No
    }

    fn pause_writing(&mut self, _: &TransportRef) {
        self.heard("pause_writing");
    }

    fn resume_writing(&mut self, _: &TransportRef) {
        self.heard("resume_writing");
    }

    fn connection_lost(&mut self, _: &TransportRef, why: &Lost) {
        self.heard(format!("connection_lost {}", raised(why)));
    }
}

/// A client of ours, and the server in the script's hand.
struct Scene {
    rig: Rig,
    trace: Trace,
    transport: TransportRef,
    below: TransportRef,
    peer: Rc<TlsPeer>,
}

impl Scene {
    fn new() -> Self {
        Self::with(|_| {}, "peer> handshake done")
    }

    fn with(change: impl FnOnce(&mut rustls::ClientConfig), done: &str) -> Self {
        let (rig, trace) = (Rig::new(Over::Memory), Trace::default());
        let mut client = rig.authority.rustls_client(BOTH);
        let mut server = rig.authority.rustls_server(BOTH);
        server.alpn_protocols = vec![b"x/1".to_vec()];
        change(&mut client);
        let (below, peer) =
            rig.connect(Arc::new(client).into(), Recorder::new(&trace, "A"), server);
        rig.exchange(&peer);
        for line in done.lines() {
            trace.line(line);
        }
        let transport = below.uppermost();
        Self { rig, trace, transport, below, peer }
    }

    fn run(&self) {
        self.rig.run();
    }

    fn peer_sends(&self, data: &[u8]) {
        self.peer.send(data);
        self.trace.line(format!("peer> tls send {}", shown(data)));
    }

    fn peer_reads(&self) {
        let data = self.peer.take();
        let goodbye = self.peer.seen() == Seen::Eof;
        match (data.is_empty(), goodbye) {
            (false, _) => self.trace.line(format!("peer< tls {}", shown(&data))),
            (true, true) => self.trace.line("peer< tls close_notify"),
            (true, false) => self.trace.line("peer< tls eof without close_notify"),
        }
    }

    fn peer_says_goodbye(&self) {
        self.peer.say_goodbye();
        self.trace.line("peer> close_notify");
    }

    /// The stream below, as the peer sees it.
    fn peer_sees(&self) {
        let end = if self.peer.below().seen() == Seen::Eof { "eof" } else { "open" };
        self.trace.line(format!("peer< - {end}"));
    }

    fn close(&self) {
        self.transport.close();
        self.trace.line("> close");
    }
}

#[test]
fn s40_a_handshake_an_echo_and_an_orderly_close() {
    let scene = Scene::with(
        |client| client.alpn_protocols = vec![b"x/1".to_vec()],
        "> create_connection returned\npeer> handshake done",
    );
    let (trace, transport) = (&scene.trace, &scene.transport);
    trace.value("can_write_eof", transport.can_write_eof());
    let present = |what: &str, is_there: bool| {
        trace.line(format!("= extra {what} {}", if is_there { "present" } else { "None" }));
    };
    present("peercert", transport.extra::<tls::PeerCertificates>().is_some());
    present("cipher", transport.extra::<tls::CipherSuite>().is_some());
    let alpn = transport.extra::<tls::Alpn>().expect("it was agreed on").0;
    trace.line(format!("= alpn {}", alpn.escape_ascii()));
    let limits = transport.write_buffer_limits();
    trace.line(format!("= limits ({}, {})", limits.low_mark(), limits.high_mark()));
    transport.write(b"hello");
    trace.line("> write 5");
    scene.run();
    scene.peer_reads();
    scene.peer_sends(b"world");
    scene.run();
    scene.close();
    trace.value("is_closing", transport.is_closing());
    scene.run();
    scene.peer_reads();
    scene.peer_says_goodbye();
    scene.run();
    scene.peer_sees();
    trace.assert_conforms("S40");
}

#[test]
fn t01_the_peer_closes_in_order() {
    let scene = Scene::new();
    scene.peer_sends(b"data");
    scene.peer_says_goodbye();
    scene.run();
    scene.peer_reads();
    scene.trace.value("is_closing", scene.transport.is_closing());
    scene.peer_sees();
    scene.trace.assert_conforms("T01");
}

#[test]
fn t02_a_truncation() {
    let scene = Scene::new();
    scene.peer_sends(b"half");
    scene.peer.below().close();
    scene.trace.line("peer> tcp close, no close_notify");
    scene.run();
    scene.trace.assert_conforms("T02");
}

#[test]
fn t03_a_reset_by_the_peer() {
    let scene = Scene::new();
    scene.trace.line("peer> reset");
    scene.peer.below().reset(&scene.below);
    scene.run();
    scene.trace.assert_conforms("T03");
}

#[test]
fn t04_application_data_after_our_close() {
    let scene = Scene::new();
    scene.close();
    scene.run();
    scene.peer_sends(b"trailing");
    scene.run();
    scene.peer_says_goodbye();
    scene.run();
    scene.trace.assert_conforms("T04");
}

#[test]
fn t05_garbage_after_the_handshake() {
    let scene = Scene::new();
    scene.trace.line("peer> garbage");
    scene.peer.send_raw(b"this is not tls at all, sorry");
    scene.run();
    scene.trace.assert_conforms("T05");
}

#[test]
fn t06_nobody_answers_our_goodbye() {
    let scene = Scene::new();
    scene.close();
    scene.run();
    scene.peer.take();
    scene.trace.value("connection_lost yet", scene.trace.has("connection_lost A"));
    scene.rig.advance_by(Duration::from_secs(5));
    scene.trace.assert_conforms("T06");
}

#[test]
fn t07_a_handshake_that_comes_to_nothing() {
    let (rig, trace) = (Rig::new(Over::Memory), Trace::default());
    let connecting = |config: ClientConfig, server: rustls::ServerConfig| {
        let recorder = Recorder::new(&trace, "A");
        let laid = rig.begin(tls::client(config, NAME, || recorder)());
        let peer = rig.server(laid.peer, server);
        let mut established = laid.established;
        let outcome = move |rig: &Rig| {
            rig.run();
            match poll(&mut established) {
                std::task::Poll::Ready(Err(error)) => raised_by_connecting(&error),
                _ => panic!("it does not fail"),
            }
        };
        (outcome, peer)
    };
    let good = || rig.authority.rustls_server(BOTH);

    let brief = rig.authority.client().handshake_timeout(Duration::from_millis(200));
    let (mut outcome, _silent) = connecting(brief, good());
    rig.run();
    rig.advance_by(Duration::from_millis(200));
    trace.line(format!("> silent peer, timeout 0.2 raises {}", outcome(&rig)));

    let (mut outcome, peer) = connecting(rig.authority.client(), good());
    rig.run();
    peer.below().close();
    trace.line("peer> close during the handshake");
    trace.line(format!("> peer closes raises {}", outcome(&rig)));

    let zero = rig.authority.client().handshake_timeout(Duration::ZERO);
    let (mut outcome, _silent) = connecting(zero, good());
    rig.run();
    rig.advance_by(Duration::ZERO);
    trace.line(format!("> timeout zero raises {}", outcome(&rig)));

    let stranger = Authority::new().rustls_server(BOTH);
    let identity = rig.authority.issue("other.test", |_| {});
    let misnamed = rig.authority.rustls_server_as(identity, BOTH);
    for (label, server) in [("unknown authority", stranger), ("wrong name", misnamed)] {
        let (mut outcome, peer) = connecting(rig.authority.client(), server);
        rig.exchange(&peer);
        trace.line(format!("> {label} raises {}", outcome(&rig)));
        let told = match peer.with_engine(|engine| engine.process_new_packets().err()) {
            Some(rustls::Error::AlertReceived(alert)) => format!("SSLError[{alert:?}]"),
            other => format!("{other:?}"),
        };
        trace.line(format!("peer< handshake {told}"));
    }
    trace.assert_conforms("T07");
}

#[test]
fn t08_both_ends_start_tls_on_one_connection() {
    let (rig, trace) = (Rig::new(Over::Memory), Trace::default());
    let server_config = rig.authority.server();
    let client_config: ClientConfig = rig.authority.client();
    let told = trace.clone();
    let server = Recorder::new(&trace, "S").got(move |transport, data| {
        if data == b"STARTTLS" {
            transport.write(b"OK");
            let told = told.clone();
            drop(tls::start_tls(transport, server_config.clone(), b"").on_established(
                move |started| {
                    started.expect("the handshake is good");
                    told.line("> server start_tls returned");
                },
            ));
        } else {
            let reversed: Vec<u8> = data.iter().rev().copied().collect();
            transport.write(&reversed);
        }
    });
    let pair = rig.pair(server, Recorder::new(&trace, "C"));
    let (plain, client) = pair.second.clone();
    rig.turn();
    plain.write(b"STARTTLS");
    while !trace.has("b'OK'") {
        rig.turn();
    }
    let secure = Rc::new(RefCell::new(None));
    let (kept, told, before) = (Rc::clone(&secure), trace.clone(), plain.clone());
    let held = wharf::StreamProtocol::from_shared(&client);
    drop(tls::start_tls(&plain, (client_config, NAME), b"").on_established(move |started| {
        let transport = started.expect("the handshake is good");
        told.line("> client start_tls returned");
        told.value("a new transport", *transport != before);
        told.value("get_protocol on the new one", transport.protocol().as_ref() == Some(&held));
        transport.write(b"abc");
        kept.replace(Some(transport.clone()));
    }));
    rig.run();
    let secure: TransportRef = secure.take().expect("TLS was started");
    secure.close();
    trace.line("> close the TLS transport");
    rig.run();
    trace.assert_conforms("T08");
}

#[test]
fn t09_the_handshake_begins_behind_the_last_plain_bytes() {
    let (rig, trace) = (Rig::new(Over::Memory), Trace::default());
    let config = rig.authority.server();
    let told = trace.clone();
    let kept = Rc::new(RefCell::new(None));
    let keeping = Rc::clone(&kept);
    let protocol = Recorder {
        trace: Trace::default(),
        ..Recorder::new(&trace, "A").got(move |transport, data| {
            told.value("plain protocol was given the hello too", data.len() > 2);
            let told = told.clone();
            drop(tls::start_tls(transport, config.clone(), &data[2..]).on_established(
                move |started| {
                    told.line(format!(
                        "> start_tls {}",
                        if started.is_ok() { "returned" } else { "raises" }
                    ))
                },
            ));
            keeping.replace(Some(transport.clone()));
        })
    };
    trace.line("peer> plain bytes and ClientHello in one segment");
    trace.line("cb A connection_made");
    let (_, below) = rig.lay(protocol);
    let peer = rig.client(below, rig.authority.rustls_client(BOTH));
    let hello = peer.take_records();
    peer.send_raw(&[b"GO", hello.as_slice()].concat());
    rig.exchange(&peer);
    let transport: TransportRef = kept.take().expect("it was called");
    trace.value("is_closing", transport.is_closing());
    trace.assert_conforms("T09");
}

#[test]
fn q04_close_twice_then_other_calls() {
    let scene = Scene::new();
    let (trace, transport) = (&scene.trace, &scene.transport);
    transport.close();
    transport.close();
    trace.line("> close twice");
    let _ = transport.peer_addr();
    trace.line("> get_extra_info");
    assert!(!transport.is_reading());
    trace.line("> is_reading");
    assert_eq!(transport.write(b"x"), Flow::Closed);
    trace.line("> write");
    transport.pause_reading();
    trace.line("> pause_reading");
    transport.abort();
    trace.line("> abort");
    scene.run();
    trace.value("connection_lost after abort", trace.has("connection_lost"));
    trace.assert_conforms("Q04");
}

#[test]
fn q19_tls_over_tls() {
    let (rig, trace) = (Rig::new(Over::Memory), Trace::default());
    let (server_config, client_config) = (rig.authority.server(), rig.authority.client());
    let (told, inner_config) = (trace.clone(), server_config.clone());
    let server = Recorder::new(&trace, "S")
        .made(move |transport| {
            let told = told.clone();
            let started = tls::start_tls(transport, inner_config.clone(), b"");
            drop(started.on_established(move |started| {
                started.expect("the handshake is good");
                told.line("> server inner start_tls returned");
            }));
        })
        .got(|transport, data| {
            transport.write(&data.to_ascii_uppercase());
        });
    let (told, inner_config) = (trace.clone(), client_config.clone());
    let closing = trace.clone();
    let client = Recorder::new(&trace, "C")
        .made(move |transport| {
            let told = told.clone();
            let started = tls::start_tls(transport, (inner_config.clone(), NAME), b"");
            drop(started.on_established(move |started| {
                let inner = started.expect("the handshake is good");
                told.line("> client inner start_tls returned");
                inner.write(b"abc");
            }));
        })
        .got(move |transport, _| {
            transport.close();
            closing.line("> close inner");
        });
    let server = tls::server(server_config, once(server))();
    let client = tls::client(client_config, NAME, || client)();
    let _pair = rig.pair(server, client);
    rig.run();
    trace.assert_conforms("Q19");
}

/// A factory for one connection.
fn once<T>(value: T) -> impl FnMut() -> T {
    let mut value = Some(value);
    move || value.take().expect("one connection")
}
