//! [`Process`]: the driver of a child process and its pipes.
//!
//! Each piped descriptor of the child is a byte stream of its own, driven as any other; what its protocol, a
//! [`Feed`], hears, it passes on to the one protocol of the child.
//! What belongs to the child itself is told here, in the order that [`ProcessState`] gives.
//! User code never runs while anything of ours is borrowed (rule T3), and only ever from the loop (rule T1).

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use wharf_core::driver::{Host, Readiness, StreamOptions};
use wharf_core::guard::{self, FaultReport};
use wharf_core::observe;
use wharf_core::schedule::Settle;
use wharf_core::{
    BaseTransport, Fault, Lost, ReadTransport, Scheduler, SharedSubprocessProtocol, StreamProtocol,
    SubprocessProtocol, SubprocessTransport, SubprocessTransportRef, TransportId, WriteTransport,
};
use wharf_reactor::LoopHandle;
use wharf_reactor::source::Source;

use crate::child::Reaped;
use crate::feed::Feed;
use crate::moment::Moment;
use crate::pipe::{self, Direction, PipeDriver};
use crate::settings::Settings;
use crate::state::{Notice, ProcessState};
use crate::watch::Watch;

/// How much of a pipe is delivered at the exit at most, before others get their turn: as much as a pipe may hold without
/// privileges, for the child may have made it so large. More than that comes from somebody who still runs.
const DRAIN: usize = 1024 * 1024;

/// How long a child that has ended, and is a debugger's still, is left alone before the next look.
const PAUSE: Duration = Duration::from_millis(50);

pub(crate) struct Process {
    pub(crate) handle: LoopHandle,
    pub(crate) id: TransportId,
    me: Weak<Self>,
    /// The loop finds this there until the child is reaped and the loss is told.
    pub(crate) watch: Watch,
    pipes: OnceCell<Vec<Pipe>>,
    pub(crate) state: RefCell<ProcessState>,
    /// Until the loss is told.
    protocol: RefCell<Option<SharedSubprocessProtocol>>,
    /// How many bytes the pipes have delivered.
    received: Cell<usize>,
    enlisted: Cell<bool>,
    begun: Cell<Begun>,
    /// Who waits for it to begin.
    starter: Cell<Option<Waker>>,
    pub(crate) exited: Moment,
    pub(crate) finished: Moment,
}

/// Whether `connection_made` has been told.
#[derive(Default)]
enum Begun {
    #[default]
    NotYet,
    /// It has, or it panicked.
    Yes(Result<(), Fault>),
    /// And it never will.
    Never,
}

/// One pipe of the child.
pub(crate) struct Pipe {
    /// The child's number for it.
    pub(crate) fd: RawFd,
    pub(crate) direction: Direction,
    pub(crate) driver: Rc<PipeDriver>,
}

/// A callback of the protocol. Not generic, so that one path leads to all of them.
pub(crate) type Callback<'a> =
    &'a mut dyn FnMut(&mut dyn SubprocessProtocol, &SubprocessTransportRef);

/// Has the process settled later when settling does not come to its end.
struct EnlistOnUnwind<'a>(&'a Process);

impl Drop for EnlistOnUnwind<'_> {
    fn drop(&mut self) {
        self.0.settle_soon();
    }
}

impl Process {
    /// Starts a child and puts it on the loop. Nobody is told anything before [`begin_soon`](Self::begin_soon).
    ///
    /// # Errors
    /// When it cannot be started, and when one of its pipes cannot be put on the loop, which then reaps the child.
    pub(crate) fn new(
        handle: &LoopHandle,
        settings: Settings,
        protocol: SharedSubprocessProtocol,
    ) -> io::Result<Rc<Self>> {
        let options = settings.pipes.clone();
        let spawned = settings.spawn(handle.is_portable())?;
        let process = Rc::new_cyclic(|me: &Weak<Self>| Self {
            handle: handle.clone(),
            id: handle.next_id(),
            me: me.clone(),
            watch: Watch::new(handle, spawned.child),
            pipes: OnceCell::new(),
            state: RefCell::new(ProcessState::new(spawned.pipes.len())),
            protocol: RefCell::new(Some(protocol)),
            received: Cell::new(0),
            enlisted: Cell::new(false),
            begun: Cell::default(),
            starter: Cell::default(),
            exited: Moment::default(),
            finished: Moment::default(),
        });
        process.watch.attach(Rc::clone(&process) as Rc<dyn Source>);
        if let Err(error) = process.make_pipes(spawned.pipes, options) {
            process.abandon();
            return Err(error);
        }
        Ok(process)
    }

