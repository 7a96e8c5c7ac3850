//! The driver's reading side: from the I/O object to the protocol, a budget at a time (rule T12).

use std::cell::RefMut;
use std::io;
use std::rc::Rc;

use bytes::Bytes;

use super::StreamDriver;
use super::contract::{Host, StreamIo, Traffic};
use super::inner::{Inner, is_transient};
use super::tag::Tag;
use crate::guard::FaultReport;
use crate::handle::TransportRef;
use crate::lost::{Fault, Lost};
use crate::schedule::Scheduler;
use crate::shared::{Held, StreamProtocol};
use crate::transport::Transport;

/// What came of one system call.
struct Read {
    count: usize,
    /// Whether the buffer was filled, so that there may be more.
    filled: bool,
}

impl<I: StreamIo> StreamDriver<I> {
    /// Reads, calls the protocol, and reads again as long as the buffer was filled and the budget lasts. Says whether what
    /// was written lies in the tray, and nothing else has happened.
    ///
    /// Nearly always the stream is at rest before, its protocol is plain, and one call reads what there is: that is one
    /// straight line.
    #[inline(always)]
    pub(super) fn receive(self: &Rc<Self>) -> bool {
        let inner = self.inner.borrow_mut();
        if !(self.tag.is(Tag::PLAIN) && self.may_lend(&inner)) {
            drop(inner);
            return self.receive_on(0);
        }
        let Some(protocol) = inner.protocol.clone() else { return false };
        let read = self.receive_plain::<true>(inner, &protocol);
        self.release(protocol);
        if read.filled {
            self.tag.unset(Tag::BUSY);
            return self.receive_on(read.count);
        }
        self.tag.take(Tag::BUSY | Tag::GATHERS)
    }

    /// The same where that is not so, or where `total` bytes have been read already and there may be more.
    #[inline(never)]
    fn receive_on(self: &Rc<Self>, mut total: usize) -> bool {
        // The next read may change what the tray was lent for.
        while total == 0 || total < self.enter().options.read_budget {
            let Some(read) = self.receive_once() else { break };
            total += read.count;
            if !read.filled {
                break;
            }
        }
        if total == 0 {
            self.look_for_error();
        }
        self.tag.take(Tag::GATHERS)
    }

    /// Reads by one system call and calls the protocol, unless nothing may be read.
    fn receive_once(self: &Rc<Self>) -> Option<Read> {
        let inner = self.inner.borrow_mut();
        if !inner.state.may_receive() {
            return None;
        }
        let protocol = inner.protocol.clone()?;
        let read = if self.tag.is(Tag::PLAIN) {
            self.receive_plain::<false>(inner, &protocol)
        } else {
            drop(inner);
            self.assert_free(&protocol);
            self.receive_buffered(&protocol)
        };
        self.release(protocol);
        self.tag.unset(Tag::BUSY);
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

    /// For a plain protocol, with the tray lent if `LENDS`, which [`may_lend`](Self::may_lend) has allowed; leaves the driver
    /// [busy](Tag::BUSY) if the protocol was called.
    #[inline(always)]
    fn receive_plain<const LENDS: bool>(
        self: &Rc<Self>,
        mut inner: RefMut<'_, Inner<I>>,
        protocol: &StreamProtocol,
    ) -> Read {
        self.host().with_read_buffer(|buffer| {
            let outcome = inner.io.read(buffer);
            let count = self.note_read(&mut inner, outcome);
            let read = Read { count, filled: count == buffer.len() };
            if count > 0 {
                let data = &buffer[..count];
                if !LENDS {
                    inner.log_read(data);
                }
                drop(inner);
                let transport = self.lending_handle(LENDS);
                let callback = |transport: &_| protocol.data_received(transport, data);
                let called = self.call_with(&transport, protocol, "data_received", callback);
                // What a fault changes, the state knows.
                if let Ok(Err(Held)) = called {
                    self.refuse_held(protocol, data);
                }
            }
            read
        })
    }

    /// The user holds the protocol (rule T11), so what was read is told in a later turn.
    ///
    /// # Panics
    /// Always, for that.
    #[cold]
    fn refuse_held(self: &Rc<Self>, protocol: &StreamProtocol, data: &[u8]) {
        self.tag.unset(Tag::BUSY);
        self.enter().put_leftover(Bytes::copy_from_slice(data));
        self.assert_free(protocol);
    }

    /// Whether what a callback writes has nothing before it, is not logged, and cannot fill the buffer.
    #[inline(always)]
    fn may_lend(&self, inner: &Inner<I>) -> bool {
        self.tag.is(Tag::ROOMY) && inner.state.is_at_rest()
    }

    /// A handle for a callback, with the loop's tray if that may be lent.
    #[inline(always)]
    fn lending_handle(self: &Rc<Self>, lends: bool) -> TransportRef {
        let transport = Rc::clone(self) as Rc<dyn Transport>;
        match self.host().tray() {
            Some(tray) if lends => {
                let transport = TransportRef::lending(transport, tray.lend());
                self.tag.set(Tag::GATHERS);
                transport
            }
            _ => TransportRef::new(transport),
        }
    }

    /// For a buffered protocol; likewise.
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
                        count = self.note_read(&mut inner, outcome);
                        inner.log_read(&buffer[..count]);
                    }
                }
                count
            });
        });
        if called.is_err() {
            // A layer that panics may have read before: whatever that was, nobody hears of it.
            return Read { count, filled: false };
        }
        if room == 0 {
            self.refuse_empty_buffer(protocol);
        }
        if count > 0 {
            let transport = self.lending_handle(self.may_lend(&self.inner.borrow()));
            let _ = self.call_with(&transport, protocol, "buffer_updated", |transport| {
                protocol.buffer_updated(transport, count)
            });
        }
        Read { count, filled: count > 0 && count == room }
    }

    /// Tells the state what a read met; says how many bytes came.
    #[inline(always)]
    fn note_read(&self, inner: &mut Inner<I>, outcome: io::Result<usize>) -> usize {
        match outcome {
            Ok(0) => {
                inner.state.eof();
                inner.log_read(&[]);
            }
            Ok(count) => {
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
