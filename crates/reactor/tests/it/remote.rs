//! The loop as seen from other threads: posts, their order, and the end.

use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use wharf_reactor::{EventLoop, LoopClosed, Remote, Unanswered};

use crate::support::{Log, PATIENCE, Path, builder, event_loop, panic_of, run_until, turns};

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
    a_question_wakes_a_sleeping_loop_and_is_answered,
    a_loop_that_is_stuck_or_not_run_does_not_hold_the_asker,
    a_loop_that_is_gone_says_so,
    a_question_that_panics_is_a_fault_and_has_no_answer,
    the_loops_own_thread_is_refused_and_not_held,
    one_loop_awaits_the_answer_of_another,
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

fn a_question_wakes_a_sleeping_loop_and_is_answered(path: Path) {
    let mut ev = event_loop(path);
    let (done, remote) = (Arc::new(Mutex::new(None)), ev.remote());
    let answer = Arc::clone(&done);
    let thread = thread::spawn(move || {
        let mut last = None;
        for round in 0..100 {
            let told = remote.ask(move |handle| (round, handle.is_running())).wait(PATIENCE);
            assert_eq!(told, Ok((round, true)));
            last = Some(remote.statistics(PATIENCE).unwrap());
        }
        *answer.lock().unwrap() = last;
        remote.post(|_| {}).unwrap();
    });
    run_until(&mut ev, || done.lock().unwrap().is_some());
    thread.join().unwrap();
    let told = done.lock().unwrap().unwrap();
    assert!(told.turns >= 1 && told.turns <= ev.statistics().turns);
}

fn a_loop_that_is_stuck_or_not_run_does_not_hold_the_asker(path: Path) {
    let mut ev = event_loop(path);
    let remote = ev.remote();
    // Nobody runs it.
    let asker = remote.clone();
    let mut answer = thread::spawn(move || {
        let mut answer = asker.ask(|_| 7);
        assert_eq!(answer.wait(Duration::from_millis(1)), Err(Unanswered::TimedOut));
        answer
    })
    .join()
    .unwrap();
    // A callback holds it up, and ends when the asker has given up.
    let (given_up, stuck) = mpsc::channel();
    ev.call_soon(move || stuck.recv().unwrap());
    let thread = thread::spawn(move || {
        let mut answer = remote.ask(|_| 8);
        assert_eq!(answer.wait(Duration::from_millis(1)), Err(Unanswered::TimedOut));
        given_up.send(()).unwrap();
        // It was only late.
        let late = answer.wait(PATIENCE);
        remote.stop();
        late
    });
    ev.run_forever().unwrap();
    assert_eq!(thread.join().unwrap(), Ok(8));
    assert_eq!(answer.wait(Duration::ZERO), Ok(7), "the question stays");
    assert_eq!(answer.wait(Duration::ZERO), Err(Unanswered::Gone), "an answer is taken once");
}

fn a_loop_that_is_gone_says_so(path: Path) {
    let ev = event_loop(path);
    let remote = ev.remote();
    let mut waiting = remote.ask(|_| ());
    drop(ev);
    assert_eq!(waiting.wait(PATIENCE), Err(Unanswered::Gone));
    assert_eq!(remote.statistics(PATIENCE), Err(Unanswered::Gone));
}

fn a_question_that_panics_is_a_fault_and_has_no_answer(path: Path) {
    let mut ev = builder(path).build().unwrap();
    let mut answer = ev.remote().ask(|_| -> () { panic!("asked too much") });
    turns(&mut ev, 1);
    assert_eq!(answer.wait(PATIENCE), Err(Unanswered::Gone));
    assert_eq!(ev.statistics().faults, 1);
}

fn the_loops_own_thread_is_refused_and_not_held(path: Path) {
    let mut ev = event_loop(path);
    let (remote, log) = (ev.remote(), Log::default());
    let told = log.clone();
    ev.call_soon(move || told.add(format!("{:?}", remote.statistics(PATIENCE))));
    turns(&mut ev, 1);
    assert_eq!(log.take(), ["Err(OwnThread)"]);
}

fn one_loop_awaits_the_answer_of_another(path: Path) {
    let (tell, told) = mpsc::channel();
    let other = thread::spawn(move || {
        let mut ev = EventLoop::new().unwrap();
        tell.send(ev.remote()).unwrap();
        ev.run_forever().unwrap();
    });
    let remote = told.recv().unwrap();
    let mut ev = event_loop(path);
    let answer = ev.block_on(async { remote.ask(|handle| handle.statistics().turns).await });
    assert!(answer.unwrap() >= 1);
    remote.stop();
    other.join().unwrap();
    let answer = ev.block_on(async { remote.ask(|_| ()).await });
    assert_eq!(answer, Err(Unanswered::Gone));
}
