//! What arrives (rows D-01, D-02, D-15, D-23, D-26, D-27, D-48).

use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use wharf::{Address, DatagramTransportRef, UnixAddress, udp};

use super::bench::{Bench, Over, Settings, datagrams_over};
use super::log::{Call, Log};
use crate::support::pattern;

datagrams_over!(d_01_each_datagram_is_one_call_in_order_of_arrival);
fn d_01_each_datagram_is_one_call_in_order_of_arrival(bench: &mut Bench) {
    let (log, _transport, peer) = bench.open();
    let other = bench.another(&peer);
    for word in ["a", "bb", "bb", "bb", "c"] {
        peer.send(word.as_bytes());
    }
    bench.run_until(|| log.count(Call::Data) == 5);
    other.send(b"d");
    bench.run_until(|| log.count(Call::Data) == 6);
    assert_eq!(
        log.story(),
        ["made", "data a", "data bb", "data bb", "data bb", "data c", "data d"]
    );
    let senders = log.senders();
    assert!(senders[..5].iter().all(|from| *from == Some(peer.address())), "{senders:?}");
    assert_eq!(senders[5], Some(other.address()));
}

datagrams_over!(d_02_empty_datagrams_are_received_and_sent);
fn d_02_empty_datagrams_are_received_and_sent(bench: &mut Bench) {
    let (log, transport, peer) = bench.open();
    peer.send(b"");
    peer.send(b"a");
    peer.send(b"");
    bench.run_until(|| log.count(Call::Data) == 3);
    assert_eq!(log.story(), ["made", "data", "data a", "data"]);
    let to = peer.address();
    for data in [&b""[..], b"b", b""] {
        transport.send_to(data, Some(&to)).unwrap();
    }
    let mut received = Vec::new();
    bench.run_until(|| {
        received.extend(peer.take());
        received.len() == 3
    });
    assert_eq!(received, [&b""[..], b"b", b""]);
}

datagrams_over!(d_15_a_flood_does_not_keep_the_others_waiting);
fn d_15_a_flood_does_not_keep_the_others_waiting(bench: &mut Bench) {
    // One receive and no more in a turn, and in memory one datagram in a receive.
    let settings = Settings { budget: Some(1), ..Settings::default() };
    let (flooded, _first, peer) = bench.open_with(settings);
    let (neighbour, _second, other) = bench.open();
    if bench.over() == Over::Memory {
        peer.wire().endpoint().limit_receives(1);
    }
    // A Unix socket keeps few waiting.
    for _ in 0..10 {
        peer.send(b"flood");
    }
    other.send(b"hello");
    bench.run_until(|| neighbour.has(Call::Data));
    let before = flooded.count(Call::Data);
    assert!(before <= 10, "{before}");
    if bench.over() == Over::Memory {
        assert_eq!(before, 1, "one turn, one receive");
    }
    bench.run_until(|| flooded.count(Call::Data) == 10);
}

datagrams_over!(d_23_the_sender_is_a_path_or_nobody on unix: "others have addresses always");
fn d_23_the_sender_is_a_path_or_nobody(bench: &mut Bench) {
    let (log, transport, peer) = bench.open();
    let at = transport.local_addr().unwrap();
    peer.send(b"from a path");
    let unnamed = UnixDatagram::unbound().unwrap();
    unnamed.send_to(b"from nobody", at.path().unwrap()).unwrap();
    bench.run_until(|| log.count(Call::Data) == 2);
    assert_eq!(log.senders(), [Some(peer.address()), None]);

    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let (log, handle) = (bench.log(), bench.event_loop().handle().clone());
    let protocol = log.plain();
    bench.event_loop().block_on(udp::adopt(&handle, ours, || protocol).into_future()).unwrap();
    theirs.send(b"from the other end").unwrap();
    bench.run_until(|| log.has(Call::Data));
    assert_eq!(log.senders(), [None]);
}

