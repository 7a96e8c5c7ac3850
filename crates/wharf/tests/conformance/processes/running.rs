//! Running a program to its end: `run` and its like.

use std::error::Error;
use std::future::{Future, IntoFuture};
use std::io::ErrorKind;
use std::pin::Pin;
use std::process::Command;
use std::time::Duration;

use wharf::subprocess::{self, RunError};

use super::hearing::is_child_of_ours;
use crate::servers::rig::TestLoop;
use crate::support::{pattern, poll};

const NONE: [&str; 0] = [];

#[test]
fn sp_36_a_program_that_was_run_gives_its_status_and_output() {
    let mut ev = TestLoop::new();
    let output = ev.finish(subprocess::run_shell(&ev, "echo out; echo err >&2; exit 3")).unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
    let output = ev.finish(subprocess::run_shell(&ev, "echo out; echo err >&2").merge_stderr());
    assert_eq!(output.unwrap().stdout, b"out\nerr\n");
    let mut command = Command::new("printf");
    command.arg("%s").arg("a command");
    assert_eq!(ev.finish(subprocess::run_command(&ev, command)).unwrap().stdout, b"a command");
}

#[test]
fn sp_36_input_is_read_whole_or_not_at_all() {
    let mut ev = TestLoop::new();
    // More than pipes hold, in both directions at once.
    let input = pattern(1 << 20);
    let output = ev.finish(subprocess::run(&ev, "cat", NONE).input(input.clone())).unwrap();
    assert!(output.stdout == input && output.status.success());
    let output = ev.finish(subprocess::run(&ev, "true", NONE).input(input)).unwrap();
    assert!(output.status.success());
    // Without input there is nothing to read.
    assert_eq!(ev.finish(subprocess::run(&ev, "cat", NONE)).unwrap().stdout, b"");
    let output = ev.finish(subprocess::run(&ev, "cat", NONE).input("")).unwrap();
    assert_eq!(output.stdout, b"");
}

#[test]
fn sp_36_a_program_that_writes_too_much_is_killed() {
    let mut ev = TestLoop::new();
    let error = ev.finish(subprocess::run_shell(&ev, "yes >&2").limit(10)).unwrap_err();
    assert_eq!(error.to_string(), "more than 10 bytes came on descriptor 2");
    let RunError::TooMuch { fd, limit, output } = error else { panic!("{error}") };
    assert_eq!((fd, limit, &output.stderr[..]), (2, 10, &b"y\ny\ny\ny\ny\n"[..]));
    assert!(!output.status.success());
    // Exactly the limit is not too much.
    let output = ev.finish(subprocess::run(&ev, "printf", ["12345"]).limit(5)).unwrap();
    assert_eq!(output.stdout, b"12345");
}

#[test]
fn sp_36_a_program_that_takes_too_long_is_killed() {
    let (mut ev, clock) = TestLoop::manual();
    let line = "echo begun; exec sleep 1000";
    let running = subprocess::run_shell(&ev, line).timeout(Duration::from_secs(5));
    let task = ev.spawn(running.into_future());
    ev.quieten();
    assert!(!task.is_finished());
    clock.advance(Duration::from_secs(5));
    ev.until(|| task.is_finished());
    let error = ev.finish(task).unwrap().unwrap_err();
    assert_eq!(error.to_string(), "it took longer than 5s");
    let RunError::TimedOut { timeout, output } = error else { panic!("{error}") };
    assert_eq!((timeout, output.status.success()), (Duration::from_secs(5), false));
    let in_time = subprocess::run(&ev, "true", NONE).timeout(Duration::from_secs(5));
    assert!(ev.finish(in_time).unwrap().status.success());
}

#[test]
fn sp_36_a_program_that_is_not_there_is_an_error_with_its_name() {
    let mut ev = TestLoop::new();
    let error = ev.finish(subprocess::run(&ev, "no-such-program-here", NONE)).unwrap_err();
    assert!(error.to_string().contains("no-such-program-here"), "{error}");
    assert!(error.source().is_some());
    let RunError::Start(error) = error else { panic!("{error}") };
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn sp_36_giving_up_kills_the_program() {
    let mut ev = TestLoop::new();
    let folder = crate::support::Folder::new();
    let path = folder.join("pid");
    let line = format!("echo $$ >{}.new; mv {0}.new {0}; exec sleep 1000", path.display());
    let mut running: Pin<Box<dyn Future<Output = _>>> =
        subprocess::run_shell(&ev, line).into_future();
    ev.until(|| {
        assert!(poll(&mut running).is_pending());
        path.exists()
    });
    let pid = std::fs::read_to_string(&path).unwrap().trim().parse().unwrap();
    assert!(is_child_of_ours(pid));
    drop(running);
    ev.until(|| !is_child_of_ours(pid));
}
