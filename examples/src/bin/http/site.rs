//! What the connections of one server share: limits, the date, a space to gather answers in, and the order to stop.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::time::Instant;

use wharf::{TransportId, TransportRef};

use crate::connection::Connection;
use crate::date::{Date, Text};
use crate::limits::Limits;

type Connections = HashMap<TransportId, (TransportRef, Weak<RefCell<Connection>>)>;

/// A server's connections, and what they share.
#[derive(Default)]
pub(crate) struct Site {
    pub(crate) limits: Limits,
    date: RefCell<Date>,
    space: Cell<Vec<u8>>,
    stopping: Cell<bool>,
    connections: RefCell<Connections>,
}

impl Site {
    pub(crate) fn new(limits: Limits) -> Rc<Self> {
        Rc::new(Self { limits, ..Self::default() })
    }

    /// The date, as text.
    pub(crate) fn date(&self, now: Instant) -> Text {
        *self.date.borrow_mut().at(now)
    }

    /// An empty space to gather answers in; one connection at a time works with it, so idle ones need none.
    pub(crate) fn take_space(&self) -> Vec<u8> {
        self.space.take()
    }

    pub(crate) fn put_space(&self, space: Vec<u8>) {
        self.space.set(space);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    pub(crate) fn enter(&self, transport: &TransportRef, connection: &Weak<RefCell<Connection>>) {
        let entry = (transport.clone(), Weak::clone(connection));
        self.connections.borrow_mut().insert(transport.id(), entry);
    }

    pub(crate) fn leave(&self, transport: &TransportRef) {
        self.connections.borrow_mut().remove(&transport.id());
    }

    /// Lets every connection end after the answer that it is at; those that wait for a request end now.
    pub(crate) fn stop(&self) {
        self.stopping.set(true);
        let connections: Vec<_> = self.connections.borrow().values().cloned().collect();
        for (transport, connection) in connections {
            if let Some(connection) = connection.upgrade() {
                connection.borrow().stop(&transport);
            }
        }
    }
}
