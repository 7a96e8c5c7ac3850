//! Timers on the loop: many, at once, in order; and the waits between them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use wharf_reactor::{LoopHandle, TimerHandle};

use crate::support::{Drops, Log, Path, event_loop, manual_loop, run_until, turns};

both_paths!(
    a_hundred_thousand_timers_run_in_order,
    a_hundred_thousand_timers_are_cancelled,
    equal_deadlines_run_in_the_order_in_which_they_were_set,
    a_timer_that_is_set_by_a_timer_waits_for_the_next_turn,
    a_timer_may_cancel_another_of_the_same_turn,
    a_timer_that_is_reset_runs_once_and_no_earlier,
    a_deadline_is_never_early,
    the_time_of_a_turn_stands_still_until_it_ends,
    each_turn_of_a_run_has_a_time_of_its_own,
    a_wait_is_not_cut_into_small_steps,
    timers_that_panic_do_not_hold_up_the_others,
);

const MANY: u64 = 100_000;

fn a_hundred_thousand_timers_run_in_order(path: Path) {
    let (mut ev, clock) = manual_loop(path);
    let ran = Rc::new(RefCell::new(Vec::new()));
    for number in 0..MANY {
        // A step that is coprime to the count visits every deadline once, far from in order.
        let deadline = number * 7919 % MANY;
        let ran = Rc::clone(&ran);
        ev.call_later(Duration::from_micros(deadline), move || ran.borrow_mut().push(deadline));
    }
    assert_eq!(ev.statistics().timers, MANY as usize);
    clock.advance(Duration::from_micros(MANY / 2 - 1));
    turns(&mut ev, 1);
    assert_eq!(ran.borrow().len() as u64, MANY / 2, "all that are due run in one turn");
    clock.advance(Duration::from_micros(MANY));
    turns(&mut ev, 1);
    assert!(ran.borrow().iter().copied().eq(0..MANY));
    assert_eq!(ev.statistics().timers, 0);
}

fn a_hundred_thousand_timers_are_cancelled(path: Path) {
    let (mut ev, clock) = manual_loop(path);
    let drops = Drops::default();
    let timers: Vec<TimerHandle> = (0..MANY)
        .map(|number| {
            let token = drops.token();
            ev.call_later(Duration::from_micros(number), move || {
                let _token = token;
                assert_eq!(number % 10, 0, "it was cancelled");
            })
        })
        .collect();
    for (_, timer) in timers.iter().enumerate().filter(|(number, _)| number % 10 != 0) {
        timer.cancel();
        timer.cancel();
    }
    assert_eq!(drops.count() as u64, MANY / 10 * 9, "a callback goes with its timer");
    clock.advance(Duration::from_secs(1));
    turns(&mut ev, 1);
    assert_eq!(drops.count() as u64, MANY);
    timers.iter().for_each(TimerHandle::cancel);
}

fn equal_deadlines_run_in_the_order_in_which_they_were_set(path: Path) {
    let (mut ev, clock) = manual_loop(path);
    let ran = Rc::new(RefCell::new(Vec::new()));
    let deadline = ev.now() + Duration::from_secs(1);
    for number in 0..1000 {
        let ran = Rc::clone(&ran);
        ev.call_at(deadline, move || ran.borrow_mut().push(number));
    }
    clock.advance(Duration::from_secs(1));
    turns(&mut ev, 1);
    assert!(ran.borrow().iter().copied().eq(0..1000));
}

fn a_timer_that_is_set_by_a_timer_waits_for_the_next_turn(path: Path) {
    fn again(handle: &LoopHandle, count: &Rc<Cell<usize>>) {
        let (inner, seen) = (handle.clone(), Rc::clone(count));
        handle.call_later(Duration::ZERO, move || {
            seen.set(seen.get() + 1);
            again(&inner, &seen);
        });
    }
    let (mut ev, _clock) = manual_loop(path);
    let count = Rc::new(Cell::new(0));
    again(ev.handle(), &count);
    for turn in 1..=5 {
        turns(&mut ev, 1);
        assert_eq!(count.get(), turn);
    }
}

fn a_timer_may_cancel_another_of_the_same_turn(path: Path) {
    let (mut ev, clock) = manual_loop(path);
    let log = Log::default();
    let second = Rc::new(RefCell::new(None::<TimerHandle>));
    let (inner, other) = (log.clone(), Rc::clone(&second));
    ev.call_later(Duration::from_secs(1), move || {
        inner.add("first");
        other.take().unwrap().cancel();
    });
    *second.borrow_mut() = Some(ev.call_later(Duration::from_secs(1), log.note("second")));
    clock.advance(Duration::from_secs(1));
    turns(&mut ev, 2);
    assert_eq!(log.take(), ["first"]);
}

