//! The marks of the write buffer: when a writer is paused and resumed (rows W-03 to W-11, W-16, W-28 to W-32).

use std::cell::Cell;
use std::rc::Rc;

use wharf::{Flow, Limits, TransportRef};

use crate::support::{Bench, Call, Log, Peer, limits, over_each, pattern};

/// A connection whose kernel buffer is full, with so many bytes left over: every further byte is counted exactly.
fn full(bench: &mut Bench) -> (Log, TransportRef, Peer, usize) {
    let (log, transport, peer) = bench.connect();
    bench.fill(&transport);
    let left = transport.write_buffer_len();
    (log, transport, peer, left)
}

/// Reads at the peer until the protocol has heard `call` so often.
#[track_caller]
fn drain_until(bench: &mut Bench, peer: &Peer, log: &Log, call: Call, times: usize) {
    bench.run_until(|| {
        peer.read();
        log.count(call) >= times
    });
}

over_each!(
    w_03_pause_comes_strictly_above_high
    on memory, tcp, unix, pipes, written_pipe, written_fifo, written_socket:
    "records are longer than what they carry"
);
fn w_03_pause_comes_strictly_above_high(bench: &mut Bench) {
    let (log, transport, _peer, left) = full(bench);
    transport.set_write_buffer_limits(limits(left + 100, 50));
    assert_eq!(transport.write(&[0; 100]), Flow::Open);
    bench.settle();
    assert_eq!(transport.write_buffer_len(), left + 100);
    assert_eq!(log.story(), ["made"], "exactly high pauses");
    assert_eq!(transport.write(&[0]), Flow::Full);
    bench.settle();
    assert_eq!(log.story(), ["made", "pause"]);
}

over_each!(w_04_pause_comes_once_per_crossing and written);
fn w_04_pause_comes_once_per_crossing(bench: &mut Bench) {
    let (log, transport, peer, left) = full(bench);
    transport.set_write_buffer_limits(limits(left + 10, 5));
    for _ in 0..10 {
        assert_eq!(transport.write(&[0; 20]), Flow::Full);
        bench.turn();
        assert_eq!(log.story(), ["made", "pause"]);
    }
    drain_until(bench, &peer, &log, Call::Resume, 1);
    bench.settle();
    assert_eq!(log.story(), ["made", "pause", "resume"]);
    transport.write(&pattern(1_000_000));
    drain_until(bench, &peer, &log, Call::Resume, 2);
    assert_eq!(log.story(), ["made", "pause", "resume", "pause", "resume"]);
}

over_each!(w_04_pause_is_told_after_the_callback_that_crossed);
fn w_04_pause_is_told_after_the_callback_that_crossed(bench: &mut Bench) {
    let (log, _transport, peer, _) = full(bench);
    let noting = log.clone();
    log.on(Call::Data, move |transport| {
        assert_eq!(transport.write(&pattern(100_000)), Flow::Full);
        transport.close();
        noting.note("data_received returns");
    });
    // A second event is at hand, and the protocol hears of the pause before it.
    peer.send(b"x");
    bench.run_until(|| log.has(Call::Data));
    assert_eq!(log.story(), ["made", "data x", "data_received returns"], "closing tells no pause");

    let (log, _transport, peer, _) = full(bench);
    let noting = log.clone();
    log.on(Call::Data, move |transport| {
        assert_eq!(transport.write(&pattern(100_000)), Flow::Full);
        noting.note("data_received returns");
    });
    peer.send(b"x");
    peer.shutdown();
    bench.run_until(|| log.has(Call::Eof));
    assert_eq!(log.story(), ["made", "data x", "data_received returns", "pause", "eof"]);
}

over_each!(w_04_who_is_answered_full_hears_pause_and_resume);
fn w_04_who_is_answered_full_hears_pause_and_resume(bench: &mut Bench) {
    // The other connection's callback writes while this one is blocked, and in the same turn the kernel has room
    // again: the buffer is empty before its protocol could be told, but the writer waits for `resume_writing`.
    let (source, _transport, source_peer) = bench.connect();
    let (sink, transport, sink_peer, left) = full(bench);
    transport.set_write_buffer_limits(limits(left + 10, 5));
    let answer = Rc::new(Cell::new(Flow::Open));
    source.on(Call::Data, {
        let (answer, transport) = (Rc::clone(&answer), transport.clone());
        move |_| answer.set(transport.write(&[0; 20]))
    });
    source_peer.send(b"x");
    while sink_peer.read() == 0 {}
    bench.run_until(|| {
        sink_peer.read();
        source.has(Call::Data) && transport.write_buffer_len() == 0
    });
    assert_eq!(answer.get() == Flow::Full, sink.has(Call::Pause), "{sink:?}");
    assert_eq!(sink.count(Call::Pause), sink.count(Call::Resume), "{sink:?}");
    if bench.is_in_memory() {
        assert_eq!(answer.get(), Flow::Full, "the order in memory is fixed");
    }
}

