//! The handshake (rows T-01 to T-19).

use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use wharf::memory::Seen;
use wharf::tls::rustls::{self, AlertDescription, CertificateError};
use wharf::tls::{self, ClientConfig, ServerConfig};
use wharf::{Protocol, TransportRef, tcp, unix};

use super::rig::{Rig, catch};
use crate::support::authority::{Authority, BOTH, Identity, NAME, TLS12, TLS13};
use crate::support::{Call, Folder, Log, Over, new_loop, over_each_carrier, pattern};

/// Sends everything back.
#[derive(Debug)]
pub(crate) struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        transport.write(data);
    }
}

over_each_carrier!(t_01_connection_made_comes_after_the_handshake_with_the_tls_transport);
fn t_01_connection_made_comes_after_the_handshake_with_the_tls_transport(carrier: Over) {
    let rig = Rig::new(carrier);
    let log = Log::new();
    let made = catch(&log);
    let (below, peer) = rig.serve(rig.authority.server(), log.plain());
    rig.run();
    peer.flush();
    rig.run();
    assert_eq!(log.story(), [""; 0], "the client has the last word");
    rig.exchange(&peer);
    assert_eq!(log.story(), ["made"]);
    assert_ne!(made.borrow().as_ref(), Some(&below));
}

over_each_carrier!(t_03_bytes_go_both_ways);
fn t_03_bytes_go_both_ways(carrier: Over) {
    let rig = Rig::new(carrier);
    for versions in [TLS12, TLS13] {
        let open = rig.open_client(versions);
        open.transport.write(&pattern(1_000_000));
        assert!(rig.receive(&open.peer, 1_000_000) == pattern(1_000_000));
        open.peer.send(&pattern(1_000_000));
        rig.run_until(|| open.log.data_len() == 1_000_000);
        assert!(open.log.data() == pattern(1_000_000));
    }
}

/// Echoes over a real transport, and ends in order on both sides.
macro_rules! echo_over {
    ($listen:expr, $connect:expr) => {{
        let authority = Authority::new();
        let mut ev = new_loop();
        let handle = ev.handle().clone();
        let log = Log::new();
        let server = tls::server(authority.server(), || Echo);
        ev.block_on(async {
            let server = $listen(handle.clone(), server).await;
            let protocol = log.plain();
            let client = tls::client(authority.client(), NAME, || protocol);
            let (transport, _) = $connect(handle.clone(), &server, client).await;
            // Connecting ends after the handshake.
            assert_eq!(log.story(), ["made"]);
            assert_eq!(transport.extra::<tls::TlsVersion>(), Some(tls::TlsVersion::Tls13));
            transport.write(&pattern(2_000_000));
            while log.data_len() < 2_000_000 {
                handle.sleep(Duration::from_millis(1)).await;
            }
            transport.close();
            while !log.is_lost() {
                handle.sleep(Duration::from_millis(1)).await;
            }
            server.close();
            server.wait_closed().await;
        });
        assert!(log.data() == pattern(2_000_000));
        assert_eq!(log.story().last().map(String::as_str), Some("lost closed"));
    }};
}

#[test]
fn t_02_connecting_ends_after_the_handshake_over_tcp() {
    echo_over!(
        async |handle, server| tcp::listen(&handle, "127.0.0.1:0", server).await.unwrap(),
        async |handle, server: &wharf::Server, client| {
            let address = server.addresses()[0].ip().unwrap();
            tcp::connect(&handle, address, client).await.unwrap()
        }
    );
}

#[test]
fn t_02_connecting_ends_after_the_handshake_over_unix_sockets() {
    let folder = Folder::new();
    let path = folder.path().join("tls.sock");
    echo_over!(
        async |handle, server| unix::listen(&handle, &path, server).await.unwrap(),
        async |handle, _: &wharf::Server, client| {
            unix::connect(&handle, &path, client).await.unwrap()
        }
    );
}

