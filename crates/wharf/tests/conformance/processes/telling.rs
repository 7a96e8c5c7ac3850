//! What a protocol hears of its child, and in which order.

use std::cell::Cell;
use std::rc::Rc;

use nix::sys::signal::Signal;
use wharf::{Lost, SubprocessProtocol, SubprocessTransportRef, subprocess};

use super::hearing::{Call, Heard, from_child, run, shell, start, to_child, wait_until_dead};
use crate::servers::rig::TestLoop;

#[test]
fn sp_01_connection_made_comes_first_even_if_the_child_is_dead_by_then() {
    let mut ev = TestLoop::new();
    let heard = Heard::new();
    heard.on(Call::Made, |transport| wait_until_dead(transport.pid()));
    start(&mut ev, &heard, "echo early; exit 3");
    ev.until(|| heard.is_lost());
    assert_eq!(heard.lines()[0], "made");
    assert_eq!(heard.received(1), b"early\n");
    assert!(heard.lines().contains(&"exited 3".to_owned()));
}

#[test]
fn sp_02_starting_ends_after_connection_made_and_before_anything_else() {
    let mut ev = TestLoop::new();
    let heard = Heard::new();
    heard.on(Call::Made, |transport| wait_until_dead(transport.pid()));
    let starting = shell(&ev, &heard, "echo early");
    let at_the_start = heard.clone();
    let lines = ev.finish(async move {
        let (transport, protocol) = starting.await.unwrap();
        assert_eq!(at_the_start.transport(), transport);
        drop(protocol);
        at_the_start.lines()
    });
    assert_eq!(lines, ["made"]);
    ev.until(|| heard.is_lost());
}

#[test]
fn sp_03_each_pipe_tells_its_data_and_then_its_loss_once() {
    let heard = run("echo out; echo err >&2; echo more");
    assert_eq!(heard.received(1), b"out\nmore\n");
    assert_eq!(heard.received(2), b"err\n");
    for fd in [1, 2] {
        assert_eq!(heard.lines_of(fd), [format!("data {fd}"), format!("pipe lost {fd} eof")]);
    }
    assert_eq!(heard.count(Call::PipeLost(0)), 1);
}

#[test]
fn sp_03_what_is_readable_at_the_exit_is_told_before_it() {
    // More than one read takes, in a pipe that holds it: the child is gone before anything is read.
    let mut ev = TestLoop::new();
    let heard = Heard::new();
    heard.on(Call::Made, |transport| wait_until_dead(transport.pid()));
    start(&mut ev, &heard, "head -c 60000 /dev/zero; exit 4");
    ev.until(|| heard.is_lost());
    assert_eq!(heard.received_len(1), 60_000);
    let lines = heard.lines();
    let place = |line: &str| lines.iter().position(|told| told == line).unwrap();
    assert!(place("data 1") < place("exited 4"), "{lines:?}");
}

#[test]
fn sp_04_data_may_come_after_the_exit() {
    let mut ev = TestLoop::new();
    let heard = Heard::new();
    // The grandchild has the pipe and waits for our line.
    let transport = start(&mut ev, &heard, "exec 3<&0; { read x <&3; echo late $x; } & exit 0");
    ev.until(|| heard.has(Call::Exited));
    assert!(!heard.has(Call::Data(1)));
    to_child(&transport, 0).write(b"word\n");
    ev.until(|| heard.is_lost());
    assert_eq!(heard.received(1), b"late word\n");
}

#[test]
fn sp_05_the_loss_comes_last() {
    for line in ["exit 0", "exec <&- >&- 2>&-; exit 0", "echo out; exec >&-; read x; exit 1"] {
        let mut ev = TestLoop::new();
        let heard = Heard::new();
        let transport = start(&mut ev, &heard, line);
        to_child(&transport, 0).write(b"\n");
        ev.until(|| heard.is_lost());
        assert_eq!(heard.lines().last().unwrap(), "lost eof", "{line}");
        for call in [Call::PipeLost(0), Call::PipeLost(1), Call::PipeLost(2), Call::Exited] {
            assert_eq!(heard.count(call), 1, "{line}: {:?}", heard.lines());
        }
        assert_eq!(heard.alive(), 0, "the transport lets go of its protocol");
    }
}

