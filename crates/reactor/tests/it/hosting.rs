//! A loop inside another one: its descriptor is readable when a turn has something to do, besides what
//! `next_timeout` tells.

use std::cell::{Cell, RefCell};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use wharf_core::driver::Readiness;
use wharf_core::schedule::Settle;
use wharf_core::{Clock, Scheduler};
use wharf_reactor::source::{Registration, Source};
use wharf_reactor::{EventLoop, SystemClock, oneshot};

use crate::support::{Log, Path, builder, event_loop, manual_loop, panic_of, run_until, turns};

both_paths!(
    an_idle_loop_has_no_timeout,
    what_is_queued_is_something_to_do,
    what_is_enlisted_is_something_to_do_until_it_is_settled,
    what_a_panic_has_cut_off_is_something_to_do,
    what_was_found_when_the_future_of_the_run_panicked_is_something_to_do,
    a_turn_without_timers_does_not_ask_what_time_it_is,
    a_spawned_task_is_something_to_do,
    a_task_that_was_woken_at_the_end_of_a_turn_is_something_to_do,
    the_next_timer_bounds_the_wait_and_a_day_does,
    under_a_manual_clock_a_timer_bounds_nothing_until_it_is_due,
    a_hosted_loop_runs_its_timers,
    a_hosted_loop_is_woken_by_readiness,
    a_post_makes_the_loops_descriptor_readable,
    a_loop_may_take_a_turn_inside_a_callback_of_another,
);

/// Runs `inner` inside `outer`, which sleeps as long as `inner` lets it, until `done`.
fn host_until(outer: &mut EventLoop, inner: EventLoop, done: impl Fn() -> bool) -> EventLoop {
    let inner = Rc::new(RefCell::new(inner));
    let descriptor = Rc::new(inner.borrow().as_fd().try_clone_to_owned().unwrap());
    let late = Rc::new(Cell::new(false));
    let ring = Rc::clone(&late);
    let bell = outer.call_later(Duration::from_secs(20), move || ring.set(true));
    let hosted = Rc::clone(&inner);
    outer.add_reader(Rc::clone(&descriptor), move || turns(&mut hosted.borrow_mut(), 1)).unwrap();
    while !done() {
        assert!(!late.get(), "nothing woke the host");
        let timeout = inner.borrow().next_timeout();
        outer.turn(timeout).unwrap();
        turns(&mut inner.borrow_mut(), 1);
    }
    bell.cancel();
    outer.remove_reader(&descriptor);
    Rc::try_unwrap(inner).unwrap_or_else(|_| unreachable!("the reader is gone")).into_inner()
}

fn an_idle_loop_has_no_timeout(path: Path) {
    let mut ev = event_loop(path);
    assert_eq!(ev.next_timeout(), None);
    turns(&mut ev, 2);
    assert_eq!(ev.next_timeout(), None);
}

fn what_is_queued_is_something_to_do(path: Path) {
    let mut ev = event_loop(path);
    ev.call_soon(|| {});
    assert_eq!(ev.next_timeout(), Some(Duration::ZERO));
    turns(&mut ev, 1);
    assert_eq!(ev.next_timeout(), None);
    ev.stop();
    assert_eq!(ev.next_timeout(), Some(Duration::ZERO), "a stop is not slept over");
    ev.run_forever().unwrap();
    assert_eq!(ev.next_timeout(), None, "a stop ends one run");
    let handle = ev.handle().clone();
    ev.block_on(async move { handle.stop() });
    assert_eq!(ev.next_timeout(), None, "also one that its future has ended");
}

fn what_is_enlisted_is_something_to_do_until_it_is_settled(path: Path) {
    struct Item(Cell<usize>);
    impl Settle for Item {
        fn settle(self: Rc<Self>) {
            self.0.set(self.0.get() + 1);
        }
    }
    let mut ev = event_loop(path);
    let item = Rc::new(Item(Cell::default()));
    for round in 1..=2 {
        ev.enlist(Rc::clone(&item) as Rc<dyn Settle>);
        assert_eq!(ev.next_timeout(), Some(Duration::ZERO));
        turns(&mut ev, 1);
        assert_eq!((item.0.get(), ev.next_timeout()), (round, None));
    }
}

