//! Blocking work on threads of the loop's own.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use wharf::TaskError;

use super::turns;
use crate::support::new_loop;

#[test]
fn l_50_blocking_work_runs_elsewhere_and_its_result_comes_back() {
    let mut ev = new_loop();
    let (release, released) = mpsc::channel::<()>();
    let work = ev.spawn_blocking(move || {
        released.recv().unwrap();
        thread::current().id()
    });
    let handle = ev.handle().clone();
    let result = ev.block_on(async move {
        handle.sleep(Duration::ZERO).await; // The loop goes on meanwhile.
        release.send(()).unwrap();
        (work.await, thread::current().id())
    });
    assert_eq!(result.1, thread::current().id(), "it comes back in the loop's thread");
    assert!(result.0.is_ok_and(|there| there != result.1));
}

#[test]
fn l_51_the_panic_of_blocking_work_comes_back_as_an_error() {
    let mut ev = new_loop();
    let work = ev.spawn_blocking(|| -> u8 { panic!("clumsy work") });
    let Err(TaskError::Fault(fault)) = ev.block_on(work) else { panic!("it ended otherwise") };
    assert_eq!(fault.message(), "clumsy work");
}

#[test]
fn l_52_cancelled_work_goes_on_and_its_late_result_touches_nobody() {
    struct Result(mpsc::Sender<thread::ThreadId>);
    impl Drop for Result {
        fn drop(&mut self) {
            let _ = self.0.send(thread::current().id());
        }
    }
    let mut ev = new_loop();
    let (release, released) = mpsc::channel::<()>();
    let (begin, begun) = mpsc::channel();
    let (sender, dropped) = mpsc::channel();
    let handle = ev.handle().clone();
    let waiting = ev.spawn(async move {
        let work = handle.spawn_blocking(move || {
            begin.send(()).unwrap();
            released.recv().unwrap();
            Result(sender)
        });
        work.await.map(drop)
    });
    turns(&mut ev, 2);
    begun.recv().unwrap();
    drop(waiting); // Cancels who waits, and not the work.
    turns(&mut ev, 1);
    drop(ev); // A closed loop is not touched either.
    release.send(()).unwrap();
    assert_ne!(dropped.recv().unwrap(), thread::current().id());
}

#[test]
fn l_53_dropping_the_loop_does_not_wait_for_work() {
    let ev = new_loop();
    let (release, released) = mpsc::channel::<()>();
    let (begin, begun) = mpsc::channel();
    let work = ev.spawn_blocking(move || {
        begin.send(()).unwrap();
        released.recv().is_ok()
    });
    begun.recv().unwrap();
    drop(ev); // It would never return.
    release.send(()).unwrap();
    // Whoever wants to wait awaits the work, with a deadline if there is to be one, on whatever loop.
    assert_eq!(new_loop().block_on(work), Ok(true));
}
