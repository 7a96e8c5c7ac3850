//! A protocol that its user holds across a turn (rule T11): the turn panics, and nothing is owed for ever.

use std::cell::RefCell;
use std::future::IntoFuture;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use wharf::{
    FaultPolicy, Lost, PipeTransport, Protocol, SubprocessProtocol, SubprocessTransportRef,
    TransportRef, subprocess, tcp,
};

use crate::support::{
    Log, SharedLog, adopted, builder, event_loop, manual_loop, panics, run_until, turns,
};

#[test]
fn a_borrow_across_a_turn_does_not_hold_up_the_other_connections() {
    let mut ev = event_loop();
    let (first, first_log, _first_peer) = adopted(&mut ev);
    let (second, _second_log, mut second_peer) = adopted(&mut ev);
    first.close();
    second.write(b"hello ");
    let held = first_log.borrow_mut();
    assert!(panics(|| turns(&mut ev, 1)));
    drop(held);
    turns(&mut ev, 3);
    second.write(b"again");
    turns(&mut ev, 3);
    let mut bytes = [0; 16];
    let count = second_peer.read(&mut bytes).unwrap();
    assert_eq!(&bytes[..count], b"hello again");
}

#[test]
fn a_loss_that_could_not_be_told_is_told_when_the_borrow_has_ended() {
    let mut ev = event_loop();
    let (transport, log, _peer) = adopted(&mut ev);
    transport.abort();
    let held = log.borrow_mut();
    assert!(panics(|| turns(&mut ev, 1)));
    drop(held);
    turns(&mut ev, 3);
    assert_eq!(log.borrow().story(), ["made", "lost aborted by us"]);
    assert_eq!(ev.statistics().sources, 0);
}

#[test]
fn a_server_counts_a_client_out_whose_protocol_was_held() {
    let mut ev = event_loop();
    let handle = ev.handle().clone();
    let shared = SharedLog::default();
    let clients = Rc::clone(&shared);
    let listening = tcp::listen(&handle, "127.0.0.1:0", move || Rc::clone(&clients));
    let server = ev.block_on(listening.into_future()).unwrap();
    let _client = TcpStream::connect(server.addresses()[0].ip().unwrap()).unwrap();
    run_until(&mut ev, || server.connections() == 1);
    server.abort_clients();
    let held = shared.borrow_mut();
    assert!(panics(|| turns(&mut ev, 1)));
    drop(held);
    server.close();
    turns(&mut ev, 3);
    assert_eq!(shared.borrow().story(), ["made", "lost aborted by us"]);
    assert_eq!((server.connections(), ev.statistics().sources), (0, 0));
}

#[test]
fn a_close_that_times_out_under_a_borrow_is_told_when_that_has_ended() {
    let (mut ev, clock) = manual_loop();
    let handle = ev.handle().clone();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connecting = tcp::connect(&handle, listener.local_addr().unwrap(), Log::default)
        .close_timeout(Some(Duration::from_secs(1)));
    let (transport, log) = ev.block_on(connecting.into_future()).unwrap();
    // More than the system takes for a peer that does not read.
    transport.write(&vec![0; 15_000_000]);
    transport.close();
    turns(&mut ev, 3);
    let held = log.borrow_mut();
    let mut panicked = false;
    for _ in 0..3 {
        // Progress buys another timeout.
        clock.advance(Duration::from_secs(1));
        panicked |= panics(|| turns(&mut ev, 1));
    }
    assert!(panicked);
    drop(held);
    turns(&mut ev, 3);
    assert_eq!(log.borrow().story(), ["made".to_owned(), format!("lost {}", Lost::TimedOut)]);
    assert_eq!(ev.statistics().sources, 0);
}

#[test]
fn bytes_that_were_handed_over_are_kept_while_the_new_protocol_is_held() {
    let mut ev = event_loop();
    let (transport, _old, _peer) = adopted(&mut ev);
    let new = SharedLog::default();
    transport.set_protocol(Rc::clone(&new), b"abc");
    let held = new.borrow_mut();
    assert!(panics(|| turns(&mut ev, 1)));
    drop(held);
    turns(&mut ev, 3);
    assert_eq!(new.borrow().story(), ["data abc"]);
    assert!(!transport.is_closing());
}

#[test]
fn bytes_that_come_while_the_protocol_is_held_are_told_once_and_in_order() {
    let mut ev = event_loop();
    let (transport, log, mut peer) = adopted(&mut ev);
    let held = log.borrow();
    for bytes in [b"abc", b"def"] {
        peer.write_all(bytes).unwrap();
        assert!(panics(|| turns(&mut ev, 1)));
        // The tray that was lent for it is nobody's any more.
        transport.write(b"w");
    }
    drop(held);
    peer.shutdown(Shutdown::Write).unwrap();
    turns(&mut ev, 3);
    assert_eq!(log.borrow().story(), ["made", "data abc", "data def", "lost ended by the peer"]);
    assert_eq!(ev.statistics().bytes_read, 6);
    let mut heard = Vec::new();
    peer.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"ww");
}

