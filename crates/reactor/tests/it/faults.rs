//! Fault policies: what a loop does with a panic of user code.

use std::cell::RefCell;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use signal_hook::consts::{SIGCONT, SIGWINCH};
use wharf_core::guard::FaultReport;
use wharf_reactor::{EventLoop, FaultPolicy};

use crate::support::{Log, Path, builder, event_loop, panic_of, turns};

both_paths!(
    a_fault_is_contained_unless_said_otherwise,
    a_report_says_what_failed,
    every_kind_of_callback_is_guarded,
    a_panic_in_a_report_is_contained,
    a_report_may_set_another_policy,
    a_fault_is_resumed_when_the_turn_is_over,
    the_first_fault_of_a_turn_is_the_one_that_is_resumed,
    a_policy_is_set_while_the_loop_lives,
    a_fault_in_the_end_of_the_loop_comes_out_of_its_drop,
    a_drop_during_a_panic_does_not_panic_again,
    the_end_of_a_callback_that_is_replaced_or_removed_is_guarded,
    what_is_taken_back_ends_in_the_hands_of_who_takes_it_back,
    the_end_of_a_policy_that_is_replaced_in_its_own_report_is_contained,
    what_a_loop_drops_unrun_may_panic_piece_by_piece,
);

fn reporting(path: Path) -> (EventLoop, Rc<RefCell<Vec<FaultReport>>>) {
    let reports = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&reports);
    let policy = FaultPolicy::report(move |report| seen.borrow_mut().push(report));
    (builder(path).fault_policy(policy).build().unwrap(), reports)
}

/// Panics when it is dropped.
#[derive(Debug)]
struct Clumsy;

impl Drop for Clumsy {
    fn drop(&mut self) {
        panic!("clumsy end");
    }
}

fn a_fault_is_contained_unless_said_otherwise(path: Path) {
    let mut ev = builder(path).build().unwrap();
    let log = Log::default();
    ev.call_soon(|| panic!("contained"));
    ev.call_soon(log.note("next"));
    turns(&mut ev, 1);
    assert_eq!(log.take(), ["next"]);
    assert_eq!(ev.statistics().faults, 1);
}

fn a_report_says_what_failed(path: Path) {
    let (mut ev, reports) = reporting(path);
    ev.call_soon(|| panic!("said {}", 1));
    ev.call_soon(|| panic_any(7_u8));
    turns(&mut ev, 1);
    let reports = reports.take();
    assert_eq!(reports[0].fault.to_string(), "call_soon failed: said 1");
    assert_eq!((reports[0].transport, reports[0].protocol), (None, None));
    assert_eq!(reports[1].fault.message(), "a panic without a message");
    let payload = reports[1].payload.as_ref().unwrap();
    assert_eq!(payload.downcast_ref::<u8>(), Some(&7), "the payload itself");
}

fn every_kind_of_callback_is_guarded(path: Path) {
    let (mut ev, reports) = reporting(path);
    let (ours, theirs) = UnixStream::pair().unwrap();
    let ours = Rc::new(ours);
    ev.call_soon(|| panic!("x"));
    ev.call_later(Duration::ZERO, || panic!("x"));
    ev.remote().post(|_| panic!("x")).unwrap();
    ev.spawn(async { panic!("x") }).detach();
    ev.add_reader(Rc::clone(&ours), || panic!("x")).unwrap();
    ev.add_writer(ours, || panic!("x")).unwrap();
    drop(theirs);
    turns(&mut ev, 1);
    let mut names: Vec<_> = reports.take().iter().map(|report| report.fault.callback()).collect();
    names.sort_unstable();
    assert_eq!(names, ["call_soon", "post", "reader", "task", "timer", "writer"]);
    assert_eq!(ev.statistics().faults, 6);
}

fn a_panic_in_a_report_is_contained(path: Path) {
    let log = Log::default();
    let inner = log.clone();
    let policy = FaultPolicy::report(move |report| {
        inner.add(report.fault.message());
        panic!("clumsy report");
    });
    let mut ev = builder(path).fault_policy(policy).build().unwrap();
    ev.call_soon(|| panic!("first"));
    ev.call_soon(|| panic!("second"));
    turns(&mut ev, 1);
    assert_eq!(log.take(), ["first", "second"], "and it stays in force");
}

