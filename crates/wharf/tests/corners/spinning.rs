//! A loop with nothing to do does nothing: what is ready for ever must not keep it busy.

use std::cell::Cell;
use std::future::IntoFuture;
use std::io::Write;
use std::net::{Shutdown, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use socket2::SockRef;
use wharf::reactor::stream::SocketView;
use wharf::{EventLoop, tcp};

use crate::support::{Log, event_loop, manual_loop, turns};

/// How many readiness events `count` turns bring.
fn events_of(ev: &mut EventLoop, count: usize) -> u64 {
    let before = ev.statistics().events;
    turns(ev, count);
    ev.statistics().events - before
}

#[test]
fn a_closed_socket_with_a_duplicate_elsewhere_is_not_polled_any_more() {
    let mut ev = event_loop();
    let handle = ev.handle().clone();
    let (ours, mut peer) = UnixStream::pair().unwrap();
    let duplicate = ours.try_clone().unwrap();
    let (transport, _log) = ev.block_on(tcp::adopt(&handle, ours, Log::default)).unwrap();
    transport.close();
    turns(&mut ev, 3);
    peer.write_all(b"x").unwrap();
    assert_eq!(events_of(&mut ev, 20), 0);
    drop(duplicate);
}

#[test]
fn a_closed_socket_that_was_lent_is_not_polled_any_more() {
    let mut ev = event_loop();
    let handle = ev.handle().clone();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connecting = tcp::connect(&handle, address, Log::default).into_future();
    let (transport, _log) = ev.block_on(connecting).unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    let view = transport.extra::<SocketView>().unwrap();
    let duplicate = view.with(|fd| fd.try_clone_to_owned()).unwrap().unwrap();
    transport.close();
    turns(&mut ev, 3);
    peer.write_all(b"x").unwrap();
    // An event for nobody is not counted, but ends a wait.
    let before = ev.statistics().turns;
    ev.block_on(handle.sleep(Duration::from_millis(2)));
    let taken = ev.statistics().turns - before;
    assert!(taken < 10, "{taken} turns");
    drop(duplicate);
}

#[test]
fn a_listener_that_is_broken_for_good_rests_between_reports() {
    let (mut ev, clock) = manual_loop();
    let handle = ev.handle().clone();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let duplicate = listener.try_clone().unwrap();
    let reports = Rc::new(Cell::new(0));
    let seen = Rc::clone(&reports);
    let rest = Rc::new(Cell::new(Duration::ZERO));
    let noted = Rc::clone(&rest);
    let listening = tcp::listen_on(&handle, listener, Log::default).on_accept_error(move |error| {
        seen.set(seen.get() + 1);
        noted.set(error.resting);
    });
    let _server = ev.block_on(listening.into_future()).unwrap();
    SockRef::from(&duplicate.as_fd()).shutdown(Shutdown::Both).unwrap();
    turns(&mut ev, 3);
    assert_eq!(reports.get(), 1);
    assert_eq!(events_of(&mut ev, 20), 0);
    clock.advance(rest.get());
    turns(&mut ev, 20);
    assert_eq!(reports.get(), 2);
}

#[test]
fn a_timer_shorter_than_the_pollers_resolution_takes_few_turns() {
    let mut ev = event_loop();
    let handle = ev.handle().clone();
    let before = ev.statistics().turns;
    ev.block_on(handle.sleep(Duration::from_micros(300)));
    let taken = ev.statistics().turns - before;
    assert!(taken < 10, "{taken} turns");
}
