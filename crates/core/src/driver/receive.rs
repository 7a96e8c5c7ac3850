//! The driver's reading side: from the I/O object to the protocol, a budget at a time (rule T12).

use std::cell::RefMut;
use std::io;
use std::rc::Rc;

use super::StreamDriver;
use super::contract::{Host, StreamIo, Traffic};
use super::inner::{Inner, is_transient};
use super::tag::Tag;
use super::transport::TRAY;
use crate::guard::FaultReport;
use crate::handle::TransportRef;
use crate::lost::{Fault, Lost};
use crate::schedule::Scheduler;
use crate::shared::{Reception, StreamProtocol};
use crate::transport::Transport;
use crate::tray::Lent;

/// What came of one system call.
struct Read {
    count: usize,
    /// Whether the buffer was filled, so that there may be more.
    filled: bool,
}

impl<I: StreamIo> StreamDriver<I> {
    /// Reads once, and again as long as the buffer was filled and the budget lasts.
    #[inline(always)]
    pub(super) fn receive(self: &Rc<Self>) {
        let mut total = 0;
        while let Some(read) = self.receive_once() {
            total += read.count;
            if !read.filled {
                return;
            }
            // The next read may change what the tray was lent for.
            if total >= self.enter().options.read_budget {
                return;
            }
        }
        if total == 0 {
            self.look_for_error();
        }
    }

    /// Reads by one system call and calls the protocol, unless nothing may be read.
    #[inline(always)]
    fn receive_once(self: &Rc<Self>) -> Option<Read> {
        let inner = self.inner.borrow_mut();
        if !inner.state.may_receive() {
            return None;
        }
        let protocol = inner.protocol.clone()?;
        let read = match protocol.reception() {
            Reception::Plain => self.receive_plain(inner, &protocol),
            Reception::Buffered => {
                drop(inner);
                self.receive_buffered(&protocol)
            }
        };
        self.release(protocol);
        Some(read)
    }

    /// Where nothing is read because the peer's end was kept open, a readable descriptor means an error.
    #[cold]
    fn look_for_error(&self) {
        let mut inner = self.inner.borrow_mut();
        if inner.state.watches_errors_only() {
            if let Ok(Some(error)) = inner.io.take_error() {
                inner.fail(Lost::Io(error));
            }
        }
    }

    #[inline(always)]
    fn receive_plain(
        self: &Rc<Self>,
        mut inner: RefMut<'_, Inner<I>>,
        protocol: &StreamProtocol,
    ) -> Read {
        self.host().with_read_buffer(|buffer| {
            let outcome = inner.io.read(buffer);
            let count = self.note_read(&mut inner, outcome, buffer);
            let read = Read { count, filled: count == buffer.len() };
            if count > 0 {
                let transport = self.lending_handle(&inner);
                drop(inner);
                // What a fault changes, the state knows.
                let _ = self.call_with(&transport, protocol, "data_received", |transport| {
                    protocol.data_received(transport, &buffer[..count]);
                });
            }
            read
        })
    }

    /// A handle for a callback, with the loop's tray if its writes have nothing before them and cannot fill the buffer.
    #[inline(always)]
    fn lending_handle(self: &Rc<Self>, inner: &Inner<I>) -> TransportRef {
        let tray = match self.host().tray() {
            Some(tray) if inner.state.is_at_rest() && inner.options.limits.high_mark() >= TRAY => {
                self.tag.set(Tag::GATHERS);
                tray.lend()
            }
            _ => Lent::default(),
        };
        TransportRef::lending(Rc::clone(self) as Rc<dyn Transport>, tray)
    }

    #[inline(never)]
    fn receive_buffered(self: &Rc<Self>, protocol: &StreamProtocol) -> Read {
        let mut count = 0;
        let mut room = 0;
        let called = self.call(protocol, "get_buffer", |_| {
            protocol.get_buffer(None, &mut |buffer| {
                room = buffer.len();
                if room > 0 {
                    let mut inner = self.inner.borrow_mut();
                    // What `get_buffer` did to the transport by a handle of its own counts already.
                    if inner.state.may_read() {
                        let outcome = inner.io.read(buffer);
                        count = self.note_read(&mut inner, outcome, buffer);
                    }
                }
                count
            });
        });
        if called.is_ok() && room == 0 {
            self.refuse_empty_buffer(protocol);
        }
        if count > 0 {
            let transport = self.lending_handle(&self.inner.borrow());
            let _ = self.call_with(&transport, protocol, "buffer_updated", |transport| {
                protocol.buffer_updated(transport, count)
            });
        }
        Read { count, filled: count > 0 && count == room }
    }

    /// Tells the state what a read met; says how many bytes came.
    #[inline(always)]
    fn note_read(&self, inner: &mut Inner<I>, outcome: io::Result<usize>, buffer: &[u8]) -> usize {
        match outcome {
            Ok(0) => {
                inner.state.eof();
                inner.log_read(&[]);
            }
            Ok(count) => {
                inner.log_read(&buffer[..count]);
                self.host().count(Traffic::Read(count));
                return count;
            }
            Err(error) if is_transient(&error) => {}
            Err(error) if I::LAYERED && error.kind() == io::ErrorKind::UnexpectedEof => {
                inner.state.truncated();
            }
            Err(error) => drop(inner.fail(Lost::Io(error))),
        }
        0
    }

    #[cold]
    pub(super) fn refuse_empty_buffer(&self, protocol: &StreamProtocol) {
        let fault = Fault::new("get_buffer", "the buffer is empty");
        self.host().report(
            FaultReport::broken_rule(fault.clone()).concerning(self.tag.id(), protocol.type_name()),
        );
        self.inner.borrow_mut().fail(Lost::Fault(fault));
    }
}
