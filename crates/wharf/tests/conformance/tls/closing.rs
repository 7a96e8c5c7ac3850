//! How TLS ends (rows T-20 to T-30, T-36 to T-38, T-51 to T-53, T-58, T-59, T-61, T-62).

use std::io::ErrorKind;
use std::time::Duration;

use wharf::memory::Seen;
use wharf::tls::{self, rustls};
use wharf::{Flow, Lost};

use super::rig::Rig;
use crate::support::{Call, Over, over_each_carrier, pattern};

over_each_carrier!(t_20_close_sends_everything_then_the_goodbye_and_waits_for_the_peers);
fn t_20_close_sends_everything_then_the_goodbye_and_waits_for_the_peers(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open();
    open.transport.write(&pattern(300_000));
    open.transport.close();
    rig.run();
    assert_eq!(open.log.story(), ["made"], "the peer has not answered");
    assert!(open.transport.is_closing());
    assert!(open.peer.take() == pattern(300_000) || open.peer.seen() == Seen::Open);
    rig.exchange(&open.peer);
    assert_eq!(open.peer.seen(), Seen::Eof);
    assert_eq!(open.log.story_without_data(), ["made"]);
    open.peer.say_goodbye();
    rig.run();
    assert_eq!(open.log.story().last().map(String::as_str), Some("lost closed"));
    assert_eq!(rig.connections(), 0);
}

over_each_carrier!(t_21_no_end_is_told_after_our_own_close);
fn t_21_no_end_is_told_after_our_own_close(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open();
    open.transport.close();
    rig.run();
    open.peer.say_goodbye();
    rig.run();
    assert_eq!(open.log.story(), ["made", "lost closed"]);
}

over_each_carrier!(t_22_the_peers_goodbye_is_the_end_after_all_data);
fn t_22_the_peers_goodbye_is_the_end_after_all_data(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open();
    open.peer.send(b"last words");
    open.peer.say_goodbye();
    rig.run();
    assert_eq!(open.log.story(), ["made", "data last words", "eof", "lost eof"]);
    open.peer.take();
    assert_eq!(open.peer.seen(), Seen::Eof, "ours comes back");
}

over_each_carrier!(t_23_with_tls_1_3_our_direction_may_stay_open);
fn t_23_with_tls_1_3_our_direction_may_stay_open(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open();
    open.log.keep_open();
    open.peer.say_goodbye();
    rig.run();
    assert_eq!(open.log.story(), ["made", "eof"]);
    open.transport.write(b"still here");
    rig.run();
    assert_eq!(open.peer.take(), b"still here");
    open.transport.close();
    rig.run();
    assert_eq!(open.log.story(), ["made", "eof", "lost closed"], "the peer is not waited for");
}

over_each_carrier!(t_23_with_tls_1_2_the_peers_goodbye_ends_both_directions);
fn t_23_with_tls_1_2_the_peers_goodbye_ends_both_directions(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open_client(crate::support::authority::TLS12);
    open.log.keep_open();
    open.peer.say_goodbye();
    rig.run();
    assert_eq!(open.log.story(), ["made", "eof", "lost eof"]);
}

over_each_carrier!(t_24_what_is_buffered_is_sent_after_the_peers_goodbye);
fn t_24_what_is_buffered_is_sent_after_the_peers_goodbye(carrier: Over) {
    // More than sockets take while nobody reads.
    const MUCH: usize = 4_000_000;
    let rig = Rig::new(carrier);
    let open = rig.open();
    open.log.on(Call::Eof, |transport| {
        transport.write(&pattern(MUCH));
    });
    open.peer.say_goodbye();
    rig.run();
    assert_eq!(open.log.story(), ["made", "eof"], "it is not over");
    let mut received = Vec::new();
    while !open.log.is_lost() {
        open.peer.receive(&mut received);
        rig.run();
    }
    open.peer.receive(&mut received);
    assert!(received == pattern(MUCH));
    assert_eq!(open.peer.seen(), Seen::Eof);
    assert_eq!(open.log.story(), ["made", "eof", "lost eof"]);
}

