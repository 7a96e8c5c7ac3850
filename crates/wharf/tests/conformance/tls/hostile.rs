//! Peers that mean harm, and peers that are only unlucky: what they send together, too late, too much, or never.

use std::rc::Rc;
use std::time::Duration;

use wharf::memory::Seen;
use wharf::tls;
use wharf::tls::rustls::{self, AlertDescription};

use super::rig::Rig;
use crate::support::authority::{BOTH, TLS12, TLS13};
use crate::support::tls_peer::TlsPeer;
use crate::support::{Call, Log, Over, over_each_carrier, pattern};

/// Records of plaintext that the peer has not sent yet.
fn records(open: &super::rig::Open, text: &[u8]) -> Vec<u8> {
    open.peer.with_engine(|engine| {
        std::io::Write::write_all(&mut engine.writer(), text).expect("an engine takes all");
    });
    open.peer.take_records()
}

over_each_carrier!(t_29_what_came_before_a_bad_record_in_the_same_read_is_delivered);
fn t_29_what_came_before_a_bad_record_in_the_same_read_is_delivered(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open();
    let mut bytes = records(&open, b"good");
    bytes.extend_from_slice(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    open.peer.send_raw(&bytes);
    rig.run();
    assert_eq!(open.log.story(), ["made", "data good", "lost io"]);
    assert!(matches!(open.peer.error(), Some(rustls::Error::AlertReceived(_))));
}

over_each_carrier!(t_29_what_came_before_a_forged_record_in_the_same_read_is_delivered);
fn t_29_what_came_before_a_forged_record_in_the_same_read_is_delivered(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open();
    let mut bytes = records(&open, b"one");
    bytes.extend(records(&open, b"two"));
    let mut forged = records(&open, b"three");
    *forged.last_mut().expect("a record") ^= 1;
    bytes.extend(forged);
    open.peer.send_raw(&bytes);
    rig.run();
    assert_eq!(open.log.story(), ["made", "data onetwo", "lost io"]);
    let alert = AlertDescription::BadRecordMac;
    assert_eq!(open.peer.error(), Some(rustls::Error::AlertReceived(alert)));
}

over_each_carrier!(t_25_bytes_behind_the_goodbye_are_nobodys_and_keep_nothing_back);
fn t_25_bytes_behind_the_goodbye_are_nobodys_and_keep_nothing_back(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open();
    open.log.keep_open();
    let mut bytes = records(&open, b"last");
    open.peer.with_engine(|engine| engine.send_close_notify());
    bytes.extend(open.peer.take_records());
    bytes.extend_from_slice(&[0; 100]);
    open.peer.send_raw(&bytes);
    rig.run();
    assert_eq!(open.log.story(), ["made", "data last", "eof"]);
    // Our direction goes on, and a peer that goes is noticed.
    open.transport.write(b"still here");
    rig.run();
    open.peer.below().reset(&open.below);
    rig.run();
    assert_eq!(open.log.story(), ["made", "data last", "eof", "lost io"]);
}

over_each_carrier!(t_15_a_place_goes_to_somebody_who_still_waits);
fn t_15_a_place_goes_to_somebody_who_still_waits(carrier: Over) {
    let rig = Rig::new(carrier);
    let config = rig.authority.server().max_handshakes(1);
    let logs = [Log::new(), Log::new(), Log::new()];
    let (below, first) = rig.serve(config.clone(), logs[0].plain());
    first.flush();
    rig.run();
    let (gone, other) = rig.serve(config.clone(), logs[1].plain());
    other.flush();
    let (_, waits) = rig.serve(config.clone(), logs[2].plain());
    waits.flush();
    rig.run();
    assert_eq!(config.statistics().started(), 1);
    gone.abort();
    rig.run();
    first.below().reset(&below);
    rig.exchange(&waits);
    assert_eq!(logs[2].story(), ["made"]);
}

over_each_carrier!(t_15_a_place_is_not_lost_with_one_who_holds_the_answer_and_no_connection);
fn t_15_a_place_is_not_lost_with_one_who_holds_the_answer_and_no_connection(carrier: Over) {
    let rig = Rig::new(carrier);
    let config = rig.authority.server().max_handshakes(1);
    let (below, first) = rig.serve(config.clone(), Log::new().plain());
    first.flush();
    rig.run();
    let (gone, peer) = rig.lay(Log::new().plain());
    rig.run();
    let _answer = tls::start_tls(&gone, config.clone(), b"");
    let other = rig.client(peer, rig.authority.rustls_client(BOTH));
    other.flush();
    rig.run();
    let log = Log::new();
    let (_, waits) = rig.serve(config, log.plain());
    waits.flush();
    rig.run();
    gone.abort();
    rig.run();
    first.below().reset(&below);
    rig.exchange(&waits);
    assert_eq!(log.story(), ["made"]);
}

over_each_carrier!(t_15_clients_that_come_and_go_leave_no_line_behind);
fn t_15_clients_that_come_and_go_leave_no_line_behind(carrier: Over) {
    let rig = Rig::new(carrier);
    let config = rig.authority.server().max_handshakes(1);
    let (below, holds) = rig.serve(config.clone(), Log::new().plain());
    holds.flush();
    rig.run();
    for _ in 0..500 {
        let (gone, peer) = rig.serve(config.clone(), Log::new().plain());
        peer.flush();
        rig.turn();
        gone.abort();
        rig.run_until(|| rig.connections() == 1);
    }
    // The last one gets in at once, however many have left.
    let log = Log::new();
    let (_, waits) = rig.serve(config.clone(), log.plain());
    waits.flush();
    rig.run();
    holds.below().reset(&below);
    rig.exchange(&waits);
    assert_eq!(log.story(), ["made"]);
}

over_each_carrier!(t_55_a_client_that_wants_to_negotiate_again_is_not_obeyed);
fn t_55_a_client_that_wants_to_negotiate_again_is_not_obeyed(carrier: Over) {
    let rig = Rig::new(carrier);
    let log = Log::new();
    let client = rig.authority.rustls_client(TLS12);
    let open = rig.open_to(rig.authority.server(), &log, log.plain(), client);
    open.peer.send(b"before");
    rig.run();
    // A plain ClientHello under the keys of the connection is what openssl sends; in the clear it is a bad record.
    open.peer.send_raw(&[22, 3, 3, 0, 4, 1, 0, 0, 0]);
    rig.run();
    assert_eq!(open.log.story(), ["made", "data before", "lost io"]);
}

over_each_carrier!(t_32_a_flood_of_key_updates_that_nobody_answers_holds_no_memory);
fn t_32_a_flood_of_key_updates_that_nobody_answers_holds_no_memory(carrier: Over) {
    let rig = Rig::new(carrier);
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
        rig.turn();
    }
    rig.run();
    assert!(sent > 1000, "only {sent} updates");
    // What we have to answer waits for our next record, and is one answer.
    let answered = open.peer.below().read();
    assert!(answered < 4096, "{answered} bytes");
}

