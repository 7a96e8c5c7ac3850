//! What a loop counts about itself, as far as it needs no connection.

use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use wharf_reactor::EventLoop;

use crate::support::{Path, event_loop, manual_loop, turns};

both_paths!(
    turns_are_counted,
    a_ready_descriptor_is_an_event_and_a_wake_up_is_none,
    what_lives_on_the_loop_is_counted,
    time_is_counted_as_waiting_or_as_work,
);

fn turns_are_counted(path: Path) {
    let mut ev = event_loop(path);
    assert_eq!(ev.statistics().turns, 0);
    turns(&mut ev, 3);
    assert_eq!(ev.statistics().turns, 3);
}

fn a_ready_descriptor_is_an_event_and_a_wake_up_is_none(path: Path) {
    let mut ev = event_loop(path);
    let (ours, theirs) = UnixStream::pair().unwrap();
    let ours = Rc::new(ours);
    ev.add_reader(Rc::clone(&ours), || {}).unwrap();
    turns(&mut ev, 1);
    assert_eq!(ev.statistics().events, 0);
    drop(theirs);
    turns(&mut ev, 2);
    assert_eq!(ev.statistics().events, 2);
    ev.remove_reader(&ours);

    let remote = ev.remote();
    let thread = thread::spawn(move || remote.stop());
    ev.run_forever().unwrap();
    thread.join().unwrap();
    turns(&mut ev, 2);
    assert_eq!(ev.statistics().events, 2, "a wake-up hands nothing out");
}

fn what_lives_on_the_loop_is_counted(path: Path) {
    let (mut ev, clock) = manual_loop(path);
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let ours = Rc::new(ours);
    let now = |ev: &EventLoop| (ev.statistics().sources, ev.statistics().timers);
    assert_eq!(now(&ev), (0, 0));
    ev.add_reader(Rc::clone(&ours), || {}).unwrap();
    ev.add_writer(Rc::clone(&ours), || {}).unwrap();
    let timer = ev.call_later(Duration::from_secs(1), || {});
    ev.call_later(Duration::from_secs(2), || {});
    assert_eq!(now(&ev), (1, 2));
    timer.cancel();
    ev.remove_reader(&ours);
    assert_eq!(now(&ev), (1, 1));
    ev.remove_writer(&ours);
    clock.advance(Duration::from_secs(2));
    turns(&mut ev, 1);
    assert_eq!(now(&ev), (0, 0));
}

fn time_is_counted_as_waiting_or_as_work(path: Path) {
    let mut ev = event_loop(path);
    let handle = ev.handle().clone();
    ev.block_on(async { handle.sleep(Duration::from_millis(2)).await });
    let first = ev.statistics();
    assert!(first.polling > Duration::ZERO && first.working > Duration::ZERO);
    let handle = ev.handle().clone();
    ev.block_on(async { handle.sleep(Duration::from_millis(2)).await });
    assert!(ev.statistics().turns > first.turns);
}