    fn make_pipes(
        self: &Rc<Self>,
        pipes: Vec<(RawFd, Direction, OwnedFd)>,
        options: StreamOptions,
    ) -> io::Result<()> {
        if pipes.is_empty() {
            return Ok(());
        }
        let options = Rc::new(options);
        let mut drivers = Vec::with_capacity(pipes.len());
        let mut outcome = Ok(());
        for (fd, direction, ours) in pipes {
            let feed = StreamProtocol::from_layer(Rc::new(Feed::new(self, fd)));
            match pipe::driver(&self.handle, ours, direction, feed, Rc::clone(&options)) {
                Ok(driver) => drivers.push(Pipe { fd, direction, driver }),
                Err(error) => outcome = Err(error),
            }
        }
        let _ = self.pipes.set(drivers);
        outcome
    }

    pub(crate) fn me(&self) -> Rc<Self> {
        let Some(me) = self.me.upgrade() else { unreachable!("it is being dropped") };
        me
    }

    pub(crate) fn transport(self: &Rc<Self>) -> SubprocessTransportRef {
        SubprocessTransportRef::new(Rc::clone(self) as Rc<dyn SubprocessTransport>)
    }

    /// The pipe to the child's descriptor `fd`.
    pub(crate) fn pipe(&self, fd: RawFd) -> Option<&Pipe> {
        self.pipes.get()?.iter().find(|pipe| pipe.fd == fd)
    }

    pub(crate) fn pipes(&self) -> impl Iterator<Item = &Rc<PipeDriver>> {
        self.pipes.get().into_iter().flatten().map(|pipe| &pipe.driver)
    }

    /// Has the child begin at the end of this turn, and not in the next one, which would be one more look at the poller for
    /// each child.
    pub(crate) fn begin_soon(&self) {
        self.settle_soon();
    }

    /// Ready when the child has begun: with the panic of `connection_made`, after which it is killed; with `None` when it
    /// never will.
    pub(crate) fn poll_begun(&self, cx: &mut Context<'_>) -> Poll<Option<Result<(), Fault>>> {
        match self.begun.take() {
            Begun::NotYet => {
                self.starter.set(Some(cx.waker().clone()));
                Poll::Pending
            }
            Begun::Yes(outcome) => Poll::Ready(Some(outcome)),
            Begun::Never => Poll::Ready(None),
        }
    }

    fn begin(self: &Rc<Self>) {
        match guard::call("connection_made", || self.tell_made()) {
            Ok(outcome) => self.has_begun(Begun::Yes(outcome)),
            Err(caught) => {
                self.handle.report(FaultReport::caught(caught));
                self.has_begun(Begun::Never);
            }
        }
    }

    fn has_begun(&self, begun: Begun) {
        self.begun.set(begun);
        if let Some(starter) = self.starter.take() {
            starter.wake();
        }
    }

    /// Tells `connection_made`, then starts the pipes, so that nothing can overtake it.
    fn tell_made(self: &Rc<Self>) -> Result<(), Fault> {
        self.handle.observe(&**self, &observe::Moment::Made);
        let outcome = self.tell(Notice::Made, "connection_made", &mut |protocol, transport| {
            protocol.connection_made(transport);
        });
        for pipe in self.pipes() {
            // The protocol of a pipe is our own, and hears nothing of its beginning.
            let _ = pipe.begin();
        }
        if let Err(error) = self.watch.start() {
            self.end(Lost::Io(error));
            self.finish();
        }
        self.settle_now();
        outcome
    }

    /// Takes back a child that has not begun: it is killed, and nobody is told anything. The loop reaps it. Says whether
    /// it could.
    pub(crate) fn abandon(self: &Rc<Self>) -> bool {
        if !self.state.borrow().is_unmade() {
            return false;
        }
        self.state.borrow_mut().abandon();
        for pipe in self.pipes() {
            pipe.abandon();
        }
        self.watch.kill();
        if self.watch.start().is_err() {
            self.finish();
        }
        self.let_go();
        true
    }

