//! Accepting: in which order things happen, how many at a time, and what goes wrong.

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use wharf::{FaultPolicy, Protocol, Server, TransportRef, tcp};

use super::rig::{End, Peer, Story, TestLoop, address, refusing};
use crate::support::loop_builder;

#[test]
fn sv_01_factory_transport_and_data_come_in_this_order_and_after_listening_returned() {
    let mut ev = TestLoop::new();
    let story = Story::new();
    let server = ev.finish(tcp::listen(&ev.handle, "127.0.0.1:0", story.factory())).unwrap();
    let peer = Peer::tcp(address(&server));
    peer.send(b"early");
    assert_eq!(story.born(), 0);
    ev.until(|| story.count("data") == 1);
    assert_eq!(story.lines(), ["0 made", "0 data"]);
    assert_eq!(story.received(0), b"early");
    assert_eq!((story.born(), server.connections()), (1, 1));
}

#[test]
fn sv_01_what_a_client_has_said_by_then_comes_in_the_turn_that_accepts_it() {
    let mut ev = TestLoop::new();
    let story = Story::new();
    let server = ev.finish(tcp::listen(&ev.handle, "127.0.0.1:0", story.factory())).unwrap();
    // The system may be late with a client's bytes now and then, and not each time.
    let at_once = (0..100).any(|client| {
        let peer = Peer::tcp(address(&server));
        peer.send(b"early");
        ev.until(|| story.made() > client);
        let at_once = story.count("data") > client;
        ev.until(|| story.count("data") > client);
        at_once
    });
    assert!(at_once);
}

#[test]
fn sv_01_who_pauses_when_it_is_made_hears_nothing_of_what_was_said_by_then() {
    struct Pausing(Rc<Cell<usize>>);
    impl Protocol for Pausing {
        fn connection_made(&mut self, transport: &TransportRef) {
            transport.pause_reading();
        }
        fn data_received(&mut self, _: &TransportRef, data: &[u8]) {
            self.0.set(self.0.get() + data.len());
        }
    }
    let mut ev = TestLoop::new();
    let heard = Rc::new(Cell::new(0));
    let seen = Rc::clone(&heard);
    let listen = tcp::listen(&ev.handle, "127.0.0.1:0", move || Pausing(Rc::clone(&seen)));
    let server = ev.finish(listen).unwrap();
    let peer = Peer::tcp(address(&server));
    peer.send(b"early");
    ev.until(|| server.connections() == 1);
    ev.quieten();
    assert_eq!(heard.get(), 0);
    server.clients()[0].resume_reading();
    ev.until(|| heard.get() == 5);
}

#[test]
fn sv_02_a_turn_accepts_no_more_than_its_budget() {
    let mut ev = TestLoop::new();
    let story = Story::new();
    let listen = tcp::listen(&ev.handle, "127.0.0.1:0", story.factory()).accept_budget(2);
    let server = ev.finish(listen).unwrap();
    let _peers: Vec<Peer> = (0..5).map(|_| Peer::tcp(address(&server))).collect();
    let made: Vec<usize> = (0..3)
        .map(|_| {
            ev.turn();
            story.made()
        })
        .collect();
    assert_eq!(made, [2, 4, 5]);
}

#[test]
fn sv_02_the_budget_is_the_backlog_unless_said_otherwise() {
    let mut ev = TestLoop::new();
    let story = Story::new();
    let listen = tcp::listen(&ev.handle, "127.0.0.1:0", story.factory()).backlog(3);
    let server = ev.finish(listen).unwrap();
    let _peers: Vec<Peer> = (0..4).map(|_| Peer::tcp(address(&server))).collect();
    ev.turn();
    assert_eq!(story.made(), 3);
    ev.turn();
    assert_eq!(story.made(), 4);
}

#[test]
fn sv_03_an_empty_backlog_ends_accepting_without_a_word() {
    let mut ev = TestLoop::new();
    let story = Story::new();
    let listen = tcp::listen(&ev.handle, "127.0.0.1:0", story.factory())
        .on_accept_error(|trouble| panic!("{trouble:?}"));
    let server = ev.finish(listen).unwrap();
    let _peers = [Peer::tcp(address(&server)), Peer::tcp(address(&server))];
    ev.quieten();
    assert_eq!(story.made(), 2);
}

