//! The loop as seen from other threads: posts, their order, and the end.

use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use wharf_reactor::{LoopClosed, Remote};

use crate::support::{Log, Path, event_loop, panic_of, run_until, turns};

both_paths!(
    a_post_wakes_a_sleeping_loop,
    what_one_thread_posts_runs_in_its_order,
    a_post_from_a_callback_runs_in_the_next_turn,
    a_post_gets_the_loops_handle,
    a_post_that_panics_is_a_fault,
    a_loop_is_stopped_from_another_thread,
    after_the_drop_a_post_is_refused_and_dropped_where_it_was_made,
    posts_that_were_waiting_are_dropped_with_the_loop,
    posts_and_the_drop_of_the_loop_may_race,
);

fn a_post_wakes_a_sleeping_loop(path: Path) {
    let mut ev = event_loop(path);
    let remote = ev.remote();
    let (done, posted) = (Arc::new(Mutex::new(0)), Arc::new(Barrier::new(2)));
    let (count, barrier) = (Arc::clone(&done), Arc::clone(&posted));
    let thread = thread::spawn(move || {
        for _ in 0..100 {
            let count = Arc::clone(&count);
            remote.post(move |_| *count.lock().unwrap() += 1).unwrap();
            // The next post waits until the loop has seen this one, so each of them meets a sleeping loop, or one that
            // is about to sleep.
            barrier.wait();
        }
    });
    for round in 1..=100 {
        run_until(&mut ev, || *done.lock().unwrap() == round);
        posted.wait();
    }
    thread.join().unwrap();
}

fn what_one_thread_posts_runs_in_its_order(path: Path) {
    const THREADS: usize = 4;
    const POSTS: usize = 500;
    let mut ev = event_loop(path);
    let seen = Arc::new(Mutex::new(vec![Vec::new(); THREADS]));
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (remote, seen) = (ev.remote(), Arc::clone(&seen));
            thread::spawn(move || {
                for post in 0..POSTS {
                    let seen = Arc::clone(&seen);
                    remote.post(move |_| seen.lock().unwrap()[thread].push(post)).unwrap();
                }
            })
        })
        .collect();
    run_until(&mut ev, || seen.lock().unwrap().iter().all(|posts| posts.len() == POSTS));
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    for posts in &*seen.lock().unwrap() {
        assert!(posts.is_sorted(), "out of order");
    }
}

fn a_post_from_a_callback_runs_in_the_next_turn(path: Path) {
    let mut ev = event_loop(path);
    let log = Log::default();
    let (remote, line) = (ev.remote(), Arc::new(Mutex::new(false)));
    let (posted, inner) = (Arc::clone(&line), log.clone());
    ev.call_soon(move || {
        remote.post(move |_| *posted.lock().unwrap() = true).unwrap();
        inner.add("callback is over");
    });
    turns(&mut ev, 1);
    assert!(!*line.lock().unwrap());
    assert_eq!(log.take(), ["callback is over"]);
    turns(&mut ev, 1);
    assert!(*line.lock().unwrap());
}

fn a_post_gets_the_loops_handle(path: Path) {
    let mut ev = event_loop(path);
    let (sender, receiver) = mpsc::channel();
    let remote = ev.remote();
    thread::spawn(move || {
        remote.post(move |handle| {
            let sender = sender.clone();
            handle.call_soon(move || sender.send("called").unwrap());
        })
    })
    .join()
    .unwrap()
    .unwrap();
    turns(&mut ev, 2);
    assert_eq!(receiver.try_recv(), Ok("called"));
}

fn a_post_that_panics_is_a_fault(path: Path) {
    let mut ev = event_loop(path);
    ev.remote().post(|_| panic!("clumsy post")).unwrap();
    assert_eq!(panic_of(|| turns(&mut ev, 1)), "clumsy post");
    turns(&mut ev, 1);
}

fn a_loop_is_stopped_from_another_thread(path: Path) {
    let mut ev = event_loop(path);
    let _bell = ev.call_later(Duration::from_secs(60), || panic!("nothing woke the loop"));
    for _ in 0..3 {
        let remote = ev.remote();
        let thread = thread::spawn(move || remote.stop());
        ev.run_forever().unwrap();
        thread.join().unwrap();
    }
}

fn after_the_drop_a_post_is_refused_and_dropped_where_it_was_made(path: Path) {
    struct Witness(mpsc::Sender<thread::ThreadId>);
    impl Drop for Witness {
        fn drop(&mut self) {
            let _ = self.0.send(thread::current().id());
        }
    }
    let ev = event_loop(path);
    let remote = ev.remote();
    assert!(!remote.is_closed());
    drop(ev);
    assert!(remote.is_closed());
    let (sender, receiver) = mpsc::channel();
    let thread = thread::spawn(move || {
        let witness = Witness(sender);
        let refused = remote.post(move |_| drop(witness));
        remote.stop();
        (refused, thread::current().id())
    });
    let (refused, id) = thread.join().unwrap();
    assert_eq!((refused, receiver.recv()), (Err(LoopClosed), Ok(id)));
}

fn posts_that_were_waiting_are_dropped_with_the_loop(path: Path) {
    let ev = event_loop(path);
    let token = Arc::new(());
    for _ in 0..3 {
        let held = Arc::clone(&token);
        ev.remote().post(move |_| panic!("ran: {}", Arc::strong_count(&held))).unwrap();
    }
    assert_eq!(Arc::strong_count(&token), 4);
    drop(ev);
    assert_eq!(Arc::strong_count(&token), 1);
}

fn posts_and_the_drop_of_the_loop_may_race(path: Path) {
    for _ in 0..100 {
        let ev = event_loop(path);
        let token = Arc::new(());
        let (remote, held): (Remote, _) = (ev.remote(), Arc::clone(&token));
        let (begin, begun) = mpsc::channel();
        let thread = thread::spawn(move || {
            begin.send(()).unwrap();
            loop {
                let held = Arc::clone(&held);
                if remote.post(move |_| drop(held)).is_err() {
                    return;
                }
            }
        });
        begun.recv().unwrap();
        drop(ev);
        thread.join().unwrap();
        assert_eq!(Arc::strong_count(&token), 1, "every post was dropped");
    }
}
