//! Signals: real ones, each story in a process of its own, since some of them end it.
//!
//! A test runs this binary once more for itself alone; there it tells its story, and here it looks at the end.

use std::cell::Cell;
use std::env;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, exit};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use signal_hook::consts::{
    SIGCONT, SIGFPE, SIGILL, SIGKILL, SIGSEGV, SIGSTOP, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH,
};
use signal_hook::low_level::raise;
use wharf_reactor::EventLoop;

use crate::support::{Log, Path, builder, event_loop, panic_of, run_until, turns};

both_paths!(
    a_signal_becomes_a_callback,
    a_signal_wakes_a_sleeping_loop,
    a_signal_ends_busy_polling,
    several_deliveries_may_be_one_call,
    adding_again_replaces,
    removal_says_whether_there_was_one,
    a_removed_signal_has_its_default_action_again,
    a_dropped_loop_gives_its_signals_back,
    a_signal_without_a_default_end_is_harmless_after_removal,
    a_signal_that_came_before_its_removal_calls_nobody,
    a_signal_that_two_loops_own_reaches_both,
    a_handler_may_remove_and_replace_itself,
    a_handler_that_panics_is_a_fault,
    every_signal_has_its_own_callback,
    interrupted_waits_do_not_end_the_loop,
    signals_that_cannot_be_handled_are_refused,
);

/// Set where a story is told.
const CHILD: &str = "WHARF_TELL_STORY";

/// How a child says that it told its story to the end: not the code of a harness that ran no test.
const TOLD: i32 = 42;

/// Tells `story` in a process of its own and gives the end of that.
fn alone(path: Path, test: &str, story: impl FnOnce()) -> ExitStatus {
    if env::var_os(CHILD).is_some() {
        story();
        exit(TOLD);
    }
    let module = match path {
        Path::Direct => "direct",
        Path::Portable => "portable",
    };
    let test = format!("signals::{module}::{test}");
    // One thread: the harness then runs the test in the main thread, where signals of others arrive.
    Command::new(env::current_exe().unwrap())
        .args(["--exact", &test, "--test-threads=1", "--quiet"])
        .env(CHILD, "1")
        .output()
        .unwrap()
        .status
}

fn counter(ev: &EventLoop, signal: i32) -> Rc<Cell<usize>> {
    let count = Rc::new(Cell::new(0));
    let seen = Rc::clone(&count);
    ev.add_signal_handler(signal, move || seen.set(seen.get() + 1)).unwrap();
    count
}

fn a_signal_becomes_a_callback(path: Path) {
    let end = alone(path, "a_signal_becomes_a_callback", || {
        let mut ev = event_loop(path);
        let calls = counter(&ev, SIGUSR1);
        raise(SIGUSR1).unwrap();
        assert_eq!(calls.get(), 0, "not in signal context");
        run_until(&mut ev, || calls.get() == 1);
        raise(SIGUSR1).unwrap();
        run_until(&mut ev, || calls.get() == 2);
    });
    assert_eq!(end.code(), Some(TOLD), "{end}");
}

fn a_signal_wakes_a_sleeping_loop(path: Path) {
    let end = alone(path, "a_signal_wakes_a_sleeping_loop", || {
        let mut ev = event_loop(path);
        let calls = counter(&ev, SIGUSR1);
        for round in 1..=50 {
            let thread = thread::spawn(|| raise(SIGUSR1).unwrap());
            run_until(&mut ev, || calls.get() == round);
            thread.join().unwrap();
        }
    });
    assert_eq!(end.code(), Some(TOLD), "{end}");
}

fn a_signal_ends_busy_polling(path: Path) {
    let end = alone(path, "a_signal_ends_busy_polling", || {
        let mut ev = builder(path).busy_poll(Duration::from_secs(3600)).build().unwrap();
        let calls = counter(&ev, SIGUSR1);
        let thread = thread::spawn(|| raise(SIGUSR1).unwrap());
        run_until(&mut ev, || calls.get() == 1);
        thread.join().unwrap();
    });
    assert_eq!(end.code(), Some(TOLD), "{end}");
}

fn several_deliveries_may_be_one_call(path: Path) {
    let end = alone(path, "several_deliveries_may_be_one_call", || {
        let mut ev = event_loop(path);
        let calls = counter(&ev, SIGUSR1);
        for _ in 0..5 {
            raise(SIGUSR1).unwrap();
        }
        turns(&mut ev, 3);
        assert_eq!(calls.get(), 1);
    });
    assert_eq!(end.code(), Some(TOLD), "{end}");
}

