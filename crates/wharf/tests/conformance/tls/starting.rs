//! TLS on a connection that lives already (rows T-40 to T-49, T-57, T-60, T-63, P-05).

use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use wharf::memory::Seen;
use wharf::tls::{self, ServerConfig, StartTls, rustls};
use wharf::{Protocol, TransportRef, tcp};

use super::rig::Rig;
use crate::support::authority::{Authority, BOTH, NAME};
use crate::support::tls_peer::TlsPeer;
use crate::support::{Log, Over, new_loop, over_each_carrier, pattern, poll};

type Answer = Rc<RefCell<Option<StartTls>>>;

/// A server that starts TLS when it is asked to, inside the callback, with what came behind the request.
struct Upgrading {
    log: Log,
    config: ServerConfig,
    answer: Answer,
    secure: bool,
}

impl Protocol for Upgrading {
    fn connection_made(&mut self, _: &TransportRef) {
        self.log.note("made");
    }

    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        let end = data.iter().position(|byte| *byte == b'\n').map(|place| place + 1);
        if self.secure {
            self.log.note(format!("secure {}", data.escape_ascii()));
            transport.write(data);
        } else if let Some(end) = end {
            self.secure = true;
            transport.write(b"OK\n");
            let answer = tls::start_tls(transport, self.config.clone(), &data[end..]);
            self.answer.replace(Some(answer));
        }
    }

    fn eof_received(&mut self, _: &TransportRef) -> wharf::KeepOpen {
        self.log.note("eof");
        wharf::KeepOpen::No
    }

    fn connection_lost(&mut self, _: &TransportRef, why: &wharf::Lost) {
        self.log.note(format!("lost {}", wharf::Lost::NAMES[why.index()]));
    }
}

struct Upgrade {
    rig: Rig,
    log: Log,
    answer: Answer,
    below: TransportRef,
    peer: Rc<TlsPeer>,
}

fn upgrading(carrier: Over) -> Upgrade {
    let (rig, log) = (Rig::new(carrier), Log::new());
    let answer = Answer::default();
    let protocol = Upgrading {
        log: log.clone(),
        config: rig.authority.server(),
        answer: Rc::clone(&answer),
        secure: false,
    };
    let (below, peer) = rig.lay(protocol);
    rig.run();
    let peer = rig.client(peer, rig.authority.rustls_client(BOTH));
    Upgrade { rig, log, answer, below, peer }
}

impl Upgrade {
    fn exchange(&self) {
        self.rig.exchange(&self.peer);
    }

    /// The plain answer of the server, in front of its records.
    fn take_plain(&self) {
        assert_eq!(self.peer.below().take(), b"OK\n");
    }

    fn outcome(&self) -> std::io::Result<TransportRef> {
        let mut answer = self.answer.take().expect("TLS was started");
        let waker = std::task::Waker::noop();
        let mut cx = std::task::Context::from_waker(waker);
        match std::pin::Pin::new(&mut answer).poll(&mut cx) {
            std::task::Poll::Ready(outcome) => outcome,
            std::task::Poll::Pending => panic!("the handshake is under way"),
        }
    }
}

over_each_carrier!(t_41_a_server_starts_tls_inside_a_callback);
fn t_41_a_server_starts_tls_inside_a_callback(carrier: Over) {
    let upgrade = upgrading(carrier);
    upgrade.peer.send_raw(b"STARTTLS\n");
    upgrade.rig.run();
    upgrade.take_plain();
    upgrade.exchange();
    let transport = upgrade.outcome().unwrap();
    assert_ne!(transport, upgrade.below);
    assert_eq!(transport.extra::<tls::TlsVersion>(), Some(tls::TlsVersion::Tls13));
    upgrade.peer.send(b"hello");
    upgrade.rig.run();
    assert_eq!(upgrade.peer.take(), b"hello");
    upgrade.peer.say_goodbye();
    upgrade.rig.run();
    assert_eq!(upgrade.log.story(), ["made", "secure hello", "eof", "lost eof"], "made only once");
}

over_each_carrier!(t_44_handshake_bytes_behind_the_request_are_not_lost);
fn t_44_handshake_bytes_behind_the_request_are_not_lost(carrier: Over) {
    let upgrade = upgrading(carrier);
    let hello = upgrade.peer.take_records();
    upgrade.peer.send_raw(&[b"STARTTLS\n", hello.as_slice()].concat());
    upgrade.rig.run();
    let answer = upgrade.peer.below().take();
    assert!(answer.starts_with(b"OK\n"), "plain bytes come first");
    // The rest is for the engine, as if it had come by itself.
    let mut records = &answer[3..];
    upgrade.peer.with_engine(|engine| {
        while !records.is_empty() {
            engine.read_tls(&mut records).unwrap();
            engine.process_new_packets().unwrap();
        }
    });
    upgrade.exchange();
    upgrade.peer.send(b"hello");
    upgrade.rig.run();
    drop(upgrade.outcome().unwrap());
    upgrade.rig.run();
    assert_eq!(upgrade.log.story(), ["made", "secure hello"]);
}