#[test]
fn sv_03_a_client_that_left_before_it_was_accepted_does_not_hold_up_the_next() {
    let mut ev = TestLoop::new();
    let story = Story::new();
    let listen = tcp::listen(&ev.handle, "127.0.0.1:0", story.echoes())
        .on_accept_error(|trouble| panic!("{trouble:?}"));
    let server = ev.finish(listen).unwrap();
    Peer::tcp(address(&server)).reset();
    let mut peer = Peer::tcp(address(&server));
    peer.send(b"here");
    ev.until(|| peer.received() == b"here");
    // Linux gives the aborted connection out and tells of the reset when it is read.
    assert_eq!(story.made(), story.lost() + 1);
    assert_eq!(server.connections(), 1);
}

/// A socket that listens, and a second hold on it. The port is asked for by number, so that the socket keeps it whatever
/// happens to it; the address is one that no other test uses.
fn shared_listener() -> (Socket, Socket) {
    let (first, at) = refusing([127, 22, 0, 1]);
    drop(first);
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&at.into()).unwrap();
    let other = listener.try_clone().unwrap();
    (listener, other)
}

#[test]
fn sv_22_any_other_accept_error_is_reported_once_and_the_server_goes_on() {
    let (mut ev, clock) = TestLoop::manual();
    let story = Story::new();
    let (listener, other) = shared_listener();
    let reports = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&reports);
    let listen = tcp::listen_on(&ev.handle, listener, story.factory())
        .on_accept_error(move |it| seen.borrow_mut().push((it.error.kind(), it.address.clone())));
    let server = ev.finish(listen).unwrap();
    // Somebody who shares the socket ends its listening, and accepting is an invalid call then.
    other.shutdown(Shutdown::Read).unwrap();
    ev.until(|| !reports.borrow().is_empty());
    ev.quieten();
    assert_eq!(*reports.borrow(), [(ErrorKind::InvalidInput, server.addresses().pop())]);
    assert!(server.is_serving());
    other.listen(1).unwrap();
    let _peer = Peer::tcp(address(&server));
    clock.advance(Duration::from_secs(1));
    ev.until(|| story.made() == 1);
}

#[test]
fn sv_22_an_observer_that_panics_costs_nothing_but_the_report() {
    let (faults, report) = reporting();
    let mut ev = TestLoop::of(loop_builder().fault_policy(report));
    let (listener, other) = shared_listener();
    let listen = tcp::listen_on(&ev.handle, listener, Story::new().factory())
        .on_accept_error(|_| panic!("an observer's panic"));
    let server = ev.finish(listen).unwrap();
    other.shutdown(Shutdown::Read).unwrap();
    ev.until(|| !faults.borrow().is_empty());
    assert_eq!(faults.borrow()[0], "accept observer");
    assert!(server.is_serving());
}

/// A policy that keeps the names of the callbacks that failed.
fn reporting() -> (Rc<RefCell<Vec<&'static str>>>, FaultPolicy) {
    let faults = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&faults);
    (faults, FaultPolicy::report(move |it| seen.borrow_mut().push(it.fault.callback())))
}

#[test]
fn x_11_a_factory_that_panics_costs_one_client_and_the_server_goes_on() {
    let (faults, report) = reporting();
    let mut ev = TestLoop::of(loop_builder().fault_policy(report));
    let story = Story::new();
    let (make, calls) = (story.echoes(), Cell::new(0));
    let factory = move || {
        calls.set(calls.get() + 1);
        assert!(calls.get() != 1, "the first client is unlucky");
        make()
    };
    let listen = tcp::listen(&ev.handle, "127.0.0.1:0", factory).max_connections(1);
    let server = ev.finish(listen).unwrap();
    let mut unlucky = Peer::tcp(address(&server));
    ev.until(|| unlucky.end().is_some());
    assert_eq!(*faults.borrow(), ["factory"]);
    assert_eq!(server.connections(), 0);
    let mut lucky = Peer::tcp(address(&server));
    lucky.send(b"hello");
    ev.until(|| lucky.received() == b"hello");
    assert_eq!(faults.borrow().len(), 1);
}

/// Closes its server as soon as it has a connection.
struct Closing(Rc<RefCell<Option<Server>>>, Story);

impl Protocol for Closing {
    fn connection_made(&mut self, transport: &TransportRef) {
        let server = self.0.borrow().clone();
        server.unwrap().close();
        let _ = transport.set_protocol(self.1.echoes()(), b"");
    }

    fn data_received(&mut self, _: &TransportRef, _: &[u8]) {}
}