over_each!(w_05_resume_comes_at_or_below_low and written);
fn w_05_resume_comes_at_or_below_low(bench: &mut Bench) {
    const LOW: usize = 100_000;
    let (log, transport, peer, _) = full(bench);
    transport.set_write_buffer_limits(limits(2 * LOW, LOW));
    transport.write(&pattern(10 * LOW));
    log.on(Call::Resume, |transport| assert!(transport.write_buffer_len() <= LOW));
    bench.run_until(|| {
        peer.read();
        let (resumed, below) = (log.has(Call::Resume), transport.write_buffer_len() <= LOW);
        assert_eq!(resumed, below, "with {} bytes left", transport.write_buffer_len());
        resumed
    });
    drain_to_rest(bench, &transport, &peer);
    assert_eq!(log.story(), ["made", "pause", "resume"]);
}

#[track_caller]
fn drain_to_rest(bench: &mut Bench, transport: &TransportRef, peer: &Peer) {
    bench.run_until(|| {
        peer.read();
        transport.write_buffer_len() == 0
    });
    bench.settle();
}

over_each!(w_05_exactly_low_resumes and written);
fn w_05_exactly_low_resumes(bench: &mut Bench) {
    let (log, transport, _peer, left) = full(bench);
    transport.set_write_buffer_limits(limits(left - 1, 0));
    bench.settle();
    assert_eq!(log.story(), ["made", "pause"]);
    transport.set_write_buffer_limits(limits(left, left - 1));
    bench.settle();
    assert_eq!(log.story(), ["made", "pause"], "one byte above low resumes");
    transport.set_write_buffer_limits(limits(left, left));
    bench.settle();
    assert_eq!(log.story(), ["made", "pause", "resume"]);
}

over_each!(w_05_a_drain_to_exactly_low_resumes on memory: "a kernel takes what it likes");
fn w_05_a_drain_to_exactly_low_resumes(bench: &mut Bench) {
    let (log, transport, peer, left) = full(bench);
    transport.set_write_buffer_limits(limits(left - 1, left - 10));
    let wire = peer.as_wire();
    wire.set_capacity(wire.waiting() + 9);
    bench.settle();
    assert_eq!(transport.write_buffer_len(), left - 9);
    assert_eq!(log.story(), ["made", "pause"]);
    wire.set_capacity(wire.waiting() + 1);
    bench.settle();
    assert_eq!(transport.write_buffer_len(), left - 10);
    assert_eq!(log.story(), ["made", "pause", "resume"]);
}

over_each!(w_06_the_default_marks_are_64_and_16_kib and written);
fn w_06_the_default_marks_are_64_and_16_kib(bench: &mut Bench) {
    let (_log, transport, _peer) = bench.connect();
    let limits = transport.write_buffer_limits();
    assert_eq!((limits.high_mark(), limits.low_mark()), (65_536, 16_384));
}

over_each!(w_07_a_missing_mark_follows_from_the_other and written);
fn w_07_a_missing_mark_follows_from_the_other(bench: &mut Bench) {
    let (_log, transport, _peer) = bench.connect();
    let marks = |limits| {
        transport.set_write_buffer_limits(limits);
        let limits = transport.write_buffer_limits();
        (limits.low_mark(), limits.high_mark())
    };
    assert_eq!(marks(Limits::high(103)), (25, 103));
    assert_eq!(marks(Limits::low(10)), (10, 40));
    assert_eq!(marks(limits(8, 8)), (8, 8));
    assert_eq!(marks(Limits::default()), (16_384, 65_536));
}