datagrams_over!(d_23_abstract_names_are_names_too on unix: "they are Unix sockets'");
fn d_23_abstract_names_are_names_too(bench: &mut Bench) {
    if !cfg!(target_os = "linux") {
        return;
    }
    let name = |which| UnixAddress::abstract_name(format!("wharf-{}-{which}", std::process::id()));
    let handle = bench.event_loop().handle().clone();
    let (first, second) = (bench.log(), bench.log());
    let (one, two) = (first.plain(), second.plain());
    let open = udp::unix::bind(&handle, name("one"), || one).into_future();
    let (transport, _) = bench.event_loop().block_on(open).unwrap();
    let open = udp::unix::bind(&handle, name("two"), || two).into_future();
    bench.event_loop().block_on(open).unwrap();
    second.on_data(|transport, _, from| assert!(transport.send_to(b"answer", from).is_ok()));
    transport.send_to(b"hello", Some(&Address::Unix(name("two")))).unwrap();
    bench.run_until(|| first.has(Call::Data));
    assert_eq!(first.senders(), [Some(Address::Unix(name("two")))]);
    assert_eq!(second.senders(), [Some(Address::Unix(name("one")))]);
}

datagrams_over!(d_26_the_greatest_datagrams_come_whole);
fn d_26_the_greatest_datagrams_come_whole(bench: &mut Bench) {
    let (log, transport, peer) = bench.open();
    let greatest = match bench.over() {
        Over::Memory | Over::Udp4 => 65_507,
        Over::Udp6 => 65_527,
        // More than IP can do, and less than the usual send buffer.
        Over::Unix => 100_000,
    };
    let data = pattern(greatest);
    peer.send(&data);
    bench.run_until(|| log.has(Call::Data));
    assert_eq!(log.story()[1], format!("data of {greatest} bytes"));
    transport.send_to(&data, Some(&peer.address())).unwrap();
    let mut received = Vec::new();
    bench.run_until(|| {
        received.extend(peer.take());
        !received.is_empty()
    });
    assert!(received == [data]);
    assert_eq!(transport.statistics().truncated, 0);
}

datagrams_over!(d_26_a_longer_datagram_says_that_it_was_truncated on memory: "no sender can send such");
fn d_26_a_longer_datagram_says_that_it_was_truncated(bench: &mut Bench) {
    let log = bench.log();
    let own = log.clone();
    let protocol = log.batched(move |_, batch| {
        for one in batch {
            own.note(format!("{} {}", one.data().len(), one.is_truncated()));
        }
    });
    let (transport, peer) = bench.put(protocol, Settings::default());
    peer.wire().endpoint().truncate(4);
    peer.send(b"1234");
    peer.send(b"12345");
    bench.settle();
    assert_eq!(log.story(), ["made", "batch of 2", "4 false", "4 true"]);
    assert_eq!(transport.statistics().truncated, 1);
}

datagrams_over!(d_27_reading_pauses_and_resumes);
fn d_27_reading_pauses_and_resumes(bench: &mut Bench) {
    let (log, transport, peer) = bench.open();
    assert!(transport.is_reading());
    transport.pause_reading();
    transport.pause_reading();
    assert!(!transport.is_reading());
    peer.send(b"meanwhile");
    peer.send(b"again");
    bench.settle();
    assert_eq!(bench.stirrings(), 0, "a paused endpoint spins");
    assert_eq!(log.story(), ["made"]);
    transport.resume_reading();
    bench.run_until(|| log.count(Call::Data) == 2);
    assert_eq!(log.story(), ["made", "data meanwhile", "data again"]);
}

datagrams_over!(d_27_a_pause_inside_datagram_received_takes_effect_at_once);
fn d_27_a_pause_inside_datagram_received_takes_effect_at_once(bench: &mut Bench) {
    let (log, transport, peer) = bench.open();
    log.on_data(|transport, _, _| transport.pause_reading());
    for word in ["a", "b", "c"] {
        peer.send(word.as_bytes());
    }
    for count in 1..=3 {
        bench.run_until(|| log.count(Call::Data) == count);
        bench.settle();
        assert_eq!(log.count(Call::Data), count, "one at a time");
        transport.resume_reading();
    }
    bench.settle();
    assert_eq!(log.story(), ["made", "data a", "data b", "data c"]);
}