fn a_timer_that_is_reset_runs_once_and_no_earlier(path: Path) {
    let (mut ev, clock) = manual_loop(path);
    let second = Duration::from_secs(1);
    let log = Log::default();
    let mut timer = ev.call_later(second, log.note("ran"));
    ev.call_later(2 * second, log.note("another"));
    for _ in 0..3 {
        clock.advance(second / 2);
        assert!(timer.reset(second));
        turns(&mut ev, 1);
    }
    assert_eq!(timer.when(), ev.now() + second);
    clock.advance(second / 2);
    turns(&mut ev, 1);
    assert_eq!(log.take(), ["another"]);
    let sooner = ev.now();
    assert!(timer.reset_at(sooner));
    turns(&mut ev, 1);
    assert_eq!(log.take(), ["ran"]);
    assert!(!timer.reset(second) && !timer.reset_at(ev.now()), "it has run");
    assert_eq!(timer.when(), sooner, "nothing was changed");
    let mut late = ev.call_later(second, log.note("late"));
    drop(ev);
    assert!(!late.reset(second) && !late.reset_at(sooner), "the loop is gone");
    assert_eq!(log.take(), [] as [&str; 0]);
}

fn a_deadline_is_never_early(path: Path) {
    let mut ev = event_loop(path);
    let left = Rc::new(Cell::new(0));
    for micros in [0, 1, 10, 100, 999, 1000, 1001, 2500] {
        let (handle, left) = (ev.handle().clone(), Rc::clone(&left));
        let deadline = ev.now() + Duration::from_micros(micros);
        left.set(left.get() + 1);
        let count = Rc::clone(&left);
        ev.call_at(deadline, move || {
            assert!(handle.now() >= deadline);
            count.set(count.get() - 1);
        });
    }
    run_until(&mut ev, || left.get() == 0);
}

fn the_time_of_a_turn_stands_still_until_it_ends(path: Path) {
    let (mut ev, clock) = manual_loop(path);
    let step = Duration::from_millis(1);
    let start = ev.now();
    let handle = ev.handle().clone();
    let ticker = clock.clone();
    let seen = Rc::new(Cell::new(None));
    let saw = Rc::clone(&seen);
    ev.call_soon(move || {
        let first = handle.turn_time();
        ticker.advance(step);
        saw.set(Some((first, handle.turn_time(), handle.now())));
    });
    turns(&mut ev, 1);
    assert_eq!(seen.get(), Some((start, start, start + step)));
    assert_eq!(ev.turn_time(), start + step, "outside of a turn it is the time now");
    clock.advance(step);
    assert_eq!(ev.turn_time(), start + 2 * step);
}

fn each_turn_of_a_run_has_a_time_of_its_own(path: Path) {
    let (mut ev, clock) = manual_loop(path);
    let (step, start, handle) = (Duration::from_millis(1), ev.now(), ev.handle().clone());
    let seen = Rc::new(Cell::new(None));
    let saw = Rc::clone(&seen);
    ev.call_soon(move || {
        let first = handle.turn_time();
        clock.advance(step);
        let later = handle.clone();
        handle.call_soon(move || {
            saw.set(Some((first, later.turn_time())));
            later.stop();
        });
    });
    ev.run_forever().unwrap();
    assert_eq!(seen.get(), Some((start, start + step)));
}

fn a_wait_is_not_cut_into_small_steps(path: Path) {
    let mut ev = event_loop(path);
    let before = ev.statistics().turns;
    let handle = ev.handle().clone();
    ev.call_later(Duration::from_micros(2500), move || handle.stop());
    ev.run_forever().unwrap();
    let turns = ev.statistics().turns - before;
    assert!(turns <= 2, "{turns} turns for one timer");
}

fn timers_that_panic_do_not_hold_up_the_others(path: Path) {
    let (mut ev, _clock) = manual_loop(path);
    let log = Log::default();
    ev.call_later(Duration::ZERO, || panic!("clumsy timer"));
    ev.call_later(Duration::ZERO, log.note("next"));
    assert_eq!(crate::support::panic_of(|| turns(&mut ev, 1)), "clumsy timer");
    assert_eq!(log.take(), ["next"]);
}
