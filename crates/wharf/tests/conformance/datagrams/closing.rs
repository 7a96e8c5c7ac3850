//! The end of an endpoint (rows D-05, D-16, D-33).

use std::rc::Rc;
use std::time::Duration;

use wharf::memory::Stage;
use wharf::{Flow, Limits};

use super::bench::{Bench, Settings, datagrams_over};
use super::log::Call;

datagrams_over!(d_05_connection_made_and_connection_lost_come_once);
fn d_05_connection_made_and_connection_lost_come_once(bench: &mut Bench) {
    for abort in [false, true] {
        let (log, transport, peer) = bench.open();
        peer.send(b"a");
        bench.run_until(|| log.has(Call::Data));
        for _ in 0..2 {
            if abort {
                transport.abort()
            } else {
                transport.close()
            }
            assert!(transport.is_closing() && !transport.is_reading());
        }
        assert!(!log.is_lost(), "not from inside the call");
        bench.run_until(|| log.is_lost());
        bench.settle();
        let lost = if abort { "lost aborted" } else { "lost closed" };
        assert_eq!(log.story(), ["made", "data a", lost]);
        transport.close();
        transport.abort();
        transport.fail("too late".into());
        bench.settle();
        assert_eq!((bench.sources(), log.protocols()), (0, 0));
        assert!(transport.protocol().is_none());
    }
}

datagrams_over!(d_05_an_endpoint_can_fail_with_a_cause_of_its_users);
fn d_05_an_endpoint_can_fail_with_a_cause_of_its_users(bench: &mut Bench) {
    let (log, transport, _peer) = bench.open();
    transport.fail("mine".into());
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "lost failed"]);
}

datagrams_over!(d_05_nothing_is_delivered_after_close_or_abort);
fn d_05_nothing_is_delivered_after_close_or_abort(bench: &mut Bench) {
    for abort in [false, true] {
        let (log, _transport, peer) = bench.open();
        log.on_data(
            move |transport, _, _| if abort { transport.abort() } else { transport.close() },
        );
        for word in ["a", "b", "c"] {
            peer.send(word.as_bytes());
        }
        bench.run_until(|| log.is_lost());
        assert_eq!(log.story()[1], "data a");
        assert_eq!(log.count(Call::Data), 1);
    }
}

datagrams_over!(d_16_close_sends_what_is_queued_first);
fn d_16_close_sends_what_is_queued_first(bench: &mut Bench) {
    let (log, transport, peer) = bench.open();
    for number in 0..8 {
        transport.send_to(format!("{number}").as_bytes(), Some(&peer.address())).unwrap();
    }
    transport.close();
    bench.run_until(|| log.is_lost());
    let received = peer.take();
    assert_eq!(received.len(), 8);
    assert_eq!(received[7], b"7");
    assert_eq!(log.story(), ["made", "lost closed"]);
}

datagrams_over!(d_16_close_waits_for_a_peer_that_reads_slowly on memory, unix: "UDP never blocks on loopback");
fn d_16_close_waits_for_a_peer_that_reads_slowly(bench: &mut Bench) {
    let mut settings = Settings::default();
    settings.limits.bytes = Limits::high(0);
    let (log, transport, peer) = bench.open_with(settings);
    let sent = bench.block(&transport, &peer, 10);
    transport.send_to(b"last", Some(&peer.address())).unwrap();
    bench.turn();
    transport.close();
    bench.settle();
    assert_eq!(log.story(), ["made", "pause"]);
    let mut received = Vec::new();
    for _ in 0..1000 {
        received.extend(peer.take());
        bench.advance(Duration::from_millis(100));
    }
    assert!(log.is_lost());
    received.extend(peer.take());
    assert_eq!(received.len(), sent + 1);
    assert_eq!(log.story(), ["made", "pause", "resume", "lost closed"]);
}

datagrams_over!(d_33_a_close_without_progress_becomes_an_abort on memory, unix: "UDP never blocks on loopback");
fn d_33_a_close_without_progress_becomes_an_abort(bench: &mut Bench) {
    let (log, transport, peer) = bench.open();
    bench.block(&transport, &peer, 10);
    transport.close();
    bench.settle();
    for _ in 0..29 {
        bench.advance(Duration::from_secs(1));
        bench.settle();
    }
    assert!(!log.is_lost());
    for _ in 0..40 {
        bench.advance(Duration::from_secs(1));
        bench.settle();
    }
    assert_eq!(log.story(), ["made", "lost timed out"]);
    assert_eq!(transport.send_to(b"x", Some(&peer.address())).unwrap(), Flow::Closed);
}

datagrams_over!(d_33_an_abort_drops_what_is_queued on memory, unix: "UDP never blocks on loopback");
fn d_33_an_abort_drops_what_is_queued(bench: &mut Bench) {
    let (log, transport, peer) = bench.open();
    bench.block(&transport, &peer, 10);
    transport.close();
    bench.turn();
    transport.abort();
    assert_eq!((transport.write_buffer_len(), transport.queued_datagrams()), (0, 0));
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "lost aborted"]);
}

datagrams_over!(d_05_dropping_the_loop_tells_every_endpoint_that_it_is_lost);
fn d_05_dropping_the_loop_tells_every_endpoint_that_it_is_lost(bench: &mut Bench) {
    let (first, transport, peer) = bench.open();
    let (second, _other, _) = bench.connect();
    bench.drop_loop();
    for log in [first, second] {
        assert_eq!(log.story(), ["made", "lost aborted"]);
    }
    assert_eq!(transport.send_to(b"x", Some(&peer.address())).unwrap(), Flow::Closed);
}

datagrams_over!(d_05_the_loop_owns_the_endpoint_and_its_handles_outlive_it);
fn d_05_the_loop_owns_the_endpoint_and_its_handles_outlive_it(bench: &mut Bench) {
    let (log, transport, peer) = bench.open();
    drop(transport);
    peer.send(b"still there");
    bench.run_until(|| log.has(Call::Data));
    let kept = Rc::new(std::cell::RefCell::new(None));
    let keep = Rc::clone(&kept);
    log.on_data(move |transport, _, _| {
        keep.replace(Some(transport.clone()));
        transport.close();
    });
    peer.send(b"keep me");
    bench.run_until(|| log.is_lost());
    let transport = kept.take().expect("a handle was kept");
    assert!(transport.local_addr().is_some(), "facts outlive the endpoint");
    assert_eq!(transport.statistics().received, 2);
}

datagrams_over!(d_05_methods_may_be_called_from_every_callback);
fn d_05_methods_may_be_called_from_every_callback(bench: &mut Bench) {
    let log = bench.log();
    for call in [Call::Made, Call::Error, Call::Pause, Call::Resume, Call::Lost] {
        log.on(call, |transport| {
            let _ = transport.send_to(b"x", None);
            transport.pause_reading();
            transport.resume_reading();
            transport.set_queue_limits(transport.queue_limits());
            let _ = (transport.statistics(), transport.local_addr(), transport.is_reading());
        });
    }
    let settings = Settings { connected: true, ..Settings::default() };
    let (transport, peer) = bench.put(log.plain(), settings);
    bench.settle();
    transport.close();
    bench.run_until(|| log.is_lost());
    bench.settle();
    assert_eq!(peer.take(), [b"x"]);
}

#[test]
fn d_05_an_endpoint_whose_stage_is_dropped_before_it_began_tells_nothing() {
    let log = super::log::Log::new();
    let stage = Stage::new();
    let endpoint = stage.datagram_wire(log.plain());
    drop(stage);
    drop(endpoint);
    assert!(log.story().is_empty());
    assert_eq!(log.protocols(), 0);
}