over_each_carrier!(t_25_an_end_without_a_goodbye_is_a_truncation);
fn t_25_an_end_without_a_goodbye_is_a_truncation(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open();
    open.peer.send(b"half");
    open.peer.below().shutdown();
    rig.run();
    assert_eq!(open.log.story(), ["made", "data half", "lost truncated"]);
    assert!(!Lost::Truncated.is_clean());
}

over_each_carrier!(t_25_an_end_in_the_midst_of_a_record_is_a_truncation);
fn t_25_an_end_in_the_midst_of_a_record_is_a_truncation(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open();
    open.peer.with_engine(|engine| {
        use std::io::Write;
        engine.writer().write_all(b"half").expect("an engine takes all");
    });
    let record = open.peer.take_records();
    open.peer.send_raw(&record[..record.len() - 1]);
    open.peer.below().shutdown();
    rig.run();
    assert_eq!(open.log.story(), ["made", "lost truncated"]);
}

over_each_carrier!(t_26_data_before_a_truncation_is_delivered_to_a_reader_that_was_paused);
fn t_26_data_before_a_truncation_is_delivered_to_a_reader_that_was_paused(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open();
    open.transport.pause_reading();
    rig.run();
    open.peer.send(b"half");
    open.peer.below().shutdown();
    rig.run();
    assert_eq!(open.log.story(), ["made"]);
    open.transport.resume_reading();
    rig.run();
    assert_eq!(open.log.story(), ["made", "data half", "lost truncated"]);
}

over_each_carrier!(t_26_a_pause_inside_the_callback_keeps_what_has_come_until_resume);
fn t_26_a_pause_inside_the_callback_keeps_what_has_come_until_resume(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open();
    open.log.on(Call::Data, |transport| transport.pause_reading());
    open.peer.send(&pattern(100_000));
    open.peer.below().shutdown();
    rig.run();
    let first = open.log.data_len();
    assert!(first < 100_000 && !open.log.is_lost());
    open.log.on(Call::Data, |_| {});
    open.transport.resume_reading();
    rig.run();
    assert!(open.log.data() == pattern(100_000));
    assert_eq!(open.log.story().last().map(String::as_str), Some("lost truncated"));
}

over_each_carrier!(t_27_a_reset_is_told_as_such);
fn t_27_a_reset_is_told_as_such(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open();
    open.peer.below().reset(&open.below);
    rig.run();
    assert_eq!(open.log.story(), ["made", "lost io"]);
    assert_eq!(open.log.why().unwrap().kind, Some(ErrorKind::ConnectionReset));
}

over_each_carrier!(t_28_data_after_our_close_is_thrown_away);
fn t_28_data_after_our_close_is_thrown_away(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open();
    open.transport.close();
    rig.run();
    for _ in 0..10 {
        open.peer.send(&pattern(100_000));
        rig.run();
    }
    assert_eq!(open.log.story(), ["made"]);
    open.peer.say_goodbye();
    rig.run();
    assert_eq!(open.log.story(), ["made", "lost closed"]);
}