datagrams_over!(d_27_a_pause_inside_connection_made_is_honoured);
fn d_27_a_pause_inside_connection_made_is_honoured(bench: &mut Bench) {
    let log = bench.log();
    log.on(Call::Made, |transport| transport.pause_reading());
    let (transport, peer) = bench.put(log.plain(), Settings::default());
    peer.send(b"early");
    bench.settle();
    assert_eq!(log.story(), ["made"]);
    transport.resume_reading();
    bench.run_until(|| log.has(Call::Data));
}

#[test]
fn d_23_descriptors_that_are_passed_along_are_not_kept() {
    use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
    use std::io::IoSlice;
    use std::os::fd::{AsFd, AsRawFd};
    let mut bench = Bench::new(Over::Unix);
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let (log, handle) = (bench.log(), bench.event_loop().handle().clone());
    let protocol = log.plain();
    bench.event_loop().block_on(udp::adopt(&handle, ours, || protocol).into_future()).unwrap();
    let (passed, other_end) = UnixDatagram::pair().unwrap();
    other_end.set_nonblocking(true).unwrap();
    let fds = [passed.as_fd().as_raw_fd()];
    let control = [ControlMessage::ScmRights(&fds)];
    let data = [IoSlice::new(b"take this")];
    sendmsg::<()>(theirs.as_raw_fd(), &data, &control, MsgFlags::empty(), None).unwrap();
    drop(OwnedFd::from(passed));
    bench.run_until(|| log.has(Call::Data));
    // Nobody has the passed end any more, so the other one is refused.
    let refused = other_end.send(b"anybody there").unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    bench.finish();
}

/// An endpoint whose socket was shut down through a duplicate, and a peer.
fn deafen(bench: &mut Bench, how: std::net::Shutdown) -> (Log, DatagramTransportRef, UdpSocket) {
    let ours = UdpSocket::bind("127.0.0.1:0").unwrap();
    let duplicate = socket2::Socket::from(ours.try_clone().unwrap());
    let (log, handle) = (bench.log(), bench.event_loop().handle().clone());
    let protocol = log.plain();
    let adopting = udp::adopt(&handle, ours, || protocol).into_future();
    let (transport, _) = bench.event_loop().block_on(adopting).unwrap();
    // Of a socket without a peer the system says that it cannot, and does.
    let _ = duplicate.shutdown(how);
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    (log, transport, peer)
}

#[test]
fn d_48_a_socket_that_was_shut_down_by_another_does_not_spin() {
    use std::net::Shutdown::{Both, Read};
    for how in [Read, Both] {
        let mut bench = Bench::new(Over::Udp4);
        let (log, transport, peer) = deafen(&mut bench, how);
        let before = bench.event_loop().statistics().events;
        assert_eq!(bench.stirrings(), 0, "{how:?}: a timer asks, and no time passes");
        let events = bench.event_loop().statistics().events - before;
        assert!((8..=32).contains(&events), "{how:?}: {events} events");
        // Later once for each time that the timer asks, and once more where nothing is polled for.
        for _ in 0..10 {
            bench.advance(Duration::from_millis(64));
            let before = bench.event_loop().statistics().events;
            assert_eq!(bench.stirrings(), 0, "{how:?}");
            let events = bench.event_loop().statistics().events - before;
            assert!(events <= 2, "{how:?}: {events} events");
        }
        peer.send_to(b"hello", transport.local_addr().unwrap().ip().unwrap()).unwrap();
        bench.advance(Duration::from_millis(64));
        bench.run_until(|| log.has(Call::Data));
        transport.abort();
        bench.run_until(|| log.is_lost());
        assert_eq!(log.story(), ["made", "data hello", "lost aborted"]);
        bench.finish();
    }
}
