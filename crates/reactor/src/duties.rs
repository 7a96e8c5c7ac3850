//! [`Duties`]: what a turn may have to do besides waiting and handing out readiness, as one word.
//!
//! Who puts something off notes it here, and the turn that finds nothing left crosses it out; so an idle turn asks one
//! question instead of one for each queue.

use std::cell::Cell;

/// Kinds of duties. One that is not noted is surely not there.
#[derive(Debug, Default)]
pub(crate) struct Duties(Cell<u8>);

/// One kind.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(crate) enum Duty {
    /// Something is enlisted to be settled.
    Settle = 1,
    /// Jobs are queued, or have come in.
    Jobs = 2,
    /// Timers are set.
    Timers = 4,
    /// The run is to end with the turn.
    Stop = 8,
    /// A fault was reported, whose panic may have to be resumed.
    Resume = 16,
    /// A panic has cut the handing out of a batch short. What is left is handed out before the next wait, because what is
    /// polled once is not found again.
    HandOut = 32,
}

impl Duties {
    #[inline]
    pub(crate) fn add(&self, duty: Duty) {
        self.0.set(self.0.get() | duty as u8);
    }

    /// Crosses one out; says whether it was noted.
    #[inline]
    pub(crate) fn cross_out(&self, duty: Duty) -> bool {
        let noted = self.has(duty);
        self.0.set(self.0.get() & !(duty as u8));
        noted
    }

    #[inline]
    pub(crate) fn has(&self, duty: Duty) -> bool {
        self.0.get() & duty as u8 != 0
    }

    #[inline]
    pub(crate) fn are_none(&self) -> bool {
        self.0.get() == 0
    }

    /// Whether one of them does not let the loop sleep.
    #[inline]
    pub(crate) fn are_due(&self) -> bool {
        const DUE: u8 =
            Duty::Settle as u8 | Duty::Jobs as u8 | Duty::Stop as u8 | Duty::HandOut as u8;
        self.0.get() & DUE != 0
    }
}

#[cfg(test)]
mod tests {
    //! Here and not among the stories: in most of those, a loop that overlooks a duty sleeps for ever.

    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::rc::Rc;
    use std::time::Duration;

    use wharf_core::Fault;
    use wharf_core::guard::FaultReport;
    use wharf_core::schedule::{Scheduler, Settle};

    use super::*;
    use crate::{EventLoop, FaultPolicy};

    /// How often it was called, or settled.
    #[derive(Clone, Default)]
    struct Count(Rc<Cell<u32>>);

    impl Count {
        fn add(&self) {
            self.0.set(self.0.get() + 1);
        }
    }

    impl Settle for Count {
        fn settle(self: Rc<Self>) {
            self.add();
        }
    }

    fn duties(ev: &EventLoop) -> &Duties {
        &ev.handle().0.duties
    }

    /// What is put off on a loop at rest is noted, keeps it awake, is done by the next turn, and is crossed out then.
    #[track_caller]
    fn is_done_by_a_turn(duty: Duty, put_off: impl FnOnce(&EventLoop, Count)) {
        let mut ev = EventLoop::new().unwrap();
        let done = Count::default();
        put_off(&ev, done.clone());
        assert!(duties(&ev).has(duty), "it is noted");
        assert_eq!(ev.next_timeout(), Some(Duration::ZERO), "the loop does not sleep over it");
        ev.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(done.0.get(), 1);
        assert!(duties(&ev).are_none());
    }

    #[test]
    fn what_is_put_off_is_noted_and_done_by_the_next_turn() {
        is_done_by_a_turn(Duty::Jobs, |ev, done| drop(ev.call_soon(move || done.add())));
        is_done_by_a_turn(Duty::Timers, |ev, done| {
            drop(ev.call_later(Duration::ZERO, move || done.add()));
        });
        is_done_by_a_turn(Duty::Settle, |ev, done| ev.handle().enlist(Rc::new(done)));
    }

    #[test]
    fn what_others_have_posted_is_done_by_a_turn_that_finds_it() {
        // Found where a turn takes what has come, and where it would go to sleep.
        for timeout in [Some(Duration::ZERO), None] {
            let mut ev = EventLoop::new().unwrap();
            let mut answer = ev.remote().ask(|_| ());
            ev.turn(timeout).unwrap();
            assert!(answer.wait(Duration::ZERO).is_ok(), "{timeout:?}");
            assert!(duties(&ev).are_none());
        }
    }

    #[test]
    fn a_stop_is_noted_and_served_once() {
        let mut ev = EventLoop::new().unwrap();
        ev.stop();
        assert!(duties(&ev).has(Duty::Stop));
        assert_eq!(ev.next_timeout(), Some(Duration::ZERO));
        ev.run_forever().unwrap();
        assert!(duties(&ev).are_none());
    }

    #[test]
    fn a_fault_to_be_resumed_is_noted_and_resumed_once() {
        let mut ev = EventLoop::builder().fault_policy(FaultPolicy::Resume).build().unwrap();
        ev.report(FaultReport::broken_rule(Fault::new("test", "to be resumed")));
        let mut turn = || ev.turn(Some(Duration::ZERO));
        assert!(catch_unwind(AssertUnwindSafe(&mut turn)).is_err());
        turn().unwrap();
        assert!(duties(&ev).are_none());
    }
}
