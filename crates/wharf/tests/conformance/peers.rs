//! Peers at their worst: a reset in every state, and one that never reads.

use wharf::{Flow, Limits, TransportRef};

use crate::support::{Bench, Call, Log, Peer, Seen, over_each, pattern};

/// A way into a state of a connection.
type Reach = fn(&mut Bench, &Log, &TransportRef, &Peer);

/// The states in which a peer may be lost, and what the protocol has heard by then.
const STATES: [(&str, Reach, &[&str]); 8] = [
    ("idle", |_, _, _, _| {}, &["made"]),
    (
        "paused",
        |bench, _, transport, _| {
            transport.pause_reading();
            bench.settle();
        },
        &["made"],
    ),
    (
        "writing",
        |bench, _, transport, _| {
            bench.fill(transport);
        },
        &["made"],
    ),
    (
        "paused and writing",
        |bench, _, transport, _| {
            bench.fill(transport);
            transport.set_write_buffer_limits(Limits::high(0));
            transport.pause_reading();
            bench.settle();
        },
        &["made", "pause"],
    ),
    (
        "draining",
        |bench, _, transport, _| {
            bench.fill(transport);
            transport.close();
            bench.settle();
        },
        &["made"],
    ),
    (
        "half closed",
        |bench, _, transport, _| {
            transport.write(b"unread");
            transport.write_eof();
            bench.settle();
        },
        &["made"],
    ),
    (
        "half closing",
        |bench, _, transport, _| {
            bench.fill(transport);
            transport.write_eof();
            bench.settle();
        },
        &["made"],
    ),
    (
        "kept open",
        |bench, log, transport, peer| {
            log.keep_open();
            transport.write(b"unread");
            bench.settle();
            peer.shutdown();
            bench.run_until(|| log.has(Call::Eof));
            bench.settle();
        },
        &["made", "eof"],
    ),
];

over_each!(
    er_09_a_reset_in_any_state_is_one_loss_and_never_a_spin
    on memory, tcp, unix, tls, tls_over_tcp, tls_over_unix, tls_in_tls:
    "a pipe is never reset"
);
fn er_09_a_reset_in_any_state_is_one_loss_and_never_a_spin(bench: &mut Bench) {
    for (name, reach, heard) in STATES {
        let (log, transport, peer) = bench.connect();
        reach(bench, &log, &transport, &peer);
        assert_eq!(log.story(), heard, "{name}");
        peer.reset(&transport);
        bench.settle();
        assert_eq!(bench.stirrings(), 0, "{name}: a dead peer spins");
        // A paused reader with nothing to write sees nothing until it looks.
        assert_eq!(log.is_lost(), name != "paused", "{name}");
        transport.resume_reading();
        bench.run_until(|| log.is_lost());
        let expected = [heard, &["lost io"]].concat();
        assert_eq!(log.story(), expected, "{name}");
        assert!(transport.is_closing() && transport.write_buffer_len() == 0, "{name}");
        assert_eq!((transport.write(b"x"), bench.sources()), (Flow::Closed, 0), "{name}");
    }
}

over_each!(er_09_a_peer_that_vanishes_in_any_state_ends_in_one_loss);
fn er_09_a_peer_that_vanishes_in_any_state_ends_in_one_loss(bench: &mut Bench) {
    for (name, reach, heard) in STATES {
        let (log, transport, peer) = bench.connect();
        reach(bench, &log, &transport, &peer);
        peer.close();
        bench.settle();
        assert_eq!(bench.stirrings(), 0, "{name}: a dead peer spins");
        transport.resume_reading();
        bench.run_until(|| {
            transport.write(b"x");
            log.is_lost()
        });
        let story = log.story();
        assert_eq!(story[..heard.len()], *heard, "{name}");
        assert_eq!(log.count(Call::Lost), 1, "{name}");
    }
    assert_eq!(bench.sources(), 0);
}

over_each!(w_28_a_peer_that_never_reads_costs_bounded_memory_and_no_turns and written);
fn w_28_a_peer_that_never_reads_costs_bounded_memory_and_no_turns(bench: &mut Bench) {
    const CHUNK: usize = 16 * 1024;
    let (log, transport, peer) = bench.connect();
    bench.fill(&transport);
    // A producer that obeys the answer of write.
    while transport.write(&pattern(CHUNK)) == Flow::Open {}
    let high = transport.write_buffer_limits().high_mark();
    let queued = transport.write_buffer_len();
    assert!(high < queued && queued <= high + CHUNK, "{queued} bytes are queued");
    assert_eq!(bench.stirrings(), 0, "a full connection spins");
    if !bench.is_in_memory() {
        let before = bench.event_loop().statistics();
        for _ in 0..50 {
            bench.turn();
        }
        let after = bench.event_loop().statistics();
        assert_eq!((after.events, after.turns), (before.events, before.turns + 50));
    }
    assert_eq!((log.story(), peer.seen()), (vec!["made".to_owned(), "pause".into()], Seen::Open));
}

over_each!(w_28_a_producer_that_ignores_every_answer_is_cut_off and written);
fn w_28_a_producer_that_ignores_every_answer_is_cut_off(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    let ceiling = transport.write_buffer_limits().max_mark();
    let chunk = pattern(1024 * 1024);
    let mut most = 0;
    for _ in 0..100 {
        transport.write(&chunk);
        most = most.max(transport.write_buffer_len());
    }
    assert!(most <= ceiling + chunk.len(), "{most} bytes were queued");
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "lost overflow"]);
    bench.run_until(|| peer.seen() == Seen::Eof);
}
