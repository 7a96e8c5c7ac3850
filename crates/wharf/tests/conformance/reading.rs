//! Reading: pause, resume, and what arrives (rows ).

use std::cell::Cell;
use std::io::ErrorKind;
use std::rc::Rc;

use socket2::SockRef;
use wharf::reactor::stream::SocketView;

use crate::support::{Bench, Call, Stubborn, over_each, pattern};

over_each!(r_01_is_reading_follows_pause_and_close and read);
fn r_01_is_reading_follows_pause_and_close(bench: &mut Bench) {
    let (log, transport, _peer) = bench.connect();
    assert!(transport.is_reading());
    transport.pause_reading();
    assert!(!transport.is_reading());
    transport.resume_reading();
    assert!(transport.is_reading());
    transport.close();
    assert!(!transport.is_reading());
    bench.run_until(|| log.is_lost());
    assert!(!transport.is_reading());
}

over_each!(r_02_pause_and_resume_are_idempotent and read);
fn r_02_pause_and_resume_are_idempotent(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    transport.resume_reading();
    for _ in 0..3 {
        transport.pause_reading();
        transport.pause_reading();
        assert!(!transport.is_reading());
        transport.resume_reading();
        transport.resume_reading();
        transport.resume_reading();
        assert!(transport.is_reading());
    }
    peer.send(b"once");
    bench.run_until(|| log.has(Call::Data));
    bench.settle();
    assert_eq!(log.story(), ["made", "data once"]);
}

over_each!(r_03_pause_and_resume_do_nothing_once_closing);
fn r_03_pause_and_resume_do_nothing_once_closing(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    bench.fill(&transport);
    peer.send(b"too late");
    transport.close();
    transport.pause_reading();
    transport.resume_reading();
    assert!(!transport.is_reading(), "while it drains");
    bench.settle();
    bench.run_until(|| {
        peer.read();
        log.is_lost()
    });
    transport.resume_reading();
    transport.pause_reading();
    transport.resume_reading();
    assert!(!transport.is_reading(), "after the loss");
    assert_eq!(log.story(), ["made", "lost closed"]);
}

over_each!(
    r_04_a_paused_reader_hears_nothing_of_its_peer
    on memory, tcp, unix, tls, tls_over_tcp, tls_over_unix, tls_in_tls, read_socket:
    "a pipe is never reset"
);
fn r_04_a_paused_reader_hears_nothing_of_its_peer(bench: &mut Bench) {
    let (data, transport_of_data, sender) = bench.connect();
    let (end, transport_of_end, ender) = bench.connect();
    let (reset, transport_of_reset, resetter) = bench.connect();
    for transport in [&transport_of_data, &transport_of_end, &transport_of_reset] {
        transport.pause_reading();
    }
    bench.settle();
    sender.send(b"data");
    ender.close();
    resetter.reset(&transport_of_reset);
    bench.settle();
    assert_eq!(bench.stirrings(), 0, "a hung-up peer makes a paused reader spin");
    for log in [&data, &end, &reset] {
        assert_eq!(log.story(), ["made"]);
    }
    for transport in [&transport_of_data, &transport_of_end, &transport_of_reset] {
        assert!(!transport.is_closing());
        transport.resume_reading();
    }
    bench.run_until(|| data.has(Call::Data) && end.is_lost() && reset.is_lost());
    assert_eq!(data.story(), ["made", "data data"]);
    assert_eq!(end.story(), ["made", "eof", "lost eof"]);
    assert_eq!(reset.story(), ["made", "lost io"]);
}

over_each!(r_05_a_pause_inside_data_received_takes_effect_at_once and read);
fn r_05_a_pause_inside_data_received_takes_effect_at_once(bench: &mut Bench) {
    // A small buffer, so that one readiness would be good for many reads.
    let (log, transport, peer) = bench.connect_buffered(100);
    log.on(Call::Data, |transport| transport.pause_reading());
    peer.send(&pattern(1000));
    bench.run_until(|| log.has(Call::Data));
    bench.settle();
    assert_eq!(log.chunks(), [100]);
    transport.resume_reading();
    bench.run_until(|| log.count(Call::Data) == 2);
    bench.settle();
    assert_eq!(log.chunks(), [100, 100]);
}

