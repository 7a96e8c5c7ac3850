//! The scheduler of a driver: callbacks, timers under tokio's clock, and what wakes the task.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::duplex;
use tokio::task::spawn_local;
use wharf_tokio::serve;

use crate::support::{Log, run};

#[test]
fn timers_run_in_the_order_of_their_deadlines_and_not_before() {
    run(async {
        let log = Log::default();
        let (ours, _theirs) = duplex(100);
        let (transport, _, driver) = serve(ours, log.echo()).start();
        spawn_local(driver);
        log.wait_for("made").await;
        let scheduler = transport.scheduler();
        let begin = tokio::time::Instant::now();
        let order = Rc::new(RefCell::new(Vec::new()));
        let mut timers = Vec::new();
        for seconds in [3, 1, 2, 1] {
            let order = Rc::clone(&order);
            let note = move || {
                let passed = begin.elapsed().as_secs();
                order.borrow_mut().push((seconds, passed));
            };
            timers.push(scheduler.call_later(Duration::from_secs(seconds), Box::new(note)));
        }
        timers[2].cancel();
        assert_eq!(scheduler.now(), begin.into_std());
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(*order.borrow(), [(1, 1), (1, 1), (3, 3)]);
    });
}

#[test]
fn a_callback_runs_in_the_next_turn_and_may_write() {
    run(async {
        let log = Log::default();
        let (ours, _theirs) = duplex(100);
        let (transport, _, driver) = serve(ours, log.echo()).start();
        spawn_local(driver);
        log.wait_for("made").await;
        let (noted, inner) = (log.clone(), transport.clone());
        transport.scheduler().call_soon(Box::new(move || {
            noted.add("soon");
            let noted = noted.clone();
            inner.scheduler().call_soon(Box::new(move || noted.add("sooner")));
            inner.close();
        }));
        log.wait_for("lost: closed by us").await;
        assert_eq!(log.take(), ["made", "soon", "lost: closed by us"]);
    });
}

#[test]
fn what_is_scheduled_after_the_end_is_dropped() {
    run(async {
        let (ours, theirs) = duplex(100);
        let (transport, _, driver) = serve(ours, Log::default().echo()).start();
        drop(theirs);
        assert!(driver.await.is_ok());
        let token = Rc::new(());
        let held = Rc::clone(&token);
        transport.scheduler().call_soon(Box::new(move || drop(held)));
        let held = Rc::clone(&token);
        let timer = transport.scheduler().call_later(Duration::ZERO, Box::new(move || drop(held)));
        assert_eq!(Rc::strong_count(&token), 1);
        timer.cancel();
    });
}

#[test]
fn an_idle_connection_is_not_polled() {
    use std::future::Future;
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::{Context, Wake, Waker};

    struct Count(AtomicU32);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let (ours, _theirs) = duplex(100);
    let log = Log::default();
    let (transport, _, driver) = serve(ours, log.echo()).start();
    let mut driver = pin!(driver);
    let count = Arc::new(Count(AtomicU32::new(0)));
    let waker = Waker::from(Arc::clone(&count));
    let mut poll = || driver.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
    assert!(!poll());
    assert_eq!(count.0.load(Ordering::Relaxed), 0, "it waits for its peer");
    transport.write(b"x");
    assert_eq!(count.0.load(Ordering::Relaxed), 1, "a write from outside wakes it");
    assert!(!poll());
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    transport.pause_reading();
    assert_eq!(count.0.swap(0, Ordering::Relaxed), 2);
    assert!(!poll());
    assert_eq!(count.0.load(Ordering::Relaxed), 0, "a paused one waits for nothing");
}