fn adding_again_replaces(path: Path) {
    let end = alone(path, "adding_again_replaces", || {
        let mut ev = event_loop(path);
        let old = counter(&ev, SIGUSR1);
        let new = counter(&ev, SIGUSR1);
        assert_eq!(Rc::strong_count(&old), 1, "the old one was dropped");
        raise(SIGUSR1).unwrap();
        run_until(&mut ev, || new.get() == 1);
        assert_eq!(old.get(), 0);
        assert!(ev.remove_signal_handler(SIGUSR1));
        assert!(!ev.remove_signal_handler(SIGUSR1), "there was one place, not two");
    });
    assert_eq!(end.code(), Some(TOLD), "{end}");
}

fn removal_says_whether_there_was_one(path: Path) {
    let end = alone(path, "removal_says_whether_there_was_one", || {
        let ev = event_loop(path);
        assert!(!ev.remove_signal_handler(SIGUSR1));
        let count = counter(&ev, SIGUSR1);
        assert!(ev.remove_signal_handler(SIGUSR1));
        assert_eq!(Rc::strong_count(&count), 1);
        assert!(!ev.remove_signal_handler(SIGUSR1));
        assert!(!ev.remove_signal_handler(-1));
        assert!(!ev.remove_signal_handler(1000));
    });
    assert_eq!(end.code(), Some(TOLD), "{end}");
}

fn a_removed_signal_has_its_default_action_again(path: Path) {
    let end = alone(path, "a_removed_signal_has_its_default_action_again", || {
        let mut ev = event_loop(path);
        for _ in 0..2 {
            let calls = counter(&ev, SIGUSR1);
            raise(SIGUSR1).unwrap();
            run_until(&mut ev, || calls.get() == 1);
            ev.remove_signal_handler(SIGUSR1);
        }
        raise(SIGUSR1).unwrap();
    });
    assert_eq!(end.signal(), Some(SIGUSR1), "{end}");
}

fn a_dropped_loop_gives_its_signals_back(path: Path) {
    let end = alone(path, "a_dropped_loop_gives_its_signals_back", || {
        let mut ev = event_loop(path);
        let calls = counter(&ev, SIGTERM);
        raise(SIGTERM).unwrap();
        run_until(&mut ev, || calls.get() == 1);
        let handle = ev.handle().clone();
        drop(ev);
        assert_eq!(Rc::strong_count(&calls), 1, "and its callbacks are gone, handle or not");
        assert!(!handle.remove_signal_handler(SIGTERM));
        raise(SIGTERM).unwrap();
    });
    assert_eq!(end.signal(), Some(SIGTERM), "{end}");
}

fn a_signal_without_a_default_end_is_harmless_after_removal(path: Path) {
    let end = alone(path, "a_signal_without_a_default_end_is_harmless_after_removal", || {
        let mut ev = event_loop(path);
        let calls = counter(&ev, SIGWINCH);
        ev.remove_signal_handler(SIGWINCH);
        raise(SIGWINCH).unwrap();
        turns(&mut ev, 2);
        assert_eq!(calls.get(), 0);
    });
    assert_eq!(end.code(), Some(TOLD), "{end}");
}

fn a_signal_that_came_before_its_removal_calls_nobody(path: Path) {
    let end = alone(path, "a_signal_that_came_before_its_removal_calls_nobody", || {
        let mut ev = event_loop(path);
        let calls = counter(&ev, SIGUSR1);
        raise(SIGUSR1).unwrap();
        ev.remove_signal_handler(SIGUSR1);
        turns(&mut ev, 2);
        assert_eq!(calls.get(), 0);
    });
    assert_eq!(end.code(), Some(TOLD), "{end}");
}

