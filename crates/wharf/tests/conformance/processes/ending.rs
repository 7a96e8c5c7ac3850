//! How a child comes to its end: by itself, by a signal, by us, with its loop; and that nothing is left of it.

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::rc::Rc;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use wharf::subprocess::{self, ProcessFd};
use wharf::{FaultPolicy, Lost, SubprocessProtocol, SubprocessTransportRef};

use super::hearing::{Call, Heard, is_child_of_ours, shell, start, to_child, wait_until_dead};
use crate::servers::rig::TestLoop;
use crate::support::loop_builder;

const SLEEP: &str = "exec sleep 1000";

/// The pid as the system's functions want it.
fn pid(transport: &SubprocessTransportRef) -> Pid {
    Pid::from_raw(i32::try_from(transport.pid()).unwrap())
}

#[test]
fn sp_07_a_child_that_a_signal_ended_says_so() {
    let mut ev = TestLoop::new();
    // Every signal that ends a process by default, the real-time ones among them.
    let ending = (1..=64).filter(|number| {
        let named = Signal::try_from(*number).ok();
        let harmless = [
            Signal::SIGCHLD,
            Signal::SIGCONT,
            Signal::SIGSTOP,
            Signal::SIGTSTP,
            Signal::SIGTTIN,
            Signal::SIGTTOU,
            Signal::SIGURG,
            Signal::SIGWINCH,
        ];
        // Two are the C library's own.
        !named.is_some_and(|signal| harmless.contains(&signal)) && !matches!(number, 32 | 33)
    });
    for number in ending {
        let heard = Heard::new();
        // Some leave a core behind, which nobody wants to keep.
        let transport = start(&mut ev, &heard, "ulimit -c 0; exec sleep 1000 <&- >&- 2>&-");
        transport.send_signal(number).unwrap();
        ev.until(|| heard.is_lost());
        assert_eq!(transport.returncode(), Some(-number));
        let status = transport.status().unwrap();
        assert_eq!((status.signal(), status.code()), (Some(number), None));
    }
}

#[test]
fn sp_07_terminate_is_15_and_kill_is_9() {
    let mut ev = TestLoop::new();
    for (number, end) in [(15, true), (9, false)] {
        let heard = Heard::new();
        let transport = start(&mut ev, &heard, SLEEP);
        if end { transport.terminate() } else { transport.kill() }.unwrap();
        ev.until(|| heard.is_lost());
        assert_eq!(transport.returncode(), Some(-number));
        assert_eq!(heard.lines().last().unwrap(), "lost eof");
    }
}