fn what_a_panic_has_cut_off_is_something_to_do(path: Path) {
    /// Panics when it is called for the first time of all.
    struct Clumsy(Rc<Cell<usize>>);
    impl Source for Clumsy {
        fn ready(self: Rc<Self>, _: Readiness) {
            let calls = self.0.get();
            self.0.set(calls + 1);
            assert!(calls > 0, "on purpose");
        }

        fn shut(self: Rc<Self>) {}
    }
    let mut ev = event_loop(path);
    let calls = Rc::new(Cell::new(0));
    let places = [(); 2].map(|()| {
        let place = Registration::new(ev.handle());
        place.attach(Rc::new(Clumsy(Rc::clone(&calls))));
        let (end, _) = UnixStream::pair().unwrap();
        place.poll_once(&end).unwrap();
        (place, end)
    });
    assert_eq!(panic_of(|| ev.turn(Some(Duration::ZERO))), "on purpose");
    assert_eq!(ev.next_timeout(), Some(Duration::ZERO));
    turns(&mut ev, 1);
    assert_eq!((calls.get(), ev.next_timeout()), (2, None));
    places.iter().for_each(|(place, end)| place.close(end));
}

fn what_was_found_when_the_future_of_the_run_panicked_is_something_to_do(path: Path) {
    struct Counting(Rc<Cell<usize>>);
    impl Source for Counting {
        fn ready(self: Rc<Self>, _: Readiness) {
            self.0.set(self.0.get() + 1);
        }

        fn shut(self: Rc<Self>) {}
    }
    let mut ev = event_loop(path);
    let calls = Rc::new(Cell::new(0));
    let place = Registration::new(ev.handle());
    place.attach(Rc::new(Counting(Rc::clone(&calls))));
    let (end, _) = UnixStream::pair().unwrap();
    place.poll_once(&end).unwrap();
    assert_eq!(panic_of(|| ev.block_on(async { panic!("on purpose") })), "on purpose");
    assert_eq!((calls.get(), ev.next_timeout()), (0, Some(Duration::ZERO)));
    turns(&mut ev, 1);
    assert_eq!((calls.get(), ev.next_timeout()), (1, None));
    place.close(&end);
}

fn a_turn_without_timers_does_not_ask_what_time_it_is(path: Path) {
    struct Counting(Rc<Cell<usize>>);
    impl Clock for Counting {
        fn now(&self) -> Instant {
            self.0.set(self.0.get() + 1);
            SystemClock.now()
        }
    }
    let asked = Rc::new(Cell::new(0));
    let clock = Counting(Rc::clone(&asked));
    let mut ev = builder(path).clock(clock).build().unwrap();
    ev.call_later(Duration::ZERO, || {});
    turns(&mut ev, 2);
    let before = asked.replace(0);
    turns(&mut ev, 2);
    assert!(before > 0 && asked.get() == 0);
}

fn a_spawned_task_is_something_to_do(path: Path) {
    let mut ev = event_loop(path);
    let task = ev.spawn(async {});
    assert_eq!(ev.next_timeout(), Some(Duration::ZERO));
    turns(&mut ev, 1);
    assert!(task.is_finished());
    assert_eq!(ev.next_timeout(), None);
}

fn a_task_that_was_woken_at_the_end_of_a_turn_is_something_to_do(path: Path) {
    let (mut ev, clock) = manual_loop(path);
    let (sender, receiver) = oneshot();
    let task = ev.spawn(receiver);
    turns(&mut ev, 1);
    ev.call_later(Duration::from_secs(1), move || sender.send(3).unwrap());
    clock.advance(Duration::from_secs(1));
    turns(&mut ev, 1); // The timer wakes the task, which is polled in the turn after.
    assert!(!task.is_finished());
    assert_eq!(ev.next_timeout(), Some(Duration::ZERO));
    turns(&mut ev, 1);
    assert!(task.is_finished());
}

