//! Scenarios of child processes.

use std::cell::{Ref, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::process::ExitStatus;
use std::rc::Rc;

use nix::sys::signal::Signal;
use wharf::subprocess::{self, Stdio};
use wharf::{Lost, PipeTransport, SubprocessProtocol, SubprocessTransportRef, WriteTransportRef};

use super::performance::perform;
use super::python::{Python, Raised, shown};
use super::scene::Scene;

const NONE: [&str; 0] = [];

/// What a [`Silent`] protocol remembers.
#[derive(Default)]
struct Memory {
    events: Vec<String>,
    out: BTreeMap<i32, Vec<u8>>,
}

/// A protocol that remembers: the order between pipes is the system's, so it is not for the trace.
#[derive(Clone, Default)]
struct Silent(Rc<RefCell<Memory>>);

impl Silent {
    fn memory(&self) -> Ref<'_, Memory> {
        self.0.borrow()
    }

    fn events(&self) -> Vec<String> {
        self.memory().events.clone()
    }

    fn events_with(&self, text: &str) -> Vec<String> {
        self.events().into_iter().filter(|event| event.starts_with(text)).collect()
    }

    fn last(&self) -> String {
        self.events().pop().unwrap_or_default()
    }

    fn event(&self, event: impl Into<String>) {
        self.0.borrow_mut().events.push(event.into());
    }
}

impl SubprocessProtocol for Silent {
    fn connection_made(&mut self, _: &SubprocessTransportRef) {
        self.event("connection_made");
    }

    fn pipe_data_received(&mut self, _: &SubprocessTransportRef, fd: i32, data: &[u8]) {
        self.0.borrow_mut().out.entry(fd).or_default().extend(data);
        self.event(format!("pipe_data_received {fd} {}", shown(data)));
    }

    fn pipe_connection_lost(&mut self, _: &SubprocessTransportRef, fd: i32, why: &Lost) {
        self.event(format!("pipe_connection_lost {fd} {}", why.raised()));
    }

    fn pause_writing(&mut self, _: &SubprocessTransportRef, _: i32) {
        self.event("pause_writing");
    }

    fn resume_writing(&mut self, _: &SubprocessTransportRef, _: i32) {
        self.event("resume_writing");
    }

    fn process_exited(&mut self, transport: &SubprocessTransportRef) {
        self.event(format!("process_exited rc={}", transport.returncode().python()));
    }

    fn connection_lost(&mut self, _: &SubprocessTransportRef, why: &Lost) {
        self.event(format!("connection_lost {}", why.raised()));
    }
}

/// Starts a child under a protocol that remembers.
async fn exec<const N: usize>(
    scene: &Scene,
    program: &str,
    args: [&str; N],
) -> (SubprocessTransportRef, Silent) {
    let silent = Silent::default();
    let protocol = silent.clone();
    let started = subprocess::exec(&scene.handle, program, args, || protocol).await;
    (started.expect("the program is there").0, silent)
}

fn stdin(transport: &SubprocessTransportRef) -> WriteTransportRef {
    match transport.pipe_transport(0) {
        Some(PipeTransport::Write(pipe)) => pipe,
        other => panic!("stdin is {other:?}"),
    }
}

fn piped<const N: usize>(transport: &SubprocessTransportRef, fds: [i32; N]) -> Vec<bool> {
    fds.map(|fd| transport.pipe_transport(fd).is_some()).to_vec()
}

#[test]
fn s38_a_child_is_talked_to_and_ends() {
    perform("S38", async |scene| {
        let line = "read x; echo got $x; echo err >&2; exit 7";
        let (transport, silent) = exec(scene, "sh", ["-c", line]).await;
        scene.did(format!("subprocess_exec returned; heard so far: {}", silent.events().python()));
        scene.value("returncode", transport.returncode());
        scene.value("pid is positive", transport.pid() > 0);
        scene.value("pipe transports 0 1 2 3", piped(&transport, [0, 1, 2, 3]));
        stdin(&transport).write(b"hello\n");
        transport.finished().await;
        let mut events = silent.events();
        let end = events.len() - 1;
        events[1..end].sort();
        scene.value("callbacks, any order in between", events);
        for fd in ["1", "2"] {
            let of_it = |event: &String| event.split(' ').nth(1) == Some(fd);
            let first = |event: String| event.split(' ').next().unwrap_or_default().to_owned();
            let names: Vec<String> = silent.events().into_iter().filter(of_it).map(first).collect();
            scene.value(format!("order for fd {fd}"), names);
        }
        scene.value("returncode", transport.returncode());
        scene.value("is_closing", transport.is_closing());
        let sent = transport.send_signal(Signal::SIGTERM as i32);
        scene.attempt("send_signal after the end", sent);
        scene.attempt("kill after the end", transport.kill());
        transport.close();
        scene.did("close after the end");
    });
}