#[test]
fn sp_06_the_return_code_is_known_from_process_exited_on() {
    let mut ev = TestLoop::new();
    let heard = Heard::new();
    let (before, inside) = (Rc::new(Cell::new(Some(1))), Rc::new(Cell::new(None)));
    let (at_data, at_exit) = (Rc::clone(&before), Rc::clone(&inside));
    heard.on(Call::Data(1), move |transport| at_data.set(transport.returncode()));
    heard.on(Call::Exited, move |transport| at_exit.set(transport.returncode()));
    let transport = start(&mut ev, &heard, "echo out; read x; exit 7");
    ev.until(|| heard.has(Call::Data(1)));
    assert_eq!((transport.returncode(), transport.status()), (None, None));
    to_child(&transport, 0).write(b"\n");
    ev.until(|| heard.is_lost());
    assert_eq!((before.get(), inside.get()), (None, Some(7)));
    assert_eq!(transport.returncode(), Some(7));
    assert_eq!(transport.status().unwrap().code(), Some(7));
    assert_eq!(transport.extra::<std::process::ExitStatus>(), transport.status());
}

#[test]
fn sp_11_the_exit_does_not_wait_for_a_grandchild_that_holds_a_pipe() {
    let mut ev = TestLoop::new();
    let heard = Heard::new();
    let transport = start(&mut ev, &heard, "exec 3<&0; { read x <&3; } & exit 3");
    let status = ev.finish(transport.exited());
    assert_eq!(status.code(), Some(3));
    assert!(heard.has(Call::Exited) && !heard.is_lost());
    let finished = ev.spawn(transport.finished());
    ev.quieten();
    assert!(!finished.is_finished());
    // The grandchild reads this and lets go.
    to_child(&transport, 0).write(b"\n");
    ev.until(|| finished.is_finished());
    assert!(heard.is_lost());
    // Both are ready at once from now on.
    assert_eq!(ev.finish(transport.exited()), status);
    assert_eq!(ev.finish(transport.finished()), status);
}

#[test]
fn sp_12_stdin_is_flow_controlled() {
    let mut ev = TestLoop::new();
    let heard = Heard::new();
    let transport = start(&mut ev, &heard, "exec sleep 1000");
    let stdin = to_child(&transport, 0);
    stdin.write(&vec![b'x'; 1 << 20]);
    ev.until(|| heard.has(Call::Pause(0)));
    assert!(!heard.has(Call::Resume(0)));
    transport.close();
    ev.until(|| heard.is_lost());

    let heard = Heard::new();
    let transport = start(&mut ev, &heard, "cat >/dev/null");
    to_child(&transport, 0).write(&vec![b'x'; 1 << 20]);
    ev.until(|| heard.has(Call::Resume(0)));
    to_child(&transport, 0).close();
    ev.until(|| heard.is_lost());
    assert_eq!((heard.count(Call::Pause(0)), heard.count(Call::Resume(0))), (1, 1));
}

#[test]
fn sp_13_a_child_that_goes_without_reading_breaks_its_stdin() {
    let mut ev = TestLoop::new();
    let heard = Heard::new();
    heard.on(Call::Made, |transport| {
        to_child(transport, 0).write(&vec![b'x'; 1 << 20]);
    });
    start(&mut ev, &heard, "echo out; exit 0");
    ev.until(|| heard.is_lost());
    assert!(heard.lines().contains(&"pipe lost 0 io".to_owned()), "{:?}", heard.lines());
    assert_eq!(heard.received(1), b"out\n");
    assert_eq!(heard.lines().last().unwrap(), "lost eof");
}

