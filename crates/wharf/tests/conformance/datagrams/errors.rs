//! Errors of the system: told, and survived (rows D-07 to D-09, D-17, D-29).

use std::io::ErrorKind;
use std::net::UdpSocket;

use wharf::{Address, Flow, udp};

use super::bench::{Bench, Over, Settings, datagrams_over};
use super::log::{Call, Log};
use super::peer::Peer;

/// A loopback address that nobody has.
fn dead_address(over: Over) -> Address {
    let at = if over == Over::Udp6 { "[::1]:0" } else { "127.0.0.1:0" };
    Address::Ip(UdpSocket::bind(at).unwrap().local_addr().unwrap())
}

/// A connected endpoint whose peer is gone.
fn orphan(bench: &mut Bench) -> (Log, wharf::DatagramTransportRef) {
    let (log, transport, peer) = bench.connect();
    match peer {
        Peer::Memory(wire) => {
            // Nobody refuses anything in memory, so the error is made up.
            wire.endpoint().fail_sends(&[ErrorKind::ConnectionRefused; 2]);
        }
        other => drop(other),
    }
    (log, transport)
}

datagrams_over!(d_07_a_refused_datagram_is_told_and_the_endpoint_lives);
fn d_07_a_refused_datagram_is_told_and_the_endpoint_lives(bench: &mut Bench) {
    let (log, transport) = orphan(bench);
    for count in 1..=2 {
        assert_eq!(transport.send_to(b"anybody?", None).unwrap(), Flow::Open);
        bench.run_until(|| log.count(Call::Error) == count);
        bench.settle();
        assert_eq!(log.count(Call::Error), count, "once per error");
    }
    assert!(!transport.is_closing());
    let first = &log.story()[1];
    assert!(first.ends_with("ECONNREFUSED") || first.ends_with("ConnectionRefused"), "{first}");
    assert_eq!((transport.write_buffer_len(), transport.statistics().errors), (0, 2));
}

datagrams_over!(d_08_a_refusal_may_cost_a_later_datagram_which_is_not_sent_again on udp4, udp6: "ICMP is IP's");
fn d_08_a_refusal_may_cost_a_later_datagram_which_is_not_sent_again(bench: &mut Bench) {
    let (log, transport) = orphan(bench);
    // The first is refused by the time the second is sent, in the same call or not.
    for word in ["one", "two", "three", "four"] {
        transport.send_to(word.as_bytes(), None).unwrap();
        bench.turn();
    }
    bench.settle();
    let errors = log.count(Call::Error);
    assert!((1..=4).contains(&errors), "{:?}", log.story());
    assert_eq!(transport.queued_datagrams(), 0);
    assert_eq!(transport.statistics().errors, errors as u64);
}

datagrams_over!(d_09_a_datagram_that_is_too_long_is_told_and_the_next_one_goes_out);
fn d_09_a_datagram_that_is_too_long_is_told_and_the_next_one_goes_out(bench: &mut Bench) {
    let (log, transport, peer) = bench.open();
    let too_long = vec![0; if bench.over() == Over::Unix { 4 << 20 } else { 70_000 }];
    let to = peer.address();
    transport.send_to(b"before", Some(&to)).unwrap();
    assert!(transport.send_to(&too_long, Some(&to)).is_ok(), "the system says so, not the call");
    assert_eq!(log.count(Call::Error), 0, "not from inside the call");
    transport.send_to(b"after", Some(&to)).unwrap();
    bench.run_until(|| log.has(Call::Error));
    bench.settle();
    if bench.over() != Over::Memory {
        assert_eq!(log.story(), ["made", "error EMSGSIZE"]);
    }
    assert_eq!(peer.take(), [b"before".to_vec(), b"after".to_vec()]);
    assert_eq!((transport.write_buffer_len(), transport.is_closing()), (0, false));
}

datagrams_over!(d_17_an_error_while_flushing_costs_that_datagram_and_the_rest_goes_on on memory: "it can fail as told");
fn d_17_an_error_while_flushing_costs_that_datagram_and_the_rest_goes_on(bench: &mut Bench) {
    let (log, transport, peer) = bench.open();
    let endpoint = peer.wire().endpoint().clone();
    endpoint.limit_sends(0);
    for word in ["a", "b", "c", "d"] {
        transport.send_to(word.as_bytes(), Some(&peer.address())).unwrap();
    }
    bench.settle();
    assert_eq!(transport.queued_datagrams(), 4);
    endpoint.fail_sends(&[ErrorKind::OutOfMemory, ErrorKind::HostUnreachable]);
    transport.close();
    endpoint.limit_sends(1);
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "error OutOfMemory", "error HostUnreachable", "lost closed"]);
    assert_eq!(peer.take(), [b"c".to_vec(), b"d".to_vec()]);
}