fn the_next_timer_bounds_the_wait_and_a_day_does(path: Path) {
    let ev = event_loop(path);
    let day = Duration::from_secs(24 * 60 * 60);
    let far = ev.call_later(10 * day, || {});
    assert_eq!(ev.next_timeout(), Some(day));
    let hour = Duration::from_secs(60 * 60);
    let near = ev.call_later(hour, || {});
    let timeout = ev.next_timeout().unwrap();
    assert!(timeout <= hour && timeout > hour / 2, "{timeout:?}");
    near.cancel();
    assert_eq!(ev.next_timeout(), Some(day), "a cancelled timer bounds nothing");
    far.cancel();
    assert_eq!(ev.next_timeout(), None);
}

fn under_a_manual_clock_a_timer_bounds_nothing_until_it_is_due(path: Path) {
    let (ev, clock) = manual_loop(path);
    ev.call_later(Duration::from_secs(1), || {});
    assert_eq!(ev.next_timeout(), None, "whoever moves the clock takes the next turn");
    clock.advance(Duration::from_secs(1));
    assert_eq!(ev.next_timeout(), Some(Duration::ZERO));
}

fn a_hosted_loop_runs_its_timers(path: Path) {
    let (mut outer, inner) = (event_loop(path), event_loop(path));
    let log = Log::default();
    for (millis, line) in [(3, "second"), (1, "first")] {
        inner.call_later(Duration::from_millis(millis), log.note(line));
    }
    let done = Rc::new(Cell::new(false));
    let last = Rc::clone(&done);
    inner.call_later(Duration::from_millis(5), move || last.set(true));
    host_until(&mut outer, inner, || done.get());
    assert_eq!(log.take(), ["first", "second"]);
}

fn a_hosted_loop_is_woken_by_readiness(path: Path) {
    use std::io::{Read, Write};
    let (mut outer, inner) = (event_loop(path), event_loop(path));
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let ours = Rc::new(ours);
    let got = Rc::new(Cell::new(0));
    let (socket, seen) = (Rc::clone(&ours), Rc::clone(&got));
    let reader = move || {
        let mut byte = [0];
        (&*socket).read_exact(&mut byte).unwrap();
        seen.set(seen.get() + 1);
    };
    inner.add_reader(ours, reader).unwrap();
    let thread = thread::spawn(move || {
        for _ in 0..100 {
            theirs.write_all(b"x").unwrap();
        }
        theirs
    });
    host_until(&mut outer, inner, || got.get() == 100);
    thread.join().unwrap();
}

fn a_post_makes_the_loops_descriptor_readable(path: Path) {
    let (mut outer, mut inner) = (event_loop(path), event_loop(path));
    let posted = Arc::new(AtomicUsize::new(0));
    for round in 1..=20 {
        let (remote, count) = (inner.remote(), Arc::clone(&posted));
        let thread = thread::spawn(move || {
            remote.post(move |_| _ = count.fetch_add(1, Ordering::SeqCst)).unwrap();
        });
        inner = host_until(&mut outer, inner, || posted.load(Ordering::SeqCst) == round);
        thread.join().unwrap();
    }
}

fn a_loop_may_take_a_turn_inside_a_callback_of_another(path: Path) {
    let (mut outer, mut inner) = (event_loop(path), event_loop(path));
    let log = Log::default();
    inner.call_soon(log.note("inner"));
    let note = log.note("outer");
    outer.call_soon(move || {
        turns(&mut inner, 1);
        note();
    });
    let seen = Rc::new(RefCell::new(Vec::new()));
    run_until(&mut outer, || {
        seen.borrow_mut().extend(log.take());
        seen.borrow().len() == 2
    });
    assert_eq!(*seen.borrow(), ["inner", "outer"]);
}
