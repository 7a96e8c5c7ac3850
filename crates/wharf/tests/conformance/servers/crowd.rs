//! Many connections that come and go: nothing is left of them, and nobody is told twice.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use wharf::{KeepOpen, Lost, Protocol, TransportRef, tcp, unix};

use super::process::{alone, open};
use super::rig::{End, Peer, TestLoop, address};
use crate::support::Folder;

/// What happened to everybody.
#[derive(Default)]
struct Count {
    /// For each connection, how often its protocol was told that it was made and that it was lost.
    told: RefCell<Vec<(u8, u8)>>,
    alive: Cell<usize>,
}

/// Sends back what it gets, and ends in one of several ways.
struct Visitor {
    count: Rc<Count>,
    number: usize,
}

impl Protocol for Visitor {
    fn connection_made(&mut self, _: &TransportRef) {
        self.count.told.borrow_mut()[self.number].0 += 1;
    }

    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        transport.write(data);
        match self.number % 5 {
            0 => transport.close(),
            1 => transport.write_eof(),
            _ => {}
        }
    }

    fn eof_received(&mut self, transport: &TransportRef) -> KeepOpen {
        if self.number % 5 == 2 {
            transport.abort();
        }
        KeepOpen::No
    }

    fn connection_lost(&mut self, _: &TransportRef, _: &Lost) {
        self.count.told.borrow_mut()[self.number].1 += 1;
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        self.count.alive.set(self.count.alive.get() - 1);
    }
}

const TOTAL: usize = 10_000;
const BATCH: usize = 250;

/// A batch of visitors, each of whom says a word, hears it, and leaves: by a close, or by a reset, or when it is told to.
fn visit(ev: &mut TestLoop, count: &Count, connect: impl Fn() -> Peer) {
    let mut peers: Vec<Peer> = (0..BATCH).map(|_| connect()).collect();
    peers.iter().for_each(|peer| peer.send(b"word"));
    ev.until(|| peers.iter_mut().all(|peer| peer.received() == b"word"));
    for (place, mut peer) in peers.into_iter().enumerate() {
        match place % 3 {
            0 if peer.end() != Some(End::Eof) => peer.reset(),
            _ => drop(peer),
        }
    }
    ev.until(|| count.alive.get() == 0);
}

#[test]
fn ten_thousand_connections_come_and_go() {
    alone(module_path!(), "ten_thousand_connections_come_and_go", || {
        let mut ev = TestLoop::new();
        let folder = Folder::new();
        let count = Rc::new(Count::default());
        let own = Rc::clone(&count);
        let factory = move || {
            let mut told = own.told.borrow_mut();
            told.push((0, 0));
            own.alive.set(own.alive.get() + 1);
            Visitor { count: Rc::clone(&own), number: told.len() - 1 }
        };
        let path = folder.join("s");
        let shared = Rc::new(RefCell::new(factory));
        let (one, two) = (Rc::clone(&shared), shared);
        let by_tcp = tcp::listen(&ev.handle, "127.0.0.1:0", move || (one.borrow_mut())());
        let by_tcp = ev.finish(by_tcp.backlog(512)).unwrap();
        let by_unix = unix::listen(&ev.handle, path.clone(), move || (two.borrow_mut())());
        let by_unix = ev.finish(by_unix.backlog(512)).unwrap();
        let at = address(&by_tcp);

        visit(&mut ev, &count, || Peer::tcp(at));
        let (before, turns) = (open(), ev.statistics().turns);
        let sources = ev.statistics().sources;
        while count.told.borrow().len() < TOTAL {
            visit(&mut ev, &count, || Peer::tcp(at));
            visit(&mut ev, &count, || Peer::unix(&path));
            assert_eq!((open(), ev.statistics().sources), (before, sources));
        }

        let told = count.told.borrow();
        assert!(told.iter().all(|told| *told == (1, 1)), "made once and lost once, each");
        assert_eq!(by_tcp.connections() + by_unix.connections(), 0);
        let lost: u64 = ev.statistics().lost.iter().sum();
        assert_eq!((ev.statistics().accepted, lost), (told.len() as u64, told.len() as u64));
        // A batch takes a handful of turns. One that spins takes thousands.
        let batches = (told.len() / BATCH) as u64;
        let turns = ev.statistics().turns - turns;
        assert!(turns < batches * 40, "{turns} turns for {batches} batches");
        ev.quieten();
        let events = ev.statistics().events;
        ev.quieten();
        assert_eq!(ev.statistics().events, events, "nothing is left that would be ready");
    });
}