#[test]
fn sp_14_stdout_and_stderr_are_paused_one_by_one() {
    let mut ev = TestLoop::new();
    let heard = Heard::new();
    heard.on(Call::Made, |transport| from_child(transport, 1).pause_reading());
    let transport = start(&mut ev, &heard, "echo out; echo err >&2");
    ev.until(|| heard.has(Call::PipeLost(2)) && heard.has(Call::Exited));
    ev.quieten();
    assert_eq!((heard.received_len(1), heard.received(2)), (0, b"err\n".to_vec()));
    assert!(!heard.is_lost(), "a paused pipe keeps what it has");
    from_child(&transport, 1).resume_reading();
    ev.until(|| heard.is_lost());
    assert_eq!(heard.received(1), b"out\n");
}

#[test]
fn sp_15_closing_our_end_of_stdout_breaks_the_childs() {
    let mut ev = TestLoop::new();
    let heard = Heard::new();
    let transport = start(&mut ev, &heard, "read x; exec yes");
    from_child(&transport, 1).close();
    ev.until(|| heard.has(Call::PipeLost(1)));
    assert_eq!(heard.lines_of(1), ["pipe lost 1 closed"]);
    assert!(!heard.has(Call::Exited));
    to_child(&transport, 0).write(b"\n");
    ev.until(|| heard.is_lost());
    assert_eq!(transport.returncode(), Some(-(Signal::SIGPIPE as i32)));
}

#[test]
fn sp_16_closing_stdin_is_the_end_for_the_child() {
    let mut ev = TestLoop::new();
    let heard = Heard::new();
    let transport = start(&mut ev, &heard, "cat");
    let stdin = to_child(&transport, 0);
    stdin.write(b"abc");
    stdin.close();
    ev.until(|| heard.is_lost());
    assert_eq!(heard.received(1), b"abc");
    let lines = heard.lines();
    assert!(lines.contains(&"pipe lost 0 closed".to_owned()), "{lines:?}");
    assert!(lines.contains(&"exited 0".to_owned()), "{lines:?}");
}

#[test]
fn sp_24_merged_errors_come_on_stdout_in_the_childs_order() {
    let mut ev = TestLoop::new();
    let heard = Heard::new();
    let line = "echo 1; echo 2 >&2; echo 3; echo 4 >&2";
    let (transport, _) = ev.finish(shell(&ev, &heard, line).merge_stderr()).unwrap();
    assert!(transport.pipe_transport(2).is_none());
    ev.until(|| heard.is_lost());
    assert_eq!(heard.received(1), b"1\n2\n3\n4\n");
    assert_eq!((heard.received_len(2), heard.count(Call::PipeLost(2))), (0, 0));
}

#[test]
fn sp_32_the_childs_closing_of_stdin_is_noticed_without_a_write() {
    let mut ev = TestLoop::new();
    let heard = Heard::new();
    let transport = start(&mut ev, &heard, "exec sleep 1000 <&-");
    ev.until(|| heard.has(Call::PipeLost(0)));
    assert!(!heard.has(Call::Exited));
    transport.close();
    ev.until(|| heard.is_lost());
}

#[test]
fn sp_01_a_protocol_that_is_shared_already_is_the_one_that_hears() {
    #[derive(Default)]
    struct Count(usize);
    impl SubprocessProtocol for Count {
        fn connection_lost(&mut self, _: &SubprocessTransportRef, why: &Lost) {
            assert!(matches!(why, Lost::Eof));
            self.0 += 1;
        }
    }
    let mut ev = TestLoop::new();
    let shared = Rc::new(std::cell::RefCell::new(Count::default()));
    for round in 1..=2 {
        let same = Rc::clone(&shared);
        let starting = subprocess::exec(&ev, "true", [""; 0], || same);
        let (transport, given) = ev.finish(starting).unwrap();
        assert!(Rc::ptr_eq(&given, &shared));
        ev.finish(transport.finished());
        assert_eq!(shared.borrow().0, round);
    }
}
