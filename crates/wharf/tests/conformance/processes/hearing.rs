//! What the tests of child processes stand on: a protocol that writes down what it hears, and children to hear from.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::rc::Rc;

use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use wharf::subprocess::{self, Exec};
use wharf::{
    LoopHandle, Lost, PipeTransport, ReadTransportRef, SubprocessProtocol, SubprocessTransportRef,
    WriteTransportRef,
};

use crate::servers::rig::TestLoop;

/// A callback of a subprocess protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    Made,
    Data(i32),
    PipeLost(i32),
    Pause(i32),
    Resume(i32),
    Exited,
    Lost,
}

type Hook = Box<dyn FnMut(&SubprocessTransportRef)>;

/// What one protocol heard. Cloning refers to the same one.
///
/// It holds the grammar: a callback that nests, or comes too early, too late or once more than it may, fails the test.
#[derive(Clone, Default)]
pub(crate) struct Heard(Rc<Record>);

#[derive(Default)]
struct Record {
    lines: RefCell<Vec<String>>,
    calls: RefCell<Vec<Call>>,
    received: RefCell<BTreeMap<i32, Vec<u8>>>,
    hooks: RefCell<HashMap<Call, Hook>>,
    inside: Cell<bool>,
    alive: Cell<usize>,
    transport: RefCell<Option<SubprocessTransportRef>>,
    pids: RefCell<Vec<u32>>,
}

impl Heard {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The protocol that writes here.
    pub(crate) fn protocol(&self) -> Ear {
        self.0.alive.set(self.0.alive.get() + 1);
        Ear(self.clone())
    }

    pub(crate) fn factory(&self) -> impl FnOnce() -> Ear + use<> {
        let heard = self.clone();
        move || heard.protocol()
    }

    /// From now on `call` does this.
    pub(crate) fn on(&self, call: Call, hook: impl FnMut(&SubprocessTransportRef) + 'static) {
        self.0.hooks.borrow_mut().insert(call, Box::new(hook));
    }

    /// What was heard, in order; data that came in several pieces in a row is one line, since the cuts mean nothing.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lines.borrow().clone()
    }

    /// The lines of one descriptor, in order.
    pub(crate) fn lines_of(&self, fd: i32) -> Vec<String> {
        let ending = format!(" {fd}");
        let of_it = |line: &String| line.contains(&ending);
        let mut lines: Vec<String> = self.lines().into_iter().filter(of_it).collect();
        lines.dedup();
        lines
    }

    pub(crate) fn count(&self, call: Call) -> usize {
        self.0.calls.borrow().iter().filter(|told| **told == call).count()
    }

    pub(crate) fn has(&self, call: Call) -> bool {
        self.count(call) > 0
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.has(Call::Lost)
    }

    /// What came on a descriptor.
    pub(crate) fn received(&self, fd: i32) -> Vec<u8> {
        self.0.received.borrow().get(&fd).cloned().unwrap_or_default()
    }

    pub(crate) fn received_len(&self, fd: i32) -> usize {
        self.0.received.borrow().get(&fd).map_or(0, Vec::len)
    }

    /// How many protocols have not been dropped.
    pub(crate) fn alive(&self) -> usize {
        self.0.alive.get()
    }

    pub(crate) fn transport(&self) -> SubprocessTransportRef {
        self.0.transport.borrow().clone().expect("connection_made was told")
    }

    fn told(&self, call: Call, line: String, transport: &SubprocessTransportRef) {
        let record = &*self.0;
        assert!(!record.inside.replace(true), "{call:?} nests: {:?}", self.lines());
        assert!(!self.is_lost(), "{call:?} comes after the loss: {:?}", self.lines());
        assert_eq!(call == Call::Made, !self.has(Call::Made), "{call:?}: {:?}", self.lines());
        let once = matches!(call, Call::PipeLost(_) | Call::Exited);
        assert!(!once || !self.has(call), "{call:?} comes twice: {:?}", self.lines());
        if let Call::Data(fd) | Call::Pause(fd) | Call::Resume(fd) = call {
            assert!(!self.has(Call::PipeLost(fd)), "{call:?} comes too late: {:?}", self.lines());
        }
        record.calls.borrow_mut().push(call);
        {
            let mut lines = record.lines.borrow_mut();
            if lines.last() != Some(&line) || !matches!(call, Call::Data(_)) {
                lines.push(line);
            }
        }
        if call == Call::Made {
            record.pids.borrow_mut().push(transport.pid());
            record.transport.replace(Some(transport.clone()));
        }
        let hook = record.hooks.borrow_mut().remove(&call);
        if let Some(mut hook) = hook {
            struct Outside<'a>(&'a Cell<bool>);
            impl Drop for Outside<'_> {
                fn drop(&mut self) {
                    self.0.set(false);
                }
            }
            let _outside = Outside(&record.inside);
            hook(transport);
            record.hooks.borrow_mut().entry(call).or_insert(hook);
        }
        record.inside.set(false);
    }
}