#[test]
fn sp_08_a_signal_to_a_child_that_has_ended_is_refused() {
    let mut ev = TestLoop::new();
    let heard = Heard::new();
    let transport = start(&mut ev, &heard, "exit 0");
    for wrong in [-1, 65, 1000] {
        assert_eq!(transport.send_signal(wrong).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    ev.until(|| heard.is_lost());
    let outcomes = [
        transport.kill(),
        transport.terminate(),
        transport.send_signal(1),
        transport.send_signal(0),
    ];
    for outcome in outcomes {
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::NotFound);
    }
    transport.close();
    transport.abort();
    ev.quieten();
}

#[test]
fn sp_09_a_signal_to_a_child_that_is_dead_and_not_reaped_is_fine() {
    let mut ev = TestLoop::new();
    let heard = Heard::new();
    let (asked, answered) = (Rc::new(Cell::new(false)), Rc::new(RefCell::new(Vec::new())));
    let (seen, answers) = (Rc::clone(&asked), Rc::clone(&answered));
    heard.on(Call::Made, move |transport| {
        wait_until_dead(transport.pid());
        let outcomes = [transport.kill(), transport.terminate(), transport.send_signal(0)];
        answers.borrow_mut().extend(outcomes.map(|outcome| outcome.map_err(|error| error.kind())));
        seen.set(true);
    });
    let transport = start(&mut ev, &heard, "exit 3");
    assert!(asked.get());
    assert_eq!(answered.take(), [Ok(()); 3]);
    ev.until(|| heard.is_lost());
    assert_eq!(transport.returncode(), Some(3), "it had ended before");
}

#[test]
fn sp_10_close_kills_the_child_and_closes_its_pipes() {
    let mut ev = TestLoop::new();
    for queued in [0, 1 << 20] {
        let heard = Heard::new();
        // It does not listen to anything milder.
        let transport = start(&mut ev, &heard, "trap '' TERM HUP INT; exec sleep 1000");
        to_child(&transport, 0).write(&vec![b'x'; queued]);
        transport.close();
        assert!(transport.is_closing());
        assert!(!heard.has(Call::PipeLost(0)), "nothing is told from inside");
        ev.until(|| heard.is_lost());
        assert_eq!(transport.returncode(), Some(-9));
        assert_eq!(heard.lines().last().unwrap(), "lost closed");
        let stdin = if queued == 0 { "pipe lost 0 closed" } else { "pipe lost 0 aborted" };
        let lines = heard.lines();
        for line in [stdin, "pipe lost 1 closed", "pipe lost 2 closed", "exited -9"] {
            assert!(lines.contains(&line.to_owned()), "{line}: {lines:?}");
        }
    }
}

#[test]
fn sp_10_close_does_not_signal_a_child_that_has_ended() {
    let mut ev = TestLoop::new();
    let heard = Heard::new();
    let transport = start(&mut ev, &heard, "exec 3<&0; { read x <&3; } & exit 3");
    ev.until(|| heard.has(Call::Exited));
    // A grandchild has the pipes; ours are closed.
    transport.close();
    ev.until(|| heard.is_lost());
    assert_eq!(transport.returncode(), Some(3));
    assert_eq!(heard.lines().last().unwrap(), "lost closed");
}

#[test]
fn sp_10_close_may_be_called_in_any_callback() {
    for call in [Call::Made, Call::Data(1), Call::PipeLost(1), Call::Exited] {
        let mut ev = TestLoop::new();
        let heard = Heard::new();
        heard.on(call, |transport| {
            transport.close();
            transport.abort();
        });
        start(&mut ev, &heard, "echo out; exit 0");
        ev.until(|| heard.is_lost());
        assert_eq!(heard.lines().last().unwrap(), "lost closed", "{call:?}");
    }
}

#[test]
fn sp_17_is_closing_is_true_after_close_and_after_a_natural_end() {
    let mut ev = TestLoop::new();
    let heard = Heard::new();
    let at_the_loss = Rc::new(Cell::new(false));
    let seen = Rc::clone(&at_the_loss);
    heard.on(Call::Lost, move |transport| seen.set(transport.is_closing()));
    let transport = start(&mut ev, &heard, "read x");
    assert!(!transport.is_closing());
    to_child(&transport, 0).write(b"\n");
    ev.until(|| heard.is_lost());
    assert!(at_the_loss.get() && transport.is_closing());
}

#[test]
fn sp_26_a_child_that_somebody_else_has_reaped_is_told_as_255_and_reported() {
    let faults = Rc::new(RefCell::new(Vec::new()));
    let reported = Rc::clone(&faults);
    let policy = FaultPolicy::report(move |report| {
        reported.borrow_mut().push((report.fault.to_string(), report.transport));
    });
    let mut ev = TestLoop::of(loop_builder().fault_policy(policy));
    let heard = Heard::new();
    heard.on(Call::Made, |transport| {
        let status = waitpid(pid(transport), None);
        assert_eq!(status, Ok(WaitStatus::Exited(pid(transport), 7)));
    });
    let transport = start(&mut ev, &heard, "exit 7");
    ev.until(|| heard.is_lost());
    assert_eq!(transport.returncode(), Some(255));
    let faults = faults.borrow();
    assert_eq!(faults.len(), 1);
    assert!(faults[0].0.contains("somebody else has reaped the child"), "{}", faults[0].0);
    assert_eq!(faults[0].1, Some(transport.id()));
}

#[test]
fn sp_27_children_of_others_are_left_alone_and_sigchld_is_theirs() {
    let mut ev = TestLoop::new();
    let chld = ev.add_signal_handler(Signal::SIGCHLD as i32, || {});
    let mut other = std::process::Command::new("true").spawn().unwrap();
    wait_until_dead(other.id());
    let heard = Heard::new();
    start(&mut ev, &heard, "exit 0");
    ev.until(|| heard.is_lost());
    assert!(other.wait().unwrap().success(), "its status was ours to take");
    drop(chld);
}

#[test]
fn sp_31_dropping_every_handle_leaves_the_child_alone() {
    let mut ev = TestLoop::new();
    struct Deaf(Rc<Cell<bool>>);
    impl SubprocessProtocol for Deaf {
        fn connection_lost(&mut self, transport: &SubprocessTransportRef, why: &Lost) {
            assert!(matches!(why, Lost::Eof));
            assert_eq!(transport.returncode(), Some(5));
            self.0.set(true);
        }
    }
    let lost = Rc::new(Cell::new(false));
    let seen = Rc::clone(&lost);
    let folder = crate::support::Folder::new();
    let path = folder.join("go");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let line = format!("read x <{}; exit 5", path.display());
    let child = subprocess::shell(&ev, line, || Deaf(seen));
    let (transport, protocol) = ev.finish(child).unwrap();
    let number = transport.pid();
    drop((transport, protocol));
    ev.quieten();
    assert!(is_child_of_ours(number) && !lost.get());
    std::fs::write(&path, "\n").unwrap();
    ev.until(|| lost.get());
}

#[test]
fn sp_31_dropping_the_loop_kills_and_reaps_every_child() {
    let mut ev = TestLoop::new();
    let all: Vec<Heard> = (0..5).map(|_| Heard::new()).collect();
    for heard in &all {
        start(&mut ev, heard, SLEEP);
    }
    let exited = all[0].transport().exited();
    let pids: Vec<u32> = all.iter().map(|heard| heard.transport().pid()).collect();
    drop(ev);
    for heard in &all {
        let lines = heard.lines();
        assert_eq!(lines.first().unwrap(), "made");
        assert_eq!(lines.last().unwrap(), "lost aborted", "{lines:?}");
        assert!(lines.contains(&"exited -9".to_owned()), "{lines:?}");
        for fd in 0..3 {
            assert_eq!(heard.count(Call::PipeLost(fd)), 1);
        }
        assert_eq!(heard.alive(), 0);
    }
    assert!(!pids.into_iter().any(is_child_of_ours));
    let mut another = TestLoop::new();
    assert_eq!(another.finish(exited).signal(), Some(9));
}

#[test]
fn sp_31_a_child_whose_pipes_a_grandchild_holds_is_told_its_loss_when_the_loop_goes() {
    let mut ev = TestLoop::new();
    let heard = Heard::new();
    let transport = start(&mut ev, &heard, "exec 3<&0; { read x <&3; } & exit 3");
    ev.until(|| heard.has(Call::Exited));
    drop(ev);
    assert_eq!(heard.lines().last().unwrap(), "lost aborted");
    assert_eq!(transport.returncode(), Some(3));
}

#[test]
fn sp_31_a_child_is_reaped_with_its_loop_even_if_its_protocol_is_borrowed() {
    struct Deaf;
    impl SubprocessProtocol for Deaf {}
    for piped in [true, false] {
        let mut ev = loop_builder().build().unwrap();
        let mut child = subprocess::shell(&ev, SLEEP, || Deaf);
        if !piped {
            let null = || subprocess::Stdio::Null;
            child = child.stdin(null()).stdout(null()).stderr(null());
        }
        let (transport, protocol) = ev.block_on(child.into_future()).unwrap();
        let borrowed = protocol.borrow_mut();
        let end = std::panic::AssertUnwindSafe(|| drop(ev));
        assert!(std::panic::catch_unwind(end).is_err(), "the borrow is refused");
        drop(borrowed);
        assert!(!is_child_of_ours(transport.pid()), "piped: {piped}");
    }
}

#[test]
fn sp_33_a_panic_in_a_callback_costs_the_child_and_nothing_else() {
    for call in [Call::Made, Call::Data(1), Call::PipeLost(1), Call::Exited, Call::Lost] {
        let faults = Rc::new(RefCell::new(Vec::new()));
        let reported = Rc::clone(&faults);
        let policy = FaultPolicy::report(move |report| {
            reported.borrow_mut().push((report.fault.callback(), report.transport));
        });
        let mut ev = TestLoop::of(loop_builder().fault_policy(policy));
        let neighbour = Heard::new();
        start(&mut ev, &neighbour, "read x; exit 0");
        let heard = Heard::new();
        heard.on(call, |_| panic!("on purpose"));
        let line = match call {
            Call::Exited | Call::Lost => "exit 0",
            // It is killed.
            _ => "echo out; exec sleep 1000 >&-",
        };
        let started = ev.finish(shell(&ev, &heard, line));
        assert_eq!(started.is_err(), call == Call::Made);
        drop(started);
        ev.until(|| heard.is_lost());
        let transport = heard.transport();
        let (name, ending) = match call {
            Call::Made => ("connection_made", "lost fault"),
            Call::Data(_) => ("pipe_data_received", "lost fault"),
            Call::PipeLost(_) => ("pipe_connection_lost", "lost fault"),
            Call::Exited => ("process_exited", "lost fault"),
            _ => ("connection_lost", "lost eof"),
        };
        assert_eq!(*faults.borrow(), [(name, Some(transport.id()))]);
        let lines = heard.lines();
        assert_eq!(lines.last().unwrap(), ending, "{call:?}");
        if call == Call::Made {
            assert_eq!(lines, ["made", "lost fault"], "it hears of the loss only");
        }
        let code = if matches!(call, Call::Exited | Call::Lost) { 0 } else { -9 };
        assert_eq!(transport.returncode(), Some(code), "{call:?}");
        assert_eq!(heard.alive(), 0);
        assert!(!is_child_of_ours(transport.pid()));
        let transport = neighbour.transport();
        to_child(&transport, 0).write(b"\n");
        ev.until(|| neighbour.is_lost());
        assert_eq!(transport.returncode(), Some(0));
    }
}

#[test]
fn sp_34_a_protocol_that_is_borrowed_across_a_turn_is_refused_and_loses_nothing() {
    #[derive(Default)]
    struct Listing(Vec<String>);
    impl SubprocessProtocol for Listing {
        fn pipe_data_received(&mut self, _: &SubprocessTransportRef, fd: i32, data: &[u8]) {
            self.0.push(format!("{fd} {}", String::from_utf8_lossy(data)));
        }
        fn process_exited(&mut self, _: &SubprocessTransportRef) {
            self.0.push("exited".into());
        }
        fn connection_lost(&mut self, _: &SubprocessTransportRef, _: &Lost) {
            self.0.push("lost".into());
        }
    }
    let mut ev = loop_builder().build().unwrap();
    let child = subprocess::shell(&ev, "read x; echo out", Listing::default);
    let (transport, protocol) = ev.block_on(child.into_future()).unwrap();
    to_child(&transport, 0).write(b"\n");
    let borrowed = protocol.borrow_mut();
    let mut refused = 0;
    for _ in 0..2000 {
        let turn =
            std::panic::AssertUnwindSafe(|| ev.turn(Some(std::time::Duration::from_millis(10))));
        if let Err(panic) = std::panic::catch_unwind(turn) {
            let text = panic.downcast_ref::<String>().unwrap();
            assert!(text.contains("Listing is borrowed while the loop runs"), "{text}");
            refused += 1;
            if refused == 3 {
                break;
            }
        }
    }
    assert_eq!(refused, 3, "it goes on being refused");
    drop(borrowed);
    ev.block_on(transport.finished());
    assert_eq!(protocol.borrow().0, ["1 out\n", "exited", "lost"]);
}

#[test]
fn sp_34_a_refusal_does_not_cost_other_children_their_end() {
    #[derive(Default)]
    struct Ended(bool);
    impl SubprocessProtocol for Ended {
        fn connection_lost(&mut self, _: &SubprocessTransportRef, _: &Lost) {
            self.0 = true;
        }
    }
    let mut ev = loop_builder().build().unwrap();
    let null = || subprocess::Stdio::Null;
    let all: Vec<_> = (0..5)
        .map(|_| {
            let child = subprocess::shell(&ev, SLEEP, Ended::default);
            let child = child.stdin(null()).stdout(null()).stderr(null());
            ev.block_on(child.into_future()).unwrap()
        })
        .collect();
    // All their ends are found by one wait, and the first of them is refused.
    for (transport, _) in &all {
        transport.kill().unwrap();
        wait_until_dead(transport.pid());
    }
    let borrowed: Vec<_> = all.iter().map(|(_, protocol)| protocol.borrow_mut()).collect();
    let turn = std::panic::AssertUnwindSafe(|| ev.turn(None));
    assert!(std::panic::catch_unwind(turn).is_err());
    drop(borrowed);
    for _ in 0..1000 {
        if all.iter().all(|(_, protocol)| protocol.borrow().0) {
            return;
        }
        ev.turn(Some(std::time::Duration::from_millis(5))).unwrap();
    }
    panic!("a child's end got lost");
}

#[test]
fn sp_35_stopping_and_continuing_is_not_an_end() {
    let mut ev = TestLoop::new();
    let heard = Heard::new();
    let transport = start(&mut ev, &heard, "exec cat");
    transport.send_signal(Signal::SIGSTOP as i32).unwrap();
    let stopped = waitpid(pid(&transport), Some(WaitPidFlag::WUNTRACED)).unwrap();
    assert_eq!(stopped, WaitStatus::Stopped(pid(&transport), Signal::SIGSTOP));
    to_child(&transport, 0).write(b"abc");
    ev.quieten();
    assert_eq!(heard.lines(), ["made"]);
    transport.send_signal(Signal::SIGCONT as i32).unwrap();
    ev.until(|| heard.received(1) == b"abc");
    // One that is stopped is killed all the same.
    transport.send_signal(Signal::SIGSTOP as i32).unwrap();
    transport.close();
    ev.until(|| heard.is_lost());
    assert_eq!(transport.returncode(), Some(-9));
}

#[test]
fn sp_09_the_descriptor_of_a_child_is_a_fact_until_its_end() {
    let mut ev = TestLoop::new();
    let heard = Heard::new();
    let transport = start(&mut ev, &heard, "read x");
    let fact: ProcessFd = transport.extra().unwrap();
    assert!(fact.0.as_raw_fd() > 2);
    assert!(transport.extra::<std::process::ExitStatus>().is_none());
    to_child(&transport, 0).write(b"\n");
    ev.until(|| heard.is_lost());
    assert!(transport.extra::<ProcessFd>().is_none());
    assert!(format!("{transport:?}").contains("closing: true"));
    assert_eq!(kill(pid(&transport), None), Err(nix::errno::Errno::ESRCH));
}