over_each_carrier!(t_04_everything_is_known_in_connection_made);
fn t_04_everything_is_known_in_connection_made(carrier: Over) {
    let rig = Rig::new(carrier);
    let ends = || {
        let mut server = rig.authority.rustls_server(BOTH);
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut client = rig.authority.rustls_client(BOTH);
        client.alpn_protocols = vec![b"http/1.1".to_vec()];
        (server, client)
    };
    let facts = Rc::new(RefCell::new(Vec::new()));
    let logs = [Log::new(), Log::new()];
    for log in &logs {
        let told = Rc::clone(&facts);
        log.on(Call::Made, move |transport| {
            told.borrow_mut().push((
                transport.extra::<tls::TlsVersion>().unwrap(),
                transport.extra::<tls::Alpn>().unwrap().0,
                transport.extra::<tls::ServerName>().unwrap().0,
                transport.extra::<tls::PeerCertificates>().map(|chain| chain.0.len()),
                transport.extra::<tls::Resumed>().unwrap().0,
                transport.extra::<tls::CipherSuite>().is_some(),
                transport.extra::<tls::KeyExchangeGroup>().is_some(),
            ));
        });
    }
    let (server, client) = ends();
    let (_, peer) = rig.connect(Arc::new(client).into(), logs[0].plain(), server);
    rig.exchange(&peer);
    let (server, client) = ends();
    let (_, peer) = rig.serve_client(Arc::new(server).into(), logs[1].plain(), client);
    rig.exchange(&peer);
    let expected = |chain| {
        (tls::TlsVersion::Tls13, b"http/1.1".to_vec(), NAME.to_owned(), chain, false, true, true)
    };
    assert_eq!(*facts.borrow(), [expected(Some(1)), expected(None)]);
}

over_each_carrier!(t_05_plaintext_behind_the_handshake_needs_no_further_bytes);
fn t_05_plaintext_behind_the_handshake_needs_no_further_bytes(carrier: Over) {
    let rig = Rig::new(carrier);
    let log = Log::new();
    let (_, peer) = rig.serve(rig.authority.server(), log.plain());
    while !peer.is_established() {
        peer.flush();
        rig.turn();
        peer.receive(&mut Vec::new());
    }
    // One segment with the client's last flight.
    peer.send(b"early");
    rig.run();
    assert_eq!(log.story(), ["made", "data early"]);
}

over_each_carrier!(t_06_all_plaintext_of_one_read_is_one_callback);
fn t_06_all_plaintext_of_one_read_is_one_callback(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open();
    for piece in [b"one ".as_slice(), b"two ", b"three"] {
        open.peer.send(piece);
    }
    rig.run();
    assert_eq!(open.log.chunks(), [13]);
    open.peer.send(&pattern(60_000));
    rig.run();
    assert_eq!(open.log.chunks(), [13, 60_000]);
}

over_each_carrier!(t_10_a_handshake_that_takes_too_long_is_aborted);
fn t_10_a_handshake_that_takes_too_long_is_aborted(carrier: Over) {
    let rig = Rig::new(carrier);
    let log = Log::new();
    let config = rig.authority.client().handshake_timeout(Duration::from_secs(3));
    let (_, _peer) = rig.connect(config, log.plain(), rig.authority.rustls_server(BOTH));
    rig.run();
    rig.advance(2);
    assert_eq!(rig.connections(), 1);
    rig.advance(1);
    assert_eq!((rig.connections(), log.story()), (0, vec![]));
    assert_eq!(log.protocols(), 0);
}

/// What connecting to `server` fails with, and what the server, worked by hand, is told.
fn refusal(
    authority: &Authority,
    server: rustls::ServerConfig,
    client: ClientConfig,
    name: &str,
) -> (tls::Error, Option<rustls::Error>) {
    use std::io::Read;
    let mut ev = new_loop();
    let handle = ev.handle().clone();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let peer = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut engine = rustls::ServerConnection::new(Arc::new(server)).unwrap();
        while engine.is_handshaking() {
            if let Err(error) = engine.complete_io(&mut stream) {
                return tls_error(&error);
            }
        }
        let mut byte = [0];
        let read = rustls::Stream::new(&mut engine, &mut stream).read(&mut byte);
        read.err().and_then(|error| tls_error(&error))
    });
    let _ = authority;
    let log = Log::new();
    let protocol = log.plain();
    let name = name.to_owned();
    let error = ev
        .block_on(async {
            let client = tls::client(client, name, || protocol);
            tcp::connect(&handle, address, client).await
        })
        .unwrap_err();
    for _ in 0..1000 {
        if peer.is_finished() {
            break;
        }
        ev.turn(Some(Duration::from_millis(1))).unwrap();
    }
    assert_eq!((log.story(), log.protocols()), (vec![], 0), "no callbacks");
    (tls::Error::find(&error).unwrap().clone(), peer.join().unwrap())
}

fn tls_error(error: &std::io::Error) -> Option<rustls::Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref()).cloned()
}

fn alert(alert: AlertDescription) -> Option<rustls::Error> {
    Some(rustls::Error::AlertReceived(alert))
}

