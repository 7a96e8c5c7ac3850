//! Futures on the loop: tasks, their ends, and who may wake them.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use wharf_core::memory::ManualClock;
use wharf_reactor::{Elapsed, FaultPolicy, JoinHandle, TaskError, oneshot};

use crate::support::{
    Drops, Log, Path, TokenClock, builder, event_loop, manual_loop, panic_of, run_until, turns,
};

both_paths!(
    a_task_is_polled_in_the_next_turn_and_gives_its_result,
    dropping_a_task_cancels_it,
    a_task_may_be_cancelled_before_its_first_poll,
    a_detached_task_runs_on,
    a_panic_is_the_tasks_result_and_a_fault,
    a_panic_in_the_drop_of_a_future_is_a_fault,
    a_task_that_is_woken_in_a_callback_is_polled_in_the_next_turn,
    a_task_that_always_wakes_itself_starves_nobody,
    a_task_is_woken_from_another_thread,
    block_on_takes_a_future_that_borrows,
    block_on_is_woken_from_another_thread,
    block_on_polls_its_future_when_it_was_woken_and_not_in_each_turn,
    a_panic_of_the_main_future_leaves_the_loop_usable,
    dropping_the_loop_drops_its_tasks,
    what_a_dropped_task_spawns_is_dropped_too,
    a_task_of_a_dropped_loop_is_cancelled_for_who_waits,
    waking_after_the_loop_is_gone_is_harmless_from_any_thread,
    tasks_that_are_woken_while_the_loop_is_dropped_are_dropped,
    a_task_waits_for_a_task_of_another_loop,
    a_sleep_ends_when_the_clock_has_moved,
    dropping_a_sleep_takes_its_timer_back,
    a_deadline_ends_a_future_that_is_not_ready,
    a_oneshot_carries_one_value,
);

fn a_task_is_polled_in_the_next_turn_and_gives_its_result(path: Path) {
    let mut ev = event_loop(path);
    let log = Log::default();
    let inner = log.clone();
    let task = ev.spawn(async move {
        inner.add("polled");
        7
    });
    assert!(log.take().is_empty(), "never from inside spawn");
    turns(&mut ev, 1);
    assert_eq!(log.take(), ["polled"]);
    assert!(task.is_finished());
    assert_eq!(ev.block_on(task), Ok(7));
}

fn dropping_a_task_cancels_it(path: Path) {
    let mut ev = event_loop(path);
    let drops = Drops::default();
    let token = drops.token();
    let task = ev.spawn(async move {
        let _token = token;
        pending::<()>().await;
    });
    turns(&mut ev, 1);
    assert_eq!(drops.count(), 0);
    drop(task);
    turns(&mut ev, 1);
    assert_eq!(drops.count(), 1);
}

fn a_task_may_be_cancelled_before_its_first_poll(path: Path) {
    let mut ev = event_loop(path);
    let (drops, log) = (Drops::default(), Log::default());
    let (token, inner) = (drops.token(), log.clone());
    drop(ev.spawn(async move {
        let _token = token;
        inner.add("polled");
    }));
    turns(&mut ev, 2);
    assert_eq!((drops.count(), log.take()), (1, Vec::new()));
}

fn a_detached_task_runs_on(path: Path) {
    let mut ev = event_loop(path);
    let (sender, receiver) = oneshot();
    let (done, inner) = (Rc::new(Cell::new(0)), ev.handle().clone());
    let seen = Rc::clone(&done);
    ev.spawn(async move {
        seen.set(receiver.await.unwrap());
        drop(inner);
    })
    .detach();
    turns(&mut ev, 1);
    sender.send(5).unwrap();
    run_until(&mut ev, || done.get() == 5);
}

fn a_panic_is_the_tasks_result_and_a_fault(path: Path) {
    let reports = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&reports);
    let policy = FaultPolicy::report(move |report| seen.borrow_mut().push(report.fault));
    let mut ev = builder(path).fault_policy(policy).build().unwrap();
    let task: JoinHandle<()> = ev.spawn(async { panic!("clumsy") });
    let Err(TaskError::Fault(fault)) = ev.block_on(task) else { panic!("it ended otherwise") };
    assert_eq!((fault.callback(), fault.message()), ("task", "clumsy"));
    assert_eq!(*reports.borrow(), [fault]);
    assert_eq!(ev.statistics().faults, 1);
}