impl Drop for Record {
    /// No child is left behind, not even as a zombie.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            for pid in self.pids.get_mut() {
                assert!(!is_child_of_ours(*pid), "the child {pid} is left behind");
            }
        }
    }
}

/// Whether `pid` is a child of this process, dead or alive.
pub(crate) fn is_child_of_ours(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // After the name, which is in brackets and may hold anything: the state, and the parent.
    let rest = stat.rsplit(')').next().unwrap_or_default();
    rest.split_whitespace().nth(1) == Some(&std::process::id().to_string())
}

/// Waits until a child has ended, and leaves it unreaped.
pub(crate) fn wait_until_dead(pid: u32) {
    let id = Id::Pid(Pid::from_raw(i32::try_from(pid).unwrap()));
    waitid(id, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).unwrap();
}

/// The protocol of [`Heard`].
pub(crate) struct Ear(Heard);

impl Drop for Ear {
    fn drop(&mut self) {
        let alive = &self.0.0.alive;
        alive.set(alive.get() - 1);
    }
}

impl SubprocessProtocol for Ear {
    fn connection_made(&mut self, transport: &SubprocessTransportRef) {
        self.0.told(Call::Made, "made".into(), transport);
    }

    fn pipe_data_received(&mut self, transport: &SubprocessTransportRef, fd: i32, data: &[u8]) {
        assert!(!data.is_empty(), "an empty piece");
        self.0.0.received.borrow_mut().entry(fd).or_default().extend(data);
        self.0.told(Call::Data(fd), format!("data {fd}"), transport);
    }

    fn pipe_connection_lost(&mut self, transport: &SubprocessTransportRef, fd: i32, why: &Lost) {
        let line = format!("pipe lost {fd} {}", Lost::NAMES[why.index()]);
        self.0.told(Call::PipeLost(fd), line, transport);
    }

    fn pause_writing(&mut self, transport: &SubprocessTransportRef, fd: i32) {
        self.0.told(Call::Pause(fd), format!("pause {fd}"), transport);
    }

    fn resume_writing(&mut self, transport: &SubprocessTransportRef, fd: i32) {
        self.0.told(Call::Resume(fd), format!("resume {fd}"), transport);
    }

    fn process_exited(&mut self, transport: &SubprocessTransportRef) {
        let code = transport.returncode().expect("the return code is known");
        self.0.told(Call::Exited, format!("exited {code}"), transport);
    }

    fn connection_lost(&mut self, transport: &SubprocessTransportRef, why: &Lost) {
        self.0.told(Call::Lost, format!("lost {}", Lost::NAMES[why.index()]), transport);
    }
}

impl fmt::Debug for Ear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ear").field(&self.0.lines()).finish()
    }
}

/// A shell with a line, under a protocol of `heard`.
pub(crate) fn shell(
    handle: &LoopHandle,
    heard: &Heard,
    line: &str,
) -> Exec<impl FnOnce() -> Ear + use<>> {
    subprocess::shell(handle, line, heard.factory())
}

/// Starts a shell with a line and gives its transport.
#[track_caller]
pub(crate) fn start(ev: &mut TestLoop, heard: &Heard, line: &str) -> SubprocessTransportRef {
    let starting = shell(ev, heard, line);
    let (transport, _) = ev.finish(starting).unwrap();
    transport
}

/// Starts a shell with a line and runs until everything is over.
#[track_caller]
pub(crate) fn run(line: &str) -> Heard {
    let mut ev = TestLoop::new();
    let heard = Heard::new();
    start(&mut ev, &heard, line);
    ev.until(|| heard.is_lost());
    heard
}

/// The pipe that the child reads from.
pub(crate) fn to_child(transport: &SubprocessTransportRef, fd: i32) -> WriteTransportRef {
    match transport.pipe_transport(fd) {
        Some(PipeTransport::Write(pipe)) => pipe,
        other => panic!("{fd} is {other:?}"),
    }
}

/// A pipe that the child writes to.
pub(crate) fn from_child(transport: &SubprocessTransportRef, fd: i32) -> ReadTransportRef {
    match transport.pipe_transport(fd) {
        Some(PipeTransport::Read(pipe)) => pipe,
        other => panic!("{fd} is {other:?}"),
    }
}