over_each_carrier!(t_29_a_bad_record_ends_the_connection_and_the_peer_is_told);
fn t_29_a_bad_record_ends_the_connection_and_the_peer_is_told(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open();
    open.peer.send(b"good");
    open.peer.send_raw(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    rig.run();
    assert_eq!(open.log.story(), ["made", "data good", "lost io"]);
    let why = open.log.why().unwrap();
    assert_eq!(why.kind, Some(ErrorKind::InvalidData), "{}", why.text);
    let alert = open.peer.error();
    assert!(matches!(alert, Some(rustls::Error::AlertReceived(_))), "{alert:?}");
    open.peer.close_below();
    rig.run();
    assert_eq!(rig.connections(), 0);
}

over_each_carrier!(t_30_a_goodbye_that_nobody_answers_times_out);
fn t_30_a_goodbye_that_nobody_answers_times_out(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open_with(rig.authority.server().shutdown_timeout(Duration::from_secs(7)));
    open.transport.close();
    rig.run();
    open.peer.take();
    rig.advance(6);
    assert_eq!(open.log.story(), ["made"]);
    rig.advance(1);
    assert_eq!(open.log.story(), ["made", "lost timed out"]);
    assert_eq!(rig.connections(), 0);
}

over_each_carrier!(t_30_without_patience_the_goodbye_is_the_last_thing);
fn t_30_without_patience_the_goodbye_is_the_last_thing(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open_with(rig.authority.server().shutdown_timeout(Duration::ZERO));
    open.transport.write(b"bye");
    open.transport.close();
    rig.run();
    assert_eq!(open.log.story(), ["made", "lost closed"]);
    assert_eq!((open.peer.take(), open.peer.seen()), (b"bye".to_vec(), Seen::Eof));
}

over_each_carrier!(t_30_a_peer_that_still_reads_is_given_time);
fn t_30_a_peer_that_still_reads_is_given_time(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open();
    open.transport.write(&pattern(6_000_000));
    open.transport.close();
    let mut received = Vec::new();
    for _ in 0..3 {
        open.peer.receive(&mut received);
        rig.run();
        rig.advance(4);
        assert!(!open.log.is_lost(), "after {} bytes: {:?}", received.len(), open.log);
    }
    while !open.log.is_lost() {
        open.peer.receive(&mut received);
        if open.peer.seen() == Seen::Eof {
            open.peer.say_goodbye();
        }
        rig.run();
    }
    assert!(received == pattern(6_000_000));
    assert_eq!(open.log.story().last().map(String::as_str), Some("lost closed"));
}

over_each_carrier!(t_36_abort_says_no_goodbye);
fn t_36_abort_says_no_goodbye(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open();
    open.transport.write(&pattern(300_000));
    open.transport.abort();
    assert_eq!(open.transport.write_buffer_len(), 0);
    rig.run();
    assert_eq!(open.log.story().last().map(String::as_str), Some("lost aborted"));
    open.peer.take();
    assert!(!open.peer.with_engine(|engine| {
        engine.process_new_packets().is_ok_and(|state| state.peer_has_closed())
    }));
    assert_eq!(rig.connections(), 0);
}

over_each_carrier!(t_37_close_twice_is_harmless_and_abort_works_after_it);
fn t_37_close_twice_is_harmless_and_abort_works_after_it(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open();
    open.transport.close();
    open.transport.close();
    rig.run();
    assert_eq!(open.transport.write(b"late"), Flow::Closed);
    assert_eq!(open.transport.write_buffer_limits(), wharf::Limits::DEFAULT);
    open.transport.abort();
    rig.run();
    assert_eq!(open.log.story(), ["made", "lost aborted"]);
}

over_each_carrier!(t_38_a_panic_costs_that_connection);
fn t_38_a_panic_costs_that_connection(carrier: Over) {
    let rig = Rig::new(carrier);
    rig.contain_faults();
    let (open, neighbour) = (rig.open(), rig.open());
    open.log.on(Call::Data, |_| panic!("on purpose"));
    open.peer.send(b"x");
    rig.run();
    assert_eq!(open.log.story(), ["made", "data x", "lost fault"]);
    let faults = rig.faults();
    assert_eq!(faults.len(), 1);
    assert_eq!(faults[0].fault.callback(), "data_received");
    neighbour.peer.send(b"y");
    rig.run();
    assert_eq!(neighbour.log.story(), ["made", "data y"]);
}

over_each_carrier!(t_51_the_request_of_a_peer_that_is_gone_is_delivered);
fn t_51_the_request_of_a_peer_that_is_gone_is_delivered(carrier: Over) {
    let rig = Rig::new(carrier);
    let log = crate::support::Log::new();
    let (_, peer) = rig.serve(rig.authority.server(), log.plain());
    while !peer.is_established() {
        peer.flush();
        rig.turn();
        peer.receive(&mut Vec::new());
    }
    // Our tickets will find nobody.
    peer.send(b"request");
    peer.say_goodbye();
    peer.close_below();
    rig.run();
    assert_eq!(log.story(), ["made", "data request", "eof", "lost eof"]);
}

over_each_carrier!(t_52_after_our_close_a_peer_that_just_leaves_is_in_order);
fn t_52_after_our_close_a_peer_that_just_leaves_is_in_order(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open();
    open.transport.close();
    rig.run();
    open.peer.take();
    open.peer.close_below();
    rig.run();
    assert_eq!(open.log.story(), ["made", "lost closed"]);
}

over_each_carrier!(t_53_a_peer_that_ends_the_stream_below_gets_our_data_and_our_goodbye);
fn t_53_a_peer_that_ends_the_stream_below_gets_our_data_and_our_goodbye(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open();
    open.log.on(Call::Data, |transport| {
        transport.write(&pattern(200_000));
    });
    open.peer.send(b"question");
    open.peer.below().shutdown();
    let mut received = Vec::new();
    for _ in 0..100 {
        rig.run();
        open.peer.receive(&mut received);
    }
    assert!(received == pattern(200_000), "{} bytes", received.len());
    assert_eq!(open.peer.seen(), Seen::Eof);
    assert_eq!(open.log.story().last().map(String::as_str), Some("lost truncated"));
}

over_each_carrier!(t_58_it_closes_as_soon_as_the_transport_below_does);
fn t_58_it_closes_as_soon_as_the_transport_below_does(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open();
    open.below.close();
    assert!(open.transport.is_closing() && !open.transport.is_reading());
    assert_eq!(open.transport.write(b"lost for ever"), Flow::Closed);
    rig.run();
    assert_eq!(open.log.story(), ["made", "lost aborted"]);
}

over_each_carrier!(t_59_timers_keep_nothing_alive);
fn t_59_timers_keep_nothing_alive(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open();
    open.transport.close();
    rig.run();
    open.transport.abort();
    rig.run();
    assert_eq!(open.log.protocols(), 0);
    let (weak, transport) = (open.log.clone(), open.transport);
    drop((open.below, transport));
    rig.advance(3600);
    assert_eq!(weak.story(), ["made", "lost aborted"]);
}

over_each_carrier!(t_61_nothing_is_read_after_close);
fn t_61_nothing_is_read_after_close(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open();
    assert!(open.transport.is_reading());
    open.transport.close();
    assert!(!open.transport.is_reading());
    rig.run();
    assert!(!open.transport.is_reading());
}

over_each_carrier!(t_62_a_paused_protocol_is_resumed_before_the_loss);
fn t_62_a_paused_protocol_is_resumed_before_the_loss(carrier: Over) {
    let rig = Rig::new(carrier);
    let open = rig.open();
    open.transport.write(&pattern(1_000_000));
    rig.run();
    assert_eq!(open.log.story(), ["made", "pause"]);
    open.transport.close();
    while !open.log.is_lost() {
        rig.exchange(&open.peer);
        if open.peer.seen() == Seen::Eof {
            open.peer.say_goodbye();
        }
        rig.run();
    }
    assert_eq!(open.log.story(), ["made", "pause", "resume", "lost closed"]);
}

#[test]
fn t_45_an_error_of_tls_can_be_taken_out_of_the_loss() {
    let error = tls::Error::Protocol(rustls::Error::DecryptError);
    let lost = Lost::Io(error.clone().into());
    assert_eq!(tls::Error::of(&lost), Some(&error));
    assert_eq!(tls::Error::of(&Lost::Truncated), None);
}