fn a_panic_in_the_drop_of_a_future_is_a_fault(path: Path) {
    struct Clumsy;
    impl Drop for Clumsy {
        fn drop(&mut self) {
            panic!("clumsy end");
        }
    }
    let mut ev = event_loop(path);
    let clumsy = Clumsy;
    let task = ev.spawn(async move {
        let _clumsy = clumsy;
        pending::<()>().await;
    });
    turns(&mut ev, 1);
    drop(task);
    assert_eq!(panic_of(|| turns(&mut ev, 1)), "clumsy end");
    assert_eq!(ev.block_on(ev.handle().clone().spawn(async { 1 })), Ok(1), "the loop goes on");
}

fn a_task_that_is_woken_in_a_callback_is_polled_in_the_next_turn(path: Path) {
    let mut ev = event_loop(path);
    let log = Log::default();
    let (sender, receiver) = oneshot();
    let inner = log.clone();
    ev.spawn(async move {
        receiver.await;
        inner.add("polled");
    })
    .detach();
    turns(&mut ev, 1);
    let inner = log.clone();
    ev.call_soon(move || {
        sender.send(()).unwrap();
        inner.add("callback is over");
    });
    turns(&mut ev, 1);
    assert_eq!(log.take(), ["callback is over"]);
    turns(&mut ev, 1);
    assert_eq!(log.take(), ["polled"]);
}

fn a_task_that_always_wakes_itself_starves_nobody(path: Path) {
    let (mut ev, clock) = manual_loop(path);
    let polls = Rc::new(Cell::new(0));
    let seen = Rc::clone(&polls);
    let task = ev.spawn(poll_fn(move |cx| {
        seen.set(seen.get() + 1);
        cx.waker().wake_by_ref();
        Poll::<()>::Pending
    }));
    let log = Log::default();
    ev.call_later(Duration::from_secs(1), log.note("timer"));
    ev.call_soon(log.note("soon"));
    clock.advance(Duration::from_secs(1));
    turns(&mut ev, 1);
    assert_eq!(log.take(), ["soon", "timer"]);
    turns(&mut ev, 9);
    assert_eq!(polls.get(), 10, "once a turn");
    drop(task);
}

fn a_task_is_woken_from_another_thread(path: Path) {
    let mut ev = event_loop(path);
    let (wakers, woken) = mpsc::channel::<Waker>();
    let ready = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&ready);
    let thread = thread::spawn(move || {
        let waker = woken.recv().unwrap();
        set.store(true, Ordering::Release);
        waker.wake();
    });
    let task = ev.spawn(poll_fn(move |cx| {
        if ready.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        wakers.send(cx.waker().clone()).unwrap();
        Poll::Pending
    }));
    run_until(&mut ev, || task.is_finished());
    thread.join().unwrap();
}

fn block_on_takes_a_future_that_borrows(path: Path) {
    let mut ev = event_loop(path);
    let handle = ev.handle().clone();
    let mut count = 0;
    let answer = ev.block_on(async {
        for _ in 0..3 {
            handle.sleep(Duration::ZERO).await;
            count += 1;
        }
        "borrowed"
    });
    assert_eq!((answer, count), ("borrowed", 3));
}

fn block_on_is_woken_from_another_thread(path: Path) {
    let mut ev = event_loop(path);
    let ready = Arc::new(AtomicBool::new(false));
    let mut thread = None;
    let _bell = ev.call_later(Duration::from_secs(60), || panic!("nothing woke the loop"));
    ev.block_on(poll_fn(|cx| {
        if ready.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        let (waker, set) = (cx.waker().clone(), Arc::clone(&ready));
        thread = Some(thread::spawn(move || {
            set.store(true, Ordering::Release);
            waker.wake();
        }));
        Poll::Pending
    }));
    thread.unwrap().join().unwrap();
}

fn block_on_polls_its_future_when_it_was_woken_and_not_in_each_turn(path: Path) {
    let mut ev = event_loop(path);
    let (sender, mut receiver) = oneshot();
    let handle = ev.handle().clone();
    ev.call_soon(move || {
        let later = handle.clone();
        handle.call_soon(move || {
            later.call_soon(move || {
                let _ = sender.send(());
            });
        });
    });
    let mut polls = 0;
    let received = ev.block_on(poll_fn(|cx| {
        polls += 1;
        Pin::new(&mut receiver).poll(cx)
    }));
    assert_eq!((received, polls), (Some(()), 2));
}

