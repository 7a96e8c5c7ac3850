//! Peers that mean harm, and peers that are only unlucky: what they send together, too late, too much, or never.

use std::time::Duration;

use wharf::tls::rustls::{self, AlertDescription};

use super::rig::Rig;
use crate::support::authority::{TLS12, TLS13};
use crate::support::{Call, Log};

/// Records of plaintext that the peer has not sent yet.
fn records(open: &super::rig::Open, text: &[u8]) -> Vec<u8> {
    open.peer.with_engine(|engine| {
        std::io::Write::write_all(&mut engine.writer(), text).expect("an engine takes all");
    });
    open.peer.take_records()
}

#[test]
fn t_29_what_came_before_a_bad_record_in_the_same_read_is_delivered() {
    let rig = Rig::new();
    let open = rig.open();
    let mut bytes = records(&open, b"good");
    bytes.extend_from_slice(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    open.peer.wire().send(&bytes);
    rig.stage.run();
    assert_eq!(open.log.story(), ["made", "data good", "lost io"]);
    assert!(matches!(open.peer.error(), Some(rustls::Error::AlertReceived(_))));
}

#[test]
fn t_29_what_came_before_a_forged_record_in_the_same_read_is_delivered() {
    let rig = Rig::new();
    let open = rig.open();
    let mut bytes = records(&open, b"one");
    bytes.extend(records(&open, b"two"));
    let mut forged = records(&open, b"three");
    *forged.last_mut().expect("a record") ^= 1;
    bytes.extend(forged);
    open.peer.wire().send(&bytes);
    rig.stage.run();
    assert_eq!(open.log.story(), ["made", "data onetwo", "lost io"]);
    let alert = AlertDescription::BadRecordMac;
    assert_eq!(open.peer.error(), Some(rustls::Error::AlertReceived(alert)));
}

#[test]
fn t_25_bytes_behind_the_goodbye_are_nobodys_and_keep_nothing_back() {
    let rig = Rig::new();
    let open = rig.open();
    open.log.keep_open();
    let mut bytes = records(&open, b"last");
    open.peer.with_engine(|engine| engine.send_close_notify());
    bytes.extend(open.peer.take_records());
    bytes.extend_from_slice(&[0; 100]);
    open.peer.wire().send(&bytes);
    rig.stage.run();
    assert_eq!(open.log.story(), ["made", "data last", "eof"]);
    // Our direction goes on, and a peer that goes is noticed.
    open.transport.write(b"still here");
    rig.stage.run();
    open.peer.wire().reset();
    rig.stage.run();
    assert_eq!(open.log.story(), ["made", "data last", "eof", "lost io"]);
}

#[test]
fn t_15_a_place_goes_to_somebody_who_still_waits() {
    let rig = Rig::new();
    let config = rig.authority.server().max_handshakes(1);
    let logs = [Log::new(), Log::new(), Log::new()];
    let (_, first) = rig.serve(config.clone(), logs[0].plain());
    first.flush();
    rig.stage.run();
    let (gone, other) = rig.serve(config.clone(), logs[1].plain());
    other.flush();
    let (_, waits) = rig.serve(config.clone(), logs[2].plain());
    waits.flush();
    rig.stage.run();
    assert_eq!(config.statistics().started(), 1);
    gone.abort();
    rig.stage.run();
    first.wire().reset();
    rig.exchange(&waits);
    assert_eq!(logs[2].story(), ["made"]);
}

#[test]
fn t_15_clients_that_come_and_go_leave_no_line_behind() {
    let rig = Rig::new();
    let config = rig.authority.server().max_handshakes(1);
    let (_, holds) = rig.serve(config.clone(), Log::new().plain());
    holds.flush();
    rig.stage.run();
    for _ in 0..1000 {
        let (gone, peer) = rig.serve(config.clone(), Log::new().plain());
        peer.flush();
        rig.stage.run();
        gone.abort();
        rig.stage.run();
    }
    assert_eq!(rig.stage.connections(), 1);
    // The last one gets in at once, however many have left.
    let log = Log::new();
    let (_, waits) = rig.serve(config.clone(), log.plain());
    waits.flush();
    rig.stage.run();
    holds.wire().reset();
    rig.exchange(&waits);
    assert_eq!(log.story(), ["made"]);
}

#[test]
fn t_55_a_client_that_wants_to_negotiate_again_is_not_obeyed() {
    let rig = Rig::new();
    let log = Log::new();
    let client = rig.authority.rustls_client(TLS12);
    let open = rig.open_to(rig.authority.server(), &log, log.plain(), client);
    open.peer.send(b"before");
    rig.stage.run();
    // A plain ClientHello under the keys of the connection is what openssl sends; in the clear it is a bad record.
    open.peer.wire().send(&[22, 3, 3, 0, 4, 1, 0, 0, 0]);
    rig.stage.run();
    assert_eq!(open.log.story(), ["made", "data before", "lost io"]);
}

#[test]
fn t_32_a_flood_of_key_updates_that_nobody_answers_holds_no_memory() {
    let rig = Rig::new();
    let log = Log::new();
    let client = rig.authority.rustls_client(TLS13);
    let open = rig.open_to(rig.authority.server(), &log, log.plain(), client);
    let mut sent = 0;
    for _ in 0..2000 {
        let updated = open.peer.with_engine(|engine| engine.refresh_traffic_keys());
        if updated.is_err() {
            break;
        }
        open.peer.flush();
        sent += 1;
        rig.stage.run();
    }
    assert!(sent > 1000, "only {sent} updates");
    // What we have to answer waits for our next record, and is one answer.
    assert!(open.peer.wire().waiting() < 4096, "{} bytes", open.peer.wire().waiting());
}

#[test]
fn t_30_a_peer_that_floods_us_after_our_goodbye_is_left_in_time() {
    let rig = Rig::new();
    let open = rig.open_with(rig.authority.server().shutdown_timeout(Duration::from_secs(5)));
    open.transport.close();
    rig.stage.run();
    for _ in 0..10 {
        open.peer.send(&[b'x'; 10_000]);
        rig.advance(1);
    }
    assert_eq!(open.log.story(), ["made", "lost timed out"]);
    assert_eq!(rig.stage.connections(), 0);
}

#[test]
fn t_59_nothing_is_left_after_any_end() {
    let ends: [fn(&super::rig::Open); 4] = [
        |open| open.peer.wire().reset(),
        |open| open.transport.abort(),
        |open| open.below.abort(),
        |open| open.peer.wire().send(b"nonsense, and enough of it"),
    ];
    for end in ends {
        let rig = Rig::new();
        let open = rig.open();
        end(&open);
        rig.stage.run();
        assert!(open.log.has(Call::Lost));
        assert_eq!(rig.stage.connections(), 0);
    }
}