over_each!(
    w_08_a_high_mark_of_zero_pauses_by_any_byte_that_stays
    on memory, tcp, unix, tls, tls_over_unix, tls_in_tls, pipes,
    written_pipe, written_fifo, written_socket:
    "while TLS makes its records, TCP may take what stayed"
);
fn w_08_a_high_mark_of_zero_pauses_by_any_byte_that_stays(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    transport.set_write_buffer_limits(Limits::high(0));
    assert_eq!(transport.write_buffer_limits().low_mark(), 0);
    for len in [1, 1_000, 20_000] {
        assert_eq!(transport.write(&pattern(len)), Flow::Open, "the kernel takes it whole");
        bench.settle();
    }
    assert_eq!(log.story(), ["made"]);
    bench.fill(&transport);
    assert_eq!(log.story(), ["made", "pause"]);
    log.on(Call::Resume, |transport| assert_eq!(transport.write_buffer_len(), 0));
    drain_until(bench, &peer, &log, Call::Resume, 1);
}

over_each!(w_09_impossible_marks_are_refused_and_the_old_ones_stay and written);
fn w_09_impossible_marks_are_refused_and_the_old_ones_stay(bench: &mut Bench) {
    let (_log, transport, _peer) = bench.connect();
    transport.set_write_buffer_limits(limits(100, 10));
    let refused = Limits::new(1, 2).map(|limits| transport.set_write_buffer_limits(limits));
    assert_eq!(refused.unwrap_err().to_string(), "the low mark (2) is above the high one (1)");
    assert_eq!(transport.write_buffer_limits(), limits(100, 10));
}

over_each!(w_10_lower_limits_pause_a_full_buffer_at_once and written);
fn w_10_lower_limits_pause_a_full_buffer_at_once(bench: &mut Bench) {
    let (log, transport, _peer, left) = full(bench);
    bench.settle();
    assert_eq!(log.story(), ["made"]);
    transport.set_write_buffer_limits(limits(left - 1, 0));
    assert_eq!(transport.write(b""), Flow::Full);
    assert_eq!(log.story(), ["made"], "it is told by the loop, and not inside the call");
    bench.turn();
    assert_eq!(log.story(), ["made", "pause"]);
}

over_each!(w_11_higher_limits_resume_a_paused_writer and written);
fn w_11_higher_limits_resume_a_paused_writer(bench: &mut Bench) {
    let (log, transport, _peer, left) = full(bench);
    transport.set_write_buffer_limits(limits(left - 1, 0));
    bench.settle();
    transport.set_write_buffer_limits(limits(2 * left, left - 1));
    bench.settle();
    assert_eq!(log.story(), ["made", "pause"], "it is still above the low mark");
    transport.set_write_buffer_limits(limits(2 * left, left));
    assert_eq!(log.story(), ["made", "pause"]);
    bench.turn();
    assert_eq!(log.story(), ["made", "pause", "resume"]);
}

over_each!(
    w_16_a_writer_that_goes_on_in_resume_writing_is_paused_and_resumed_in_turn
    on memory, tcp, unix, tls, tls_over_unix, tls_in_tls, pipes,
    written_pipe, written_fifo, written_socket:
    "while TLS makes its records, TCP may take a megabyte of them"
);
fn w_16_a_writer_that_goes_on_in_resume_writing_is_paused_and_resumed_in_turn(bench: &mut Bench) {
    const CHUNK: usize = 1_000_000;
    let (log, transport, peer) = bench.connect();
    let rounds = Cell::new(0);
    log.on(Call::Resume, move |transport| {
        rounds.set(rounds.get() + 1);
        if rounds.get() < 4 {
            transport.write(&pattern(CHUNK));
        }
    });
    transport.write(&pattern(CHUNK));
    drain_until(bench, &peer, &log, Call::Resume, 4);
    bench.run_until(|| peer.read() == 4 * CHUNK);
    bench.settle();
    let expected = [&["made"][..], &["pause", "resume"].repeat(4)].concat();
    assert_eq!(log.story(), expected);
    assert_eq!(peer.bytes(), pattern(CHUNK).repeat(4));
}