over_each_carrier!(t_30_a_peer_that_floods_us_after_our_goodbye_is_left_in_time);
fn t_30_a_peer_that_floods_us_after_our_goodbye_is_left_in_time(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open_with(rig.authority.server().shutdown_timeout(Duration::from_secs(5)));
    open.transport.close();
    rig.run();
    for _ in 0..10 {
        open.peer.send(&[b'x'; 10_000]);
        rig.advance(1);
    }
    assert_eq!(open.log.story(), ["made", "lost timed out"]);
    assert_eq!(rig.connections(), 0);
}

over_each_carrier!(t_59_nothing_is_left_after_any_end);
fn t_59_nothing_is_left_after_any_end(carrier: Over) {
    let ends: [fn(&super::rig::Open); 4] = [
        |open| open.peer.below().reset(&open.below),
        |open| open.transport.abort(),
        |open| open.below.abort(),
        |open| open.peer.send_raw(b"nonsense, and enough of it"),
    ];
    for end in ends {
        let rig = Rig::new(carrier);
        let open = rig.open();
        end(&open);
        rig.run();
        assert!(open.log.has(Call::Lost));
        open.peer.close_below();
        rig.run();
        assert_eq!(rig.connections(), 0);
    }
}

/// A client that is refused, and has not heard of it.
fn refused(rig: &Rig) -> (Log, Rc<TlsPeer>) {
    let log = Log::new();
    let (_, peer) = rig.serve(rig.authority.server(), log.plain());
    peer.send_raw(b"GET / HTTP/1.1\r\nHost: wharf.test\r\n\r\n");
    rig.run();
    (log, peer)
}

over_each_carrier!(t_13_a_peer_that_goes_on_sending_gets_the_alert_and_no_reset);
fn t_13_a_peer_that_goes_on_sending_gets_the_alert_and_no_reset(carrier: Over) {
    let rig = Rig::new(carrier);
    let (log, peer) = refused(&rig);
    let mut sent = 0;
    while sent < 1_000_000 {
        sent += peer.below().try_send(&pattern(50_000)).expect("nobody refuses the bytes");
        rig.run();
    }
    assert_eq!(peer.below().take().first(), Some(&21));
    assert_eq!(peer.below().seen(), Seen::Eof, "no reset has come");
    assert_eq!(rig.connections(), 1);
    peer.close_below();
    rig.run();
    assert_eq!((rig.connections(), log.story()), (0, vec![]));
}

over_each_carrier!(t_13_a_refused_peer_is_not_heard_out_for_ever);
fn t_13_a_refused_peer_is_not_heard_out_for_ever(carrier: Over) {
    // Neither one that sends nothing and stays,
    let rig = Rig::new(carrier);
    let (_, _peer) = refused(&rig);
    rig.advance(4);
    assert_eq!(rig.connections(), 1);
    rig.advance(1);
    assert_eq!(rig.connections(), 0);

    // nor one that sends without end.
    let rig = Rig::new(carrier);
    let (_, peer) = refused(&rig);
    let mut sent = 0;
    while rig.connections() > 0 {
        sent += peer.below().try_send(&pattern(200_000)).unwrap_or(0);
        assert!(sent < 40_000_000, "{sent} bytes");
        rig.turn();
    }

    // And where a close does not wait, a refusal does not either.
    let rig = Rig::new(carrier);
    let config = rig.authority.server().shutdown_timeout(Duration::ZERO);
    let (_, peer) = rig.serve(config, Log::new().plain());
    peer.send_raw(b"GET / HTTP/1.1\r\nHost: wharf.test\r\n\r\n");
    rig.run();
    assert_eq!(rig.connections(), 0);
}
