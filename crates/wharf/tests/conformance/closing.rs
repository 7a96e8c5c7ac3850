//! Closing and aborting (rows CL-01 to CL-18).

use std::time::Duration;

use wharf::{Flow, TransportRef};

use crate::support::{Bench, Call, ENDING, Log, Peer, Seen, over_each, pattern, poke, poll};

/// How long a close may go without progress.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection whose kernel buffer is full, with some bytes left over, and how many were written.
fn full(bench: &mut Bench) -> (Log, TransportRef, Peer, usize) {
    let (log, transport, peer) = bench.connect();
    let total = bench.fill(&transport);
    (log, transport, peer, total)
}

/// Reads at the peer until the protocol has heard of the loss.
#[track_caller]
fn drain(bench: &mut Bench, peer: &Peer, log: &Log) {
    bench.run_until(|| {
        peer.read();
        log.is_lost()
    });
}

over_each!(cl_01_close_returns_at_once_and_stops_reading);
fn cl_01_close_returns_at_once_and_stops_reading(bench: &mut Bench) {
    let (log, transport, peer, total) = full(bench);
    transport.close();
    assert!(!transport.is_reading());
    assert_eq!(log.story(), ["made"]);
    peer.send(b"not wanted any more");
    bench.settle();
    assert_eq!(log.story(), ["made"]);
    drain(bench, &peer, &log);
    assert_eq!(log.story(), ["made", "lost closed"]);
    assert_eq!(peer.read(), total);
}

over_each!(cl_02_with_nothing_queued_the_loss_comes_with_the_next_turn and one_way);
fn cl_02_with_nothing_queued_the_loss_comes_with_the_next_turn(bench: &mut Bench) {
    let (log, transport, _peer) = bench.connect();
    bench.settle();
    transport.close();
    assert_eq!(log.story(), ["made"]);
    bench.turn();
    assert_eq!(log.story(), ["made", "lost closed"]);
}

over_each!(cl_03_closing_again_does_nothing and one_way);
fn cl_03_closing_again_does_nothing(bench: &mut Bench) {
    for (name, first) in &ENDING[1..] {
        let (log, transport, _peer) = bench.connect();
        first(&transport);
        transport.close();
        transport.close();
        bench.run_until(|| log.is_lost());
        let story = log.story();
        transport.close();
        bench.settle();
        assert_eq!(log.story(), story, "close after {name}");
    }
}

over_each!(cl_04_everything_queued_is_sent_before_the_loss and written);
fn cl_04_everything_queued_is_sent_before_the_loss(bench: &mut Bench) {
    let (log, transport, peer, total) = full(bench);
    transport.close();
    log.on(Call::Lost, |transport| assert_eq!(transport.write_buffer_len(), 0));
    bench.settle();
    assert_eq!((log.story(), bench.stirrings()), (vec!["made".to_owned()], 0));
    drain(bench, &peer, &log);
    bench.run_until(|| peer.seen() == Seen::Eof);
    assert!(peer.bytes() == pattern(total));
    assert_eq!(log.story(), ["made", "lost closed"]);
}

// invariant: T13
over_each!(cl_04_a_close_without_progress_becomes_an_abort and written);
fn cl_04_a_close_without_progress_becomes_an_abort(bench: &mut Bench) {
    let (log, transport, peer, total) = full(bench);
    let moment = Duration::from_millis(1);
    transport.close();
    bench.settle();
    bench.advance(CLOSE_TIMEOUT - moment);
    assert_eq!(log.story(), ["made"], "it was given up too early");
    bench.advance(moment);
    assert_eq!(log.story(), ["made", "lost timed out"]);
    bench.run_until(|| peer.seen() == Seen::Eof);
    assert!(peer.read() < total, "what was queued is dropped");
    assert_eq!(bench.sources(), 0);
}