fn a_panic_of_the_main_future_leaves_the_loop_usable(path: Path) {
    let mut ev = event_loop(path);
    let message = panic_of(|| ev.block_on(async { panic!("main") }));
    assert_eq!(message, "main");
    assert!(!ev.is_running());
    assert_eq!(ev.block_on(async { 1 }), 1);
}

fn dropping_the_loop_drops_its_tasks(path: Path) {
    let mut ev = event_loop(path);
    let (drops, log) = (Drops::default(), Log::default());
    let (sender, receiver) = oneshot::<()>();
    let task = |wait: bool| {
        let (token, log) = (drops.token(), log.clone());
        async move {
            let _token = token;
            if wait {
                pending::<()>().await;
            }
            log.add("polled");
        }
    };
    let kept = ev.spawn(task(true));
    ev.spawn(task(true)).detach();
    let (token, late) = (drops.token(), log.clone());
    ev.spawn(async move {
        let _token = token;
        receiver.await;
        late.add("polled");
    })
    .detach();
    turns(&mut ev, 1);
    drop(sender); // The third task is woken now, and never polled.
    ev.spawn(task(false)).detach();
    drop(ev);
    assert_eq!((drops.count(), log.take()), (4, Vec::new()));
    assert!(kept.is_finished());
}

fn what_a_dropped_task_spawns_is_dropped_too(path: Path) {
    struct Spawner(wharf_reactor::LoopHandle, Drops, Log);
    impl Drop for Spawner {
        fn drop(&mut self) {
            let (token, log) = (self.1.token(), self.2.clone());
            self.0
                .spawn(async move {
                    let _token = token;
                    log.add("polled");
                })
                .detach();
            self.0.call_soon(self.2.note("called"));
        }
    }
    let mut ev = event_loop(path);
    let (drops, log) = (Drops::default(), Log::default());
    let spawner = Spawner(ev.handle().clone(), drops.clone(), log.clone());
    ev.spawn(async move {
        let _spawner = spawner;
        pending::<()>().await;
    })
    .detach();
    turns(&mut ev, 1);
    drop(ev);
    assert_eq!((drops.count(), log.take()), (1, Vec::new()));
}

fn a_task_of_a_dropped_loop_is_cancelled_for_who_waits(path: Path) {
    let mut first = event_loop(path);
    let second = event_loop(path);
    let task = second.spawn(pending::<()>());
    let waiting = first.spawn(task);
    turns(&mut first, 1);
    assert!(!waiting.is_finished());
    drop(second);
    assert_eq!(first.block_on(waiting), Ok(Err(TaskError::Cancelled)));
}

fn waking_after_the_loop_is_gone_is_harmless_from_any_thread(path: Path) {
    let mut ev = event_loop(path);
    let waker = Rc::new(RefCell::new(None));
    let inner = Rc::clone(&waker);
    let task = ev.spawn(poll_fn(move |cx| {
        *inner.borrow_mut() = Some(cx.waker().clone());
        Poll::<()>::Pending
    }));
    turns(&mut ev, 1);
    let waker = waker.take().unwrap();
    drop(ev);
    waker.wake_by_ref();
    let elsewhere = waker.clone();
    thread::spawn(move || elsewhere.wake()).join().unwrap();
    drop(task);
    thread::spawn(move || drop(waker)).join().unwrap();
}

/// How often the race between two waking threads and the drop of the loop is run, and over how many tasks. Enough that
/// a thread is caught between marking a task as woken and sending it.
const RACES: usize = 300;
const RACERS: usize = 500;

