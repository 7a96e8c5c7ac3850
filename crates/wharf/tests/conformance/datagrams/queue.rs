//! The queue: order, watermarks, counting, and what happens when it is over-full (rows D-10 to D-12, D-31, D-32, D-41).

use std::io::ErrorKind;
use std::time::Duration;

use wharf::datagram::QueueLimits;
use wharf::extra::WritingPaused;
use wharf::udp::{self, DropPolicy};
use wharf::{Flow, Limits};

use super::bench::{Bench, Over, Settings, datagrams_over};
use super::log::Call;
use super::peer::Peer;
use crate::support::limits;

/// Limits by bytes.
fn by_bytes(high: usize, low: usize) -> Settings {
    let limits = QueueLimits { bytes: limits(high, low), ..QueueLimits::DEFAULT };
    Settings { limits, ..Settings::default() }
}

/// Lets the peer read, and takes turns, until `count` datagrams have come in all.
fn drain(bench: &mut Bench, peer: &Peer, count: usize) -> Vec<Vec<u8>> {
    let mut received = Vec::new();
    bench.run_until(|| {
        received.extend(peer.take());
        received.len() >= count
    });
    received
}

/// A peer that does not read is asked again after a while, by the clock.
fn tick(bench: &mut Bench) {
    bench.advance(Duration::from_millis(100));
}

datagrams_over!(d_10_what_would_block_is_queued_and_goes_out_in_order on memory, unix: "UDP drops at the receiver and never blocks on loopback");
fn d_10_what_would_block_is_queued_and_goes_out_in_order(bench: &mut Bench) {
    for connected in [false, true] {
        let settings = Settings { connected, ..Settings::default() };
        let (log, transport, peer) = bench.open_with(settings);
        let filler = bench.block(&transport, &peer, 10);
        for number in 0..50 {
            let word = format!("{number}");
            transport.send_to(word.as_bytes(), Some(&peer.address())).unwrap();
        }
        bench.settle();
        assert!(transport.queued_datagrams() >= 50);
        let mut received = Vec::new();
        for _ in 0..1000 {
            received.extend(peer.take());
            tick(bench);
        }
        let expected: Vec<Vec<u8>> = std::iter::repeat_n(vec![b'x'; 10], filler)
            .chain((0..50).map(|number| format!("{number}").into_bytes()))
            .collect();
        assert!(received == expected, "{} of {}", received.len(), expected.len());
        assert_eq!(transport.write_buffer_len(), 0);
        assert_eq!(log.story(), ["made"]);
    }
}

datagrams_over!(d_11_each_queued_datagram_counts_eight_bytes_more on memory, unix: "UDP never blocks on loopback");
fn d_11_each_queued_datagram_counts_eight_bytes_more(bench: &mut Bench) {
    let (log, transport, peer) = bench.open_with(by_bytes(100, 20));
    bench.block(&transport, &peer, 10);
    let queued = transport.queued_datagrams();
    assert_eq!(transport.write_buffer_len(), queued * 18);
    let flows: Vec<Flow> =
        (0..12).map(|_| transport.send_to(b"", Some(&peer.address())).unwrap()).collect();
    assert_eq!(transport.write_buffer_len(), queued * 18 + 12 * 8, "empty ones count too");
    assert_eq!((flows[0], flows[11]), (Flow::Open, Flow::Full));
    assert!(!log.has(Call::Pause), "not from inside a send");
    bench.turn();
    assert!(log.has(Call::Pause));
    assert!(transport.extra::<WritingPaused>().is_some());
}