#[test]
fn t_12_a_certificate_of_an_unknown_authority_fails_the_connect_and_t_13_the_server_is_told() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (ours, theirs) =
        refusal(&authority, stranger.rustls_server(BOTH), authority.client(), NAME);
    let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
    assert_eq!(ours, tls::Error::Protocol(unknown));
    assert_eq!(theirs, alert(AlertDescription::UnknownCA));
}

#[test]
fn t_12_a_certificate_for_another_name_fails_the_connect() {
    let authority = Authority::new();
    let server = authority.rustls_server(BOTH);
    let (ours, theirs) = refusal(&authority, server, authority.client(), "elsewhere.test");
    let tls::Error::Protocol(rustls::Error::InvalidCertificate(why)) = ours else {
        panic!("{ours}");
    };
    assert!(matches!(why, CertificateError::NotValidForNameContext { .. }), "{why:?}");
    assert_eq!(theirs, alert(AlertDescription::BadCertificate));
}

#[test]
fn t_12_an_expired_certificate_fails_the_connect() {
    let authority = Authority::new();
    let identity = authority.issue(NAME, |params| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    });
    let server = authority.rustls_server_as(identity, BOTH);
    let (ours, theirs) = refusal(&authority, server, authority.client(), NAME);
    let tls::Error::Protocol(rustls::Error::InvalidCertificate(why)) = ours else {
        panic!("{ours}");
    };
    assert!(matches!(why, CertificateError::ExpiredContext { .. }), "{why:?}");
    assert_eq!(theirs, alert(AlertDescription::CertificateExpired));
}

#[test]
fn t_12_a_revoked_certificate_fails_the_connect() {
    const REVOKED: u64 = 7;
    let authority = Authority::new();
    for (serial, refused) in [(REVOKED, true), (REVOKED + 1, false)] {
        let identity = authority.issue(NAME, |params| params.serial_number = Some(serial.into()));
        let client = Arc::new(authority.rustls_client_revoking(REVOKED));
        let server = authority.rustls_server_as(identity, BOTH);
        if refused {
            let (ours, theirs) = refusal(&authority, server, client.into(), NAME);
            let revoked = rustls::Error::InvalidCertificate(CertificateError::Revoked);
            assert_eq!(ours, tls::Error::Protocol(revoked));
            assert_eq!(theirs, alert(AlertDescription::CertificateRevoked));
        } else {
            let (rig, log) = (Rig::new(Over::Memory), Log::new());
            let (_, peer) = rig.connect(client.into(), log.plain(), server);
            rig.exchange(&peer);
            assert_eq!(log.story(), ["made"]);
        }
    }
}

#[test]
fn t_12_a_self_signed_certificate_fails_the_connect() {
    let authority = Authority::new();
    let server = authority.rustls_server_as(Identity::self_signed(NAME), BOTH);
    let (ours, theirs) = refusal(&authority, server, authority.client(), NAME);
    assert!(matches!(ours, tls::Error::Protocol(rustls::Error::InvalidCertificate(_))), "{ours}");
    assert!(matches!(theirs, Some(rustls::Error::AlertReceived(_))), "{theirs:?}");
}

#[test]
fn t_11_a_peer_that_leaves_during_the_handshake_fails_the_connect() {
    for reset in [false, true] {
        let mut ev = new_loop();
        let handle = ev.handle().clone();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let peer = std::thread::spawn(move || {
            use std::io::Read;
            let (mut stream, _) = listener.accept().unwrap();
            // The handshake is under way then, and with bytes unread every end of it would be a reset.
            let mut hello = [0; 16 * 1024];
            assert!(stream.read(&mut hello).unwrap() > 0);
            if reset {
                socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
            }
        });
        let authority = Authority::new();
        let log = Log::new();
        let protocol = log.plain();
        let error = ev
            .block_on(async {
                let client = tls::client(authority.client(), NAME, || protocol);
                tcp::connect(&handle, address, client).await
            })
            .unwrap_err();
        peer.join().unwrap();
        let kind = if reset { ErrorKind::ConnectionReset } else { ErrorKind::UnexpectedEof };
        assert_eq!(error.kind(), kind, "{error}");
        assert!(tls::Error::find(&error).is_some());
        assert_eq!((log.story(), log.protocols()), (vec![], 0));
    }
}