over_each!(cl_04_progress_buys_a_close_more_time and written);
fn cl_04_progress_buys_a_close_more_time(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    transport.write(&pattern(4_000_000));
    bench.run_until(|| log.has(Call::Pause));
    transport.close();
    bench.settle();
    for _ in 0..4 {
        let before = transport.write_buffer_len();
        bench.run_until(|| {
            peer.read_at_most(100_000);
            transport.write_buffer_len() < before
        });
        bench.advance(CLOSE_TIMEOUT);
        assert!(!log.is_lost(), "a slow peer was given up");
    }
    // Nobody reads any more. A busy kernel moves on for a while, and each time that buys another timeout.
    for _ in 0..16 {
        if log.is_lost() {
            break;
        }
        bench.settle();
        bench.advance(CLOSE_TIMEOUT);
    }
    assert_eq!(log.story(), ["made", "pause", "lost timed out"]);
}

over_each!(cl_05_every_write_after_close_is_dropped and written);
fn cl_05_every_write_after_close_is_dropped(bench: &mut Bench) {
    let (log, transport, peer, total) = full(bench);
    transport.close();
    let left = transport.write_buffer_len();
    for len in [0, 7, 20_000] {
        assert_eq!(transport.write(&pattern(len)), Flow::Closed, "{len} bytes while draining");
    }
    assert_eq!(transport.write_buffer_len(), left);
    drain(bench, &peer, &log);
    bench.run_until(|| peer.seen() == Seen::Eof);
    assert_eq!(peer.read(), total);

    let (log, transport, peer) = bench.connect();
    transport.close();
    assert_eq!(transport.write(b"late"), Flow::Closed, "with nothing queued");
    bench.run_until(|| log.is_lost());
    bench.run_until(|| peer.seen() == Seen::Eof);
    assert_eq!(peer.read(), 0);
}

over_each!(cl_06_close_inside_connection_made_sends_and_hears_nothing);
fn cl_06_close_inside_connection_made_sends_and_hears_nothing(bench: &mut Bench) {
    let log = bench.log();
    log.on(Call::Made, |transport| {
        transport.write(b"no");
        transport.close();
    });
    let (outcome, peer) = bench.try_open(log.plain(), |peer| peer.send(b"never heard"));
    assert!(outcome.is_ok(), "connecting returns as ever");
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "lost closed"]);
    bench.run_until(|| peer.seen() != Seen::Open);
    assert_eq!(peer.bytes(), b"no");
}

over_each!(
    cl_07_bytes_left_unread_make_a_reset_of_the_close
    on memory, tcp, unix: "TLS says goodbye before the reset"
);
fn cl_07_bytes_left_unread_make_a_reset_of_the_close(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    transport.pause_reading();
    bench.settle();
    peer.send(b"unread");
    bench.settle();
    transport.close();
    bench.run_until(|| log.is_lost());
    bench.run_until(|| peer.seen() != Seen::Open);
    assert_eq!((peer.seen(), log.story().len()), (Seen::Reset, 2));
    assert_eq!(log.story(), ["made", "lost closed"], "for us it is a close like any other");
}

over_each!(cl_08_the_peers_end_during_the_drain_is_not_told and written);
fn cl_08_the_peers_end_during_the_drain_is_not_told(bench: &mut Bench) {
    let (log, transport, peer, total) = full(bench);
    transport.close();
    peer.shutdown();
    bench.settle();
    assert_eq!((log.story(), bench.stirrings()), (vec!["made".to_owned()], 0));
    drain(bench, &peer, &log);
    assert_eq!(log.story(), ["made", "lost closed"]);
    assert_eq!(peer.read(), total);
}

over_each!(cl_08_an_error_of_the_drain_is_the_cause and written);
fn cl_08_an_error_of_the_drain_is_the_cause(bench: &mut Bench) {
    let (log, transport, peer, _) = full(bench);
    transport.close();
    bench.settle();
    peer.reset(&transport);
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "lost io"]);
    assert!(log.why().unwrap().kind.is_some());
}

