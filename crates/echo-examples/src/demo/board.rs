//! What the clients of one loop write down together: counts, round trips, and the first thing that went wrong.

use std::cell::{Cell, OnceCell, RefCell};
use std::time::{Duration, Instant};

use wharf::OneshotSender;

use super::histogram::Histogram;

/// Shared by all clients of a fleet.
pub(super) struct Board {
    /// How many clients are still connected.
    pub(super) open: Cell<usize>,
    pub(super) messages: Cell<u64>,
    pub(super) bytes: Cell<u64>,
    pub(super) round_trips: RefCell<Histogram>,
    /// No message is begun from then on.
    pub(super) deadline: OnceCell<Instant>,
    failure: OnceCell<String>,
    over: RefCell<Option<OneshotSender<()>>>,
}

impl Board {
    /// A board for `clients` clients; `over` is told when all are gone or one has failed.
    pub(super) fn new(clients: usize, over: OneshotSender<()>) -> Self {
        Self {
            open: Cell::new(clients),
            messages: Cell::default(),
            bytes: Cell::default(),
            round_trips: RefCell::default(),
            deadline: OnceCell::new(),
            failure: OnceCell::new(),
            over: RefCell::new(Some(over)),
        }
    }

    /// A message has come back, every byte as it was.
    pub(super) fn echoed(&self, bytes: usize, round_trip: Duration) {
        self.messages.set(self.messages.get() + 1);
        self.bytes.set(self.bytes.get() + bytes as u64);
        self.round_trips.borrow_mut().record(round_trip);
    }

    /// A client has ended as it should.
    pub(super) fn left(&self) {
        self.open.set(self.open.get() - 1);
        if self.open.get() == 0 {
            self.end();
        }
    }

    /// A client has failed, which ends the whole; the first failure counts.
    pub(super) fn failed(&self, why: String) {
        let _ = self.failure.set(why);
        self.end();
    }

    /// What went wrong first, if anything did.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    fn end(&self) {
        if let Some(over) = self.over.take() {
            let _ = over.send(());
        }
    }
}
