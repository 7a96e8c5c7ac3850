//! What goes wrong around a child: no descriptors, no processes, a parent that others have changed.

use std::fs::File;
use std::io::ErrorKind;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::wait::{WaitPidFlag, waitpid};
use wharf::subprocess::{self, StartError};

use super::forking::as_a_crowded_user;
use super::hearing::{Call, Heard, run, shell, start, to_child};
use crate::servers::process::{alone, open};
use crate::servers::rig::TestLoop;

/// What the system said, in an error of starting.
fn errno(error: &std::io::Error) -> Option<Errno> {
    let inner = error.get_ref()?.downcast_ref::<StartError>()?;
    inner.error.raw_os_error().map(Errno::from_raw)
}

#[track_caller]
fn assert_no_child() {
    assert_eq!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Err(Errno::ECHILD), "a child is left");
}

#[test]
fn sp_39_without_descriptors_a_start_fails_and_leaves_nothing() {
    alone(module_path!(), "sp_39_without_descriptors_a_start_fails_and_leaves_nothing", || {
        let mut ev = TestLoop::new();
        let heard = Heard::new();
        start(&mut ev, &heard, "exit 0");
        ev.until(|| heard.is_lost());
        // Every number is taken, but for a few; as long as it needs one more, a start fails.
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let set = |limit| setrlimit(Resource::RLIMIT_NOFILE, limit, hard).unwrap();
        // Counting needs one itself.
        let count = || {
            set(soft);
            let count = open();
            set(400);
            count
        };
        set(400);
        let mut all: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        let mut failures = 0;
        loop {
            let before = count();
            let heard = Heard::new();
            let child = shell(&ev, &heard, "echo out").pipe_from_child(7);
            match ev.finish(child) {
                Ok(_) => {
                    ev.until(|| heard.is_lost());
                    assert_eq!(heard.received(1), b"out\n");
                    break;
                }
                Err(error) => assert_eq!(errno(&error), Some(Errno::EMFILE), "{error}"),
            }
            ev.quieten();
            assert_eq!((count(), heard.lines().len(), heard.alive()), (before, 0, 0));
            assert_no_child();
            failures += 1;
            assert!(all.pop().is_some(), "it never has enough");
        }
        assert!(failures > 3, "{failures}");
        assert_eq!(ev.statistics().sources, 0);
    });
}

#[test]
fn sp_39_without_processes_a_start_fails_and_leaves_nothing() {
    alone(module_path!(), "sp_39_without_processes_a_start_fails_and_leaves_nothing", || {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("notice: only root may become a user of its own; skipped");
            return;
        }
        let mut ev = TestLoop::new();
        as_a_crowded_user();
        let before = open();
        let heard = Heard::new();
        let error = ev.finish(shell(&ev, &heard, "true")).unwrap_err();
        assert_eq!(errno(&error), Some(Errno::EAGAIN));
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert_eq!((open(), heard.lines().len(), heard.alive()), (before, 0, 0));
    });
}

#[test]
fn sp_39_a_child_that_is_dead_before_its_pipes_are_connected_is_heard_whole() {
    for _ in 0..20 {
        let mut ev = TestLoop::new();
        let heard = Heard::new();
        heard.on(Call::Made, |transport| {
            super::hearing::wait_until_dead(transport.pid());
            to_child(transport, 0).write(b"nobody reads this");
        });
        start(&mut ev, &heard, "printf 'last words'; exit 2");
        ev.until(|| heard.is_lost());
        assert_eq!(heard.received(1), b"last words");
        assert!(heard.lines().contains(&"exited 2".to_owned()));
    }
}

#[test]
fn sp_39_writing_to_a_child_that_does_not_read_any_more_is_an_event() {
    for size in [1, 1 << 20] {
        let mut ev = TestLoop::new();
        let heard = Heard::new();
        // It says so after it has closed its stdin, so every write from here on meets nobody.
        heard.on(Call::Data(1), move |transport| {
            for _ in 0..3 {
                to_child(transport, 0).write(&vec![b'x'; size]);
            }
        });
        let transport = start(&mut ev, &heard, "exec <&-; echo closed; exec sleep 1000");
        ev.until(|| heard.has(Call::PipeLost(0)));
        assert!(!heard.has(Call::Exited), "it runs, and so do we");
        transport.close();
        ev.until(|| heard.is_lost());
    }
}

#[test]
fn sp_39_a_parent_that_ignores_sigchld_hears_of_an_exit_without_a_status() {
    alone(
        module_path!(),
        "sp_39_a_parent_that_ignores_sigchld_hears_of_an_exit_without_a_status",
        || {
            super::forking::ignore(nix::sys::signal::Signal::SIGCHLD);
            let policy = wharf::FaultPolicy::Contain;
            let builder = crate::support::loop_builder().fault_policy(policy);
            let mut ev = TestLoop::of(builder);
            let heard = Heard::new();
            let transport = start(&mut ev, &heard, "echo out; exit 7");
            ev.until(|| heard.is_lost());
            assert_eq!((heard.received(1), transport.returncode()), (b"out\n".to_vec(), Some(255)));
        },
    );
}

#[test]
fn sp_22_a_start_on_a_loop_that_is_gone_is_refused() {
    let ev = TestLoop::new();
    let handle = ev.handle.clone();
    drop(ev);
    let heard = Heard::new();
    let mut another = TestLoop::new();
    let error = another.finish(shell(&handle, &heard, "true")).unwrap_err();
    assert!(error.get_ref().unwrap().is::<wharf::LoopClosed>());
    assert_eq!(heard.alive(), 0);
}

#[test]
fn sp_27_a_loop_runs_its_children_beside_a_handler_of_sigchld() {
    let mut ev = TestLoop::new();
    let calls = std::rc::Rc::new(std::cell::Cell::new(0));
    let seen = std::rc::Rc::clone(&calls);
    let chld = nix::sys::signal::Signal::SIGCHLD as i32;
    ev.add_signal_handler(chld, move || seen.set(seen.get() + 1)).unwrap();
    let heard = Heard::new();
    start(&mut ev, &heard, "exit 4");
    ev.until(|| heard.is_lost() && calls.get() > 0);
    ev.remove_signal_handler(chld);
    let heard = run("exit 5");
    assert!(heard.lines().contains(&"exited 5".to_owned()));
    let _ = subprocess::exec(&ev, "true", [""; 0], heard.factory());
}
