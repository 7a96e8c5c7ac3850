//! [`Admission`]: how many handshakes a loop has under way, and how many it begins in a turn (rule T12).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use wharf_core::Scheduler;

use crate::host::LayerHost;
use crate::layer::Layer;
use crate::settings::ServerConfig;

/// How many of those who wait are asked again when a turn begins: more than any turn admits.
const ASKED: usize = 256;

/// The handshakes of the servers on one loop.
#[derive(Default)]
pub(crate) struct Admission {
    under_way: Cell<usize>,
    begun: Cell<usize>,
    waiting: RefCell<VecDeque<Weak<Layer>>>,
}

/// The place of one handshake; dropping it gives the place to the next.
pub(crate) struct Ticket(Rc<Admission>);

impl Admission {
    /// The one of this loop.
    pub(crate) fn of(host: &LayerHost) -> Rc<Self> {
        host.resources().get(Self::default)
    }

    /// Admits a handshake, or puts it into the line. Whoever waits is settled when it is worth asking again.
    pub(crate) fn admit(
        self: &Rc<Self>,
        layer: &Weak<Layer>,
        config: &ServerConfig,
        host: &LayerHost,
    ) -> Option<Ticket> {
        let room = self.under_way.get() < config.max_handshakes;
        if !room || self.begun.get() >= config.handshakes_per_turn {
            let mut waiting = self.waiting.borrow_mut();
            // Whoever has left meanwhile is forgotten as the line moves: the first in it has waited longest.
            while waiting.front().is_some_and(|first| first.strong_count() == 0) {
                waiting.pop_front();
            }
            waiting.push_back(Weak::clone(layer));
            return None;
        }
        if self.begun.get() == 0 {
            let admission = Rc::downgrade(self);
            host.call_soon(Box::new(move || {
                if let Some(admission) = admission.upgrade() {
                    admission.begun.set(0);
                    admission.ask(ASKED);
                }
            }));
        }
        self.begun.set(self.begun.get() + 1);
        self.under_way.set(self.under_way.get() + 1);
        Some(Ticket(Rc::clone(self)))
    }

    /// Lets the first `count` in the line ask again. Those who have left do not count, though somebody may hold them still.
    fn ask(&self, mut count: usize) {
        while count > 0 {
            let first = self.waiting.borrow_mut().pop_front();
            let Some(first) = first else { return };
            if first.upgrade().is_some_and(|layer| layer.enlist()) {
                count -= 1;
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.under_way.set(self.0.under_way.get() - 1);
        self.0.ask(1);
    }
}