over_each!(r_05_a_paused_plain_protocol_gets_nothing_more and read);
fn r_05_a_paused_plain_protocol_gets_nothing_more(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    log.on(Call::Data, |transport| transport.pause_reading());
    let total = peer.fill();
    bench.run_until(|| log.has(Call::Data));
    let before = log.data_len();
    let total = total + peer.send_some(&pattern(1000));
    bench.settle();
    assert_eq!((log.count(Call::Data), log.data_len()), (1, before));
    log.on(Call::Data, |_| {});
    transport.resume_reading();
    bench.run_until(|| log.data_len() == total);
}

over_each!(r_06_what_arrived_meanwhile_is_delivered_in_order and read);
fn r_06_what_arrived_meanwhile_is_delivered_in_order(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    transport.pause_reading();
    let total = peer.fill();
    bench.settle();
    assert_eq!(log.data_len(), 0);
    transport.resume_reading();
    bench.run_until(|| log.data_len() >= total);
    assert!(log.data() == pattern(total));
}

over_each!(r_07_a_pause_inside_connection_made_is_honoured and read);
fn r_07_a_pause_inside_connection_made_is_honoured(bench: &mut Bench) {
    let log = bench.log();
    log.on(Call::Made, |transport| transport.pause_reading());
    let (transport, _peer) = bench.open_after(log.plain(), |peer| peer.send(b"early"));
    bench.settle();
    assert_eq!(log.story(), ["made"]);
    assert!(!transport.is_reading());
    transport.resume_reading();
    bench.run_until(|| log.has(Call::Data));
    assert_eq!(log.story(), ["made", "data early"]);
}

over_each!(r_08_endless_input_does_not_starve_the_neighbours and read);
fn r_08_endless_input_does_not_starve_the_neighbours(bench: &mut Bench) {
    const BUDGET: usize = 256 * 1024;
    let (greedy, _transport, endless) = bench.connect();
    let (modest, _other, peer) = bench.connect();
    endless.fill();
    greedy.on(Call::Data, move |_| {
        endless.send_some(&pattern(64 * 1024));
    });
    bench.run_until(|| greedy.has(Call::Data));
    for round in 1..=5 {
        peer.send(b"x");
        for _ in 0..2 {
            let before = greedy.data_len();
            bench.turn();
            assert!(greedy.data_len() > before, "the input is not endless");
            assert!(greedy.data_len() - before <= 2 * BUDGET, "a turn delivers without end");
        }
        assert_eq!(modest.data_len(), round, "the neighbour starves");
    }
}

over_each!(r_09_no_empty_slice_is_delivered and read);
fn r_09_no_empty_slice_is_delivered(bench: &mut Bench) {
    let (log, _transport, peer) = bench.connect();
    peer.send(b"");
    bench.settle();
    assert_eq!(log.story(), ["made"]);
    peer.send(b"abc");
    peer.shutdown();
    bench.run_until(|| log.is_lost());
    assert_eq!(log.chunks(), [3], "the end is not an empty slice");
}

over_each!(r_10_readiness_is_only_a_hint on tcp, unix: "a wire is never ready without cause");
fn r_10_readiness_is_only_a_hint(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    let view = transport.extra::<SocketView>().unwrap();
    let peek = |view: &SocketView| {
        view.with(|fd| SockRef::from(&fd).peek(&mut [std::mem::MaybeUninit::uninit()]).is_ok())
    };
    // The bytes are there when the loop waits, and gone when it reads: a callback has taken them meanwhile.
    peer.send(b"stolen");
    while peek(&view) != Some(true) {}
    let stolen = Rc::new(Cell::new(0));
    bench.call_soon({
        let (stolen, view) = (Rc::clone(&stolen), view.clone());
        move || {
            let mut buffer = [std::mem::MaybeUninit::uninit(); 16];
            let count = view.with(|fd| SockRef::from(&fd).recv(&mut buffer).unwrap());
            stolen.set(count.unwrap());
        }
    });
    let before = bench.event_loop().statistics().events;
    bench.turn();
    assert_eq!(stolen.get(), 6);
    assert_eq!(bench.event_loop().statistics().events, before + 1, "the socket was ready");
    assert_eq!(log.story(), ["made"]);
    peer.send(b"kept");
    bench.run_until(|| log.has(Call::Data));
    assert_eq!(log.story(), ["made", "data kept"]);
}

