//! What a child costs in system calls, traced.

// A notice belongs where the test's reader looks.
#![allow(clippy::print_stderr)]

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use super::hearing::{Heard, start, to_child};
use crate::servers::process::{arguments, is_alone};
use crate::servers::rig::TestLoop;
use crate::support::Folder;

/// A system call that means nothing, to find the place in a trace.
fn mark(name: &str) {
    assert!(std::fs::metadata(format!("/marks/{name}")).is_err());
}

/// Runs `test` alone under strace and gives its trace; `None`, with a notice, where that cannot be.
fn traced(test: &str) -> Option<String> {
    let folder = Folder::new();
    let file = folder.join("trace");
    let traced = Command::new("strace")
        .args(["-f", "-qq", "-o"])
        .arg(&file)
        .arg(std::env::current_exe().unwrap())
        .args(arguments(module_path!(), test))
        .env("WHARF_TEST_ALONE", test)
        // Traced is what users have by default.
        .env_remove("WHARF_POLL")
        .stdin(Stdio::null())
        .output();
    let Ok(output) = traced else {
        eprintln!("notice: there is no strace; skipped");
        return None;
    };
    let told = String::from_utf8_lossy(&output.stdout);
    let trace = std::fs::read_to_string(&file).unwrap_or_default();
    if !told.contains("1 passed") && !trace.contains("/marks/") {
        eprintln!("notice: strace may not trace here; skipped");
        return None;
    }
    assert!(told.contains("1 passed"), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    Some(trace)
}

/// The calls of the thread that left two marks, between these.
fn between<'a>(trace: &'a str, first: &str, second: &str) -> Vec<&'a str> {
    let line_of = |name: &str| {
        let name = format!("/marks/{name}\"");
        trace.lines().position(|line| line.contains(&name)).expect("the mark is in the trace")
    };
    let (start, end) = (line_of(first), line_of(second));
    let lines: Vec<&str> = trace.lines().collect();
    let thread = lines[start].split_whitespace().next();
    lines[start + 1..end]
        .iter()
        .filter(|line| line.split_whitespace().next() == thread)
        .map(|line| line.split_once(' ').map_or("", |(_, call)| call.trim_start()))
        // The second half of a call that another thread interrupted in the trace, a signal, an exit.
        .filter(|call| !call.starts_with(['<', '-', '+']))
        .collect()
}

/// How often each call came.
fn count<'a>(calls: &[&'a str]) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for call in calls {
        *counts.entry(call.split('(').next().unwrap_or_default()).or_default() += 1;
    }
    counts
}

#[test]
fn sp_40_a_start_is_one_vfork_and_an_end_one_wait() {
    const TEST: &str = "sp_40_a_start_is_one_vfork_and_an_end_one_wait";
    if is_alone(TEST) {
        let mut ev = TestLoop::new();
        // Whatever is made once is made before.
        for round in ["warm", "first", "second"] {
            mark(round);
            let heard = Heard::new();
            start(&mut ev, &heard, "echo out");
            ev.until(|| heard.is_lost());
        }
        return mark("end");
    }
    let Some(trace) = traced(TEST) else { return };
    for (first, second) in [("first", "second"), ("second", "end")] {
        let calls = between(&trace, first, second);
        let counts = count(&calls);
        let times = |name: &str| counts.get(name).copied().unwrap_or_default();
        let clone = calls.iter().find(|call| call.starts_with("clone")).expect("a child");
        assert!(clone.contains("CLONE_VM|CLONE_VFORK"), "{clone}");
        let once = ["clone3", "clone", "vfork", "fork"].map(times);
        assert_eq!(once.iter().sum::<usize>(), 1, "{counts:?}");
        // A tracer hears of the end first; a look before it has let go of the child finds nothing.
        let early = calls.iter().filter(|call| call.starts_with("waitid") && call.contains("{}"));
        let early = early.count();
        let waits = (times("pidfd_open"), times("waitid") - early, times("wait4"));
        assert_eq!(waits, (1, 1, 0), "{counts:?}");
        // Three pipes, each of which is read or closed once, and the child.
        assert_eq!(times("pipe2"), 3, "{counts:?}");
        assert_eq!(times("rt_sigaction"), 0, "no handler: {counts:?}");
        // Each is put on the loop, and taken off again if it is polled for as long as it is ready, as pipes are.
        assert_eq!(times("epoll_ctl") - early, 7, "{counts:?}");
    }
}

#[test]
fn sp_40_a_message_is_one_write_one_read_and_the_waiting() {
    const TEST: &str = "sp_40_a_message_is_one_write_one_read_and_the_waiting";
    const MESSAGES: usize = 50;
    if is_alone(TEST) {
        let mut ev = TestLoop::new();
        let heard = Heard::new();
        let transport = start(&mut ev, &heard, "exec cat");
        let stdin = to_child(&transport, 0);
        let mut say = |count| {
            stdin.write(b"message");
            ev.until(|| heard.received_len(1) == count * 7);
        };
        say(1);
        mark("begin");
        (2..2 + MESSAGES).for_each(&mut say);
        mark("end");
        return;
    }
    let Some(trace) = traced(TEST) else { return };
    let mut counts = count(&between(&trace, "begin", "end"));
    assert_eq!(counts.remove("write"), Some(MESSAGES), "{counts:?}");
    assert_eq!(counts.remove("read"), Some(MESSAGES), "{counts:?}");
    let waits: usize = ["epoll_wait", "epoll_pwait", "epoll_pwait2"]
        .iter()
        .filter_map(|name| counts.remove(name))
        .sum();
    assert!(waits >= MESSAGES);
    assert_eq!(counts, BTreeMap::new(), "and nothing else");
}