over_each_carrier!(t_14_a_client_that_fails_is_dropped_counted_and_reported);
fn t_14_a_client_that_fails_is_dropped_counted_and_reported(carrier: Over) {
    let failures = Arc::new(Mutex::new(Vec::new()));
    let rig = Rig::new(carrier);
    let told = Arc::clone(&failures);
    let config = rig.authority.server().on_handshake_failure(move |_, error| {
        told.lock().unwrap().push(error.clone());
    });
    let log = Log::new();
    let (_, peer) = rig.serve(config.clone(), log.plain());
    rig.run();
    peer.send_raw(b"GET / HTTP/1.1\r\nHost: wharf.test\r\n\r\n");
    rig.run();
    assert_eq!((log.story(), log.protocols()), (vec![], 0));
    let sent = peer.below().take();
    assert_eq!(
        (sent.first(), peer.below().seen()),
        (Some(&21), Seen::Eof),
        "an alert, and the end"
    );
    peer.close_below();
    rig.run();
    assert_eq!(rig.connections(), 0);
    let errors = std::mem::take(&mut *failures.lock().unwrap());
    assert!(matches!(errors[..], [tls::Error::Protocol(_)]), "{errors:?}");
    let statistics = config.statistics();
    let counts = (statistics.started(), statistics.finished(), statistics.failed());
    assert_eq!(counts, (1, 0, 1));

    // A neighbour is not disturbed.
    let open = rig.open_with(config);
    open.peer.send(b"hello");
    rig.run();
    assert_eq!(open.log.story(), ["made", "data hello"]);
    assert_eq!((statistics.started(), statistics.finished(), statistics.failed()), (2, 1, 1));
}

#[test]
fn t_14_the_peers_address_is_told_over_tcp() {
    let failures = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&failures);
    let authority = Authority::new();
    let config = authority.server().on_handshake_failure(move |peer, error| {
        told.lock().unwrap().push((peer.and_then(wharf::Address::ip), error.clone()));
    });
    let mut ev = new_loop();
    let handle = ev.handle().clone();
    let server = tls::server(config, || Echo);
    let server = ev.block_on(async { tcp::listen(&handle, "127.0.0.1:0", server).await.unwrap() });
    let client = std::net::TcpStream::connect(server.addresses()[0].ip().unwrap()).unwrap();
    let address = client.local_addr().unwrap();
    drop(client);
    for _ in 0..2000 {
        if !failures.lock().unwrap().is_empty() {
            break;
        }
        ev.turn(Some(Duration::from_millis(1))).unwrap();
    }
    let failures = failures.lock().unwrap();
    assert_eq!(failures[..], [(Some(address), tls::Error::HandshakeEnded)]);
}

over_each_carrier!(t_15_the_handshake_timeout_frees_silent_and_trickling_clients);
fn t_15_the_handshake_timeout_frees_silent_and_trickling_clients(carrier: Over) {
    let rig = Rig::new(carrier);
    let config = rig.authority.server();
    let (_, silent) = rig.serve(config.clone(), Log::new().plain());
    let (_, trickling) = rig.serve(config.clone(), Log::new().plain());
    let hello = trickling.take_records();
    rig.run();
    for byte in &hello[..9] {
        trickling.send_raw(&[*byte]);
        rig.advance(1);
    }
    assert_eq!(rig.connections(), 2);
    rig.advance(1);
    assert_eq!(rig.connections(), 0);
    assert_eq!(config.statistics().failed(), 2);
    drop(silent);
}

#[test]
fn t_16_a_name_that_is_none_fails_the_connect() {
    let authority = Authority::new();
    let mut ev = new_loop();
    let handle = ev.handle().clone();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let error = ev
        .block_on(async {
            tcp::connect(&handle, address, tls::client(authority.client(), "", || Echo)).await
        })
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(tls::Error::find(&error), Some(&tls::Error::InvalidServerName(String::new())));
}

over_each_carrier!(t_16_an_address_is_matched_as_an_address);
fn t_16_an_address_is_matched_as_an_address(carrier: Over) {
    let rig = Rig::new(carrier);
    let ours = || rig.authority.issue("127.0.0.1", |_| {});
    let address: std::net::IpAddr = "127.0.0.1".parse().unwrap();
    for (identity, story) in
        [(ours(), &["made"][..]), (rig.authority.issue("127.0.0.2", |_| {}), &[])]
    {
        let log = Log::new();
        let protocol = log.plain();
        let (_, below) = rig.lay(tls::client(rig.authority.client(), address, || protocol)());
        let peer = rig.server(below, rig.authority.rustls_server_as(identity, BOTH));
        rig.exchange(&peer);
        assert_eq!(log.story(), story);
    }
}