// invariant: T4
over_each!(w_16_notices_are_reconciled_and_not_queued);
fn w_16_notices_are_reconciled_and_not_queued(bench: &mut Bench) {
    let (log, transport, peer, _) = full(bench);
    let toggle = |transport: &TransportRef, paused_in_the_end: bool| {
        let left = transport.write_buffer_len();
        for _ in 0..10_000 {
            transport.set_write_buffer_limits(limits(left - 1, 0));
            transport.pause_reading();
            transport.set_write_buffer_limits(limits(2 * left, left));
            transport.resume_reading();
        }
        if paused_in_the_end {
            transport.set_write_buffer_limits(limits(left - 1, 0));
        }
    };
    log.on(Call::Data, move |transport| toggle(transport, false));
    peer.send(b"1");
    bench.run_until(|| log.count(Call::Data) == 1);
    bench.settle();
    assert_eq!(log.story(), ["made", "data 1"], "it filled and drained within one callback");

    log.on(Call::Data, move |transport| toggle(transport, true));
    peer.send(b"2");
    bench.run_until(|| log.count(Call::Data) == 2);
    bench.settle();
    assert_eq!(log.story(), ["made", "data 12", "pause"]);

    log.on(Call::Data, |_| {});
    toggle(&transport, false);
    bench.settle();
    assert_eq!(log.story(), ["made", "data 12", "pause", "resume"]);
}

over_each!(w_28_pausing_is_advice_up_to_the_ceiling and written);
fn w_28_pausing_is_advice_up_to_the_ceiling(bench: &mut Bench) {
    const CEILING: usize = 1_000_000;
    const CHUNK: usize = 10_000;
    let (log, transport, _peer, _) = full(bench);
    transport.set_write_buffer_limits(Limits::high(1000).max(CEILING));
    let mut most = 0;
    while transport.write(&[0; CHUNK]) != Flow::Closed {
        most = transport.write_buffer_len();
        assert!(most <= CEILING + CHUNK, "it grows without bound");
    }
    assert!(most > CEILING, "what a protocol goes on to write is taken: {most}");
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "lost overflow"]);
}

over_each!(w_28_one_large_write_is_always_taken and written);
fn w_28_one_large_write_is_always_taken(bench: &mut Bench) {
    const LEN: usize = 1_000_000;
    let (log, transport, peer) = bench.connect();
    transport.set_write_buffer_limits(Limits::high(10).max(100));
    assert_eq!(transport.write(&pattern(LEN)), Flow::Full);
    bench.run_until(|| peer.read() == LEN);
    bench.settle();
    assert_eq!(log.story(), ["made", "pause", "resume"]);
    assert!(peer.bytes() == pattern(LEN));
}

over_each!(w_29_a_panic_in_pause_or_resume_writing_ends_the_connection and written);
fn w_29_a_panic_in_pause_or_resume_writing_ends_the_connection(bench: &mut Bench) {
    bench.contain_faults();
    for (call, name) in [(Call::Pause, "pause_writing"), (Call::Resume, "resume_writing")] {
        let (log, transport, peer) = bench.connect();
        log.on(call, |_| panic!("on purpose"));
        transport.write(&pattern(1_000_000));
        bench.run_until(|| {
            peer.read();
            log.is_lost()
        });
        assert_eq!(bench.failed_callbacks(), [name]);
        assert_eq!(log.story().last().map(String::as_str), Some("lost fault"));
    }
}

over_each!(w_31_a_paused_writer_is_resumed_while_a_close_drains and written);
fn w_31_a_paused_writer_is_resumed_while_a_close_drains(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    transport.write(&pattern(1_000_000));
    bench.run_until(|| log.has(Call::Pause));
    transport.close();
    bench.settle();
    assert_eq!(log.story(), ["made", "pause"]);
    drain_until(bench, &peer, &log, Call::Lost, 1);
    assert_eq!(log.story(), ["made", "pause", "resume", "lost closed"]);
    assert!(peer.bytes() == pattern(1_000_000));
}

over_each!(w_32_a_paused_writer_is_not_resumed_by_an_abort_or_an_error and written);
fn w_32_a_paused_writer_is_not_resumed_by_an_abort_or_an_error(bench: &mut Bench) {
    type End = fn(&TransportRef, &Peer);
    let ends: [(&str, End); 4] = [
        ("aborted", |transport, _| transport.abort()),
        ("failed", |transport, _| transport.fail("mine".into())),
        ("io", |transport, peer| peer.reset(transport)),
        ("aborted", |transport, _| {
            transport.close();
            transport.abort();
        }),
    ];
    for (name, end) in ends {
        let (log, transport, peer) = bench.connect();
        transport.write(&pattern(1_000_000));
        bench.run_until(|| log.has(Call::Pause));
        end(&transport, &peer);
        bench.run_until(|| log.is_lost());
        assert_eq!(log.story(), ["made", "pause", &format!("lost {name}")]);
    }
}
