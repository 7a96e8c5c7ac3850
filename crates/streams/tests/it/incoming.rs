//! The connections of a server, one after the other or by a call for each.

use std::cell::RefCell;
use std::rc::Rc;

use wharf_core::memory::Seen;

use crate::support::Ground;

#[test]
fn connections_come_in_order_until_the_server_is_closed() {
    let ground = Ground::new();
    let (mut accept, mut incoming) = wharf_streams::incoming(10);
    let (_, _, first) = ground.wire(accept());
    let (_, _, second) = ground.wire(accept());
    first.send(b"first\n");
    second.send(b"second\n");
    for expected in ["first\n", "second\n"] {
        let mut stream = ground.block_on(incoming.next()).unwrap();
        assert_eq!(ground.block_on(stream.reader.read_line()).unwrap(), expected);
    }
    // Made by the server before it was closed, and still on its way.
    let (_, _, _third) = ground.wire(accept());
    drop(accept);
    assert!(ground.block_on(incoming.next()).is_some());
    assert!(ground.block_on(incoming.next()).is_none());
    assert!(ground.block_on(incoming.next()).is_none(), "also when asked again");
}

#[test]
fn the_end_of_the_server_wakes_whoever_waits() {
    let ground = Ground::new();
    let (accept, mut incoming) = wharf_streams::incoming(10);
    assert!(ground.block_on_after(incoming.next(), || drop(accept)).is_none());
}

#[test]
fn more_than_the_backlog_are_refused_and_counted() {
    let ground = Ground::new();
    let (mut accept, mut incoming) = wharf_streams::incoming(2);
    let wires: Vec<_> = (0..3).map(|_| ground.wire(accept()).2).collect();
    ground.run();
    assert_eq!((incoming.waiting(), incoming.refused()), (2, 1));
    let seen: Vec<_> = wires.iter().map(|wire| wire.seen()).collect();
    assert_eq!(seen, [Seen::Open, Seen::Open, Seen::Eof]);
    assert!(ground.block_on(incoming.next()).is_some());
    let (_, _, fourth) = ground.wire(accept());
    ground.run();
    assert_eq!((incoming.waiting(), incoming.refused(), fourth.seen()), (2, 1, Seen::Open));
}

#[test]
fn connections_that_nobody_takes_are_closed_with_the_queue() {
    let ground = Ground::new();
    let (mut accept, incoming) = wharf_streams::incoming(2);
    let (_, _, waiting) = ground.wire(accept());
    ground.run();
    drop(incoming);
    ground.run();
    assert_eq!(waiting.seen(), Seen::Eof);
    let (_, _, late) = ground.wire(accept());
    ground.run();
    assert_eq!(late.seen(), Seen::Eof);
    assert_eq!(ground.connections(), 0);
}

#[test]
fn each_connection_is_a_call() {
    let ground = Ground::new();
    let streams = Rc::new(RefCell::new(Vec::new()));
    let kept = Rc::clone(&streams);
    let mut accept = wharf_streams::each(move |stream| {
        stream.writer.write(b"welcome");
        kept.borrow_mut().push(stream);
    });
    let wires: Vec<_> = (0..2).map(|_| ground.wire(accept()).2).collect();
    ground.run();
    assert_eq!(streams.borrow().len(), 2);
    for wire in wires {
        assert_eq!(wire.take(), b"welcome");
    }
}

#[test]
fn a_queue_is_a_stream_of_the_futures_crates() {
    use std::pin::Pin;

    use futures_core::Stream as _;

    let ground = Ground::new();
    let (mut accept, mut incoming) = wharf_streams::incoming(2);
    let (_, _, _wire) = ground.wire(accept());
    drop(accept);
    let mut next =
        || ground.block_on(std::future::poll_fn(|cx| Pin::new(&mut incoming).poll_next(cx)));
    assert!(next().is_some());
    assert!(next().is_none());
}