over_each_carrier!(t_44_a_handshake_cut_at_every_place_behind_the_request_is_the_same);
fn t_44_a_handshake_cut_at_every_place_behind_the_request_is_the_same(carrier: Over) {
    let length = upgrading(carrier).peer.take_records().len();
    for cut in (0..length).filter(|cut| *cut < 12 || cut % 31 == 0) {
        let upgrade = upgrading(carrier);
        let hello = upgrade.peer.take_records();
        upgrade.peer.send_raw(&[b"STARTTLS\n", &hello[..cut]].concat());
        upgrade.rig.run();
        upgrade.peer.send_raw(&hello[cut..]);
        upgrade.rig.run();
        let answer = upgrade.peer.below().take();
        assert!(answer.starts_with(b"OK\n\x16"), "cut at {cut}: {:?}", upgrade.log);
    }
}

over_each_carrier!(t_44_plaintext_smuggled_behind_the_request_ends_the_connection);
fn t_44_plaintext_smuggled_behind_the_request_ends_the_connection(carrier: Over) {
    let upgrade = upgrading(carrier);
    upgrade.peer.send_raw(b"STARTTLS\nMAIL FROM:<mallory@wharf.test>\r\n");
    upgrade.rig.run();
    assert_eq!(upgrade.log.story(), ["made", "lost failed"]);
    let error = upgrade.outcome().unwrap_err();
    assert_eq!(tls::Error::find(&error), Some(&tls::Error::Injected));

    // In a segment of its own it is no handshake either.
    let upgrade = upgrading(carrier);
    upgrade.peer.send_raw(b"STARTTLS\n");
    upgrade.rig.run();
    upgrade.peer.send_raw(b"MAIL FROM:<mallory@wharf.test>\r\n");
    upgrade.rig.run();
    assert_eq!(upgrade.log.story(), ["made", "lost io"]);
    assert!(matches!(
        tls::Error::find(&upgrade.outcome().unwrap_err()),
        Some(tls::Error::Protocol(_))
    ));
}

over_each_carrier!(t_44_a_client_takes_nothing_that_came_with_the_answer);
fn t_44_a_client_takes_nothing_that_came_with_the_answer(carrier: Over) {
    let rig = Rig::new(carrier);
    let log = Log::new();
    let (transport, _peer) = rig.lay(log.plain());
    rig.run();
    let answer = tls::start_tls(&transport, (rig.authority.client(), NAME), b"injected");
    rig.run();
    assert_eq!(log.story(), ["made", "lost failed"]);
    assert_eq!(answer.error().unwrap().kind(), ErrorKind::InvalidData);
}

#[test]
fn t_40_and_t_43_a_client_awaits_the_new_transport_before_any_data() {
    let authority = Rc::new(Authority::new());
    let mut ev = new_loop();
    let handle = ev.handle().clone();
    let (log, server_log) = (Log::new(), Log::new());
    let answers = Answer::default();
    let factory = {
        let (authority, answer) = (Rc::clone(&authority), Rc::clone(&answers));
        move || Upgrading {
            log: server_log.clone(),
            config: authority.server(),
            answer: Rc::clone(&answer),
            secure: false,
        }
    };
    ev.block_on(async {
        let server = tcp::listen(&handle, "127.0.0.1:0", factory).await.unwrap();
        let address = server.addresses()[0].ip().unwrap();
        let protocol = log.plain();
        let (plain, shared) = tcp::connect(&handle, address, || protocol).await.unwrap();
        plain.write(b"STARTTLS\n");
        while log.data() != b"OK\n" {
            handle.sleep(Duration::from_millis(1)).await;
        }
        let answer = tls::start_tls(&plain, (authority.client(), NAME), b"");
        let secure = answer.await.unwrap();
        log.note("started");
        assert!(secure.protocol() == Some(wharf::StreamProtocol::from_shared(&shared)));
        secure.write(b"hello");
        while log.data_len() < 8 {
            handle.sleep(Duration::from_millis(1)).await;
        }
        secure.close();
        while !log.is_lost() {
            handle.sleep(Duration::from_millis(1)).await;
        }
        server.close();
        server.wait_closed().await;
    });
    assert_eq!(log.story(), ["made", "data OK\\n", "started", "data hello", "lost closed"]);
}

