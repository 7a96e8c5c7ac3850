//! Signals as callbacks of the loop. Each test has a signal of its own, since signals are the process's.
//!
//! What ends a process when it goes wrong is told in the crate of the loop, in processes of its own.

use std::cell::Cell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::thread;

use nix::sys::signal::{Signal, raise};
use wharf::EventLoop;

use super::{run_until, turns};
use crate::support::new_loop;

fn counter(ev: &EventLoop, signal: Signal) -> Rc<Cell<usize>> {
    let count = Rc::new(Cell::new(0));
    let seen = Rc::clone(&count);
    ev.add_signal_handler(signal as i32, move || seen.set(seen.get() + 1)).unwrap();
    count
}

#[test]
fn l_30_a_signal_is_a_callback_of_the_loop_and_wakes_it() {
    let mut ev = new_loop();
    let calls = counter(&ev, Signal::SIGURG);
    raise(Signal::SIGURG).unwrap();
    assert_eq!(calls.get(), 0, "not in signal context");
    run_until(&mut ev, || calls.get() == 1);
    for round in 2..20 {
        let thread = thread::spawn(|| raise(Signal::SIGURG).unwrap());
        run_until(&mut ev, || calls.get() == round);
        thread.join().unwrap();
    }
}

#[test]
fn l_31_adding_again_replaces_and_removal_tells_whether_there_was_one() {
    let mut ev = new_loop();
    let signal = Signal::SIGWINCH as i32;
    assert!(!ev.remove_signal_handler(signal));
    let old = counter(&ev, Signal::SIGWINCH);
    let new = counter(&ev, Signal::SIGWINCH);
    raise(Signal::SIGWINCH).unwrap();
    run_until(&mut ev, || new.get() == 1);
    assert_eq!((old.get(), Rc::strong_count(&old)), (0, 1));
    assert!(ev.remove_signal_handler(signal));
    assert!(!ev.remove_signal_handler(signal));
    raise(Signal::SIGWINCH).unwrap();
    turns(&mut ev, 2);
    assert_eq!(new.get(), 1);
}

#[test]
fn l_32_what_cannot_be_handled_is_refused() {
    let ev = new_loop();
    for signal in [Signal::SIGKILL as i32, Signal::SIGSTOP as i32, 0, -1, 65, 1_000_000] {
        let error = ev.add_signal_handler(signal, || {}).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{signal}");
        assert!(!ev.remove_signal_handler(signal), "{signal}");
    }
}

#[test]
fn l_33_a_loop_of_any_thread_has_signal_callbacks() {
    let thread = thread::spawn(|| {
        let mut ev = new_loop();
        let calls = counter(&ev, Signal::SIGCHLD);
        raise(Signal::SIGCHLD).unwrap();
        // Children of other tests may add to it.
        run_until(&mut ev, || calls.get() >= 1);
    });
    thread.join().unwrap();
}

#[test]
fn l_34_several_deliveries_may_be_one_call() {
    let mut ev = new_loop();
    let calls = counter(&ev, Signal::SIGCONT);
    for _ in 0..5 {
        raise(Signal::SIGCONT).unwrap();
    }
    turns(&mut ev, 3);
    assert_eq!(calls.get(), 1);
}

#[test]
fn l_35_dropping_the_loop_removes_its_signal_callbacks_and_no_others() {
    let mut other = new_loop();
    let stays = counter(&other, Signal::SIGUSR2);
    let ev = new_loop();
    let goes = counter(&ev, Signal::SIGUSR2);
    let handle = ev.handle().clone();
    drop(ev);
    assert_eq!(Rc::strong_count(&goes), 1);
    assert!(!handle.remove_signal_handler(Signal::SIGUSR2 as i32));
    raise(Signal::SIGUSR2).unwrap();
    run_until(&mut other, || stays.get() == 1);
    assert_eq!(goes.get(), 0);
}