over_each!(r_10_an_interrupted_read_is_taken_up_again on unix: "the failing socket is a Unix one");
fn r_10_an_interrupted_read_is_taken_up_again(bench: &mut Bench) {
    let log = bench.log();
    let (_transport, peer, script) = Stubborn::open(bench, log.plain());
    script.fail_reads(&[ErrorKind::Interrupted, ErrorKind::WouldBlock, ErrorKind::Interrupted]);
    peer.send(b"abc");
    bench.run_until(|| log.has(Call::Data));
    assert!(script.is_done());
    assert_eq!(log.story(), ["made", "data abc"]);
}

over_each!(r_11_a_read_error_is_the_end on unix: "the failing socket is a Unix one");
fn r_11_a_read_error_is_the_end(bench: &mut Bench) {
    bench.contain_faults();
    for kind in [ErrorKind::ConnectionReset, ErrorKind::TimedOut, ErrorKind::PermissionDenied] {
        let log = bench.log();
        let (_transport, peer, script) = Stubborn::open(bench, log.plain());
        script.fail_reads(&[kind]);
        peer.send(b"never read");
        bench.run_until(|| log.is_lost());
        assert_eq!(log.story(), ["made", "lost io"]);
        assert_eq!(log.why().unwrap().kind, Some(kind));
    }
    assert!(bench.faults().is_empty(), "an error of the system is no fault of the user's");
}

over_each!(
    r_12_bytes_before_a_reset_are_delivered_first
    on memory, tcp, unix, tls, tls_over_tcp, tls_over_unix, tls_in_tls, read_socket:
    "a pipe is never reset"
);
fn r_12_bytes_before_a_reset_are_delivered_first(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    transport.pause_reading();
    bench.settle();
    peer.send(b"data");
    peer.reset(&transport);
    bench.settle();
    transport.resume_reading();
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "data data", "lost io"]);
}

over_each!(r_13_nothing_is_delivered_after_close_or_abort and read);
fn r_13_nothing_is_delivered_after_close_or_abort(bench: &mut Bench) {
    for (abort, end) in [(false, "lost closed"), (true, "lost aborted")] {
        let (log, transport, peer) = bench.connect();
        peer.send(b"in the kernel");
        peer.shutdown();
        if abort {
            transport.abort()
        } else {
            transport.close()
        };
        bench.run_until(|| log.is_lost());
        assert_eq!(log.story(), ["made", end]);
    }
}

over_each!(r_13_nothing_more_is_delivered_after_close_or_abort_inside_data_received and read);
fn r_13_nothing_more_is_delivered_after_close_or_abort_inside_data_received(bench: &mut Bench) {
    for (abort, end) in [(false, "lost closed"), (true, "lost aborted")] {
        let (log, _transport, peer) = bench.connect_buffered(1);
        log.on(Call::Data, move |transport| {
            if abort {
                transport.abort()
            } else {
                transport.close()
            };
        });
        peer.send(b"123");
        peer.shutdown();
        bench.run_until(|| log.is_lost());
        assert_eq!(log.story(), ["made", "data 1", end]);
    }
}

over_each!(r_15_resume_sees_what_came_without_a_new_edge and read);
fn r_15_resume_sees_what_came_without_a_new_edge(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    for round in 1..=3 {
        transport.pause_reading();
        bench.settle();
        peer.send(b"x");
        bench.settle();
        assert_eq!(log.data_len(), round - 1);
        transport.resume_reading();
        bench.run_until(|| log.data_len() == round);
    }
}
