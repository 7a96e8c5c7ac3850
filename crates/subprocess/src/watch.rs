//! [`Watch`]: a child on the loop. It owns the child until it is reaped, with or without anybody who listens.

use std::cell::RefCell;
use std::io;
use std::process::ExitStatus;
use std::rc::{Rc, Weak};

use rustix::process::Signal;
use wharf_core::driver::Readiness;
use wharf_core::guard::FaultReport;
use wharf_core::{Fault, TransportId};
use wharf_reactor::LoopHandle;
use wharf_reactor::source::{Registration, Source};

use crate::child::{Child, Reaped};

/// Who wants to know that the child has ended.
pub(crate) trait Listener {
    fn child_ended(self: Rc<Self>, status: ExitStatus);
}

pub(crate) struct Watch {
    handle: LoopHandle,
    id: TransportId,
    child: RefCell<Child>,
    registration: Registration,
    listener: RefCell<Option<Weak<dyn Listener>>>,
}

impl Watch {
    /// A child that is owned by the loop from now on. Its end is not seen before [`start`](Self::start).
    pub(crate) fn new(handle: &LoopHandle, id: TransportId, child: Child) -> Rc<Self> {
        let watch = Rc::new(Self {
            handle: handle.clone(),
            id,
            child: RefCell::new(child),
            registration: Registration::new(handle),
            listener: RefCell::default(),
        });
        let source = Rc::clone(&watch) as Rc<dyn Source>;
        watch.registration.attach(source);
        watch
    }

    /// Waits for the end: once, because nothing becomes of a child that has ended but to be reaped.
    ///
    /// # Errors
    /// The poller's, and on a loop that is gone: nobody but [`finish`](Self::finish) will reap the child then.
    pub(crate) fn start(&self) -> io::Result<()> {
        let child = self.child.borrow();
        let Some(end) = child.end() else { return Ok(()) };
        self.registration.poll_once(end)
    }

    /// From now on `listener` is told; weakly, because the loop owns the watch.
    pub(crate) fn set_listener(&self, listener: Weak<dyn Listener>) {
        self.listener.replace(Some(listener));
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.borrow().id()
    }

    pub(crate) fn signal(&self, number: i32) -> io::Result<()> {
        self.child.borrow().signal(number)
    }

    /// Kills the child, if it runs. Its end is told as any other.
    pub(crate) fn kill(&self) {
        // It has ended, or runs as somebody else by now and ends when it likes.
        let _ = self.signal(Signal::KILL.as_raw());
    }

    /// Kills and reaps the child before returning: nobody will take another turn.
    pub(crate) fn finish(&self) {
        let reaped = self.child.borrow_mut().finish();
        self.reaped(reaped);
    }

    /// A descriptor that becomes readable when the child ends; `None` once it is reaped.
    pub(crate) fn duplicate(&self) -> Option<std::os::fd::OwnedFd> {
        self.child.borrow().end()?.try_clone_to_owned().ok()
    }

    fn reaped(&self, reaped: Reaped) {
        let status = match reaped {
            Reaped::Not => return,
            Reaped::Ended(status) => status,
            Reaped::Stolen(status) => {
                self.report_theft();
                status
            }
        };
        {
            let mut child = self.child.borrow_mut();
            if let Some(end) = child.end() {
                // Its duplicates, of whoever has asked for one and of children that others are starting, say nothing more.
                self.registration.set_exclusive(true);
                self.registration.close(end);
            }
            child.forget_end();
        }
        let listener = self.listener.take().and_then(|listener| listener.upgrade());
        if let Some(listener) = listener {
            listener.child_ended(status);
        }
    }

    #[cold]
    fn report_theft(&self) {
        let text = format!(
            "somebody else has reaped the child {}, so its status is unknown",
            self.child.borrow().id()
        );
        let fault = Fault::new("process_exited", text);
        self.handle.report(FaultReport::broken_rule(fault).concerning(self.id, "a child process"));
    }
}

impl Source for Watch {
    fn ready(self: Rc<Self>, _: Readiness) {
        let reaped = self.child.borrow_mut().reap();
        if reaped == Reaped::Not {
            // A debugger hears of its end first, and it is ours only when that has let go of it. It is registered, so this
            // does not fail.
            let _ = self.start();
        }
        self.reaped(reaped);
    }

    fn shut(self: Rc<Self>) {
        self.finish();
    }
}
