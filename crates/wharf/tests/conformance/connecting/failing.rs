//! Addresses that do not answer: in which order they are tried, and what is told of them.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;

use nix::errno::Errno;
use wharf::tcp::{self, ConnectError};

use super::naming::Known;
use crate::servers::process::{alone, open};
use crate::servers::rig::{BlackHole, Peer, Story, TestLoop, address, refusing};
use crate::support::loop_builder;

fn accept(listener: &TcpListener) -> io::Result<Peer> {
    listener.set_nonblocking(true).unwrap();
    listener.accept().map(|(socket, _)| Peer::of(socket))
}

#[test]
fn c_05_addresses_are_tried_in_the_resolvers_order_and_the_first_success_wins() {
    let ((_a, first), (_b, second)) = (refusing([127, 0, 0, 1]), refusing([127, 0, 0, 2]));
    let good = TcpListener::bind("127.0.0.3:0").unwrap();
    let spare = TcpListener::bind("127.0.0.4:0").unwrap();
    let (third, fourth) = (good.local_addr().unwrap(), spare.local_addr().unwrap());
    let known = Known::of([first, second, third, fourth]);
    let (mut ev, story) = (TestLoop::of(loop_builder().resolver(known)), Story::new());
    let connect = tcp::connect(&ev.handle, "harbour.example:1", story.factory());
    let (transport, _) = ev.finish(connect.happy_eyeballs_delay(None)).unwrap();
    assert_eq!(transport.peer_addr().unwrap().ip(), Some(third));
    assert_eq!(story.born(), 1, "the factory is called once, for the winner");
    accept(&good).unwrap();
    assert_eq!(accept(&spare).err().unwrap().kind(), ErrorKind::WouldBlock, "not even tried");
}

#[test]
fn c_06_a_failed_attempt_is_closed_before_the_next_one_starts() {
    alone(module_path!(), "c_06_a_failed_attempt_is_closed_before_the_next_one_starts", || {
        let mut ev = TestLoop::new();
        let refusals: Vec<_> = (1..5).map(|last| refusing([127, 0, 0, last])).collect();
        let hole = BlackHole::new([127, 0, 0, 5]);
        let mut places: Vec<SocketAddr> = refusals.iter().map(|(_, address)| *address).collect();
        places.push(hole.address);
        ev.quieten();
        let before = open();
        let connect = tcp::connect(&ev.handle, places, Story::new().factory());
        let task = ev.spawn(connect.happy_eyeballs_delay(None).into_future());
        ev.turn();
        for _ in 0..50 {
            assert!(open() <= before + 1, "two attempts are open at once");
            ev.turn();
        }
        assert_eq!((open(), task.is_finished()), (before + 1, false));
        drop(task);
        ev.quieten();
        assert_eq!(open(), before);
    });
}

#[test]
fn c_10_one_address_that_refuses_is_that_very_error() {
    let mut ev = TestLoop::new();
    let (_held, at) = refusing([127, 0, 0, 1]);
    let story = Story::new();
    let error = ev.finish(tcp::connect(&ev.handle, at, story.factory())).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::ECONNREFUSED as i32));
    // Only what is connected has a protocol.
    assert_eq!(story.born(), 0);
}

#[test]
fn c_11_and_12_several_failures_are_all_told_with_the_kind_of_the_last() {
    let mut ev = TestLoop::new();
    let ((_a, first), (_b, second)) = (refusing([127, 0, 0, 1]), refusing([127, 0, 0, 2]));
    // A broadcast address takes no connection.
    let odd = SocketAddr::from(([255, 255, 255, 255], 9));
    for (places, last) in [
        ([first, odd, second], ErrorKind::ConnectionRefused),
        ([first, second, odd], ErrorKind::PermissionDenied),
    ] {
        let connect = tcp::connect(&ev.handle, places, Story::new().factory());
        let error = ev.finish(connect.happy_eyeballs_delay(None)).unwrap_err();
        let text = error.to_string();
        let combined = error.get_ref().unwrap().downcast_ref::<ConnectError>().unwrap();
        let tried: Vec<SocketAddr> = combined.attempts.iter().map(|(at, _)| *at).collect();
        assert_eq!(tried, places);
        assert!(places.iter().all(|at| text.contains(&at.to_string())), "{text}");
        let own_last = combined.attempts[2].1.kind();
        assert_eq!((error.kind(), error.raw_os_error()), (own_last, None));
        assert!(own_last == last || own_last == ErrorKind::NetworkUnreachable, "{own_last:?}");
    }
}