datagrams_over!(d_12_what_was_counted_is_taken_back_and_the_writer_is_resumed on memory, unix: "UDP never blocks on loopback");
fn d_12_what_was_counted_is_taken_back_and_the_writer_is_resumed(bench: &mut Bench) {
    let (log, transport, peer) = bench.open_with(by_bytes(100, 20));
    bench.block(&transport, &peer, 10);
    while !log.has(Call::Pause) {
        transport.send_to(b"0123456789", Some(&peer.address())).unwrap();
        bench.turn();
    }
    for _ in 0..1000 {
        peer.take();
        tick(bench);
    }
    assert_eq!(transport.write_buffer_len(), 0);
    assert_eq!(log.story(), ["made", "pause", "resume"]);
    assert_eq!(transport.extra::<WritingPaused>(), None);
}

datagrams_over!(d_11_whoever_was_answered_full_hears_both_though_all_went_out_at_once);
fn d_11_whoever_was_answered_full_hears_both_though_all_went_out_at_once(bench: &mut Bench) {
    let (log, transport, peer) = bench.open_with(by_bytes(0, 0));
    // Full of what was gathered: a flush in the middle empties it again.
    let flow = transport.send_to(b"a", Some(&peer.address())).unwrap();
    assert_eq!(flow, Flow::Open, "what the system takes is not queued");
    assert_eq!(transport.write_buffer_len(), 0);
    bench.settle();
    assert_eq!(log.story(), ["made"]);
}

datagrams_over!(d_31_limits_count_datagrams_as_well on memory, unix: "UDP never blocks on loopback");
fn d_31_limits_count_datagrams_as_well(bench: &mut Bench) {
    let mut settings = Settings::default();
    settings.limits.datagrams = limits(3, 1);
    let (log, transport, peer) = bench.open_with(settings);
    bench.block(&transport, &peer, 1);
    while transport.queued_datagrams() < 3 {
        assert_eq!(transport.send_to(b"y", Some(&peer.address())).unwrap(), Flow::Open);
    }
    assert_eq!(transport.send_to(b"y", Some(&peer.address())).unwrap(), Flow::Full);
    bench.turn();
    assert_eq!(log.story(), ["made", "pause"]);
    let wider = QueueLimits { datagrams: Limits::high(100), ..transport.queue_limits() };
    transport.set_queue_limits(wider);
    bench.turn();
    assert_eq!(log.story(), ["made", "pause", "resume"], "limits are looked at at once");
    assert_eq!(transport.queue_limits(), wider);
}

/// An endpoint whose queue is above its ceiling of three datagrams, with four in it, and the peer.
fn over_full(bench: &mut Bench, policy: DropPolicy) -> (wharf::DatagramTransportRef, Peer, usize) {
    let datagrams = limits(2, 1).max(3);
    let limits = QueueLimits { datagrams, ..QueueLimits::DEFAULT };
    let (_log, transport, peer) =
        bench.open_with(Settings { limits, policy, ..Settings::default() });
    let filler = bench.block(&transport, &peer, 1);
    for number in transport.queued_datagrams()..4 {
        transport.send_to(format!("old {number}").as_bytes(), Some(&peer.address())).unwrap();
    }
    assert_eq!((transport.queued_datagrams(), transport.drop_policy()), (4, policy));
    (transport, peer, filler)
}