over_each_carrier!(t_18_closing_below_during_the_handshake_tells_the_protocol_nothing);
fn t_18_closing_below_during_the_handshake_tells_the_protocol_nothing(carrier: Over) {
    let rig = Rig::new(carrier);
    let log = Log::new();
    let (below, peer) = rig.serve(rig.authority.server(), log.plain());
    peer.flush();
    rig.turn();
    below.close();
    rig.run();
    assert_eq!((log.story(), log.protocols(), rig.connections()), (vec![], 0, 0));
}

#[test]
fn t_19_a_connect_that_is_dropped_in_the_handshake_leaves_nothing() {
    let authority = Authority::new();
    let mut ev = new_loop();
    let handle = ev.handle().clone();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let log = Log::new();
    let protocol = log.plain();
    let sources = ev.statistics().sources;
    ev.block_on(async {
        let client = tls::client(authority.client(), NAME, || protocol);
        let connecting = async { tcp::connect(&handle, address, client).await };
        assert!(handle.timeout(Duration::from_millis(50), connecting).await.is_err());
    });
    for _ in 0..10 {
        ev.turn(Some(Duration::from_millis(1))).unwrap();
    }
    assert_eq!((log.story(), log.protocols()), (vec![], 0));
    assert_eq!(ev.statistics().sources, sources);
    assert_eq!(ev.next_timeout(), None, "no timer is left");
}

over_each_carrier!(t_15_handshakes_beyond_the_cap_wait_for_their_turn);
fn t_15_handshakes_beyond_the_cap_wait_for_their_turn(carrier: Over) {
    let rig = Rig::new(carrier);
    let config: ServerConfig = rig.authority.server().max_handshakes(1);
    let logs = [Log::new(), Log::new()];
    let peers: Vec<_> = logs.iter().map(|log| rig.serve(config.clone(), log.plain()).1).collect();
    peers[0].flush();
    peers[1].flush();
    rig.run();
    assert_eq!(config.statistics().started(), 1);
    assert_eq!(peers[1].below().read(), 0, "the second one is not answered");
    rig.exchange(&peers[0]);
    rig.exchange(&peers[1]);
    assert_eq!((logs[0].story(), logs[1].story()), (vec!["made".into()], vec!["made".into()]));
}

over_each_carrier!(t_15_a_turn_begins_no_more_handshakes_than_its_budget);
fn t_15_a_turn_begins_no_more_handshakes_than_its_budget(carrier: Over) {
    let rig = Rig::new(carrier);
    let config: ServerConfig = rig.authority.server().handshakes_per_turn(2);
    let peers: Vec<_> = (0..5).map(|_| rig.serve(config.clone(), Log::new().plain()).1).collect();
    rig.run();
    for peer in &peers {
        peer.flush();
    }
    let mut started = Vec::new();
    for _ in 0..4 {
        rig.turn();
        started.push(config.statistics().started());
    }
    assert!(started[0] <= 2 && started.windows(2).all(|two| two[1] - two[0] <= 2), "{started:?}");
    rig.run();
    assert_eq!(config.statistics().started(), 5);
}

over_each_carrier!(t_13_a_record_that_is_too_large_is_answered_by_an_alert);
fn t_13_a_record_that_is_too_large_is_answered_by_an_alert(carrier: Over) {
    let rig = Rig::new(carrier);
    let log = Log::new();
    let (_, peer) = rig.serve(rig.authority.server(), log.plain());
    peer.send_raw(&[22, 3, 1, 0xff, 0xff, 1, 0, 0, 0]);
    peer.send_raw(&[0; 70_000]);
    rig.run();
    assert_eq!(log.story(), [""; 0]);
    assert_eq!(peer.below().take().first(), Some(&21));
}

#[test]
fn sv_31_a_connection_in_its_handshake_counts() {
    let authority = Authority::new();
    let mut ev = new_loop();
    let handle = ev.handle().clone();
    let server = tls::server(authority.server(), || Echo);
    let server = ev.block_on(async { tcp::listen(&handle, "127.0.0.1:0", server).await.unwrap() });
    let client = std::net::TcpStream::connect(server.addresses()[0].ip().unwrap()).unwrap();
    for _ in 0..2000 {
        if server.connections() == 1 {
            break;
        }
        ev.turn(Some(Duration::from_millis(1))).unwrap();
    }
    server.close();
    ev.block_on(async {
        let brief = handle.timeout(Duration::from_millis(30), server.wait_closed());
        assert!(brief.await.is_err(), "it is still shaking hands");
        drop(client);
        server.wait_closed().await;
    });
    assert_eq!(server.connections(), 0);
}