over_each!(cl_10_abort_drops_what_is_queued and written);
fn cl_10_abort_drops_what_is_queued(bench: &mut Bench) {
    let (log, transport, peer, total) = full(bench);
    transport.abort();
    assert_eq!((transport.write_buffer_len(), transport.is_reading()), (0, false));
    assert_eq!(log.story(), ["made"], "it is told by the loop");
    bench.turn();
    assert_eq!(log.story(), ["made", "lost aborted"]);
    bench.run_until(|| peer.seen() == Seen::Eof);
    assert!(peer.read() < total);
}

over_each!(cl_11_aborting_again_does_nothing and one_way);
fn cl_11_aborting_again_does_nothing(bench: &mut Bench) {
    let (log, transport, _peer) = bench.connect();
    transport.abort();
    transport.abort();
    transport.close();
    bench.run_until(|| log.is_lost());
    transport.abort();
    transport.close();
    bench.settle();
    assert_eq!(log.story(), ["made", "lost aborted"]);
}

over_each!(cl_12_after_an_abort_in_data_received_there_is_no_end_to_hear and read);
fn cl_12_after_an_abort_in_data_received_there_is_no_end_to_hear(bench: &mut Bench) {
    let (log, _transport, peer) = bench.connect();
    log.on(Call::Data, |transport| transport.abort());
    peer.send(b"x");
    peer.shutdown();
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "data x", "lost aborted"]);
}

over_each!(cl_13_an_abort_cuts_a_draining_close_short and written);
fn cl_13_an_abort_cuts_a_draining_close_short(bench: &mut Bench) {
    let (log, transport, peer, total) = full(bench);
    transport.close();
    transport.close();
    bench.settle();
    transport.abort();
    assert_eq!(transport.write_buffer_len(), 0);
    bench.turn();
    assert_eq!(log.story(), ["made", "lost aborted"]);
    bench.run_until(|| peer.seen() == Seen::Eof);
    assert!(peer.read() < total);
}

over_each!(cl_14_an_abort_is_not_a_reset and written);
fn cl_14_an_abort_is_not_a_reset(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    transport.write(b"sent before");
    bench.settle();
    transport.abort();
    bench.run_until(|| log.is_lost());
    bench.run_until(|| peer.seen() != Seen::Open);
    assert_eq!((peer.bytes(), peer.seen()), (b"sent before".to_vec(), Seen::Eof));
}

over_each!(
    cl_15_connection_lost_says_who_ended_it_and_how
    on memory, tcp, unix, tls, tls_over_tcp, tls_over_unix, tls_in_tls:
    "a pipe is never reset"
);
fn cl_15_connection_lost_says_who_ended_it_and_how(bench: &mut Bench) {
    type End = fn(&TransportRef, &Peer, &Log);
    let ends: [(&str, &str, End); 7] = [
        ("closed", "closed by us", |transport, _, _| transport.close()),
        ("aborted", "aborted by us", |transport, _, _| transport.abort()),
        ("eof", "ended by the peer", |_, peer, _| peer.shutdown()),
        ("failed", "mine", |transport, _, _| transport.fail("mine".into())),
        ("io", "", |transport, peer, _| peer.reset(transport)),
        ("fault", "data_received failed: on purpose", |_, peer, log| {
            log.on(Call::Data, |_| panic!("on purpose"));
            peer.send(b"x");
        }),
        ("overflow", "more was written than the limits allow", |transport, _, _| {
            transport.set_write_buffer_limits(wharf::Limits::high(1).max(1));
            transport.write(&pattern(1_000_000));
            transport.write(b"x");
        }),
    ];
    bench.contain_faults();
    for (name, text, end) in ends {
        let (log, transport, peer) = bench.connect();
        end(&transport, &peer, &log);
        bench.run_until(|| log.is_lost());
        let why = log.why().unwrap();
        assert_eq!(why.name, name);
        assert!(why.text == text || name == "io", "{why:?}");
        assert_eq!(why.kind.is_some(), name == "io");
        let _ = bench.faults();
    }
}

