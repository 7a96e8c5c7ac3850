//! An `AsyncRead` and `AsyncWrite` as the I/O object of core's driver.
//!
//! tokio says that something is ready by waking a task, and not what; and only if the last attempt had to wait.
//! So after a wake both directions count as ready until an attempt says otherwise, and the future is not done before
//! every direction that is wanted has said so.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wharf_core::Address;
use wharf_core::driver::{Anchor, Readiness, StreamIo};
use wharf_core::extra::{LocalAddr, PeerAddr, Request};
use wharf_core::stream::Interest;
use wharf_core::vitals::TransportKind;

use crate::host::TaskHost;

/// The object, shared by the transport, which moves bytes, and the future, which flushes and ends.
pub(crate) struct Slot<T> {
    io: RefCell<Option<T>>,
    host: TaskHost,
    ready: Cell<Readiness>,
    interest: Cell<Interest>,
    /// Written since the last flush that ended.
    dirty: Cell<bool>,
    /// Our direction is to end, and has not.
    ending: Cell<bool>,
    /// What a flush or an end met, for the next who reads or writes.
    error: RefCell<Option<io::Error>>,
    local: Option<Address>,
    peer: Option<Address>,
}

const BOTH: Readiness = Readiness { read: true, write: true };

impl<T: AsyncRead + AsyncWrite + Unpin> Slot<T> {
    pub(crate) fn new(
        io: T,
        host: TaskHost,
        local: Option<Address>,
        peer: Option<Address>,
    ) -> Rc<Self> {
        Rc::new(Self {
            io: RefCell::new(Some(io)),
            host,
            ready: Cell::new(BOTH),
            interest: Cell::default(),
            dirty: Cell::new(false),
            ending: Cell::new(false),
            error: RefCell::default(),
            local,
            peer,
        })
    }

    /// The task was woken: anything may be ready.
    pub(crate) fn woken(&self) {
        self.ready.set(BOTH);
    }

    /// What is wanted and may be ready.
    pub(crate) fn readiness(&self) -> Readiness {
        let (ready, interest) = (self.ready.get(), self.interest.get());
        Readiness { read: ready.read && interest.read, write: ready.write && interest.write }
    }

    /// Lets go of the object.
    pub(crate) fn release(&self) {
        let io = self.io.take();
        drop(io);
    }

    /// Flushes what was written, and ends our direction if that is wanted. Gives an error of either once.
    pub(crate) fn poll_settled(&self) -> Poll<io::Result<()>> {
        if self.dirty.get() {
            match self.poll(|io, cx| io.poll_flush(cx)) {
                Poll::Ready(Ok(())) => self.dirty.set(false),
                Poll::Ready(Err(error)) => {
                    self.dirty.set(false);
                    return Poll::Ready(Err(error));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        if self.ending.get() {
            match self.poll(|io, cx| io.poll_shutdown(cx)) {
                Poll::Ready(outcome) => {
                    self.ending.set(false);
                    return Poll::Ready(outcome);
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Has our direction ended, also where the transport had not asked for it.
    pub(crate) fn end(&self) {
        self.ending.set(true);
    }

    /// Keeps an error for the next who reads or writes.
    pub(crate) fn fail(&self, error: io::Error) {
        self.error.replace(Some(error));
        self.ready.set(BOTH);
    }

    fn poll<R>(
        &self,
        call: impl FnOnce(Pin<&mut T>, &mut Context<'_>) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        let waker = self.host.waker();
        match self.io.borrow_mut().as_mut() {
            Some(io) => call(Pin::new(io), &mut Context::from_waker(&waker)),
            None => Poll::Ready(Err(ErrorKind::NotConnected.into())),
        }
    }

    fn attempt_write(
        &self,
        call: impl FnOnce(Pin<&mut T>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> io::Result<usize> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        match self.poll(call) {
            // Nothing was taken of something: asking again would never end.
            Poll::Ready(Ok(0)) => Err(ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(count)) => {
                self.dirty.set(true);
                Ok(count)
            }
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => {
                self.ready.set(Readiness { write: false, ..self.ready.get() });
                Err(ErrorKind::WouldBlock.into())
            }
        }
    }
}

/// The transport's hold on the object.
pub(crate) struct TokioIo<T>(pub(crate) Rc<Slot<T>>);

impl<T: AsyncRead + AsyncWrite + Unpin + 'static> StreamIo for TokioIo<T> {
    type Seat = Anchor<TaskHost>;

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let slot = &self.0;
        if let Some(error) = slot.error.take() {
            return Err(error);
        }
        let mut buffer = ReadBuf::new(buffer);
        match slot.poll(|io, cx| io.poll_read(cx, &mut buffer)) {
            Poll::Ready(outcome) => outcome.map(|()| buffer.filled().len()),
            Poll::Pending => {
                slot.ready.set(Readiness { read: false, ..slot.ready.get() });
                Err(ErrorKind::WouldBlock.into())
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.attempt_write(|io, cx| io.poll_write(cx, bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        // What cannot write several writes the first that is not empty.
        self.0.attempt_write(|io, cx| io.poll_write_vectored(cx, slices))
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        // The future does it, since it may have to wait.
        self.0.end();
        Ok(())
    }

    fn take_error(&mut self) -> io::Result<Option<io::Error>> {
        Ok(self.0.error.take())
    }

    fn set_interest(&mut self, _: &Self::Seat, interest: Interest) -> io::Result<()> {
        self.0.interest.set(interest);
        Ok(())
    }

    fn close(&mut self, _: &Self::Seat, _keep_facts: bool) {
        self.0.interest.set(Interest::default());
    }

    fn provide(&self, _: &Self::Seat, request: &mut Request<'_>) {
        let slot = &self.0;
        request
            .provide(|| TransportKind("tokio".into()))
            .provide_some(|| slot.local.clone().map(LocalAddr))
            .provide_some(|| slot.peer.clone().map(PeerAddr));
    }
}
