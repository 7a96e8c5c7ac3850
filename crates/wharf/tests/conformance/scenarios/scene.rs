//! [`Scene`]: where a scenario plays: the loop, the trace, and the waiting in between.

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::Poll;

use wharf::guard::FaultReport;
use wharf::memory::ManualClock;
use wharf::{EventLoop, FaultPolicy, IntoProtocol, JoinHandle, LoopHandle, TransportRef, tcp};

use super::peer::{self, Peer};
use super::python::{Python, Raised};

/// After this many turns a line is taken never to come.
const TURNS: usize = 20_000;

/// After this many turns nothing more is taken to be on its way: what happens on the loopback has happened when the
/// system call returns, and a story takes a few turns.
const QUIET: usize = 64;

/// The loop as a scenario sees it, and the trace that it writes. Cheap to clone.
#[derive(Clone)]
pub(super) struct Scene {
    pub(super) handle: LoopHandle,
    pub(super) clock: ManualClock,
    trace: Rc<RefCell<Vec<String>>>,
}

impl Scene {
    /// A scene on `ev`, whose faults it writes into its trace from now on.
    pub(super) fn new(ev: &EventLoop, clock: &ManualClock) -> Self {
        let handle = ev.handle().clone();
        let scene = Self { handle, clock: clock.clone(), trace: Rc::default() };
        scene.observe_faults(&scene.handle);
        scene
    }

    /// Writes the faults of a loop into the trace.
    pub(super) fn observe_faults(&self, handle: &LoopHandle) {
        let scene = self.clone();
        handle.set_fault_policy(FaultPolicy::report(move |report| scene.heard_fault(&report)));
    }

    // ---- the trace ----

    /// The trace so far.
    pub(super) fn trace(&self) -> Vec<String> {
        self.trace.borrow().clone()
    }

    /// A line as it is.
    pub(super) fn line(&self, line: impl Into<String>) {
        self.trace.borrow_mut().push(line.into());
    }

    /// Something the script did on the loop's side.
    pub(super) fn did(&self, what: impl Display) {
        self.line(format!("> {what}"));
    }

    /// A value that was looked at.
    pub(super) fn value(&self, what: impl Display, value: impl Python) {
        self.line(format!("= {what} {}", value.python()));
    }

    /// Something that may fail: `> what`, or `> what raises ..`.
    pub(super) fn attempt<T, E: Raised>(&self, what: &str, outcome: Result<T, E>) -> Option<T> {
        match outcome {
            Ok(value) => {
                self.did(what);
                Some(value)
            }
            Err(error) => {
                self.did(format!("{what} raises {}", error.raised()));
                None
            }
        }
    }

    fn heard_fault(&self, report: &FaultReport) {
        let concerned = match (&report.transport, report.fault.callback()) {
            (Some(_), _) => "transport+protocol",
            (None, "call_soon" | "timer") => "handle",
            (None, _) => "-",
        };
        self.line(format!("handler {} with {concerned}", report.fault.raised()));
    }

    // ---- waiting ----

    /// Lets the loop take one turn.
    pub(super) async fn turn(&self) {
        // The kernel may need the processor too.
        std::thread::yield_now();
        let mut taken = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut taken, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// Takes turns until nothing more can be on its way.
    pub(super) async fn settle(&self) {
        for _ in 0..QUIET {
            self.turn().await;
        }
    }

    /// Takes turns until the trace holds a line with `text`.
    pub(super) async fn until(&self, text: &str) {
        self.until_true(text, || self.trace.borrow().iter().any(|line| line.contains(text))).await;
    }

    /// Takes turns until `condition` holds. In vain is a line of the trace, and so a failure.
    pub(super) async fn until_true(&self, what: &str, mut condition: impl FnMut() -> bool) {
        for _ in 0..TURNS {
            if condition() {
                return;
            }
            self.turn().await;
        }
        self.line(format!("! waited in vain for {what}"));
    }

    /// Takes turns as long as `progress` is made, and a while longer; ends early when it gives a result.
    pub(super) async fn as_long_as<T>(
        &self,
        mut progress: impl FnMut() -> Progress<T>,
    ) -> Option<T> {
        let mut quiet = 0;
        while quiet < QUIET {
            match progress() {
                Progress::Done(result) => return Some(result),
                Progress::Some => quiet = 0,
                Progress::None => quiet += 1,
            }
            self.turn().await;
        }
        None
    }

    // ---- tasks ----

    /// Starts a task that can be cancelled.
    pub(super) fn start<F>(&self, future: F) -> Cancellable<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let gone = Rc::new(Cell::new(false));
        let flag = SetOnDrop(Rc::clone(&gone));
        let task = self.handle.spawn(async move {
            let _flag = flag;
            future.await
        });
        Cancellable { task, gone }
    }

    /// Cancels a task and waits until its future is gone, with all that follows from that: asyncio's `task.cancel()`
    /// and `await task`.
    pub(super) async fn cancel<T>(&self, task: Cancellable<T>, what: &str) {
        if task.task.is_finished() {
            self.did(format!("{what} nothing: it had ended before"));
            return;
        }
        drop(task.task);
        self.until_true(what, || task.gone.get()).await;
        self.settle().await;
        self.did(format!("{what} CancelledError"));
    }

    // ---- connections ----

    /// A protocol of ours on one end of a TCP connection, and the other end.
    pub(super) async fn connect<P: IntoProtocol>(&self, protocol: P) -> (TransportRef, Peer) {
        let (ours, theirs) = peer::tcp_pair(self);
        (self.adopt(ours, protocol).await.expect("a connected socket is adopted"), theirs)
    }

    /// The same over a Unix socket.
    pub(super) async fn connect_unix<P: IntoProtocol>(&self, protocol: P) -> (TransportRef, Peer) {
        let (ours, theirs) = peer::unix_pair(self);
        (self.adopt(ours, protocol).await.expect("a connected socket is adopted"), theirs)
    }

    /// A protocol of ours on a socket: asyncio's `create_connection(sock=..)`.
    pub(super) async fn adopt<P: IntoProtocol>(
        &self,
        socket: impl Into<OwnedFd>,
        protocol: P,
    ) -> io::Result<TransportRef> {
        let (transport, _) = tcp::adopt(&self.handle, socket, || protocol).await?;
        Ok(transport)
    }

    /// Writes until the system takes no more, or writes are refused; says how many bytes that was.
    ///
    /// A turn follows each write, because a small one is gathered until then.
    pub(super) async fn fill(&self, transport: &TransportRef, chunk: usize) -> usize {
        let mut written = 0;
        loop {
            let flow = transport.write(&vec![b'x'; chunk]);
            written += chunk;
            self.turn().await;
            if flow != wharf::Flow::Open || transport.write_buffer_len() > 0 {
                return written;
            }
        }
    }
}

/// What came of one more try.
pub(super) enum Progress<T> {
    None,
    Some,
    Done(T),
}

/// A task, and whether its future is gone.
pub(super) struct Cancellable<T> {
    pub(super) task: JoinHandle<T>,
    gone: Rc<Cell<bool>>,
}

struct SetOnDrop(Rc<Cell<bool>>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.set(true);
    }
}
