//! A child process as a transport: what users call. None of it calls user code (rule T1).

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::pin::Pin;
use std::process::ExitStatus;
use std::rc::Rc;
use std::task::{Context, Poll};

use rustix::process::Signal;
use wharf_core::extra::Request;
use wharf_core::vitals::{TransportKind, Vitals};
use wharf_core::{
    BaseTransport, Lost, PipeTransport, ReadTransport, ReadTransportRef, Scheduler,
    SubprocessTransport, TransportId, WriteTransport, WriteTransportRef,
};

use crate::moment::{Moment, Place};
use crate::pipe::Direction;
use crate::process::Process;

/// A descriptor of the child itself, as a fact: `transport.extra::<ProcessFd>()`. It becomes readable when the child
/// ends; on Linux it is a duplicate of its pidfd. Absent once the child has ended.
#[derive(Debug)]
pub struct ProcessFd(pub OwnedFd);

impl Process {
    /// What its pipes hold for it counts as queued.
    fn vitals(&self) -> Vitals {
        let mut vitals = Vitals::new(self.state.borrow().life());
        vitals.queued = self.pipes().map(|pipe| pipe.write_buffer_len()).sum();
        vitals.protocol = self.protocol_name();
        vitals
    }
}

impl BaseTransport for Process {
    fn id(&self) -> TransportId {
        self.id
    }

    fn close(&self) {
        self.end(Lost::Closed);
    }

    fn abort(&self) {
        self.end(Lost::Aborted);
    }

    fn fail(&self, error: Box<dyn Error>) {
        self.end(Lost::Failed(error));
    }

    fn is_closing(&self) -> bool {
        self.state.borrow().is_closing()
    }

    fn provide(&self, request: &mut Request<'_>) {
        request
            .provide(|| self.vitals())
            .provide(|| TransportKind(format!("process {}", self.pid()).into()))
            .provide_some(|| self.status())
            .provide_some(|| self.watch.duplicate().map(ProcessFd));
    }

    fn scheduler(&self) -> Rc<dyn Scheduler> {
        Rc::new(self.handle.clone())
    }
}

impl SubprocessTransport for Process {
    fn pid(&self) -> u32 {
        self.watch.pid()
    }

    fn returncode(&self) -> Option<i32> {
        let status = self.status()?;
        status.code().or_else(|| status.signal().map(|signal| -signal))
    }

    fn status(&self) -> Option<ExitStatus> {
        self.state.borrow().status()
    }

    fn exited(&self) -> Pin<Box<dyn Future<Output = ExitStatus>>> {
        Box::pin(Wait::new(self.me(), |process| &process.exited))
    }

    fn finished(&self) -> Pin<Box<dyn Future<Output = ExitStatus>>> {
        Box::pin(Wait::new(self.me(), |process| &process.finished))
    }

    fn pipe_transport(&self, fd: i32) -> Option<PipeTransport> {
        let pipe = self.pipe(fd)?;
        let driver = Rc::clone(&pipe.driver);
        Some(match pipe.direction {
            Direction::Read => {
                PipeTransport::Read(ReadTransportRef::new(driver as Rc<dyn ReadTransport>))
            }
            Direction::Write => {
                PipeTransport::Write(WriteTransportRef::new(driver as Rc<dyn WriteTransport>))
            }
        })
    }

    fn send_signal(&self, signal: i32) -> io::Result<()> {
        self.watch.signal(signal)
    }

    fn terminate(&self) -> io::Result<()> {
        self.send_signal(Signal::TERM.as_raw())
    }

    fn kill(&self) -> io::Result<()> {
        self.send_signal(Signal::KILL.as_raw())
    }
}

/// The future of [`exited`](SubprocessTransport::exited) and [`finished`](SubprocessTransport::finished).
struct Wait {
    process: Rc<Process>,
    moment: fn(&Process) -> &Moment,
    place: Place,
}

impl Wait {
    fn new(process: Rc<Process>, moment: fn(&Process) -> &Moment) -> Self {
        Self { process, moment, place: Place::default() }
    }
}

impl Future for Wait {
    type Output = ExitStatus;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<ExitStatus> {
        let this = &mut *self;
        (this.moment)(&this.process).poll(&mut this.place, cx)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        (self.moment)(&self.process).leave(&mut self.place);
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("id", &self.id)
            .field("pid", &self.pid())
            .field("state", &*self.state.borrow())
            .finish_non_exhaustive()
    }
}