over_each!(cl_16_every_method_is_harmless_inside_connection_lost and one_way);
fn cl_16_every_method_is_harmless_inside_connection_lost(bench: &mut Bench) {
    for (name, end) in &ENDING[1..] {
        let (log, transport, _peer) = bench.connect();
        log.on(Call::Lost, |transport| {
            poke(transport);
            for (_, method) in ENDING {
                method(transport);
            }
            assert_eq!(transport.write(b"x"), Flow::Closed);
            assert_eq!(transport.write_buffer_len(), 0);
        });
        end(&transport);
        bench.run_until(|| log.is_lost());
        bench.settle();
        assert_eq!(log.count(Call::Lost), 1, "{name}");
    }
    assert_eq!(bench.sources(), 0);
}

over_each!(
    cl_17_dropping_a_connect_after_connection_made_tells_the_loss
    on tcp, unix: "memory has nothing to await"
);
fn cl_17_dropping_a_connect_after_connection_made_tells_the_loss(bench: &mut Bench) {
    let log = bench.log();
    let (starting, peer) = bench.start(log.plain());
    bench.turn();
    assert_eq!(log.story(), ["made"]);
    drop(starting);
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "lost aborted"]);
    assert_eq!((peer.seen(), bench.sources()), (Seen::Eof, 0));
}

over_each!(
    cl_17_dropping_a_connect_before_connection_made_closes_the_socket
    on tcp, unix: "memory has nothing to await"
);
fn cl_17_dropping_a_connect_before_connection_made_closes_the_socket(bench: &mut Bench) {
    let log = bench.log();
    let (mut starting, peer) = bench.start(log.plain());
    assert!(poll(&mut starting).is_pending());
    drop(starting);
    assert_eq!((peer.seen(), bench.sources(), log.protocols()), (Seen::Eof, 0, 0));
    bench.settle();
    assert_eq!(log.story(), [""; 0]);
}

/// How long a lingering close hears its peer out, in these tests.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection that refuses whatever it is sent, and then whatever its peer has to say.
fn refusing(bench: &mut Bench) -> (Log, TransportRef, Peer) {
    let (log, transport, peer) = bench.connect();
    log.on(Call::Data, |transport| {
        transport.write(b"refused");
        transport.close_lingering(PATIENCE);
        assert!(transport.is_closing() && !transport.is_reading());
        assert_eq!(transport.write(b"more"), Flow::Closed);
    });
    peer.send(b"x");
    bench.run_until(|| log.has(Call::Data));
    (log, transport, peer)
}

over_each!(cl_18_a_peer_that_goes_on_sending_hears_our_last_words);
fn cl_18_a_peer_that_goes_on_sending_hears_our_last_words(bench: &mut Bench) {
    let (log, transport, peer) = refusing(bench);
    for _ in 0..20 {
        peer.send(&pattern(30_000));
        bench.settle();
    }
    bench.run_until(|| peer.seen() != Seen::Open);
    assert_eq!((peer.bytes(), peer.seen()), (b"refused".to_vec(), Seen::Eof), "and no reset");
    assert_eq!(log.story(), ["made", "data x"]);
    // Nothing makes it hear any more, or less.
    poke(&transport);
    transport.pause_reading();
    transport.close_lingering(Duration::from_secs(1000));
    let late = Log::new();
    assert!(transport.set_protocol(late.plain(), b"leftover").1.is_none());
    peer.send(b"unheard");
    bench.settle();
    assert_eq!(late.story(), [""; 0]);
    assert!(!log.is_lost() && bench.sources() == 1);
    peer.close();
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "data x", "lost closed"]);
    assert_eq!(log.protocols(), 0);
}

