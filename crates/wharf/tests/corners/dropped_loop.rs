//! A handle that outlives its loop: everything is refused, nothing hangs, and nothing is kept.

use std::future::IntoFuture;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use wharf::tcp;

use crate::support::{
    Log, SharedLog, closed_loop, event_loop, manual_loop, outcome, poll_once, turns,
};

#[test]
fn listening_on_a_dropped_loop_is_refused_and_leaves_nothing() {
    let handle = closed_loop();
    let mut ev = event_loop();
    let token = Rc::new(());
    let captured = Rc::clone(&token);
    let factory = move || {
        let _token = &captured;
        Log::default()
    };
    let listening = tcp::listen(&handle, "127.0.0.1:0", factory).into_future();
    assert!(outcome(&mut ev, listening).is_err());
    drop((handle, ev));
    assert_eq!(Rc::strong_count(&token), 1);
}

#[test]
fn adopting_on_a_dropped_loop_is_refused_and_closes_the_socket() {
    let handle = closed_loop();
    let mut ev = event_loop();
    let (ours, mut peer) = UnixStream::pair().unwrap();
    peer.set_nonblocking(true).unwrap();
    let log = SharedLog::default();
    let protocol = Rc::clone(&log);
    assert!(outcome(&mut ev, tcp::adopt(&handle, ours, move || protocol)).is_err());
    assert_eq!(peer.read(&mut [0; 4]).unwrap(), 0);
    drop((handle, ev));
    assert_eq!(Rc::strong_count(&log), 1);
    assert!(log.borrow().story().is_empty());
}

#[test]
fn connecting_on_a_dropped_loop_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let handle = closed_loop();
    let mut ev = event_loop();
    let connecting = tcp::connect(&handle, listener.local_addr().unwrap(), Log::default);
    assert!(outcome(&mut ev, connecting.into_future()).is_err());
}

#[test]
fn a_sleep_is_over_when_its_loop_is_dropped_before_or_meanwhile() {
    let (ev, _clock) = manual_loop();
    let handle = ev.handle().clone();
    let mut other = event_loop();
    let hour = Duration::from_secs(3600);
    let mut meanwhile = handle.sleep(hour);
    assert!(poll_once(&mut meanwhile).is_pending());
    let waiting = other.spawn(meanwhile);
    turns(&mut other, 2);
    assert!(!waiting.is_finished());
    drop(ev);
    outcome(&mut other, waiting).unwrap();
    outcome(&mut other, handle.sleep(hour));
}
