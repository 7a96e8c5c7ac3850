//! The rules that are the loop's own: not from inside, not borrowed, no global state, and one door for time.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use wharf::memory::Stage;
use wharf::{EventLoop, Protocol, TransportRef, tcp, unix};

use super::{Lines, manual_loop, panic_of, run_until, turns};
use crate::support::{Call, Log, new_loop};

// invariant: T10
#[test]
fn a_loop_is_not_run_from_inside_its_callbacks() {
    // An `EventLoop` is run by `&mut`, so a callback has no safe way to it; a stage is shared.
    let stage = Rc::new(Stage::new());
    let inner = Rc::clone(&stage);
    let said = Rc::new(RefCell::new(String::new()));
    let message = Rc::clone(&said);
    stage.call_soon(move || *message.borrow_mut() = panic_of(|| inner.turn()));
    assert!(stage.turn());
    assert_eq!(*said.borrow(), "a stage cannot take a turn from inside one of its callbacks");
    assert!(!stage.turn(), "the stage is as good as before");

    let mut ev = new_loop();
    let (handle, running) = (ev.handle().clone(), Rc::new(RefCell::new(None)));
    let seen = Rc::clone(&running);
    ev.call_soon(move || *seen.borrow_mut() = Some(handle.is_running()));
    turns(&mut ev, 1);
    assert_eq!((running.take(), ev.is_running()), (Some(true), false));
}

struct Keeper(Vec<u8>);

impl Protocol for Keeper {
    fn data_received(&mut self, _: &TransportRef, data: &[u8]) {
        self.0.extend_from_slice(data);
    }
}

/// A loop with a protocol on it whose peer has sent something.
fn kept() -> (EventLoop, Rc<RefCell<Keeper>>, UnixStream) {
    let mut ev = new_loop();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let handle = ev.handle().clone();
    let (_, keeper) = ev.block_on(unix::adopt(&handle, ours, || Keeper(Vec::new()))).unwrap();
    theirs.write_all(b"data").unwrap();
    (ev, keeper, theirs)
}

// invariant: T11
#[test]
fn a_borrow_that_is_held_across_a_turn_panics_with_the_protocols_name() {
    let (mut ev, keeper, _peer) = kept();
    let borrow = keeper.borrow();
    let message = panic_of(|| ev.turn(None));
    assert!(message.contains("::Keeper is borrowed while the loop runs"), "{message}");
    drop(borrow);

    let stage = Stage::new();
    let (_, keeper, wire) = stage.wire(Keeper(Vec::new()));
    stage.run();
    wire.send(b"data");
    let borrow = keeper.borrow_mut();
    let message = panic_of(|| stage.run());
    assert!(message.contains("::Keeper is borrowed while the loop runs"), "{message}");
    drop(borrow);
}

#[test]
fn nothing_is_lost_when_the_panic_over_a_borrow_is_caught() {
    let (mut ev, keeper, mut peer) = kept();
    let borrow = keeper.borrow();
    panic_of(|| ev.turn(None));
    drop(borrow);
    turns(&mut ev, 1);
    assert_eq!(keeper.borrow().0, b"data");
    peer.write_all(b" and more").unwrap();
    run_until(&mut ev, || keeper.borrow().0 == b"data and more");
}

/// A server and a client that tells it something, on one loop.
fn conversation(text: &str) -> String {
    let mut ev = new_loop();
    let handle = ev.handle().clone();
    let heard: Rc<RefCell<Vec<u8>>> = Rc::default();
    struct Ear(Rc<RefCell<Vec<u8>>>);
    impl Protocol for Ear {
        fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
            self.0.borrow_mut().extend_from_slice(data);
            transport.write(data);
        }
    }
    let ear = Rc::clone(&heard);
    let echo = Rc::new(RefCell::new(Keeper(Vec::new())));
    let client = Rc::clone(&echo);
    let server = ev.block_on(async {
        let factory = move || Ear(Rc::clone(&ear));
        let server = tcp::listen(&handle, (Ipv4Addr::LOCALHOST, 0), factory).await.unwrap();
        let port = server.addresses()[0].port().unwrap();
        let to = (Ipv4Addr::LOCALHOST, port);
        let (transport, _) = tcp::connect(&handle, to, || client).await.unwrap();
        transport.write(text.as_bytes());
        server
    });
    run_until(&mut ev, || echo.borrow().0 == text.as_bytes());
    assert_eq!(*heard.borrow(), text.as_bytes());
    drop(server);
    text.to_owned()
}

// invariant: L6
#[test]
fn two_loops_live_in_one_process() {
    // One after the other, in one thread.
    for text in ["first", "second"] {
        assert_eq!(conversation(text), text);
    }
    // One per thread, at the same time.
    let together = Arc::new(Barrier::new(2));
    let threads = ["third", "fourth"].map(|text| {
        let together = Arc::clone(&together);
        thread::spawn(move || {
            together.wait();
            (0..20).for_each(|_| drop(conversation(text)));
        })
    });
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    // Two in one thread, by turns: what is on the one is not run by the other.
    let (mut one, mut other) = (new_loop(), new_loop());
    let lines = Lines::default();
    one.call_soon(lines.note("one"));
    other.call_soon(lines.note("other"));
    turns(&mut one, 3);
    assert_eq!(lines.take(), ["one"]);
    turns(&mut other, 1);
    assert_eq!(lines.take(), ["other"]);
    assert!(one.handle() != other.handle());
    drop(one);
    turns(&mut other, 1);
    assert!(!other.is_closed());
}

// invariant: L7
#[test]
fn under_a_clock_that_stands_still_no_time_passes() {
    let (mut ev, clock) = manual_loop();
    let lines = Lines::default();
    let handle = ev.handle().clone();
    // Everything that waits for time: a timer, a sleep, a deadline, a close that makes no progress.
    let minute = Duration::from_secs(60);
    ev.call_later(minute, lines.note("timer"));
    let (sleeper, inner) = (handle.clone(), lines.clone());
    ev.spawn(async move {
        sleeper.sleep(minute).await;
        inner.add("sleep");
    })
    .detach();
    let (waiter, inner) = (handle.clone(), lines.clone());
    ev.spawn(async move {
        let result = waiter.timeout(minute, std::future::pending::<()>()).await;
        inner.add(format!("deadline {}", result.is_err()));
    })
    .detach();
    let log = Log::new();
    let plain = log.plain();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let (transport, _) = ev.block_on(unix::adopt(&handle, ours, || plain)).unwrap();
    while transport.write_buffer_len() == 0 {
        transport.write(&[7; 64 * 1024]);
        turns(&mut ev, 1);
    }
    transport.close();
    // The system's time goes on meanwhile, by as much as this takes.
    turns(&mut ev, 500);
    assert!(lines.take().is_empty());
    assert!(!log.has(Call::Lost));
    assert_eq!(
        ev.next_timeout(),
        None,
        "and the loop does not sleep towards a time that stands still"
    );

    clock.advance(2 * minute);
    turns(&mut ev, 5);
    let mut seen = lines.take();
    seen.sort();
    assert_eq!(seen, ["deadline true", "sleep", "timer"]);
    assert_eq!(log.why().map(|why| why.name), Some("timed out"));
    theirs.set_nonblocking(true).unwrap();
    assert!(theirs.read(&mut [0; 16]).is_ok());
}