over_each_carrier!(t_43_data_waits_for_whoever_awaits_the_transport);
fn t_43_data_waits_for_whoever_awaits_the_transport(carrier: Over) {
    let upgrade = upgrading(carrier);
    upgrade.peer.send_raw(b"STARTTLS\n");
    upgrade.rig.run();
    upgrade.take_plain();
    let answer = upgrade.answer.take().unwrap();
    let mut answer: std::pin::Pin<Box<dyn Future<Output = _>>> = Box::pin(answer);
    assert!(poll(&mut answer).is_pending());
    while !upgrade.peer.is_established() {
        upgrade.peer.flush();
        upgrade.rig.run();
        upgrade.peer.receive(&mut Vec::new());
    }
    upgrade.peer.send(b"early");
    upgrade.rig.run();
    assert_eq!(upgrade.log.story(), ["made"]);
    assert!(poll(&mut answer).is_ready());
    upgrade.rig.run();
    assert_eq!(upgrade.log.story(), ["made", "secure early"]);
}

over_each_carrier!(t_43_dropping_the_answer_changes_nothing);
fn t_43_dropping_the_answer_changes_nothing(carrier: Over) {
    let upgrade = upgrading(carrier);
    upgrade.peer.send_raw(b"STARTTLS\n");
    upgrade.rig.run();
    upgrade.take_plain();
    drop(upgrade.answer.take());
    upgrade.exchange();
    upgrade.peer.send(b"hello");
    upgrade.rig.run();
    assert_eq!(upgrade.log.story(), ["made", "secure hello"]);
}

over_each_carrier!(t_43_a_callback_is_told_before_any_data);
fn t_43_a_callback_is_told_before_any_data(carrier: Over) {
    let rig = Rig::new(carrier);
    let log = Log::new();
    let (transport, below) = rig.lay(log.plain());
    rig.run();
    let noting = log.clone();
    drop(tls::start_tls(&transport, rig.authority.server(), b"").on_established(
        move |established| {
            noting.note(if established.is_ok() { "established" } else { "failed" });
        },
    ));
    let peer = rig.client(below, rig.authority.rustls_client(BOTH));
    while !peer.is_established() {
        peer.flush();
        rig.run();
        peer.receive(&mut Vec::new());
    }
    peer.send(b"early");
    rig.run();
    assert_eq!(log.story(), ["made", "established", "data early"]);
}

over_each_carrier!(t_42_plain_bytes_go_out_before_the_handshake);
fn t_42_plain_bytes_go_out_before_the_handshake(carrier: Over) {
    let rig = Rig::new(carrier);
    let log = Log::new();
    let (transport, below) = rig.lay(log.plain());
    rig.run();
    let count = rig.fill(&transport);
    let _answer = tls::start_tls(&transport, (rig.authority.client(), NAME), b"");
    rig.run();
    let mut bytes = Vec::new();
    rig.run_until(|| {
        bytes.extend(below.take());
        bytes.len() >= count + 2
    });
    let (plain, hello) = bytes.split_at(count);
    assert!(plain == pattern(count));
    assert!(hello.starts_with(b"\x16\x03"), "{hello:?}");
}

over_each_carrier!(t_45_a_failed_handshake_is_one_connection_lost);
fn t_45_a_failed_handshake_is_one_connection_lost(carrier: Over) {
    // Refused, left, reset, too late, and closed or aborted below (T-63).
    type End = fn(&Upgrade);
    let ends: [(End, &str, ErrorKind); 6] = [
        (
            |upgrade| upgrade.peer.send_raw(b"\x15\x03\x01\x00\x02\x02\x28"),
            "lost io",
            ErrorKind::InvalidData,
        ),
        (|upgrade| upgrade.peer.below().shutdown(), "lost io", ErrorKind::UnexpectedEof),
        (
            |upgrade| upgrade.peer.below().reset(&upgrade.below),
            "lost io",
            ErrorKind::ConnectionReset,
        ),
        (|upgrade| upgrade.rig.advance(10), "lost io", ErrorKind::TimedOut),
        (|upgrade| upgrade.below.close(), "lost aborted", ErrorKind::ConnectionAborted),
        (|upgrade| upgrade.below.abort(), "lost aborted", ErrorKind::ConnectionAborted),
    ];
    for (end, lost, kind) in ends {
        let upgrade = upgrading(carrier);
        upgrade.peer.send_raw(b"STARTTLS\n");
        upgrade.rig.run();
        end(&upgrade);
        upgrade.rig.run();
        assert_eq!(upgrade.log.story(), ["made", lost], "{kind}");
        assert_eq!(upgrade.outcome().unwrap_err().kind(), kind);
        assert_eq!(upgrade.rig.connections(), 0);
    }
}

