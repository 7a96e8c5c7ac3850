//! The memory of a connection that is over serves another one, which must not show.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use wharf::{Clock, EventLoop, Flow, Limits, TransportRef};

use crate::support::{Log, SharedLog, adopted, builder, event_loop, run_until, turns};

/// Where the transport lies.
fn place(transport: &TransportRef) -> usize {
    std::ptr::from_ref(&**transport).cast::<()>().addr()
}

/// Has the peer leave, and the transport hear of it.
fn lose(ev: &mut EventLoop, peer: UnixStream, log: &SharedLog) {
    drop(peer);
    run_until(ev, || log.borrow().story().last().is_some_and(|last| last.starts_with("lost")));
}

/// Takes every piece of memory that the allocator would give a transport next.
fn decoys() -> Vec<Vec<u8>> {
    (32..512).step_by(8).flat_map(|size| [size; 16]).map(Vec::with_capacity).collect()
}

#[test]
fn a_transport_that_nobody_knows_any_more_gives_its_memory_and_nothing_else() {
    let mut ev = event_loop();
    let (transport, log, peer) = adopted(&mut ev);
    let (former, number, limits) =
        (place(&transport), transport.id(), transport.write_buffer_limits());
    transport.set_write_buffer_limits(Limits::high(1));
    transport.pause_reading();
    transport.abort();
    drop(transport);
    lose(&mut ev, peer, &log);
    let _decoys = decoys();

    let (transport, log, peer) = adopted(&mut ev);
    assert_eq!(place(&transport), former);
    assert!(transport.id() > number);
    assert_eq!(transport.write_buffer_limits(), limits);
    assert!(transport.is_reading() && !transport.is_closing());
    (&peer).write_all(b"hello").unwrap();
    run_until(&mut ev, || log.borrow().story().len() > 1);
    assert_eq!(log.borrow().story(), ["made", "data hello"]);
    assert_eq!(transport.write(b"hello"), Flow::Open);
    turns(&mut ev, 1);
    (&peer).read_exact(&mut [0; 5]).unwrap();
    lose(&mut ev, peer, &log);
    assert_eq!(log.borrow().story().last().unwrap(), "lost ended by the peer");
}

#[test]
fn a_handle_that_outlives_its_connection_is_no_handle_on_another() {
    let mut ev = event_loop();
    let (old, log, peer) = adopted(&mut ev);
    let number = old.id();
    lose(&mut ev, peer, &log);
    let (new, _log, _peer) = adopted(&mut ev);
    assert_ne!(old, new);
    assert_eq!((old.id(), old.write(b"late")), (number, Flow::Closed));
    assert!(old.is_closing() && !new.is_closing());
}

#[test]
fn what_is_kept_for_connections_to_come_goes_with_the_loop() {
    struct Watched(Rc<()>);
    impl Clock for Watched {
        fn now(&self) -> Instant {
            let _lives_with_the_loop = &self.0;
            wharf::memory::ManualClock::new().now() + Duration::from_secs(1)
        }
    }
    let token = Rc::new(());
    let mut ev = builder().clock(Watched(Rc::clone(&token))).build().unwrap();
    let (transport, log, peer) = adopted(&mut ev);
    drop(transport);
    lose(&mut ev, peer, &log);
    drop(ev);
    assert_eq!(Rc::strong_count(&token), 1);
}

#[test]
fn a_protocol_is_let_go_of_before_the_memory_is_kept() {
    let mut ev = event_loop();
    let (transport, log, peer) = adopted(&mut ev);
    drop(transport);
    lose(&mut ev, peer, &log);
    let log: Log = Rc::try_unwrap(log).expect("nobody else has it").into_inner();
    assert_eq!(log.story(), ["made", "lost ended by the peer"]);
}