fn a_report_may_set_another_policy(path: Path) {
    let log = Log::default();
    let mut ev = builder(path).build().unwrap();
    let (inner, handle) = (log.clone(), ev.handle().clone());
    ev.set_fault_policy(FaultPolicy::report(move |report| {
        inner.add(format!("old {}", report.fault.message()));
        let newer = inner.clone();
        let policy = FaultPolicy::report(move |report| {
            newer.add(format!("new {}", report.fault.message()));
        });
        handle.set_fault_policy(policy);
    }));
    for message in ["a", "b", "c"] {
        ev.call_soon(move || panic!("{message}"));
    }
    turns(&mut ev, 1);
    assert_eq!(log.take(), ["old a", "new b", "new c"]);
}

fn a_fault_is_resumed_when_the_turn_is_over(path: Path) {
    let mut ev = event_loop(path);
    let log = Log::default();
    ev.call_soon(|| panic_any(7_u8));
    ev.call_soon(log.note("the rest of the turn"));
    ev.call_later(Duration::ZERO, log.note("its timers too"));
    let payload = catch_unwind(AssertUnwindSafe(|| ev.turn(None))).unwrap_err();
    assert_eq!(payload.downcast_ref::<u8>(), Some(&7));
    assert_eq!(log.take(), ["the rest of the turn", "its timers too"]);
    assert!(!ev.is_running());
    turns(&mut ev, 1);
}

fn the_first_fault_of_a_turn_is_the_one_that_is_resumed(path: Path) {
    let mut ev = event_loop(path);
    ev.call_soon(|| panic!("first"));
    ev.call_soon(|| panic!("second"));
    assert_eq!(panic_of(|| turns(&mut ev, 1)), "first");
    turns(&mut ev, 1);
    assert_eq!(ev.statistics().faults, 2);
}

fn a_policy_is_set_while_the_loop_lives(path: Path) {
    let mut ev = builder(path).build().unwrap();
    assert!(matches!(ev.set_fault_policy(FaultPolicy::Resume), FaultPolicy::Contain));
    ev.call_soon(|| panic!("resumed"));
    assert_eq!(panic_of(|| turns(&mut ev, 1)), "resumed");
    assert!(matches!(ev.set_fault_policy(FaultPolicy::Contain), FaultPolicy::Resume));
    ev.call_soon(|| panic!("contained"));
    turns(&mut ev, 1);
}

fn a_fault_in_the_end_of_the_loop_comes_out_of_its_drop(path: Path) {
    let ev = event_loop(path);
    let (clumsy, log) = (Clumsy, Log::default());
    ev.call_soon(move || drop(clumsy));
    let token = Rc::new(());
    let held = Rc::clone(&token);
    ev.call_later(Duration::from_secs(1), move || drop(held));
    ev.call_soon(log.note("ran"));
    assert_eq!(panic_of(|| drop(ev)), "clumsy end");
    assert_eq!(Rc::strong_count(&token), 1, "the rest was dropped all the same");
    assert!(log.take().is_empty());
}

fn a_drop_during_a_panic_does_not_panic_again(path: Path) {
    let message = panic_of(|| {
        let ev = event_loop(path);
        let clumsy = Clumsy;
        ev.call_soon(move || drop(clumsy));
        panic!("the test's own");
    });
    assert_eq!(message, "the test's own");
}

/// A callback that does nothing, and panics when it is dropped.
fn clumsy() -> impl FnMut() + Send + 'static {
    let clumsy = Clumsy;
    move || {
        let _held = &clumsy;
    }
}