/// Answers by its own handle, and tells another connection.
struct Gossip(TransportRef);

impl Protocol for Gossip {
    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        transport.write(data);
        self.0.write(b"psst");
    }
}

#[test]
fn a_connection_whose_protocol_was_held_takes_nothing_of_what_another_writes() {
    let mut ev = event_loop();
    let handle = ev.handle().clone();
    let (transport, log, mut peer) = adopted(&mut ev);
    let (ours, mut other) = UnixStream::pair().unwrap();
    other.set_nonblocking(true).unwrap();
    let gossip = ev.block_on(tcp::adopt(&handle, ours, move || Gossip(transport))).unwrap();
    let held = log.borrow();
    peer.write_all(b"abc").unwrap();
    assert!(panics(|| turns(&mut ev, 1)));
    drop(held);
    turns(&mut ev, 1);
    other.write_all(b"hello").unwrap();
    turns(&mut ev, 2);
    for (peer, expected) in [(peer, &b"psst"[..]), (other, b"hello")] {
        let (mut peer, mut bytes) = (peer, [0; 16]);
        let count = peer.read(&mut bytes).unwrap();
        assert_eq!(&bytes[..count], expected);
    }
    drop(gossip);
}

/// What came from a child, and its end.
#[derive(Default)]
struct Ear(Vec<u8>);

impl SubprocessProtocol for Ear {
    fn pipe_data_received(&mut self, _: &SubprocessTransportRef, _: i32, data: &[u8]) {
        self.0.extend_from_slice(data);
    }

    fn process_exited(&mut self, _: &SubprocessTransportRef) {
        self.0.push(b'.');
    }
}

#[test]
fn what_a_child_said_while_its_protocol_was_held_is_told_before_its_exit() {
    let mut ev = event_loop();
    let handle = ev.handle().clone();
    // More than one read takes.
    let starting = subprocess::shell(&handle, "printf %0100000d 0", Ear::default);
    let (transport, ear) = ev.block_on(starting.into_future()).unwrap();
    let held = ear.borrow();
    for _ in 0..5 {
        assert!((0..100).any(|_| panics(|| ev.turn(Some(Duration::from_secs(1))))));
    }
    drop(held);
    run_until(&mut ev, || ear.borrow().0.last() == Some(&b'.'));
    assert_eq!(ear.borrow().0.len(), 100_001);
    transport.close();
}

#[test]
fn what_a_child_says_while_its_protocol_is_held_is_told_once_and_in_order() {
    let mut ev = event_loop();
    let handle = ev.handle().clone();
    let starting = subprocess::shell(&handle, "exec cat", Ear::default);
    let (transport, ear) = ev.block_on(starting.into_future()).unwrap();
    let Some(PipeTransport::Write(input)) = transport.pipe_transport(0) else { panic!("piped") };
    let held = ear.borrow();
    for bytes in [b"abc", b"def"] {
        input.write(bytes);
        assert!((0..100).any(|_| panics(|| ev.turn(Some(Duration::from_secs(1))))));
    }
    drop(held);
    run_until(&mut ev, || ear.borrow().0 == b"abcdef");
    transport.close();
}

#[test]
fn a_socket_is_given_back_when_its_protocol_is_held_while_it_is_adopted() {
    let reports = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&reports);
    let policy =
        FaultPolicy::report(move |report| seen.borrow_mut().push(report.fault.to_string()));
    let mut ev = builder().fault_policy(policy).build().unwrap();
    let handle = ev.handle().clone();
    let shared = SharedLog::default();
    let protocol = Rc::clone(&shared);
    let (ours, mut peer) = UnixStream::pair().unwrap();
    peer.set_nonblocking(true).unwrap();
    let held = shared.borrow_mut();
    assert!(ev.block_on(tcp::adopt(&handle, ours, move || protocol)).is_err());
    drop(held);
    turns(&mut ev, 5);
    assert_eq!(reports.borrow().len(), 1, "{reports:?}");
    assert!(shared.borrow().story().is_empty(), "{shared:?}");
    assert_eq!(ev.statistics().sources, 0);
    assert_eq!(peer.read(&mut [0; 4]).unwrap(), 0);
}

#[test]
fn dropping_the_loop_while_a_protocol_is_held_still_ends_the_others() {
    let mut ev = event_loop();
    let handle = ev.handle().clone();
    let (_first, first_log, _first_peer) = adopted(&mut ev);
    let (_second, second_log, mut second_peer) = adopted(&mut ev);
    let held = first_log.borrow();
    assert!(panics(|| drop(ev)));
    drop(held);
    assert!(handle.is_closed());
    assert_eq!(second_log.borrow().story(), ["made", "lost aborted by us"]);
    assert_eq!(second_peer.read(&mut [0; 4]).unwrap(), 0);
}