over_each_carrier!(t_46_a_connection_that_closes_cannot_start_tls);
fn t_46_a_connection_that_closes_cannot_start_tls(carrier: Over) {
    let rig = Rig::new(carrier);
    let log = Log::new();
    let (transport, _peer) = rig.lay(log.plain());
    rig.run();
    let named = tls::start_tls(&transport, (rig.authority.client(), "no name"), b"");
    assert_eq!(named.error().unwrap().kind(), ErrorKind::InvalidInput);
    rig.run();
    assert_eq!(log.story(), ["made"], "nothing has happened to the connection");
    transport.close();
    let answer = tls::start_tls(&transport, rig.authority.server(), b"");
    assert_eq!(answer.error().unwrap().kind(), ErrorKind::NotConnected);
    rig.run();
    assert_eq!(log.story(), ["made", "lost closed"]);
}

over_each_carrier!(t_47_switching_on_the_tls_transport_changes_the_protocol_above);
fn t_47_switching_on_the_tls_transport_changes_the_protocol_above(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open();
    let next = Log::new().switched();
    let first = open.log.clone().switched();
    let (_, previous) = open.transport.set_protocol(next.plain(), b"leftover ");
    assert!(previous.is_some());
    open.peer.send(b"and more");
    rig.run();
    assert_eq!((first.story(), next.data()), (vec!["made".into()], b"leftover and more".to_vec()));
}

over_each_carrier!(p_05_a_protocol_that_was_paused_is_resumed_above_tls);
fn p_05_a_protocol_that_was_paused_is_resumed_above_tls(carrier: Over) {
    let rig = Rig::new(carrier);
    let log = Log::new();
    let (transport, below) = rig.lay(log.plain());
    transport.write(&pattern(1_000_000));
    rig.run();
    assert_eq!(log.story(), ["made", "pause"]);
    let _answer = tls::start_tls(&transport, rig.authority.server(), b"");
    rig.run();
    assert_eq!(log.story(), ["made", "pause"]);
    let mut plain = Vec::new();
    while plain.len() < 1_000_000 {
        plain.extend(below.take());
        rig.run();
    }
    assert!(plain == pattern(1_000_000));
    assert_eq!(log.story(), ["made", "pause", "resume"]);
}

over_each_carrier!(t_49_reading_that_was_paused_stays_so_above_tls_only);
fn t_49_reading_that_was_paused_stays_so_above_tls_only(carrier: Over) {
    let rig = Rig::new(carrier);
    let log = Log::new();
    let (transport, below) = rig.lay(log.plain());
    transport.pause_reading();
    rig.run();
    let answer = tls::start_tls(&transport, rig.authority.server(), b"");
    let peer = rig.client(below, rig.authority.rustls_client(BOTH));
    rig.exchange(&peer);
    peer.send(b"hello");
    rig.run();
    assert_eq!(log.story(), ["made"]);
    let mut answer: std::pin::Pin<Box<dyn Future<Output = _>>> = Box::pin(answer);
    let std::task::Poll::Ready(Ok(secure)) = poll(&mut answer) else { panic!("it is over") };
    secure.resume_reading();
    rig.run();
    assert_eq!(log.story(), ["made", "data hello"]);
}

over_each_carrier!(t_60_tls_starts_on_a_tls_transport_and_both_layers_close_in_order);
fn t_60_tls_starts_on_a_tls_transport_and_both_layers_close_in_order(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open();
    let _answer = tls::start_tls(&open.transport, rig.authority.server(), b"");
    // The peer wraps a second client into the records of the first.
    let config = Arc::new(rig.authority.rustls_client(BOTH));
    let name = rustls::pki_types::ServerName::try_from(NAME).unwrap();
    let mut inner = rustls::ClientConnection::new(config, name).unwrap();
    let mut plain = Vec::new();
    for round in 0..10 {
        let mut records = Vec::new();
        while inner.wants_write() {
            inner.write_tls(&mut records).unwrap();
        }
        if !records.is_empty() {
            open.peer.send(&records);
        }
        rig.run();
        let bytes = open.peer.take();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() && inner.read_tls(&mut rest).unwrap() > 0 {
            inner.process_new_packets().unwrap();
        }
        use std::io::{Read, Write};
        let _ = inner.reader().read_to_end(&mut plain);
        if round == 4 {
            inner.writer().write_all(b"deep").unwrap();
        }
        if round == 6 {
            inner.send_close_notify();
        }
    }
    rig.exchange(&open.peer);
    assert_eq!(open.log.story(), ["made", "data deep", "eof"], "the outer goodbye is waited for");
    open.peer.say_goodbye();
    rig.run();
    assert_eq!(open.log.story(), ["made", "data deep", "eof", "lost eof"]);
    assert!(inner.process_new_packets().unwrap().peer_has_closed(), "the inner goodbye");
    assert_eq!(open.peer.seen(), Seen::Eof, "and the outer one");
}