fn the_end_of_a_callback_that_is_replaced_or_removed_is_guarded(path: Path) {
    let (ev, reports) = reporting(path);
    let (ours, theirs) = UnixStream::pair().unwrap();
    let ours = Rc::new(ours);
    let ends = |step: &str| {
        let ends: Vec<_> = reports.take().iter().map(|report| report.fault.to_string()).collect();
        assert_eq!(ends, ["drop failed: clumsy end"], "{step}");
    };
    ev.add_signal_handler(SIGWINCH, clumsy()).unwrap();
    ev.add_signal_handler(SIGWINCH, clumsy()).unwrap();
    ends("a signal's is replaced");
    assert!(ev.remove_signal_handler(SIGWINCH));
    ends("a signal's is removed");
    assert!(!ev.remove_signal_handler(SIGWINCH));

    ev.add_reader(Rc::clone(&ours), clumsy()).unwrap();
    ev.add_reader(Rc::clone(&ours), clumsy()).unwrap();
    ends("a reader is replaced");
    ev.add_writer(Rc::clone(&ours), clumsy()).unwrap();
    ev.add_writer(Rc::clone(&ours), clumsy()).unwrap();
    ends("a writer is replaced");
    assert!(ev.remove_reader(&*ours));
    ends("a reader is removed");
    assert!(ev.remove_writer(&*ours));
    ends("a writer is removed");
    assert_eq!(ev.statistics().sources, 0);
    assert_eq!(Rc::strong_count(&ours), 1, "the loop has let go of the descriptor");
    drop(theirs);
}

fn what_is_taken_back_ends_in_the_hands_of_who_takes_it_back(path: Path) {
    let (mut ev, reports) = reporting(path);
    let log = Log::default();
    let (timer, soon) = (ev.call_later(Duration::ZERO, clumsy()), ev.call_soon(clumsy()));
    ev.call_later(Duration::ZERO, log.note("timer"));
    ev.call_soon(log.note("soon"));
    assert_eq!(panic_of(|| timer.cancel()), "clumsy end");
    assert_eq!(panic_of(|| soon.cancel()), "clumsy end");
    turns(&mut ev, 1);
    assert_eq!(log.take(), ["soon", "timer"]);
    assert!(reports.take().is_empty());
    assert_eq!(ev.statistics().timers, 0);
}

fn the_end_of_a_policy_that_is_replaced_in_its_own_report_is_contained(path: Path) {
    let log = Log::default();
    let mut ev = builder(path).build().unwrap();
    let (inner, handle, clumsy) = (log.clone(), ev.handle().clone(), Clumsy);
    ev.set_fault_policy(FaultPolicy::report(move |report| {
        let _held = &clumsy;
        inner.add(format!("old {}", report.fault.message()));
        let newer = inner.clone();
        handle.set_fault_policy(FaultPolicy::report(move |report| {
            newer.add(format!("new {}", report.fault.message()));
        }));
    }));
    for message in ["a", "b"] {
        ev.call_soon(move || panic!("{message}"));
    }
    ev.call_soon(log.note("next"));
    turns(&mut ev, 1);
    assert_eq!(log.take(), ["old a", "new b", "next"]);
}

/// Two of each kind: a second panic in the drop of what holds both would end the process.
fn what_a_loop_drops_unrun_may_panic_piece_by_piece(path: Path) {
    let (ev, reports) = reporting(path);
    let (ours, theirs) = UnixStream::pair().unwrap();
    // The pool's threads are taken, so what comes next is not begun.
    let (release, released) = channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let (begin, begun) = channel();
    for _ in 0..4 {
        let (begin, released) = (begin.clone(), Arc::clone(&released));
        drop(ev.spawn_blocking(move || {
            begin.send(()).unwrap();
            let _ = released.lock().unwrap().recv();
        }));
        begun.recv().unwrap();
    }
    for signal in [SIGWINCH, SIGCONT] {
        ev.call_soon(clumsy());
        ev.call_later(Duration::ZERO, clumsy());
        let mut posted = clumsy();
        ev.remote().post(move |_| posted()).unwrap();
        drop(ev.spawn_blocking(clumsy()));
        ev.add_signal_handler(signal, clumsy()).unwrap();
        let mut held = clumsy();
        ev.spawn(async move { held() }).detach();
    }
    let ours = Rc::new(ours);
    ev.add_reader(Rc::clone(&ours), clumsy()).unwrap();
    ev.add_writer(Rc::clone(&ours), clumsy()).unwrap();
    drop(ev);
    let reports = reports.take();
    let ends: Vec<_> = reports.iter().map(|report| report.fault.message()).collect();
    assert_eq!(ends, ["clumsy end"; 14]);
    assert_eq!(Rc::strong_count(&ours), 1);
    drop((release, theirs));
}
