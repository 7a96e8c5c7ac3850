//! Several addresses at once: when the next one starts, who wins, and what becomes of the others.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use wharf::tcp::{self, ConnectError};

use super::naming::Known;
use crate::servers::rig::{BlackHole, End, Peer, Story, TestLoop, refusing};
use crate::support::loop_builder;

fn listener(ip: [u8; 4]) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(SocketAddr::from((ip, 0))).unwrap();
    listener.set_nonblocking(true).unwrap();
    let at = listener.local_addr().unwrap();
    (listener, at)
}

/// Who has come to a listener that does not block.
fn visitor(listener: &TcpListener) -> Option<Peer> {
    match listener.accept() {
        Ok((socket, _)) => Some(Peer::of(socket)),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            None
        }
    }
}

#[test]
fn c_14_the_next_address_starts_when_the_delay_is_over() {
    let (mut ev, clock) = TestLoop::manual();
    let (hole, (good, at)) = (BlackHole::new([127, 0, 0, 1]), listener([127, 0, 0, 2]));
    let story = Story::new();
    let connect = tcp::connect(&ev.handle, [hole.address, at], story.factory());
    let task = ev.spawn(connect.into_future());
    ev.quieten();
    // A quarter of a second, unless said otherwise.
    clock.advance(Duration::from_millis(249));
    ev.quieten();
    assert!(visitor(&good).is_none(), "the first has its time");
    clock.advance(Duration::from_millis(1));
    let (transport, _) = ev.finish(task).unwrap().unwrap();
    assert_eq!(transport.peer_addr().unwrap().ip(), Some(at));
    assert!(visitor(&good).is_some());
    assert_eq!((ev.statistics().timers, ev.statistics().sources), (0, 1));
}

#[test]
fn c_14_the_next_address_starts_when_the_last_one_failed() {
    let (mut ev, _clock) = TestLoop::manual();
    let ((_held, refused), (_good, at)) = (refusing([127, 0, 0, 1]), listener([127, 0, 0, 2]));
    let connect = tcp::connect(&ev.handle, [refused, at], Story::new().factory())
        .happy_eyeballs_delay(Some(Duration::from_secs(3600)));
    // Time stands still.
    let (transport, _) = ev.finish(connect).unwrap();
    assert_eq!(transport.peer_addr().unwrap().ip(), Some(at));
    assert_eq!(ev.statistics().timers, 0);
}

#[test]
fn c_14_without_a_delay_an_address_has_all_the_time_it_wants() {
    let (mut ev, clock) = TestLoop::manual();
    let (hole, (good, at)) = (BlackHole::new([127, 0, 0, 1]), listener([127, 0, 0, 2]));
    let connect = tcp::connect(&ev.handle, [hole.address, at], Story::new().factory());
    let task = ev.spawn(connect.happy_eyeballs_delay(None).into_future());
    ev.quieten();
    clock.advance(Duration::from_secs(3600));
    ev.quieten();
    assert!(visitor(&good).is_none() && !task.is_finished());
}

#[test]
fn c_14_a_black_hole_costs_a_delay_and_no_more_under_the_systems_clock() {
    let mut ev = TestLoop::new();
    let (hole, (good, at)) = (BlackHole::new([127, 0, 0, 1]), listener([127, 0, 0, 2]));
    let known = [hole.address, at];
    let connect = tcp::connect(&ev.handle, known, Story::new().factory())
        .happy_eyeballs_delay(Some(Duration::from_millis(20)))
        .timeout(Duration::from_secs(10));
    let (transport, _) = ev.finish(connect).unwrap();
    assert_eq!(transport.peer_addr().unwrap().ip(), Some(at));
    assert!(visitor(&good).is_some());
}

#[test]
fn c_15_of_two_that_connect_in_one_turn_exactly_one_stays_open() {
    let (mut ev, _clock) = TestLoop::manual();
    let ((one, at_one), (two, at_two)) = (listener([127, 0, 0, 1]), listener([127, 0, 0, 2]));
    let story = Story::new();
    // Both start in the same turn, and both are connected before the next one looks.
    let connect = tcp::connect(&ev.handle, [at_one, at_two], story.factory())
        .happy_eyeballs_delay(Some(Duration::ZERO));
    let (transport, _) = ev.finish(connect).unwrap();
    let mut peers = [visitor(&one).unwrap(), visitor(&two).unwrap()];
    transport.write(b"hello");
    ev.until(|| peers.iter_mut().any(|peer| peer.received() == b"hello"));
    ev.quieten();
    let open = peers.iter_mut().map(|peer| usize::from(peer.end().is_none())).sum::<usize>();
    assert_eq!((open, story.born(), story.made()), (1, 1, 1));
    assert_eq!((ev.statistics().sources, ev.statistics().timers), (1, 0));
}

#[test]
fn c_15_the_attempts_of_the_losers_are_taken_back() {
    let (mut ev, clock) = TestLoop::manual();
    let holes = [BlackHole::new([127, 0, 0, 1]), BlackHole::new([127, 0, 0, 2])];
    let (good, at) = listener([127, 0, 0, 3]);
    let places = [holes[0].address, holes[1].address, at];
    let connect = tcp::connect(&ev.handle, places, Story::new().factory())
        .happy_eyeballs_delay(Some(Duration::from_millis(100)));
    let task = ev.spawn(connect.into_future());
    for attempts in 1..3 {
        ev.quieten();
        assert_eq!(ev.statistics().sources, attempts);
        clock.advance(Duration::from_millis(100));
    }
    ev.finish(task).unwrap().unwrap();
    assert_eq!((ev.statistics().sources, ev.statistics().timers), (1, 0));
    let mut peer = visitor(&good).unwrap();
    assert_eq!(peer.end(), None::<End>);
}

#[test]
fn c_16_families_alternate_after_the_first_ones() {
    let place = |text: &str| -> SocketAddr { text.parse().unwrap() };
    let six = |last: u16| place(&format!("[::1]:{last}"));
    let four = |last: u16| place(&format!("127.0.0.1:{last}"));
    // Ports below 1024 that nobody serves; each attempt fails in its turn and tells when that was.
    let (a, b, c) = (1, 2, 3);
    let resolved = vec![six(a), six(b), six(c), four(a), four(b)];
    for (first_family, wanted) in [
        (None, [six(a), four(a), six(b), four(b), six(c)]),
        (Some(1), [six(a), four(a), six(b), four(b), six(c)]),
        (Some(2), [six(a), six(b), four(a), six(c), four(b)]),
        (Some(0), [six(a), six(b), six(c), four(a), four(b)]),
    ] {
        let known = Known::of(resolved.clone());
        let mut ev = TestLoop::of(loop_builder().resolver(known));
        let connect = tcp::connect(&ev.handle, "harbour.example:1", Story::new().factory());
        let connect = connect.happy_eyeballs_delay(None);
        let connect = match first_family {
            Some(count) => connect.interleave(count),
            None => connect,
        };
        let error: io::Error = ev.finish(connect).unwrap_err();
        let combined = error.get_ref().unwrap().downcast_ref::<ConnectError>().unwrap();
        let tried: Vec<SocketAddr> = combined.attempts.iter().map(|(at, _)| *at).collect();
        assert_eq!(tried, wanted, "with {first_family:?} of the first family");
    }
}