#[test]
fn s39_signals_and_close_end_a_child_and_a_grandchild_keeps_the_pipes() {
    type End = fn(&SubprocessTransportRef) -> io::Result<()>;
    let ends: [(&str, End); 4] = [
        ("terminate", |transport| transport.terminate()),
        ("kill", |transport| transport.kill()),
        ("send_signal(SIGUSR1)", |transport| transport.send_signal(Signal::SIGUSR1 as i32)),
        ("close", |transport| {
            transport.close();
            Ok(())
        }),
    ];
    perform("S39", async |scene| {
        for (name, end) in ends {
            let (transport, silent) = exec(scene, "sleep", ["1000"]).await;
            scene.attempt(name, end(&transport));
            transport.finished().await;
            scene.value("exit", silent.events_with("process_exited"));
            scene.value("last", &*silent.last());
            transport.close();
        }
        let line = "exec 3<&0; { read x <&3; } & exit 3";
        let (transport, silent) = exec(scene, "sh", ["-c", line]).await;
        transport.exited().await;
        scene.did(format!(
            "process_exited while a grandchild holds the pipes, rc {}",
            transport.returncode().python()
        ));
        scene.settle().await;
        scene.value("connection_lost yet", silent.last().starts_with("connection_lost"));
        stdin(&transport).write(b"go\n");
        transport.finished().await;
        scene.did("connection_lost after the grandchild let go");
    });
}

#[test]
fn q17_a_childs_descriptors_are_redirected() {
    perform("Q17", async |scene| {
        let silent = Silent::default();
        let protocol = silent.clone();
        let line = ["-c", "echo out; echo err >&2"];
        let child = subprocess::exec(&scene.handle, "sh", line, || protocol);
        let (transport, _) = child.stdin(Stdio::Null).merge_stderr().await.unwrap();
        scene.value("pipe transports", piped(&transport, [0, 1, 2]));
        transport.finished().await;
        let out = |fd| silent.memory().out.get(&fd).cloned().unwrap_or_default().python();
        scene.line(format!("= merged {{1: {}, 2: {}}}", out(1), out(2)));

        let silent = Silent::default();
        let protocol = silent.clone();
        let child = subprocess::shell(&scene.handle, "exit 5", || protocol)
            .stdin(Stdio::Inherit)
            .stdout(Stdio::Inherit)
            .stderr(Stdio::Inherit);
        child.await.unwrap().0.finished().await;
        scene.value("no pipes, events", silent.events());

        let silent = Silent::default();
        let protocol = silent.clone();
        let missing = subprocess::exec(&scene.handle, "no-such-program-here", NONE, || protocol);
        scene.attempt("missing program", missing.await);
        scene.value("protocol heard", silent.events());

        let (transport, silent) = exec(scene, "cat", NONE).await;
        stdin(&transport).write(b"abc");
        stdin(&transport).close();
        scene.did("close stdin of cat");
        transport.finished().await;
        scene.value("stdout", silent.memory().out[&1].clone());
        let mut lost = silent.events_with("pipe_connection_lost");
        lost.sort();
        scene.value("lost fds", lost);

        let silent = Silent::default();
        let protocol = silent.clone();
        let child = subprocess::exec(&scene.handle, "sleep", ["1000"], || protocol);
        let (transport, _) = child.stdin(Stdio::Null).await.unwrap();
        let Some(PipeTransport::Read(stdout)) = transport.pipe_transport(1) else {
            panic!("stdout is piped")
        };
        stdout.close();
        scene.did("close our end of stdout only");
        scene.settle().await;
        scene.value("events", silent.events());
        transport.kill().unwrap();
        transport.finished().await;
        let present = transport.extra::<ExitStatus>().is_some();
        scene.value("extra subprocess", if present { "present" } else { "None" });
    });
}

#[test]
fn q18_huge_input_for_a_child_that_goes_without_reading() {
    perform("Q18", async |scene| {
        let silent = Silent::default();
        let protocol = silent.clone();
        let child = subprocess::exec(&scene.handle, "sh", ["-c", "read x; exit 0"], || protocol);
        let (transport, _) = child.stdout(Stdio::Null).stderr(Stdio::Null).await.unwrap();
        stdin(&transport).write(&[&b"\n"[..], &vec![b'x'; 1 << 20]].concat());
        scene.did("write 1 MiB to stdin");
        scene.turn().await;
        scene.value("paused", silent.events().contains(&"pause_writing".to_owned()));
        transport.finished().await;
        scene.value("stdin lost with", silent.events_with("pipe_connection_lost 0"));
        scene.value("last", &*silent.last());
    });
}
