//! What a connection waits for, and for how long.
//!
//! There is one timer. It is set when a wait ends before it is due, and looks again otherwise: a busy connection costs
//! no timer operation per request.

use std::cell::RefCell;
use std::rc::Weak;
use std::time::{Duration, Instant};

use wharf::schedule::{Timer, deadline};
use wharf::{Scheduler, TransportRef};
use wharf_examples::output::Output;

use super::{Connection, Stage};
use crate::limits::Limits;
use crate::status::Status;

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Awaited {
    Request,
    /// For the rest of one.
    Head,
    Body,
    /// For the client to take what is queued, which was so much.
    Room(usize),
    /// For the client to end its side.
    End,
}

impl Awaited {
    fn patience(self, limits: &Limits) -> Duration {
        match self {
            Self::Request => limits.idle_time,
            Self::Head => limits.head_time,
            Self::Body => limits.body_time,
            Self::Room(_) => limits.send_time,
            Self::End => limits.linger_time,
        }
    }
}

#[derive(Default)]
pub(super) struct Watch {
    /// What is waited for, and since when.
    wait: Option<(Awaited, Instant)>,
    /// When the timer is due.
    timer: Option<(Instant, Box<dyn Timer>)>,
}

impl Watch {
    pub(super) fn stop(&mut self) {
        // Otherwise the timer would keep the handle until it is due.
        if let Some((_, timer)) = self.timer.take() {
            timer.cancel();
        }
    }

    fn set(
        &mut self,
        due: Instant,
        scheduler: &dyn Scheduler,
        transport: &TransportRef,
        me: &Weak<RefCell<Connection>>,
    ) {
        if self.timer.as_ref().is_some_and(|(set, _)| *set <= due) {
            return;
        }
        self.stop();
        let (me, transport) = (Weak::clone(me), transport.clone());
        let timer = scheduler.call_at(
            due,
            Box::new(move || {
                if let Some(me) = me.upgrade() {
                    me.borrow_mut().look(&transport);
                }
            }),
        );
        self.timer = Some((due, timer));
    }
}

impl Connection {
    /// Notes what is waited for; `anew` if it is not what was waited for before, though it is called the same.
    pub(super) fn wait(
        &mut self,
        waiting: Awaited,
        anew: bool,
        now: Instant,
        transport: &TransportRef,
    ) {
        let since = match self.watch.wait {
            // A head and a goodbye have one time for all of it; every piece of a body has its own.
            Some((before @ (Awaited::Head | Awaited::End), since))
                if before == waiting && !anew =>
            {
                since
            }
            _ => now,
        };
        self.watch.wait = Some((waiting, since));
        if let Some(scheduler) = &self.scheduler {
            let due = deadline(since, waiting.patience(&self.site.limits));
            self.watch.set(due, &**scheduler, transport, &self.me);
        }
    }

    /// The timer is due: is the patience at its end?
    fn look(&mut self, transport: &TransportRef) {
        self.watch.timer = None;
        let (Some((waiting, since)), Some(scheduler)) = (self.watch.wait, self.scheduler.clone())
        else {
            return;
        };
        let now = scheduler.now();
        let due = deadline(since, waiting.patience(&self.site.limits));
        if now < due {
            return self.watch.set(due, &*scheduler, transport, &self.me);
        }
        match waiting {
            Awaited::Request | Awaited::End => transport.close(),
            Awaited::Head | Awaited::Body => self.give_up(Status::RequestTimeout, transport),
            Awaited::Room(before) => {
                let queued = transport.write_buffer_len();
                if queued < before {
                    self.wait(Awaited::Room(queued), true, now, transport);
                } else {
                    transport.fail("the client takes nothing of its answer".into());
                }
            }
        }
    }

    /// Ends the connection in the midst of a request; says so unless an answer has begun.
    pub(super) fn give_up(&mut self, status: Status, transport: &TransportRef) {
        let Some(scheduler) = &self.scheduler else { return };
        let now = scheduler.now();
        let mut output = Output::new(transport, Vec::new());
        self.input = Vec::new();
        match &self.stage {
            Stage::Body(exchange, _) if exchange.begun => self.leave(&mut output),
            _ => self.refuse(status, now, &mut output),
        };
        self.wait(Awaited::End, true, now, transport);
    }
}