fn a_signal_that_two_loops_own_reaches_both(path: Path) {
    let end = alone(path, "a_signal_that_two_loops_own_reaches_both", || {
        let (mut first, mut second) = (event_loop(path), event_loop(path));
        let calls = (counter(&first, SIGUSR2), counter(&second, SIGUSR2));
        raise(SIGUSR2).unwrap();
        run_until(&mut first, || calls.0.get() == 1);
        run_until(&mut second, || calls.1.get() == 1);
        // With one owner left the default action, which would end this process, stays away.
        drop(first);
        raise(SIGUSR2).unwrap();
        run_until(&mut second, || calls.1.get() == 2);
        assert_eq!(calls.0.get(), 1);
        second.remove_signal_handler(SIGUSR2);
        raise(SIGUSR2).unwrap();
    });
    assert_eq!(end.signal(), Some(SIGUSR2), "{end}");
}

fn a_handler_may_remove_and_replace_itself(path: Path) {
    let end = alone(path, "a_handler_may_remove_and_replace_itself", || {
        let mut ev = event_loop(path);
        let (log, handle) = (Log::default(), ev.handle().clone());
        let inner = log.clone();
        ev.add_signal_handler(SIGUSR1, move || {
            inner.add("first");
            let second = inner.clone();
            handle.add_signal_handler(SIGUSR1, move || second.add("second")).unwrap();
            let second = inner.clone();
            assert!(handle.remove_signal_handler(SIGUSR1));
            handle.add_signal_handler(SIGUSR1, move || second.add("third")).unwrap();
        })
        .unwrap();
        for _ in 0..2 {
            raise(SIGUSR1).unwrap();
            turns(&mut ev, 2);
        }
        assert_eq!(log.take(), ["first", "third"]);
    });
    assert_eq!(end.code(), Some(TOLD), "{end}");
}

fn a_handler_that_panics_is_a_fault(path: Path) {
    let end = alone(path, "a_handler_that_panics_is_a_fault", || {
        let mut ev = event_loop(path);
        ev.add_signal_handler(SIGUSR1, || panic!("clumsy")).unwrap();
        for _ in 0..2 {
            raise(SIGUSR1).unwrap();
            assert_eq!(panic_of(|| turns(&mut ev, 2)), "clumsy", "and it stays");
        }
    });
    assert_eq!(end.code(), Some(TOLD), "{end}");
}

fn every_signal_has_its_own_callback(path: Path) {
    let end = alone(path, "every_signal_has_its_own_callback", || {
        let mut ev = event_loop(path);
        let log = Log::default();
        // The last real-time signal is the last bit of the word that they are kept in.
        for signal in [SIGUSR1, SIGUSR2, SIGTERM, 64] {
            let inner = log.clone();
            ev.add_signal_handler(signal, move || inner.add(signal.to_string())).unwrap();
        }
        for signal in [64, SIGUSR2, SIGUSR1] {
            raise(signal).unwrap();
        }
        turns(&mut ev, 2);
        assert_eq!(log.take(), [SIGUSR1, SIGUSR2, 64].map(|signal| signal.to_string()));
    });
    assert_eq!(end.code(), Some(TOLD), "{end}");
}

fn interrupted_waits_do_not_end_the_loop(path: Path) {
    let end = alone(path, "interrupted_waits_do_not_end_the_loop", || {
        // The signal has an owner, so it does not end the process; the loop that it interrupts is another one.
        let owner = event_loop(path);
        let _calls = counter(&owner, SIGUSR2);
        let mut ev = event_loop(path);
        let remote = ev.remote();
        let thread = thread::spawn(move || {
            for _ in 0..30 {
                let kill = Command::new("sh").args(["-c", "kill -USR2 $PPID"]).status().unwrap();
                assert!(kill.success());
            }
            remote.stop();
        });
        ev.run_forever().unwrap();
        thread.join().unwrap();
    });
    assert_eq!(end.code(), Some(TOLD), "{end}");
}

fn signals_that_cannot_be_handled_are_refused(path: Path) {
    let end = alone(path, "signals_that_cannot_be_handled_are_refused", || {
        let ev = event_loop(path);
        for signal in [SIGKILL, SIGSTOP, SIGSEGV, SIGILL, SIGFPE, 0, -1, i32::MIN, 65, i32::MAX] {
            let error = ev.add_signal_handler(signal, || {}).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{signal}");
            assert!(!ev.remove_signal_handler(signal), "{signal}");
        }
        // Numbers that the C library keeps for itself are the system's to refuse.
        assert!(ev.add_signal_handler(32, || {}).is_err());
        ev.add_signal_handler(SIGCONT, || {}).unwrap();
    });
    assert_eq!(end.code(), Some(TOLD), "{end}");
}
