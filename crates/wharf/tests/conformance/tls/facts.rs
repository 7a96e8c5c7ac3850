//! Facts, identities and half-close (rows I-09, H-10, T-50, T-55, T-56).

use std::sync::Arc;

use wharf::extra::WritingPaused;
use wharf::memory::Seen;
use wharf::tls::{self, rustls};
use wharf::{Flow, tcp};

use super::handshake::Echo;
use super::rig::Rig;
use crate::support::authority::{NAME, TLS12, TLS13};
use crate::support::{Log, Over, new_loop, over_each_carrier, pattern};

over_each_carrier!(i_10_facts_stay_after_the_loss_and_keys_give_both_ends_the_same);
fn i_10_facts_stay_after_the_loss_and_keys_give_both_ends_the_same(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open();
    let keys = open.transport.extra::<tls::Keys>().unwrap();
    let mut ours = [0; 32];
    keys.export(&mut ours, b"EXPORTER-Channel-Binding", Some(b"")).unwrap();
    let theirs = open.peer.with_engine(|engine| {
        engine.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b"")).unwrap()
    });
    assert_eq!(ours, theirs);
    assert!(keys.export(&mut [], b"label", None).is_err());
    open.transport.abort();
    rig.run();
    assert_eq!(open.transport.extra::<tls::TlsVersion>(), Some(tls::TlsVersion::Tls13));
    assert_eq!(open.transport.extra::<tls::ServerName>(), Some(tls::ServerName(NAME.into())));
    assert_eq!(open.transport.extra::<u128>(), None);
}

#[test]
fn i_09_what_the_transport_below_knows_passes_through_but_not_its_bytes() {
    let rig = Rig::new(Over::Memory);
    let mut ev = new_loop();
    let handle = ev.handle().clone();
    let log = Log::new();
    ev.block_on(async {
        let server = tls::server(rig.authority.server(), || Echo);
        let server = tcp::listen(&handle, "127.0.0.1:0", server).await.unwrap();
        let address = server.addresses()[0].ip().unwrap();
        let protocol = log.plain();
        let client = tls::client(rig.authority.client(), NAME, || protocol);
        let (transport, _) = tcp::connect(&handle, address, client).await.unwrap();
        assert_eq!(transport.peer_addr().and_then(|peer| peer.ip()), Some(address));
        assert_eq!(transport.extra::<WritingPaused>(), None);
        // A file is copied through TLS and never sent past it.
        let file = std::env::temp_dir().join(format!("wharf-tls-{}", std::process::id()));
        std::fs::write(&file, pattern(300_000)).unwrap();
        let opened = std::fs::File::open(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        let sent = tcp::sendfile(&handle, &transport, &opened, ..).await.unwrap();
        assert_eq!(sent, 300_000);
        while log.data_len() < 300_000 {
            handle.sleep(std::time::Duration::from_millis(1)).await;
        }
        transport.abort();
    });
    assert!(log.data() == pattern(300_000));
}

over_each_carrier!(h_10_with_tls_1_3_our_direction_ends_by_itself);
fn h_10_with_tls_1_3_our_direction_ends_by_itself(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open();
    assert!(open.transport.can_write_eof());
    open.transport.write(b"all of it");
    open.transport.write_eof();
    assert_eq!(open.transport.write(b"more"), Flow::Closed);
    rig.run();
    assert_eq!((open.peer.take(), open.peer.seen()), (b"all of it".to_vec(), Seen::Eof));
    open.peer.send(b"answer");
    open.peer.say_goodbye();
    rig.run();
    assert_eq!(open.log.story(), ["made", "data answer", "eof", "lost eof"]);
}

over_each_carrier!(t_50_with_tls_1_2_write_eof_does_nothing);
fn t_50_with_tls_1_2_write_eof_does_nothing(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open_client(TLS12);
    assert_eq!(open.transport.extra::<tls::TlsVersion>(), Some(tls::TlsVersion::Tls12));
    assert!(!open.transport.can_write_eof());
    open.transport.write_eof();
    assert_eq!(open.transport.write(b"still open"), Flow::Open);
    rig.run();
    assert_eq!((open.peer.take(), open.peer.seen()), (b"still open".to_vec(), Seen::Open));
}

over_each_carrier!(t_55_renegotiation_is_refused);
fn t_55_renegotiation_is_refused(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open_client(TLS12);
    // A HelloRequest, which no key has protected, stands for whatever asks for new handshakes.
    open.peer.send_raw(&[22, 3, 3, 0, 4, 0, 0, 0, 0]);
    rig.run();
    assert_eq!(open.log.story(), ["made", "lost io"]);
}

over_each_carrier!(t_56_a_client_shows_its_certificate_where_it_is_asked_for);
fn t_56_a_client_shows_its_certificate_where_it_is_asked_for(carrier: Over) {
    for required in [false, true] {
        let rig = Rig::new(carrier);
        let server = Arc::new(rig.authority.rustls_server_asking(required));
        let identity = rig.authority.issue("client.test", |_| {});
        let shown = identity.chain.clone();
        let client = rig.authority.rustls_client_as(identity);
        let log = Log::new();
        let open = rig.open_to(server.into(), &log, log.plain(), client);
        assert_eq!(
            open.transport.extra::<tls::PeerCertificates>(),
            Some(tls::PeerCertificates(shown))
        );
    }
}

over_each_carrier!(t_56_a_client_without_the_required_certificate_is_refused_and_told);
fn t_56_a_client_without_the_required_certificate_is_refused_and_told(carrier: Over) {
    let rig = Rig::new(carrier);
    let server = Arc::new(rig.authority.rustls_server_asking(true));
    let config = tls::ServerConfig::from(server);
    let log = Log::new();
    let (_, peer) = rig.serve(config.clone(), log.plain());
    for _ in 0..5 {
        peer.flush();
        rig.run();
        if let Some(error) = peer.error() {
            let alert = rustls::AlertDescription::CertificateRequired;
            assert_eq!(error, rustls::Error::AlertReceived(alert));
        }
    }
    assert_eq!((log.story(), config.statistics().failed()), (vec![], 1));
}

over_each_carrier!(t_56_our_client_learns_by_its_first_read_that_it_was_refused);
fn t_56_our_client_learns_by_its_first_read_that_it_was_refused(carrier: Over) {
    let rig = Rig::new(carrier);
    let log = Log::new();
    let server = rig.authority.rustls_server_asking(true);
    let (_, peer) = rig.connect(rig.authority.client(), log.plain(), server);
    peer.flush();
    rig.run();
    for _ in 0..5 {
        peer.flush();
        rig.run();
        let _ = peer.try_receive(&mut Vec::new());
    }
    assert_eq!(log.story(), ["made", "lost io"]);
    assert!(log.why().unwrap().text.contains("CertificateRequired"), "{:?}", log.why());
}

over_each_carrier!(t_04_a_session_is_resumed);
fn t_04_a_session_is_resumed(carrier: Over) {
    for versions in [TLS12, TLS13] {
        // Sessions live in the configurations, so another loop knows them, too.
        let loops = [Rig::new(carrier), Rig::new(carrier)];
        let authority = &loops[0].authority;
        let (server, client) = (authority.server(), authority.rustls_client(versions));
        let mut resumed = Vec::new();
        for rig in &loops {
            let log = Log::new();
            let open = rig.open_to(server.clone(), &log, log.plain(), client.clone());
            resumed.push(open.transport.extra::<tls::Resumed>().unwrap().0);
            open.peer.close_below();
            rig.run();
        }
        assert_eq!(resumed, [false, true]);
    }
}