datagrams_over!(d_32_an_over_full_queue_refuses on memory, unix: "UDP never blocks on loopback");
fn d_32_an_over_full_queue_refuses(bench: &mut Bench) {
    let (transport, peer, filler) = over_full(bench, DropPolicy::Refuse);
    for _ in 0..2 {
        let error = transport.send_to(b"new", Some(&peer.address())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }
    assert_eq!((transport.queued_datagrams(), transport.statistics().refused), (4, 2));
    let received = drain_slowly(bench, &peer, filler + 3);
    assert_eq!(received.last().unwrap(), b"old 3");
    assert_eq!(transport.send_to(b"new", Some(&peer.address())).unwrap(), Flow::Open);
}

datagrams_over!(d_32_an_over_full_queue_drops_the_newest on memory, unix: "UDP never blocks on loopback");
fn d_32_an_over_full_queue_drops_the_newest(bench: &mut Bench) {
    let (transport, peer, filler) = over_full(bench, DropPolicy::DropNewest);
    for _ in 0..2 {
        assert_eq!(transport.send_to(b"new", Some(&peer.address())).unwrap(), Flow::Full);
    }
    assert_eq!((transport.queued_datagrams(), transport.statistics().dropped_newest), (4, 2));
    let received = drain_slowly(bench, &peer, filler + 3);
    assert_eq!(received.last().unwrap(), b"old 3");
}

datagrams_over!(d_32_an_over_full_queue_drops_the_oldest on memory, unix: "UDP never blocks on loopback");
fn d_32_an_over_full_queue_drops_the_oldest(bench: &mut Bench) {
    let (transport, peer, filler) = over_full(bench, DropPolicy::DropOldest);
    for number in 0..2 {
        let word = format!("new {number}");
        assert_eq!(transport.send_to(word.as_bytes(), Some(&peer.address())).unwrap(), Flow::Full);
    }
    assert_eq!((transport.queued_datagrams(), transport.statistics().dropped_oldest), (4, 2));
    let received = drain_slowly(bench, &peer, filler + 3);
    let last: Vec<_> =
        received.iter().rev().take(4).map(|word| word.escape_ascii().to_string()).collect();
    assert_eq!(last, ["new 1", "new 0", "old 3", "old 2"]);
}

/// Takes `count` datagrams from a peer whose sender has to be asked again by the clock.
fn drain_slowly(bench: &mut Bench, peer: &Peer, count: usize) -> Vec<Vec<u8>> {
    let mut received = Vec::new();
    for _ in 0..1000 {
        received.extend(peer.take());
        if received.len() >= count {
            break;
        }
        tick(bench);
    }
    assert_eq!(received.len(), count);
    received
}

datagrams_over!(d_41_a_unix_peer_that_does_not_read_is_asked_again_by_a_timer_and_not_in_a_spin on unix: "polling tells nothing about it");
fn d_41_a_unix_peer_that_does_not_read_is_asked_again_by_a_timer_and_not_in_a_spin(
    bench: &mut Bench,
) {
    for connected in [false, true] {
        let settings = Settings { connected, ..Settings::default() };
        let (_log, transport, peer) = bench.open_with(settings);
        let sent = bench.block(&transport, &peer, 10);
        assert_eq!(bench.stirrings(), 0, "connected: {connected}");
        drain_slowly(bench, &peer, sent);
        assert_eq!(transport.queued_datagrams(), 0);
    }
}

#[test]
fn d_10_a_connected_unix_endpoint_needs_no_timer() {
    let mut bench = Bench::new(Over::Unix);
    let settings = Settings { connected: true, ..Settings::default() };
    let (_log, transport, peer) = bench.open_with(settings);
    let sent = bench.block(&transport, &peer, 10);
    bench.settle();
    // The clock stands still.
    let received = drain(&mut bench, &peer, sent);
    assert_eq!(received.len(), sent);
    bench.finish();
}

#[test]
fn d_31_the_builders_set_what_the_transport_tells() {
    let mut bench = Bench::new(Over::Udp4);
    let handle = bench.event_loop().handle().clone();
    let log = bench.log();
    let protocol = log.plain();
    let open = udp::bind(&handle, "127.0.0.1:0", || protocol)
        .write_buffer_limits(limits(10, 5))
        .datagram_limits(limits(4, 2))
        .drop_policy(DropPolicy::DropOldest)
        .into_future();
    let (transport, _) = bench.event_loop().block_on(open).unwrap();
    let limits = QueueLimits { bytes: limits(10, 5), datagrams: limits(4, 2) };
    assert_eq!(
        (transport.queue_limits(), transport.drop_policy()),
        (limits, DropPolicy::DropOldest)
    );
    transport.set_drop_policy(DropPolicy::Refuse);
    assert_eq!(transport.drop_policy(), DropPolicy::Refuse);
    bench.finish();
}
