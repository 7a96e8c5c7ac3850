//! Scenarios of the loop itself: the queue, timers, faults, other threads.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use super::performance::by_hand;
use crate::support::new_loop;
use wharf::FaultPolicy;

/// What callbacks leave behind, in their order.
#[derive(Clone, Default)]
struct Order(Rc<RefCell<Vec<String>>>);

impl Order {
    /// A callback that leaves `mark`.
    fn mark(&self, mark: &str) -> impl FnOnce() + 'static {
        let (order, mark) = (self.clone(), mark.to_owned());
        move || order.0.borrow_mut().push(mark)
    }

    fn so_far(&self) -> Vec<String> {
        self.0.borrow().clone()
    }
}

#[test]
fn l01_the_queue_is_a_queue_and_new_work_waits_for_the_next_turn() {
    by_hand("L01", |mut ev, scene| {
        let order = Order::default();
        let (handle, first, second) = (ev.handle().clone(), order.mark("a"), order.mark("a2"));
        ev.call_soon(move || {
            first();
            handle.call_soon(second);
            handle.stop();
        });
        ev.call_soon(order.mark("b"));
        let cancelled = ev.call_soon(order.mark("cancelled"));
        cancelled.cancel();
        cancelled.cancel();
        ev.call_soon(order.mark("c"));
        ev.run_forever().unwrap();
        scene.value("first run", order.so_far());
        let handle = ev.handle().clone();
        ev.call_soon(move || handle.stop());
        ev.run_forever().unwrap();
        scene.value("second run", order.so_far());
        scene.trace()
    });
}

#[test]
fn l02_timers_run_in_the_order_of_their_time() {
    by_hand("L02", |mut ev, scene| {
        let order = Order::default();
        let millis = Duration::from_millis;
        let now = ev.now();
        ev.call_later(millis(60), order.mark("60"));
        ev.call_later(millis(30), order.mark("30"));
        // There is no negative delay; a deadline may be past.
        ev.call_at(now - millis(1), order.mark("-1"));
        ev.call_later(millis(0), order.mark("0"));
        ev.call_soon(order.mark("soon"));
        ev.call_later(millis(40), order.mark("cancelled")).cancel();
        ev.call_at(now + millis(50), order.mark("50"));
        for _ in 0..10 {
            ev.turn(Some(Duration::ZERO)).unwrap();
            scene.clock.advance(millis(10));
        }
        scene.value("order", order.so_far());
        scene.trace()
    });
}

#[test]
fn l03_a_panic_in_a_callback_leaves_the_loop_alone() {
    by_hand("L03", |mut ev, scene| {
        let handle = ev.handle().clone();
        let run = |ev: &mut wharf::EventLoop| {
            ev.call_soon(|| panic!("ValueError: boom"));
            let (next, handle) = (scene.clone(), handle.clone());
            ev.call_soon(move || next.line("cb next callback ran"));
            ev.call_soon(move || handle.stop());
            ev.run_forever().unwrap();
        };
        run(&mut ev);
        ev.set_fault_policy(FaultPolicy::report(|_| panic!("KeyError: worse")));
        run(&mut ev);
        scene.trace()
    });
}

#[test]
fn l04_a_post_wakes_the_loop_and_a_closed_loop_takes_nothing() {
    by_hand("L04", |_, scene| {
        // With the system's clock, so that the test ends even when nobody wakes the loop.
        let mut ev = new_loop();
        scene.observe_faults(ev.handle());
        let (handle, remote) = (ev.handle().clone(), ev.remote());
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::spawn({
            let remote = remote.clone();
            move || {
                receiver.recv().expect("the loop runs");
                remote.stop();
            }
        });
        ev.call_soon(move || sender.send(()).expect("the thread waits"));
        let late = Rc::new(Cell::new(false));
        let (stop, flag) = (handle.clone(), Rc::clone(&late));
        ev.call_later(Duration::from_secs(5), move || {
            flag.set(true);
            stop.stop();
        });
        ev.run_forever().unwrap();
        scene.value("woken early", !late.get());
        scene.value("running", handle.is_running());
        thread.join().unwrap();
        drop(ev);
        handle.call_soon(|| panic!("nothing runs on a closed loop"));
        scene.did("call_soon on a closed loop");
        handle.call_later(Duration::ZERO, || panic!("nothing runs on a closed loop"));
        scene.did("call_later on a closed loop");
        scene.attempt("call_soon_threadsafe on a closed loop", remote.post(|_| {}));
        scene.trace()
    });
}
