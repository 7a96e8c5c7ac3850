//! A child whose end a debugger hears of first.

// A notice belongs where the test's reader looks.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::io::{BufRead, BufReader, Read, Write, stdin};
use std::process::{Child, Stdio};

use nix::sys::ptrace;
use nix::unistd::Pid;

use super::hearing::{Call, Heard, start};
use crate::servers::process::{command, is_alone};
use crate::servers::rig::TestLoop;

/// A process that traces a child of ours, and never looks after its end.
struct Debugger(Child);

/// What it says when it has the child, and when it may not.
const HAS_IT: &str = "the debugger has it";
const REFUSED: &str = "the debugger is refused";

impl Debugger {
    /// Attaches one, which is this program in the place of `test`; `None`, with a notice, where it may not trace.
    fn attach(test: &str, child: u32) -> Option<Self> {
        let mut command = command(module_path!(), test);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut debugger = Self(command.spawn().expect("this program runs"));
        let (Some(input), Some(output)) = (&mut debugger.0.stdin, &mut debugger.0.stdout) else {
            unreachable!("both are piped")
        };
        writeln!(input, "{child}").unwrap();
        let mut said = BufReader::new(output).lines().map_while(Result::ok);
        let has_it = said.find_map(|line| {
            let words = [(HAS_IT, true), (REFUSED, false)];
            words.into_iter().find_map(|(word, has_it)| line.contains(word).then_some(has_it))
        });
        if has_it != Some(true) {
            eprintln!("notice: nobody may trace here; skipped");
            debugger.let_go();
            return None;
        }
        Some(debugger)
    }

    /// Ends it, and what it traced is ours again.
    fn let_go(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }

    /// What it does itself.
    fn trace() {
        let mut child = String::new();
        stdin().read_line(&mut child).unwrap();
        let child = Pid::from_raw(child.trim().parse().unwrap());
        match ptrace::seize(child, ptrace::Options::empty()) {
            Ok(()) => println!("{HAS_IT}"),
            Err(_) => println!("{REFUSED}"),
        }
        // Until it is let go of.
        let _ = stdin().read_to_string(&mut String::new());
    }
}

fn is_dead(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // After the name, which is in brackets and may hold anything.
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
}

#[test]
fn sp_43_a_child_that_a_debugger_holds_is_told_when_that_lets_go() {
    const TEST: &str = "sp_43_a_child_that_a_debugger_holds_is_told_when_that_lets_go";
    if is_alone(TEST) {
        return Debugger::trace();
    }
    let mut ev = TestLoop::new();
    let heard = Heard::new();
    let transport = start(&mut ev, &heard, "exec sleep 1000");
    let Some(mut debugger) = Debugger::attach(TEST, transport.pid()) else {
        transport.close();
        return ev.until(|| heard.is_lost());
    };
    transport.kill().unwrap();
    ev.until(|| is_dead(transport.pid()));
    let before = ev.statistics();
    ev.quieten();
    let after = ev.statistics();
    assert!(after.events - before.events < after.turns - before.turns, "the loop is busy");
    assert!(!heard.has(Call::Exited), "it is dead, and the debugger's");
    debugger.let_go();
    ev.until(|| heard.is_lost());
    assert_eq!(transport.returncode(), Some(-9));
}