over_each!(cl_18_a_peer_is_heard_out_for_a_time_and_up_to_a_limit);
fn cl_18_a_peer_is_heard_out_for_a_time_and_up_to_a_limit(bench: &mut Bench) {
    let moment = Duration::from_millis(1);
    let (log, _transport, _peer) = refusing(bench);
    bench.advance(PATIENCE - moment);
    assert!(!log.is_lost());
    bench.advance(moment);
    assert_eq!(log.story(), ["made", "data x", "lost closed"]);

    let (log, _transport, peer) = refusing(bench);
    let mut sent = 0;
    while !log.is_lost() {
        sent += peer.try_send(&pattern(200_000)).unwrap_or(0);
        bench.turn();
        assert!(sent < 40_000_000, "it hears for ever");
    }
    assert!(sent > 16_000_000, "{sent} bytes were too many");
    assert_eq!((log.story().last().map(String::as_str), bench.sources()), (Some("lost closed"), 0));
}

over_each!(cl_18_a_lingering_close_sends_everything_under_the_close_timeout);
fn cl_18_a_lingering_close_sends_everything_under_the_close_timeout(bench: &mut Bench) {
    let (log, transport, peer, total) = full(bench);
    transport.close_lingering(PATIENCE);
    bench.settle();
    bench.advance(PATIENCE);
    assert!(!log.is_lost(), "the peer has not read");
    bench.advance(CLOSE_TIMEOUT - Duration::from_millis(1));
    assert!(!log.is_lost());
    bench.run_until(|| {
        peer.read();
        log.is_lost()
    });
    bench.run_until(|| peer.seen() != Seen::Open);
    assert!(peer.bytes() == pattern(total));
    assert_eq!(log.story(), ["made", "lost closed"]);

    let (log, transport, _peer, _) = full(bench);
    transport.close_lingering(PATIENCE);
    bench.advance(PATIENCE);
    bench.advance(CLOSE_TIMEOUT);
    assert_eq!(log.story(), ["made", "lost timed out"]);
}

over_each!(cl_18_what_was_left_unread_is_heard_out_too);
fn cl_18_what_was_left_unread_is_heard_out_too(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    transport.pause_reading();
    bench.settle();
    peer.send(b"unread");
    bench.settle();
    transport.close_lingering(PATIENCE);
    bench.run_until(|| peer.seen() != Seen::Open);
    assert_eq!(peer.seen(), Seen::Eof);
    peer.close();
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "lost closed"]);
}

over_each!(cl_18_where_nothing_can_come_any_more_it_is_a_plain_close);
fn cl_18_where_nothing_can_come_any_more_it_is_a_plain_close(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    log.keep_open();
    peer.shutdown();
    bench.run_until(|| log.has(Call::Eof));
    transport.write(b"answer");
    transport.close_lingering(PATIENCE);
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "eof", "lost closed"]);

    let (log, transport, _peer) = bench.connect();
    transport.close_lingering(Duration::ZERO);
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "lost closed"], "without patience");
}

over_each!(cl_18_the_end_of_a_lingering_close_can_be_hastened);
fn cl_18_the_end_of_a_lingering_close_can_be_hastened(bench: &mut Bench) {
    hasten(bench, |transport, _| transport.close(), "lost closed");
    hasten(bench, |transport, _| transport.abort(), "lost aborted");
    hasten(bench, |_, peer| peer.shutdown(), "lost closed");
}

over_each!(
    cl_18_a_reset_ends_a_lingering_close
    on memory, tcp, unix, tls, tls_over_tcp, tls_over_unix, tls_in_tls:
    "a pipe is never reset"
);
fn cl_18_a_reset_ends_a_lingering_close(bench: &mut Bench) {
    hasten(bench, |transport, peer| peer.reset(transport), "lost io");
}

/// A lingering close that has `end` before its time.
fn hasten(bench: &mut Bench, end: fn(&TransportRef, &Peer), lost: &str) {
    let (log, transport, peer) = refusing(bench);
    bench.settle();
    end(&transport, &peer);
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "data x", lost]);
    assert_eq!(bench.sources(), 0);
    bench.advance(PATIENCE);
}