#[test]
fn sv_28_a_server_closed_while_it_accepts_serves_or_ends_each_client() {
    let mut ev = TestLoop::new();
    for in_factory in [true, false] {
        let story = Story::new();
        let slot = Rc::new(RefCell::new(None::<Server>));
        let (own, tale) = (Rc::clone(&slot), story.clone());
        let factory = move || {
            if in_factory {
                own.borrow().as_ref().unwrap().close();
            }
            Closing(Rc::clone(&own), tale.clone())
        };
        let server = ev.finish(tcp::listen(&ev.handle, "127.0.0.1:0", factory)).unwrap();
        slot.replace(Some(server.clone()));
        let mut peers: Vec<Peer> = (0..3).map(|_| Peer::tcp(address(&server))).collect();
        peers.iter().for_each(|peer| peer.send(b"hello"));
        let settled = |peer: &mut Peer| peer.received() == b"hello" || peer.end().is_some();
        ev.until(|| peers.iter_mut().all(settled));
        let served =
            peers.iter_mut().map(|peer| usize::from(peer.received() == b"hello")).sum::<usize>();
        assert_eq!((served, server.connections()), (1, 1), "in the factory: {in_factory}");
        peers.clear();
        ev.until(|| server.connections() == 0);
        slot.take();
    }
}

#[test]
fn sv_28_a_server_closed_before_its_turn_to_accept_comes_takes_nobody() {
    let mut ev = TestLoop::new();
    let story = Story::new();
    let server = ev.finish(tcp::listen(&ev.handle, "127.0.0.1:0", story.factory())).unwrap();
    let mut peer = Peer::tcp(address(&server));
    let closing = server.clone();
    // Queued calls run after the poll that finds the listener ready, and before readiness is handed out.
    ev.call_soon(move || closing.close());
    ev.until(|| peer.end() == Some(End::Reset));
    assert_eq!((story.born(), server.connections()), (0, 0));
}

#[test]
fn sv_02_no_more_than_the_most_connections_are_accepted_and_the_rest_waits() {
    let mut ev = TestLoop::new();
    let story = Story::new();
    let listen = tcp::listen(&ev.handle, "127.0.0.1:0", story.echoes()).max_connections(1);
    let server = ev.finish(listen).unwrap();
    let mut first = Peer::tcp(address(&server));
    let mut second = Peer::tcp(address(&server));
    first.send(b"first");
    second.send(b"second");
    ev.until(|| first.received() == b"first");
    let before = ev.statistics().events;
    ev.quieten();
    assert_eq!((story.born(), second.received()), (1, &b""[..]));
    assert_eq!(ev.statistics().events, before, "a full server does not poll its listener");
    drop(first);
    ev.until(|| second.received() == b"second");
    assert_eq!((story.made(), story.lost(), server.connections()), (2, 1, 1));
}

#[test]
fn sv_16_a_server_that_pauses_leaves_its_clients_in_the_backlog() {
    let mut ev = TestLoop::new();
    let story = Story::new();
    let server = ev.finish(tcp::listen(&ev.handle, "127.0.0.1:0", story.echoes())).unwrap();
    server.pause_serving();
    let mut peer = Peer::tcp(address(&server));
    peer.send(b"hello");
    let before = ev.statistics().events;
    ev.quieten();
    assert_eq!((story.born(), server.is_serving()), (0, false));
    assert_eq!(ev.statistics().events, before, "a paused server does not poll its listener");
    server.start_serving().unwrap();
    ev.until(|| peer.received() == b"hello");
}

#[test]
fn sv_16_nothing_is_accepted_before_serving_starts() {
    for forever in [false, true] {
        let mut ev = TestLoop::new();
        let story = Story::new();
        let listen = tcp::listen(&ev.handle, "127.0.0.1:0", story.echoes()).start_serving(false);
        let server = ev.finish(listen).unwrap();
        assert!(!server.is_serving());
        ev.quieten();
        let refused = Peer::try_tcp(address(&server)).err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "it is bound and does not listen");
        let serving = forever.then(|| {
            let server = server.clone();
            ev.spawn(async move { server.serve_forever().await })
        });
        if serving.is_some() {
            ev.quieten();
        } else {
            server.start_serving().unwrap();
        }
        let mut peer = Peer::tcp(address(&server));
        peer.send(b"hello");
        ev.until(|| peer.received() == b"hello");
        assert!(server.is_serving());
    }
}
