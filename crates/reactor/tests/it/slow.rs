//! Slow callbacks: who is told of them, and what they are called.

use std::cell::RefCell;
use std::hint::black_box;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use wharf_reactor::{EventLoop, FaultPolicy, SlowCallback};

use crate::support::{Path, builder, panic_of, turns};

both_paths!(
    a_slow_callback_is_reported_by_its_name,
    a_callback_below_the_threshold_is_not_reported,
    the_threshold_is_moved_while_the_loop_lives,
    without_an_observer_slow_callbacks_are_counted,
    an_observer_that_panics_is_a_fault,
);

type Reports = Rc<RefCell<Vec<SlowCallback>>>;

fn observed(path: Path, threshold: Duration) -> (EventLoop, Reports) {
    let reports = Reports::default();
    let seen = Rc::clone(&reports);
    let ev = builder(path)
        .fault_policy(FaultPolicy::Resume)
        .on_slow_callback(threshold, move |slow| seen.borrow_mut().push(slow))
        .build()
        .unwrap();
    (ev, reports)
}

/// Some hundred microseconds of work on any machine of today, and far more than the tiny thresholds here.
fn work() {
    for number in 0..100_000_u32 {
        black_box(number);
    }
}

fn a_slow_callback_is_reported_by_its_name(path: Path) {
    let threshold = Duration::from_nanos(100);
    let (mut ev, reports) = observed(path, threshold);
    let (ours, theirs) = UnixStream::pair().unwrap();
    let ours = Rc::new(ours);
    ev.call_soon(work);
    ev.call_later(Duration::ZERO, work);
    ev.remote().post(|_| work()).unwrap();
    ev.spawn(async { work() }).detach();
    ev.add_reader(Rc::clone(&ours), work).unwrap();
    ev.add_writer(ours, work).unwrap();
    drop(theirs);
    turns(&mut ev, 1);
    let reports = reports.take();
    let mut names: Vec<_> = reports.iter().map(|slow| slow.callback).collect();
    names.sort_unstable();
    assert_eq!(names, ["call_soon", "post", "reader", "task", "timer", "writer"]);
    assert!(reports.iter().all(|slow| slow.duration >= threshold && slow.transport.is_none()));
    assert_eq!(ev.statistics().slow_callbacks, 6);
}

fn a_callback_below_the_threshold_is_not_reported(path: Path) {
    let (mut ev, reports) = observed(path, Duration::from_secs(3600));
    for _ in 0..10 {
        ev.call_soon(work);
    }
    turns(&mut ev, 1);
    assert!(reports.borrow().is_empty());
    assert_eq!(ev.statistics().slow_callbacks, 0);
}

fn the_threshold_is_moved_while_the_loop_lives(path: Path) {
    let (mut ev, reports) = observed(path, Duration::from_nanos(100));
    let reported = |ev: &mut EventLoop| {
        ev.call_soon(work);
        turns(ev, 1);
        reports.take().len()
    };
    assert_eq!(reported(&mut ev), 1);
    ev.set_slow_callback_threshold(None);
    assert_eq!(reported(&mut ev), 0, "never");
    ev.set_slow_callback_threshold(Some(Duration::ZERO));
    assert_eq!(reported(&mut ev), 1, "always");
    ev.set_slow_callback_threshold(Some(Duration::MAX));
    assert_eq!(reported(&mut ev), 0);
}

fn without_an_observer_slow_callbacks_are_counted(path: Path) {
    let mut ev = builder(path).build().unwrap();
    ev.set_slow_callback_threshold(Some(Duration::ZERO));
    ev.call_soon(|| {});
    turns(&mut ev, 1);
    assert_eq!(ev.statistics().slow_callbacks, 1);
}

fn an_observer_that_panics_is_a_fault(path: Path) {
    let mut ev = builder(path)
        .fault_policy(FaultPolicy::Resume)
        .on_slow_callback(Duration::ZERO, |_| panic!("clumsy observer"))
        .build()
        .unwrap();
    let ran = Rc::new(RefCell::new(Vec::new()));
    for number in 0..3 {
        let ran = Rc::clone(&ran);
        ev.call_soon(move || ran.borrow_mut().push(number));
    }
    assert_eq!(panic_of(|| turns(&mut ev, 1)), "clumsy observer");
    assert_eq!(*ran.borrow(), [0, 1, 2], "the turn goes on before it is resumed");
}
