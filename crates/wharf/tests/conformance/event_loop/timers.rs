//! Timers: order, time, cancelling, and how long a loop sleeps.

use std::cell::{Cell, RefCell};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use super::{Lines, manual_loop, run_until, turns};
use crate::support::new_loop;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn l_04_a_turn_runs_what_was_queued_then_readiness_then_timers() {
    let (mut ev, clock) = manual_loop();
    let lines = Lines::default();
    let (ours, theirs) = UnixStream::pair().unwrap();
    ev.call_later(SECOND, lines.note("timer"));
    ev.add_reader(ours, lines.notes("readable")).unwrap();
    ev.call_soon(lines.note("soon"));
    drop(theirs);
    clock.advance(SECOND);
    turns(&mut ev, 1);
    assert_eq!(lines.take(), ["soon", "readable", "timer"]);
}

#[test]
fn l_05_timers_run_in_order_of_time_and_equal_ones_in_order_of_setting() {
    let (mut ev, clock) = manual_loop();
    let lines = Lines::default();
    let start = ev.now();
    let past = start.checked_sub(Duration::from_millis(1)).unwrap_or(start);
    ev.call_soon(lines.note("soon"));
    for (deadline, name) in [
        (start + Duration::from_millis(60), "60"),
        (start + Duration::from_millis(30), "30"),
        (start, "0"),
        (past, "-1"),
        (start + Duration::from_millis(30), "30 again"),
        (start, "0 again"),
    ] {
        ev.call_at(deadline, lines.note(name));
    }
    turns(&mut ev, 1);
    assert_eq!(lines.take(), ["soon", "-1", "0", "0 again"], "the past runs in the next turn");
    clock.advance(Duration::from_millis(30) - Duration::from_nanos(1));
    turns(&mut ev, 2);
    assert!(lines.take().is_empty(), "never early");
    clock.advance(Duration::from_nanos(1));
    turns(&mut ev, 1);
    assert_eq!(lines.take(), ["30", "30 again"], "a deadline that is exactly now is due");
    clock.advance(SECOND);
    turns(&mut ev, 1);
    assert_eq!(lines.take(), ["60"]);
}

#[test]
fn l_06_a_cancelled_timer_never_runs_and_many_of_them_do_not_pile_up() {
    let (mut ev, clock) = manual_loop();
    let token = Rc::new(());
    for _ in 0..100_000 {
        let held = Rc::clone(&token);
        ev.call_later(1_000_000 * SECOND, move || panic!("{held:?} was cancelled")).cancel();
    }
    assert_eq!(ev.statistics().timers, 0);
    assert_eq!(Rc::strong_count(&token), 1, "a callback goes when its timer is cancelled");
    clock.advance(2_000_000 * SECOND);
    turns(&mut ev, 2);
}

#[test]
fn l_07_a_timer_tells_its_time_and_cancelling_it_too_late_is_harmless() {
    let (mut ev, clock) = manual_loop();
    let lines = Lines::default();
    let timer = ev.call_later(SECOND, lines.note("ran"));
    assert_eq!(timer.when(), ev.now() + SECOND);
    clock.advance(SECOND);
    turns(&mut ev, 1);
    timer.cancel();
    timer.cancel();
    let next = ev.call_later(Duration::ZERO, lines.note("next"));
    timer.cancel();
    turns(&mut ev, 1);
    assert_eq!(lines.take(), ["ran", "next"], "a spent timer cancels nobody else");
    assert!(next.when() > timer.when() - SECOND);
}

#[test]
fn l_18_a_turn_sleeps_until_the_next_timer_and_never_longer_than_a_day() {
    let mut ev = new_loop();
    let day = 24 * 60 * 60 * SECOND;
    assert_eq!(ev.next_timeout(), None, "nothing to wait for");
    let far = ev.call_later(100 * day, || {});
    assert_eq!(ev.next_timeout(), Some(day));
    let soon = ev.call_soon(|| {});
    assert_eq!(ev.next_timeout(), Some(Duration::ZERO), "not while something is queued");
    soon.cancel();
    turns(&mut ev, 1);
    far.cancel();

    let before = ev.statistics().turns;
    let rang = Rc::new(Cell::new(false));
    let ring = Rc::clone(&rang);
    ev.call_later(Duration::from_micros(3700), move || ring.set(true));
    run_until(&mut ev, || rang.get());
    let turns = ev.statistics().turns - before;
    assert!(turns <= 2, "{turns} turns: the wait was cut into short ones");
}

#[test]
fn l_19_call_later_counts_from_the_call_and_not_from_the_turns_start() {
    let (mut ev, clock) = manual_loop();
    let set = Rc::new(RefCell::new(None));
    let (handle, long, timer) = (ev.handle().clone(), clock.clone(), Rc::clone(&set));
    ev.call_soon(move || {
        let before = handle.now();
        long.advance(10 * SECOND); // A long callback.
        assert_eq!(handle.now(), before + 10 * SECOND, "the time is not kept for the turn");
        *timer.borrow_mut() = Some(handle.call_later(SECOND, || {}));
    });
    let start = ev.now();
    turns(&mut ev, 1);
    let timer = set.take().unwrap();
    assert_eq!(timer.when(), start + 11 * SECOND);
}
