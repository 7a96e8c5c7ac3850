//! The queue of callbacks: order, turns, cancelling, stopping, other threads, and the end.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use wharf::{Handle, LoopClosed, LoopHandle, TaskError};

use super::{Lines, manual_loop, panic_of, run_until, turns};
use crate::support::new_loop;

#[test]
fn l_01_call_soon_is_first_in_first_out() {
    let mut ev = new_loop();
    let lines = Lines::default();
    for number in 0..5 {
        ev.call_soon(lines.note(&number.to_string()));
    }
    assert!(lines.take().is_empty(), "never at once");
    turns(&mut ev, 1);
    assert_eq!(lines.take(), ["0", "1", "2", "3", "4"]);
}

#[test]
fn l_02_what_a_callback_schedules_runs_in_the_next_turn_after_a_poll() {
    fn again(handle: &LoopHandle, lines: &Lines) {
        let (handle_again, lines_again) = (handle.clone(), lines.clone());
        handle.call_soon(move || {
            lines_again.add("soon");
            again(&handle_again, &lines_again);
        });
    }
    let mut ev = new_loop();
    let lines = Lines::default();
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    ev.add_reader(ours, lines.notes("readable")).unwrap();
    again(ev.handle(), &lines);
    drop(theirs);
    turns(&mut ev, 3);
    assert_eq!(lines.take(), ["soon", "readable"].repeat(3));
}

#[test]
fn l_03_a_cancelled_callback_does_not_run_even_if_cancelled_in_its_own_turn() {
    let mut ev = new_loop();
    let lines = Lines::default();
    let later: Rc<RefCell<Option<Handle>>> = Rc::default();
    let (inner, victim) = (lines.clone(), Rc::clone(&later));
    ev.call_soon(move || {
        let victim = victim.take().unwrap();
        victim.cancel();
        victim.cancel();
        inner.add("first");
    });
    *later.borrow_mut() = Some(ev.call_soon(lines.note("cancelled by the first")));
    let early = ev.call_soon(lines.note("cancelled before"));
    early.cancel();
    early.cancel();
    let last = ev.call_soon(lines.note("last"));
    turns(&mut ev, 1);
    assert_eq!(lines.take(), ["first", "last"]);
    last.cancel();
    ev.call_soon(lines.note("next"));
    last.cancel();
    turns(&mut ev, 1);
    assert_eq!(lines.take(), ["next"], "a spent handle cancels nobody else");
}

#[test]
fn l_08_a_post_wakes_a_sleeping_loop_and_keeps_each_threads_order() {
    let mut ev = new_loop();
    let seen = Arc::new(Mutex::new(vec![Vec::new(); 3]));
    let threads: Vec<_> = (0..3)
        .map(|thread| {
            let (remote, seen) = (ev.remote(), Arc::clone(&seen));
            thread::spawn(move || {
                for post in 0..200 {
                    let seen = Arc::clone(&seen);
                    remote.post(move |_| seen.lock().unwrap()[thread].push(post)).unwrap();
                    if post % 20 == 0 {
                        thread::yield_now();
                    }
                }
            })
        })
        .collect();
    run_until(&mut ev, || seen.lock().unwrap().iter().all(|posts| posts.len() == 200));
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(seen.lock().unwrap().iter().all(|posts| posts.is_sorted()));
}

#[test]
fn l_09_a_closed_loop_takes_nothing_and_is_harmless() {
    let ev = new_loop();
    let (handle, remote) = (ev.handle().clone(), ev.remote());
    drop(ev);
    assert!(handle.is_closed() && remote.is_closed());
    let lines = Lines::default();
    handle.call_soon(lines.note("soon")).cancel();
    handle.call_later(Duration::ZERO, lines.note("later")).cancel();
    assert_eq!(remote.post(|_| {}), Err(LoopClosed));
    remote.stop();
    handle.stop();
    let task = handle.spawn(async {});
    assert_eq!(new_loop().block_on(task), Err(TaskError::Cancelled));
    let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let ours = Rc::new(ours);
    assert!(handle.add_reader(Rc::clone(&ours), || {}).is_err());
    assert!(!handle.remove_reader(&ours));
    assert_eq!(Rc::strong_count(&lines.0), 1, "everything was dropped");
}

#[test]
fn l_10_stop_finishes_the_turn_and_the_rest_stays_for_the_next_run() {
    let (mut ev, _clock) = manual_loop();
    let lines = Lines::default();
    let (handle, inner) = (ev.handle().clone(), lines.clone());
    ev.call_soon(move || {
        handle.stop();
        handle.call_soon(inner.note("a2"));
        inner.add("a");
    });
    ev.call_soon(lines.note("b"));
    ev.call_later(Duration::ZERO, lines.note("timer of the turn"));
    ev.run_forever().unwrap();
    assert_eq!(lines.take(), ["a", "b", "timer of the turn"]);

    ev.stop();
    ev.run_forever().unwrap();
    assert_eq!(lines.take(), ["a2"], "stopping before running runs one turn");
}

#[test]
fn l_40_block_on_gives_the_result_and_refuses_to_be_stopped_before() {
    let mut ev = new_loop();
    let handle = ev.handle().clone();
    assert_eq!(ev.block_on(async { handle.sleep(Duration::ZERO).await }), ());
    let error: Result<(), &str> = ev.block_on(async { Err("of the future") });
    assert_eq!(error, Err("of the future"));

    let handle = ev.handle().clone();
    ev.call_soon(move || handle.stop());
    let message = panic_of(|| ev.block_on(std::future::pending::<()>()));
    assert_eq!(message, "the loop was stopped before the future was ready");
    assert_eq!(ev.block_on(async { 7 }), 7, "the loop can be run again");

    let handle = ev.handle().clone();
    ev.block_on(async { handle.stop() });
    assert_eq!(ev.block_on(async { handle.sleep(Duration::ZERO).await }), (), "that stop is over");
}

#[test]
fn l_41_dropping_the_loop_drops_what_is_queued_without_running_it() {
    let ev = new_loop();
    let lines = Lines::default();
    ev.call_soon(lines.note("soon"));
    ev.call_later(Duration::ZERO, lines.note("later"));
    let inner = lines.clone();
    ev.spawn(async move { inner.add("task") }).detach();
    let handle = ev.handle().clone();
    drop(ev);
    assert!(lines.take().is_empty());
    assert_eq!(Rc::strong_count(&lines.0), 1, "even while a handle is left");
    drop(handle);
}
