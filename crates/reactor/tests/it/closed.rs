//! After the loop is gone: a handle is harmless, and holds nothing.

use std::cell::Cell;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use wharf_core::Scheduler;
use wharf_core::driver::Host;
use wharf_core::memory::ManualClock;
use wharf_core::schedule::Settle;
use wharf_reactor::{FaultPolicy, TaskError};

use crate::support::{Drops, Log, Path, TokenClock, builder, event_loop, turns};

both_paths!(
    what_is_scheduled_is_dropped_instead_of_run,
    a_spawned_task_is_cancelled,
    descriptors_and_signals_are_refused,
    blocking_work_is_not_begun,
    tokens_of_before_are_harmless,
    the_state_goes_with_the_last_handle,
    layers_share_one_handle_that_goes_with_the_last_of_them,
    what_is_settled_too_late_keeps_nothing_alive,
    what_is_queued_is_dropped_without_being_run,
);

fn what_is_scheduled_is_dropped_instead_of_run(path: Path) {
    let ev = event_loop(path);
    let handle = ev.handle().clone();
    assert!(!handle.is_closed());
    drop(ev);
    assert!(handle.is_closed() && !handle.is_running());
    let (drops, log) = (Drops::default(), Log::default());
    let callback = || {
        let (token, note) = (drops.token(), log.note("ran"));
        move || {
            let _token = token;
            note();
        }
    };
    handle.call_soon(callback()).cancel();
    handle.call_later(Duration::ZERO, callback()).cancel();
    handle.call_at(handle.now(), callback()).cancel();
    assert_eq!((drops.count(), log.take()), (3, Vec::new()));
    assert_eq!(handle.statistics().timers, 0);
}

fn a_spawned_task_is_cancelled(path: Path) {
    let ev = event_loop(path);
    let handle = ev.handle().clone();
    drop(ev);
    let drops = Drops::default();
    let token = drops.token();
    let task = handle.spawn(async move { drop(token) });
    assert_eq!(drops.count(), 1);
    assert!(task.is_finished());
    assert_eq!(event_loop(path).block_on(task), Err(TaskError::Cancelled));
}

fn descriptors_and_signals_are_refused(path: Path) {
    let ev = event_loop(path);
    let handle = ev.handle().clone();
    drop(ev);
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let ours = Rc::new(ours);
    assert!(handle.add_reader(Rc::clone(&ours), || {}).is_err());
    assert!(handle.add_writer(Rc::clone(&ours), || {}).is_err());
    assert!(!handle.remove_reader(&ours), "there is none to remove");
    assert_eq!(Rc::strong_count(&ours), 1);
    let signal = signal_hook::consts::SIGCONT;
    let added = handle.add_signal_handler(signal, || {});
    assert!(added.is_err(), "nobody would ever call it, and the default action would be gone");
    assert!(!handle.remove_signal_handler(signal));
}

fn blocking_work_is_not_begun(path: Path) {
    let ev = event_loop(path);
    let handle = ev.handle().clone();
    drop(ev);
    let work = handle.spawn_blocking(|| 1);
    assert_eq!(event_loop(path).block_on(work), Err(TaskError::Cancelled));
}

fn tokens_of_before_are_harmless(path: Path) {
    let mut ev = event_loop(path);
    let log = Log::default();
    let soon = ev.call_soon(log.note("soon"));
    let timer = ev.call_later(Duration::from_secs(1000), log.note("timer"));
    turns(&mut ev, 1);
    drop(ev);
    soon.cancel();
    timer.cancel();
    assert_eq!(log.take(), ["soon"]);
}

fn layers_share_one_handle_that_goes_with_the_last_of_them(path: Path) {
    let drops = Drops::default();
    let clock = TokenClock(ManualClock::new(), drops.token());
    let ev = builder(path).clock(clock).build().unwrap();
    let first = ev.handle().to_scheduler();
    assert!(Rc::ptr_eq(&first, &ev.handle().to_scheduler()));
    drop(ev);
    assert_eq!(drops.count(), 0, "a layer has its handle");
    drop(first);
    assert_eq!(drops.count(), 1);
}

fn the_state_goes_with_the_last_handle(path: Path) {
    let drops = Drops::default();
    let clock = TokenClock(ManualClock::new(), drops.token());
    let mut ev = builder(path).fault_policy(FaultPolicy::Resume).clock(clock).build().unwrap();
    // Everything that may be on a loop, each with a handle of its own on it.
    let handle = ev.handle().clone();
    ev.call_soon(move || drop(handle.clone()));
    let handle = ev.handle().clone();
    ev.call_later(Duration::from_secs(1), move || drop(handle));
    let handle = ev.handle().clone();
    ev.spawn(async move { handle.sleep(Duration::from_secs(1)).await }).detach();
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let handle = ev.handle().clone();
    ev.add_reader(ours, move || drop(handle.clone())).unwrap();
    let handle = ev.handle().clone();
    ev.add_signal_handler(signal_hook::consts::SIGCONT, move || drop(handle.clone())).unwrap();
    turns(&mut ev, 2);
    let handle = ev.handle().clone();
    ev.call_soon(move || drop(handle));
    let handle = ev.handle().clone();
    drop(ev);
    assert_eq!(drops.count(), 0, "a handle is left");
    drop(handle);
    assert_eq!(drops.count(), 1, "nothing on the loop holds the loop");
}

fn what_is_settled_too_late_keeps_nothing_alive(path: Path) {
    struct Late(Rc<Cell<bool>>);
    impl Settle for Late {
        fn settle(self: Rc<Self>) {
            self.0.set(true);
        }
    }
    let ev = event_loop(path);
    let handle = ev.handle().clone();
    drop(ev);
    let settled = Rc::new(Cell::new(false));
    handle.enlist(Rc::new(Late(Rc::clone(&settled))));
    assert_eq!(Rc::strong_count(&settled), 1, "it was dropped");
    assert!(!settled.get());
}

fn what_is_queued_is_dropped_without_being_run(path: Path) {
    let (drops, log) = (Drops::default(), Log::default());
    let ev = event_loop(path);
    for _ in 0..3 {
        let (token, note) = (drops.token(), log.note("ran"));
        ev.call_soon(move || {
            let _token = token;
            note();
        });
        let (token, note) = (drops.token(), log.note("ran"));
        ev.call_later(Duration::ZERO, move || {
            let _token = token;
            note();
        });
    }
    drop(ev);
    assert_eq!((drops.count(), log.take()), (6, Vec::new()));
}