    /// The type of the protocol, until the loss is told.
    pub(crate) fn protocol_name(&self) -> Option<&'static str> {
        self.protocol.borrow().as_ref().map(SharedSubprocessProtocol::type_name)
    }

    // ---- what the pipes say ----

    /// Refuses to go on while the user holds the protocol (rule T11).
    pub(crate) fn assert_free(&self) {
        let protocol = self.protocol.borrow().clone();
        if let Some(protocol) = protocol {
            protocol.assert_free();
        }
    }

    /// Whether the user does not hold it.
    pub(crate) fn is_free(&self) -> bool {
        self.protocol.borrow().as_ref().is_none_or(SharedSubprocessProtocol::is_free)
    }

    pub(crate) fn count_received(&self, count: usize) {
        self.received.set(self.received.get().wrapping_add(count));
    }

    /// Tells the protocol something about a pipe, unless it hears nothing any more.
    pub(crate) fn tell_of_pipe(self: &Rc<Self>, name: &'static str, callback: Callback<'_>) {
        if self.state.borrow().is_audible() {
            // A fault has been reported, and the state knows of it.
            let _ = self.call(name, callback);
        }
    }

    pub(crate) fn pipe_lost(&self) {
        self.state.borrow_mut().pipe_lost();
        // When the pipe is closed, and not from inside its last callback.
        self.settle_soon();
    }

    // ---- settling ----

    pub(crate) fn settle_soon(&self) {
        if !self.enlisted.replace(true) {
            if let Some(me) = self.me.upgrade() {
                self.handle.enlist(me);
            }
        }
    }

    /// Tells what is untold, until nothing is left.
    fn settle_now(self: &Rc<Self>) {
        // A protocol that its user holds lets nothing be told (rule T11); what is owed is told in a later turn.
        let unwinding = EnlistOnUnwind(self);
        loop {
            let untold = self.state.borrow().untold();
            let Some(notice) = untold else { break };
            match notice {
                Notice::Made => break,
                Notice::Drain => {
                    self.drain();
                    self.state.borrow_mut().told(Notice::Drain);
                }
                Notice::Exited => self.tell_exit(),
                Notice::Lost => self.tell_loss(),
            }
        }
        std::mem::forget(unwinding);
    }

    /// Delivers what the pipes hold: it was written before the exit, and is told before it.
    fn drain(self: &Rc<Self>) {
        let all = self.pipes.get().into_iter().flatten();
        for pipe in all.filter(|pipe| pipe.direction == Direction::Read) {
            let driver = &pipe.driver;
            let before = self.received.get();
            let mut known = before;
            while driver.is_reading() {
                driver.ready(Readiness { read: true, write: false });
                let received = self.received.get();
                if received == known || received.wrapping_sub(before) >= DRAIN {
                    break;
                }
                known = received;
            }
        }
    }

    fn tell_exit(self: &Rc<Self>) {
        let audible = self.state.borrow().is_audible();
        if audible {
            let _ = self.tell(Notice::Exited, "process_exited", &mut |protocol, transport| {
                protocol.process_exited(transport);
            });
        } else {
            self.state.borrow_mut().told(Notice::Exited);
        }
        let status = self.state.borrow().status();
        if let Some(status) = status {
            self.handle.observe(&**self, &observe::Moment::Exited(status));
            self.exited.reach(status);
        }
    }

    fn tell_loss(self: &Rc<Self>) {
        self.assert_free();
        let why = {
            let mut state = self.state.borrow_mut();
            state.told(Notice::Lost);
            state.take_cause()
        };
        // The state is at its end, so whatever the callback does, and a panic too, changes nothing any more.
        let _ = self.call("connection_lost", &mut |protocol, transport| {
            protocol.connection_lost(transport, &why);
        });
        self.handle.callback_returned(Some(self.id), "connection_lost");
        self.handle.observe(&**self, &observe::Moment::Lost(&why));
        self.watch.leave();
        self.let_go();
        let status = self.state.borrow().status();
        if let Some(status) = status {
            self.finished.reach(status);
        }
    }

    fn tell(
        self: &Rc<Self>,
        notice: Notice,
        name: &'static str,
        callback: Callback<'_>,
    ) -> Result<(), Fault> {
        // Before anything is noted as told.
        self.assert_free();
        self.state.borrow_mut().told(notice);
        let outcome = self.call(name, callback);
        self.handle.callback_returned(Some(self.id), name);
        outcome
    }

    /// Calls the protocol, which is known to be free, with panics caught. A protocol that panics loses its child.
    fn call(self: &Rc<Self>, name: &'static str, callback: Callback<'_>) -> Result<(), Fault> {
        let protocol = self.protocol.borrow().clone();
        let Some(protocol) = protocol else { return Ok(()) };
        let transport = self.transport();
        let outcome = self.handle.inside(self.id, || {
            guard::call(name, || protocol.with(|protocol| callback(protocol, &transport)))
        });
        outcome.map_err(|caught| {
            let fault = caught.fault.clone();
            let report = FaultReport::caught(caught).concerning(self.id, protocol.type_name());
            let replaced = self.state.borrow_mut().fail(Lost::Fault(fault.clone()));
            drop(replaced);
            self.stop();
            self.settle_soon();
            self.handle.report(report);
            fault
        })
    }

    // ---- the end ----

    /// Kills the child and closes its pipes. What follows is told when it has happened.
    pub(crate) fn stop(&self) {
        self.watch.kill();
        for pipe in self.pipes() {
            // What is queued was for a child that is dead.
            if pipe.write_buffer_len() > 0 { pipe.abort() } else { pipe.close() }
        }
    }

    /// Ends the child for `cause`, unless it is ending already.
    pub(crate) fn end(&self, cause: Lost) {
        let ended = self.state.borrow_mut().end(cause);
        match ended {
            Ok(()) => {
                self.stop();
                self.settle_soon();
            }
            // With nothing of ours borrowed: it may be the user's.
            Err(refused) => drop(refused),
        }
    }

    /// Waits for the end once more, after a pause: a debugger hears of it first, it is ours only when that has let go of it,
    /// and until then the descriptor is readable.
    fn look_again(&self) {
        let me = Weak::clone(&self.me);
        let again = move || {
            if let Some(me) = me.upgrade() {
                // It is registered, so this does not fail.
                let _ = me.watch.start();
            }
        };
        drop(self.handle.call_later(PAUSE, again));
    }

    /// What a look at the child has found.
    fn found(self: &Rc<Self>, reaped: Reaped) {
        let status = match reaped {
            Reaped::Not => return self.look_again(),
            Reaped::Ended(status) => status,
            Reaped::Stolen(status) => {
                self.report_theft();
                status
            }
        };
        self.state.borrow_mut().exited(status);
        if self.state.borrow().is_lost() {
            // It was taken back, and waited only for this.
            self.watch.leave();
        }
        self.settle_now();
    }

    /// Kills and reaps the child before returning: nobody will take another turn.
    fn finish(self: &Rc<Self>) {
        let reaped = self.watch.finish();
        self.found(reaped);
    }

    #[cold]
    fn report_theft(&self) {
        let pid = self.watch.pid();
        let text = format!("somebody else has reaped the child {pid}, so its status is unknown");
        let fault = Fault::new("process_exited", text);
        self.handle.report(FaultReport::broken_rule(fault).concerning(self.id, "a child process"));
    }

    /// Lets go of the protocol.
    fn let_go(&self) {
        let protocol = self.protocol.take();
        // Last, because dropping it may run user code.
        if let Err(caught) = guard::call("drop", || drop(protocol)) {
            self.handle.report(FaultReport::caught(caught));
        }
    }
}

impl Settle for Process {
    fn settle(self: Rc<Self>) {
        self.enlisted.set(false);
        if self.state.borrow().is_unmade() {
            self.begin();
        } else {
            self.settle_now();
        }
    }
}

impl Source for Process {
    /// The child may have ended; its pipes have places of their own.
    fn ready(self: Rc<Self>, _: Readiness) {
        let reaped = self.watch.reap();
        self.found(reaped);
    }

    /// Everything is told before this returns: the loop takes no other turn.
    fn shut(self: Rc<Self>) {
        // First: a protocol that its user holds refuses to be told (rule T11), and nobody would reap the child then.
        let reaped = self.watch.finish();
        if self.abandon() {
            self.has_begun(Begun::Never);
        } else {
            self.end(Lost::Aborted);
            for pipe in self.pipes() {
                pipe.shut();
            }
        }
        self.found(reaped);
    }

    /// One that was taken back is nobody's, and waits to be reaped.
    fn as_transport(&self) -> Option<&dyn BaseTransport> {
        let lost = self.state.borrow().is_lost();
        (!lost).then_some(self as &dyn BaseTransport)
    }
}