fn tasks_that_are_woken_while_the_loop_is_dropped_are_dropped(path: Path) {
    let loops = Drops::default();
    for race in 1..=RACES {
        let clock = TokenClock(ManualClock::new(), loops.token());
        let mut ev = builder(path).fault_policy(FaultPolicy::Resume).clock(clock).build().unwrap();
        let drops = Drops::default();
        let wakers = Rc::new(RefCell::new(Vec::new()));
        for _ in 0..RACERS {
            let (token, wakers) = (drops.token(), Rc::clone(&wakers));
            ev.spawn(poll_fn(move |cx| {
                let _ = &token;
                wakers.borrow_mut().push(cx.waker().clone());
                Poll::<()>::Pending
            }))
            .detach();
        }
        turns(&mut ev, 1);
        let wakers: Vec<Waker> = wakers.take();
        let together = Arc::new(Barrier::new(3));
        let threads = [0, 1].map(|half| {
            // From the end, towards the loop, which begins at the other one.
            let wakers: Vec<Waker> = wakers.iter().skip(half).step_by(2).rev().cloned().collect();
            let together = Arc::clone(&together);
            thread::spawn(move || {
                together.wait();
                wakers.into_iter().for_each(Waker::wake);
            })
        });
        drop(wakers);
        together.wait();
        drop(ev);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(drops.count(), RACERS, "every future was dropped, and by this thread");
        assert_eq!(loops.count(), race, "and nothing that is left of them holds the loop");
    }
}

fn a_task_waits_for_a_task_of_another_loop(path: Path) {
    let (mut first, mut second) = (event_loop(path), event_loop(path));
    let (sender, receiver) = oneshot();
    let inner = second.spawn(async move { receiver.await.unwrap_or(0) });
    let outer = first.spawn(async move { inner.await.unwrap_or(0) + 1 });
    turns(&mut first, 2);
    turns(&mut second, 2);
    sender.send(1).unwrap();
    turns(&mut second, 1);
    run_until(&mut first, || outer.is_finished());
    assert_eq!(first.block_on(outer), Ok(2));
}

fn a_sleep_ends_when_the_clock_has_moved(path: Path) {
    let (mut ev, clock) = manual_loop(path);
    let handle = ev.handle().clone();
    let task = ev.spawn(async move { handle.sleep(Duration::from_secs(5)).await });
    turns(&mut ev, 2);
    clock.advance(Duration::from_millis(4999));
    turns(&mut ev, 2);
    assert!(!task.is_finished());
    clock.advance(Duration::from_millis(1));
    turns(&mut ev, 2);
    assert!(task.is_finished());
}

fn dropping_a_sleep_takes_its_timer_back(path: Path) {
    let (mut ev, _clock) = manual_loop(path);
    let mut sleep = Box::pin(ev.sleep(Duration::from_secs(5)));
    assert_eq!(ev.statistics().timers, 0, "a timer is set by the first poll");
    let mut cx = Context::from_waker(Waker::noop());
    assert!(sleep.as_mut().poll(&mut cx).is_pending());
    assert!(sleep.as_mut().poll(&mut cx).is_pending());
    assert_eq!(ev.statistics().timers, 1);
    drop(sleep);
    assert_eq!(ev.statistics().timers, 0);
    turns(&mut ev, 1);
}

fn a_deadline_ends_a_future_that_is_not_ready(path: Path) {
    let (mut ev, clock) = manual_loop(path);
    let second = Duration::from_secs(1);
    let handle = ev.handle().clone();
    let in_time = ev.spawn(async move { handle.timeout(second, async { 1 }).await });
    let handle = ev.handle().clone();
    let late = ev.spawn(async move { handle.timeout(second, pending::<()>()).await });
    turns(&mut ev, 2);
    assert!(in_time.is_finished() && !late.is_finished());
    clock.advance(second);
    turns(&mut ev, 2);
    assert_eq!(ev.block_on(in_time), Ok(Ok(1)));
    assert_eq!(ev.block_on(late), Ok(Err(Elapsed)));
    assert_eq!(ev.statistics().timers, 0);
}

fn a_oneshot_carries_one_value(path: Path) {
    let mut ev = event_loop(path);
    let (sender, receiver) = oneshot();
    assert!(!sender.is_closed());
    sender.send("value").unwrap();
    assert_eq!(ev.block_on(receiver), Some("value"));

    let (sender, receiver) = oneshot::<()>();
    drop(sender);
    assert_eq!(ev.block_on(receiver), None, "a sender that is gone sends nothing");

    let (sender, receiver) = oneshot();
    drop(receiver);
    assert!(sender.is_closed());
    assert_eq!(sender.send(3), Err(3), "nobody waits, so the value comes back");
}
