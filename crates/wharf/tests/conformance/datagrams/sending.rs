//! Sending, and what a send refuses (rows D-02 to D-06, D-13, D-14, D-25, D-28, D-30).

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;

use wharf::{Address, Flow, UnixAddress, udp};

use super::bench::{Bench, Over, Settings, datagrams_over};
use super::log::Call;

datagrams_over!(d_03_an_unconnected_endpoint_sends_to_whom_it_is_told);
fn d_03_an_unconnected_endpoint_sends_to_whom_it_is_told(bench: &mut Bench) {
    let (_log, transport, peer) = bench.open();
    let other = bench.another(&peer);
    assert_eq!(transport.send_to(b"one", Some(&peer.address())).unwrap(), Flow::Open);
    assert_eq!(transport.send_to(b"two", Some(&other.address())).unwrap(), Flow::Open);
    bench.settle();
    assert_eq!((peer.take(), other.take()), (vec![b"one".to_vec()], vec![b"two".to_vec()]));
    assert_eq!(transport.peer_addr(), None);
}

datagrams_over!(d_13_a_missing_address_is_an_error_of_the_call_and_the_endpoint_lives);
fn d_13_a_missing_address_is_an_error_of_the_call_and_the_endpoint_lives(bench: &mut Bench) {
    let (log, transport, peer) = bench.open();
    let error = transport.send_to(b"lost", None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    bench.settle();
    assert!(!transport.is_closing());
    peer.send(b"alive");
    bench.run_until(|| log.has(Call::Data));
    assert_eq!(log.story(), ["made", "data alive"]);
    assert_eq!(transport.write_buffer_len(), 0);
}

datagrams_over!(d_04_a_connected_endpoint_sends_to_its_peer_and_nobody_else);
fn d_04_a_connected_endpoint_sends_to_its_peer_and_nobody_else(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    let other = bench.another(&peer);
    assert_eq!(transport.peer_addr(), Some(peer.address()));
    transport.send_to(b"plain", None).unwrap();
    transport.send_to(b"same", Some(&peer.address())).unwrap();
    let error = transport.send_to(b"other", Some(&other.address())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    bench.settle();
    assert_eq!(peer.take(), [b"plain".to_vec(), b"same".to_vec()]);
    assert!(other.take().is_empty());
    assert_eq!(log.story(), ["made"]);
}

datagrams_over!(
    d_04_a_connected_endpoint_hears_its_peer_alone on memory, udp4, udp6:
    "a Unix socket refuses others already when they send"
);
fn d_04_a_connected_endpoint_hears_its_peer_alone(bench: &mut Bench) {
    let (log, _transport, peer) = bench.connect();
    if bench.over() != Over::Memory {
        // A wire sends past the network.
        bench.another(&peer).send(b"from another");
    }
    peer.send(b"from the peer");
    bench.run_until(|| log.has(Call::Data));
    bench.settle();
    assert_eq!(log.story(), ["made", "data from the peer"]);
    assert_eq!(log.senders(), [Some(peer.address())]);
}

datagrams_over!(d_14_sends_after_close_are_dropped);
fn d_14_sends_after_close_are_dropped(bench: &mut Bench) {
    for connected in [false, true] {
        let settings = Settings { connected, ..Settings::default() };
        let (log, transport, peer) = bench.open_with(settings);
        let to = peer.address();
        transport.send_to(b"before", Some(&to)).unwrap();
        transport.close();
        assert_eq!(transport.send_to(b"after close", Some(&to)).unwrap(), Flow::Closed);
        bench.run_until(|| log.is_lost());
        assert_eq!(transport.send_to(b"after the loss", Some(&to)).unwrap(), Flow::Closed);
        assert_eq!(transport.send_to(b"even so", None).unwrap(), Flow::Closed);
        bench.settle();
        assert_eq!(peer.take(), [b"before".to_vec()]);
        assert_eq!(log.story(), ["made", "lost closed"]);
    }
}

datagrams_over!(d_06_a_connected_endpoint_drops_sends_after_abort);
fn d_06_a_connected_endpoint_drops_sends_after_abort(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    transport.send_to(b"dropped with the queue", None).unwrap();
    transport.abort();
    assert_eq!(transport.send_to(b"dropped at once", None).unwrap(), Flow::Closed);
    assert_eq!(transport.write_buffer_len(), 0);
    bench.run_until(|| log.is_lost());
    bench.settle();
    assert!(peer.take().is_empty());
    assert_eq!(log.story(), ["made", "lost aborted"]);
    assert_eq!(transport.statistics().sent, 0);
}

#[test]
fn d_25_the_end_of_a_socket_pair_can_send() {
    let mut bench = Bench::new(Over::Unix);
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let (log, handle) = (bench.log(), bench.event_loop().handle().clone());
    let protocol = log.plain();
    let adopting = udp::adopt(&handle, ours, || protocol).into_future();
    let (transport, _) = bench.event_loop().block_on(adopting).unwrap();
    transport.send_to(b"z", None).unwrap();
    bench.settle();
    let mut buffer = [0; 10];
    assert_eq!(theirs.recv(&mut buffer).unwrap(), 1);
    // It has a peer, but no name of it: no address can be right.
    let named = Address::Unix(UnixAddress::from("/tmp/nowhere"));
    assert_eq!(transport.send_to(b"y", Some(&named)).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(transport.peer_addr(), None);
    bench.finish();
}

datagrams_over!(d_28_names_are_not_resolved_and_foreign_families_are_refused);
fn d_28_names_are_not_resolved_and_foreign_families_are_refused(bench: &mut Bench) {
    let (log, transport, peer) = bench.open();
    let v4 = Address::Ip("127.0.0.1:9".parse().unwrap());
    let v6 = Address::Ip("[::1]:9".parse().unwrap());
    let unix = Address::Unix(UnixAddress::from("/tmp/nowhere"));
    let unnamed = Address::Unix(UnixAddress::Unnamed);
    let foreign = match bench.over() {
        Over::Memory | Over::Udp4 => [v6, unix, unnamed],
        Over::Udp6 => [unix.clone(), unnamed, unix],
        Over::Unix => [v4, v6, unnamed],
    };
    for to in foreign {
        let error = transport.send_to(b"x", Some(&to)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{to}");
    }
    assert_eq!(transport.write_buffer_len(), 0);
    peer.send(b"alive");
    bench.run_until(|| log.has(Call::Data));
    assert_eq!(log.story(), ["made", "data alive"]);
}

datagrams_over!(d_30_what_is_sent_is_copied_at_the_call);
fn d_30_what_is_sent_is_copied_at_the_call(bench: &mut Bench) {
    let (_log, transport, peer) = bench.open();
    let mut data = *b"first";
    transport.send_to(&data, Some(&peer.address())).unwrap();
    data.copy_from_slice(b"later");
    bench.settle();
    assert_eq!(peer.take(), [b"first".to_vec()]);
}

#[test]
fn d_28_an_ipv6_endpoint_that_leaves_ipv4_to_others_refuses_it() {
    let mut bench = Bench::new(Over::Udp6);
    let handle = bench.event_loop().handle().clone();
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_nonblocking(true).unwrap();
    let to = Address::Ip(peer.local_addr().unwrap());
    for only in [true, false] {
        let log = bench.log();
        let protocol = log.plain();
        let open = udp::bind(&handle, "[::]:0", || protocol).only_v6(only).into_future();
        let (transport, _) = bench.event_loop().block_on(open).unwrap();
        assert_eq!(transport.send_to(b"x", Some(&to)).is_err(), only);
        bench.settle();
        assert_eq!(peer.recv(&mut [0; 9]).is_err(), only);
    }
    bench.finish();
}
