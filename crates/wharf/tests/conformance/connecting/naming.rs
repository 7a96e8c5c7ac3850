//! From a name to addresses: who is asked, for what, and where.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use wharf::{LoopHandle, Resolution, Resolver, tcp};

use crate::servers::rig::{Story, TestLoop, address};
use crate::support::loop_builder;

/// Answers every question alike, and remembers it.
#[derive(Clone, Default)]
pub(crate) struct Known {
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) asked: Rc<RefCell<Vec<String>>>,
}

impl Known {
    pub(crate) fn of(addresses: impl Into<Vec<SocketAddr>>) -> Self {
        Self { addresses: addresses.into(), asked: Rc::default() }
    }
}

impl Resolver for Known {
    fn resolve(&self, _: &LoopHandle, host: &str, port: u16) -> Resolution {
        self.asked.borrow_mut().push(format!("{host} {port}"));
        let addresses = self.addresses.clone();
        Box::pin(async { Ok(addresses) })
    }
}

/// Must not be asked.
struct Nobody;

impl Resolver for Nobody {
    fn resolve(&self, _: &LoopHandle, host: &str, _: u16) -> Resolution {
        panic!("{host} is no name")
    }
}

#[test]
fn c_02_addresses_are_not_resolved() {
    let mut ev = TestLoop::of(loop_builder().resolver(Nobody));
    let story = Story::new();
    let server = ev.finish(tcp::listen(&ev.handle, ("127.0.0.1", 0), story.factory())).unwrap();
    let at = address(&server);
    let port = at.port();
    ev.finish(tcp::connect(&ev.handle, at, story.factory())).unwrap();
    ev.finish(tcp::connect(&ev.handle, at.to_string(), story.factory())).unwrap();
    ev.finish(tcp::connect(&ev.handle, ("127.0.0.1", port), story.factory())).unwrap();
    ev.finish(tcp::connect(&ev.handle, (Ipv4Addr::LOCALHOST, port), story.factory())).unwrap();
    // Whether there is an IPv6 loopback or not, nobody is asked.
    let _ = ev.finish(tcp::connect(&ev.handle, ("::1", port), story.factory()));
    let _ = ev.finish(tcp::connect(&ev.handle, ("[::1]", port), story.factory()));
    let _ = ev.finish(tcp::connect(&ev.handle, format!("[::1]:{port}"), story.factory()));
}

#[test]
fn c_03_names_and_zones_with_names_go_to_the_resolver() {
    let known = Known::default();
    let mut ev = TestLoop::of(loop_builder().resolver(known.clone()));
    let story = Story::new();
    for place in ["harbour.example:80", "[fe80::1%eth9]:81", "localhost:82", "1.2.3:83"] {
        ev.finish(tcp::connect(&ev.handle, place, story.factory())).unwrap_err();
    }
    let asked = ["harbour.example 80", "fe80::1%eth9 81", "localhost 82", "1.2.3 83"];
    assert_eq!(*known.asked.borrow(), asked);
    // A service by name is nothing that this API can say.
    let error = ev.finish(tcp::connect(&ev.handle, "localhost:http", story.factory()));
    assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(known.asked.borrow().len(), 4);
}

/// Blocks a thread of the loop until the test says what the name means.
struct Slow(RefCell<Option<mpsc::Receiver<SocketAddr>>>);

impl Resolver for Slow {
    fn resolve(&self, handle: &LoopHandle, _: &str, _: u16) -> Resolution {
        let answer = self.0.take().unwrap();
        let lookup = handle.spawn_blocking(move || answer.recv_timeout(Duration::from_secs(60)));
        Box::pin(async move {
            let answer = lookup.await.map_err(io::Error::other)?;
            answer.map(|address| vec![address]).map_err(io::Error::other)
        })
    }
}

#[test]
fn c_04_the_loop_lives_on_while_a_name_is_resolved() {
    let (answer, question) = mpsc::channel();
    let mut ev = TestLoop::of(loop_builder().resolver(Slow(RefCell::new(Some(question)))));
    let story = Story::new();
    let server = ev.finish(tcp::listen(&ev.handle, "127.0.0.1:0", story.factory())).unwrap();
    let connect = tcp::connect(&ev.handle, "harbour.example:1", story.factory());
    let task = ev.spawn(connect.into_future());
    let ticks = Rc::new(Cell::new(0));
    for _ in 0..20 {
        let count = Rc::clone(&ticks);
        ev.call_soon(move || count.set(count.get() + 1));
        ev.turn();
    }
    assert_eq!((ticks.get(), task.is_finished()), (20, false));
    answer.send(address(&server)).unwrap();
    ev.finish(task).unwrap().unwrap();
}

#[test]
fn c_04_the_systems_resolver_knows_localhost() {
    let mut ev = TestLoop::new();
    let story = Story::new();
    let server = ev.finish(tcp::listen(&ev.handle, "127.0.0.1:0", story.echoes())).unwrap();
    let port = address(&server).port();
    let connect = tcp::connect(&ev.handle, ("localhost", port), story.factory());
    let (transport, _) = ev.finish(connect).unwrap();
    assert_eq!(transport.peer_addr().unwrap().ip(), Some(address(&server)));
}

#[test]
fn c_13_a_name_without_addresses_is_an_error() {
    let mut ev = TestLoop::of(loop_builder().resolver(Known::default()));
    for delay in [None, Some(Duration::ZERO)] {
        let connect = tcp::connect(&ev.handle, "harbour.example:1", Story::new().factory());
        let error = ev.finish(connect.happy_eyeballs_delay(delay)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("harbour.example"), "{error}");
    }
}

#[test]
fn c_20_a_place_that_is_none_is_refused() {
    let mut ev = TestLoop::new();
    for place in ["", "127.0.0.1", "harbour:", "harbour:99999", "::1:80"] {
        let connect = tcp::connect(&ev.handle, place, Story::new().factory());
        assert_eq!(ev.finish(connect).unwrap_err().kind(), ErrorKind::InvalidInput, "{place:?}");
    }
    let nowhere = Vec::<SocketAddr>::new();
    let connect = tcp::connect(&ev.handle, nowhere, Story::new().factory());
    assert_eq!(ev.finish(connect).unwrap_err().kind(), ErrorKind::InvalidInput);
}
