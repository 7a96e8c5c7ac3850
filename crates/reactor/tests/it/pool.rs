//! Blocking work: where it runs, what comes back, and what happens when nobody waits.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread::{self, ThreadId};
use std::time::Duration;

use wharf_reactor::TaskError;

use crate::support::{Path, event_loop, run_until, turns};

both_paths!(
    work_runs_elsewhere_and_its_result_comes_back,
    a_panic_comes_back_as_an_error,
    the_loop_goes_on_meanwhile,
    four_pieces_run_at_a_time_and_the_rest_waits,
    work_that_nobody_waits_for_is_done_all_the_same,
    the_result_of_a_dropped_wait_is_dropped_where_it_was_made,
    a_result_whose_end_panics_costs_no_thread,
    the_drop_of_the_loop_does_not_wait_for_work,
    work_that_was_not_begun_is_dropped_with_the_loop,
);

/// Says in which thread it is dropped.
struct Witness(mpsc::Sender<ThreadId>);

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = self.0.send(thread::current().id());
    }
}

fn work_runs_elsewhere_and_its_result_comes_back(path: Path) {
    let mut ev = event_loop(path);
    let here = thread::current().id();
    let work = ev.spawn_blocking(|| (thread::current().id(), "result"));
    let (there, result) = ev.block_on(work).unwrap();
    assert_ne!(there, here);
    assert_eq!(result, "result");
}

fn a_panic_comes_back_as_an_error(path: Path) {
    let mut ev = event_loop(path);
    let work = ev.spawn_blocking(|| -> () { panic!("clumsy work") });
    let Err(TaskError::Fault(fault)) = ev.block_on(work) else { panic!("it ended otherwise") };
    assert_eq!((fault.callback(), fault.message()), ("blocking work", "clumsy work"));
    let work = ev.spawn_blocking(|| 1);
    assert_eq!(ev.block_on(work), Ok(1), "its thread goes on");
}

fn the_loop_goes_on_meanwhile(path: Path) {
    let mut ev = event_loop(path);
    let (release, released) = mpsc::channel::<()>();
    let work = ev.spawn_blocking(move || released.recv().is_ok());
    let handle = ev.handle().clone();
    // The work waits for what the loop does after it.
    ev.block_on(async { handle.sleep(Duration::ZERO).await });
    release.send(()).unwrap();
    assert_eq!(ev.block_on(work), Ok(true));
}

fn four_pieces_run_at_a_time_and_the_rest_waits(path: Path) {
    let mut ev = event_loop(path);
    let barrier = Arc::new(Barrier::new(4));
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let work: Vec<_> = (0..12)
        .map(|_| {
            let (barrier, now, most) = (Arc::clone(&barrier), Arc::clone(&now), Arc::clone(&most));
            ev.spawn_blocking(move || {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                barrier.wait(); // Fewer than four at a time would wait for ever.
                now.fetch_sub(1, Ordering::SeqCst);
            })
        })
        .collect();
    for piece in work {
        ev.block_on(piece).unwrap();
    }
    assert_eq!(most.load(Ordering::SeqCst), 4);
}

fn work_that_nobody_waits_for_is_done_all_the_same(path: Path) {
    let ev = event_loop(path);
    let (sender, receiver) = mpsc::channel();
    drop(ev.spawn_blocking(move || sender.send("done")));
    assert_eq!(receiver.recv(), Ok("done"));
}

fn the_result_of_a_dropped_wait_is_dropped_where_it_was_made(path: Path) {
    let mut ev = event_loop(path);
    let (sender, receiver) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let work = ev.spawn_blocking(move || {
        let _ = released.recv();
        Witness(sender)
    });
    drop(work);
    release.send(()).unwrap();
    assert_ne!(receiver.recv().unwrap(), thread::current().id());
    turns(&mut ev, 1);
}

fn a_result_whose_end_panics_costs_no_thread(path: Path) {
    struct Clumsy;
    impl Drop for Clumsy {
        fn drop(&mut self) {
            panic!("clumsy end");
        }
    }
    let mut ev = event_loop(path);
    // One for each thread that there may be.
    for _ in 0..4 {
        let (release, released) = mpsc::channel::<()>();
        drop(ev.spawn_blocking(move || {
            let _ = released.recv();
            Clumsy
        }));
        release.send(()).unwrap();
    }
    let done = Rc::new(Cell::new(false));
    let (work, seen) = (ev.spawn_blocking(|| 1), Rc::clone(&done));
    ev.spawn(async move { seen.set(work.await == Ok(1)) }).detach();
    run_until(&mut ev, || done.get());
}

fn the_drop_of_the_loop_does_not_wait_for_work(path: Path) {
    let ev = event_loop(path);
    let (release, released) = mpsc::channel::<()>();
    let (begin, begun) = mpsc::channel();
    let (sender, receiver) = mpsc::channel();
    let work = ev.spawn_blocking(move || {
        begin.send(()).unwrap();
        let _ = released.recv();
        Witness(sender)
    });
    begun.recv().unwrap();
    drop(ev); // Would never return if it waited.
    drop(work);
    release.send(()).unwrap();
    assert_ne!(receiver.recv().unwrap(), thread::current().id(), "its late result is dropped");
}

fn work_that_was_not_begun_is_dropped_with_the_loop(path: Path) {
    let mut other = event_loop(path);
    let ev = event_loop(path);
    let handle = ev.handle().clone();
    let barrier = Arc::new(Barrier::new(5));
    let gate = Arc::new(Barrier::new(5));
    let running: Vec<_> = (0..4)
        .map(|_| {
            let (barrier, gate) = (Arc::clone(&barrier), Arc::clone(&gate));
            ev.spawn_blocking(move || {
                barrier.wait();
                gate.wait();
            })
        })
        .collect();
    barrier.wait(); // All threads are taken.
    let ran = Arc::new(Mutex::new(false));
    let seen = Arc::clone(&ran);
    let late = ev.spawn_blocking(move || *seen.lock().unwrap() = true);
    drop(ev);
    let outcome = other.spawn(late);
    turns(&mut other, 2);
    let given_up = outcome.is_finished();
    gate.wait();
    for piece in running {
        other.block_on(piece).unwrap();
    }
    drop(handle);
    assert!(given_up, "nobody waits for a place that may never come");
    assert_eq!(other.block_on(outcome), Ok(Err(TaskError::Cancelled)));
    assert!(!*ran.lock().unwrap());
}