#[test]
fn c_11_failures_that_read_the_same_are_all_told_too() {
    let mut ev = TestLoop::new();
    let ((_a, first), (_b, second)) = (refusing([127, 0, 0, 1]), refusing([127, 0, 0, 2]));
    let connect = tcp::connect(&ev.handle, [first, second], Story::new().factory());
    let error = ev.finish(connect).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let combined = error.get_ref().unwrap().downcast_ref::<ConnectError>().unwrap();
    assert_eq!(combined.attempts.len(), 2);
}

#[test]
fn c_19_a_connection_comes_from_the_local_address() {
    let mut ev = TestLoop::new();
    let story = Story::new();
    let server = ev.finish(tcp::listen(&ev.handle, "127.0.0.1:0", story.factory())).unwrap();
    let local: SocketAddr = "127.0.0.9:0".parse().unwrap();
    let connect = tcp::connect(&ev.handle, address(&server), Story::new().factory());
    let (transport, _) = ev.finish(connect.local_addr(local)).unwrap();
    ev.until(|| story.made() == 1);
    let ours = transport.local_addr().unwrap().ip().unwrap();
    assert_eq!(ours.ip(), local.ip());
    assert_eq!(story.transport(0).peer_addr().unwrap().ip(), Some(ours));
}

#[test]
fn c_19_addresses_of_another_family_than_the_local_one_are_left_out() {
    let mut ev = TestLoop::new();
    let story = Story::new();
    let server = ev.finish(tcp::listen(&ev.handle, "127.0.0.1:0", story.factory())).unwrap();
    let local: SocketAddr = "127.0.0.9:0".parse().unwrap();
    let other: SocketAddr = format!("[::1]:{}", address(&server).port()).parse().unwrap();
    let connect = tcp::connect(&ev.handle, [other, address(&server)], Story::new().factory());
    let (transport, _) = ev.finish(connect.local_addr(local)).unwrap();
    assert_eq!(transport.peer_addr().unwrap().ip(), Some(address(&server)));

    let connect = tcp::connect(&ev.handle, other, Story::new().factory()).local_addr(local);
    let error = ev.finish(connect).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
    assert!(error.to_string().contains("127.0.0.9"), "{error}");
}

#[test]
fn c_19_a_local_address_that_cannot_be_bound_is_named() {
    let mut ev = TestLoop::new();
    let server = ev.finish(tcp::listen(&ev.handle, "127.0.0.1:0", Story::new().factory()));
    let server = server.unwrap();
    let taken = TcpListener::bind("127.19.0.8:0").unwrap().local_addr().unwrap();
    let _held = TcpListener::bind(taken).unwrap();
    let connect = tcp::connect(&ev.handle, address(&server), Story::new().factory());
    let error = ev.finish(connect.local_addr(taken)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&taken.to_string()), "{error}");
}

#[test]
fn x_10_a_factory_that_panics_leaves_no_socket_behind() {
    let mut ev = TestLoop::of(loop_builder().fault_policy(wharf::FaultPolicy::Contain));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let calls = Rc::new(Cell::new(0));
    let seen = Rc::clone(&calls);
    let factory = move || -> crate::servers::rig::Teller {
        seen.set(seen.get() + 1);
        panic!("no protocol today")
    };
    let task = ev.spawn(tcp::connect(&ev.handle, at, factory).into_future());
    ev.until(|| task.is_finished());
    ev.finish(task).unwrap_err();
    let mut peer = accept(&listener).unwrap();
    ev.until(|| peer.end().is_some());
    assert_eq!(calls.get(), 1);
}