datagrams_over!(d_17_a_paused_writer_is_resumed_though_all_its_datagrams_fail on memory: "it can fail as told");
fn d_17_a_paused_writer_is_resumed_though_all_its_datagrams_fail(bench: &mut Bench) {
    let mut settings = Settings::default();
    settings.limits.bytes = crate::support::limits(20, 5);
    let (log, transport, peer) = bench.open_with(settings);
    let endpoint = peer.wire().endpoint().clone();
    endpoint.fail_sends(&[ErrorKind::OutOfMemory; 5]);
    for _ in 0..5 {
        transport.send_to(b"12345", Some(&peer.address())).unwrap();
    }
    bench.settle();
    assert_eq!(
        (log.count(Call::Error), log.count(Call::Pause), log.count(Call::Resume)),
        (5, 1, 1)
    );
    assert_eq!(log.story().last().unwrap(), "resume");
    assert_eq!(transport.write_buffer_len(), 0);
}

datagrams_over!(d_07_an_error_of_a_receive_is_told_and_the_endpoint_lives on memory: "it can fail as told");
fn d_07_an_error_of_a_receive_is_told_and_the_endpoint_lives(bench: &mut Bench) {
    let (log, _transport, peer) = bench.open();
    peer.wire().endpoint().fail_receives(&[
        ErrorKind::ConnectionRefused,
        ErrorKind::Interrupted,
        ErrorKind::HostUnreachable,
    ]);
    peer.send(b"after all");
    bench.run_until(|| log.has(Call::Data));
    let told = ["made", "error ConnectionRefused", "error HostUnreachable", "data after all"];
    assert_eq!(log.story(), told);
}

datagrams_over!(d_29_an_endpoint_that_sent_to_a_dead_address_still_receives on udp4, udp6: "in memory nobody is dead, and a Unix name that nobody has is refused at once");
fn d_29_an_endpoint_that_sent_to_a_dead_address_still_receives(bench: &mut Bench) {
    let (log, transport, peer) = bench.open();
    for _ in 0..3 {
        transport.send_to(b"anybody?", Some(&dead_address(bench.over()))).unwrap();
        bench.settle();
    }
    peer.send(b"me");
    bench.run_until(|| log.has(Call::Data));
    assert_eq!(log.story().last().unwrap(), "data me");
}

datagrams_over!(d_29_a_unix_name_that_nobody_has_is_an_error_of_that_datagram on unix: "a name may be gone");
fn d_29_a_unix_name_that_nobody_has_is_an_error_of_that_datagram(bench: &mut Bench) {
    let (log, transport, peer) = bench.open();
    transport.send_to(b"anybody?", Some(&Address::Unix(bench.name()))).unwrap();
    transport.send_to(b"you", Some(&peer.address())).unwrap();
    bench.settle();
    assert_eq!(log.story(), ["made", "error ENOENT"]);
    assert_eq!(peer.take(), [b"you".to_vec()]);
}

datagrams_over!(d_07_error_received_may_do_anything);
fn d_07_error_received_may_do_anything(bench: &mut Bench) {
    let (log, transport) = orphan(bench);
    log.on(Call::Error, |transport| {
        let _ = transport.send_to(b"once more", None);
        transport.pause_reading();
        transport.resume_reading();
        transport.close();
    });
    transport.send_to(b"anybody?", None).unwrap();
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story().last().unwrap(), "lost closed");
}

datagrams_over!(d_27_an_error_waits_while_reading_is_paused on udp4, udp6: "ICMP is IP's");
fn d_27_an_error_waits_while_reading_is_paused(bench: &mut Bench) {
    let (log, transport) = orphan(bench);
    transport.pause_reading();
    transport.send_to(b"anybody?", None).unwrap();
    assert_eq!(bench.stirrings(), 0, "an error that nobody reads makes a spin");
    assert_eq!(log.story(), ["made"]);
    transport.resume_reading();
    bench.run_until(|| log.has(Call::Error));
    assert_eq!(log.story(), ["made", "error ECONNREFUSED"]);
}

#[test]
fn d_07_a_peer_that_comes_back_is_heard_again() {
    let mut bench = Bench::new(Over::Udp4);
    let (log, transport, peer) = bench.connect();
    let at = peer.address();
    drop(peer);
    transport.send_to(b"anybody?", None).unwrap();
    bench.run_until(|| log.has(Call::Error));
    let handle = bench.event_loop().handle().clone();
    let second = bench.log();
    let protocol = second.plain();
    let open = udp::bind(&handle, at.ip().unwrap(), || protocol).into_future();
    bench.event_loop().block_on(open).unwrap();
    second.on_data(|transport, data, from| assert!(transport.send_to(data, from).is_ok()));
    transport.send_to(b"hello again", None).unwrap();
    bench.run_until(|| log.has(Call::Data));
    assert_eq!(log.story().last().unwrap(), "data hello again");
    bench.finish();
}
