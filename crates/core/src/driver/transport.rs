//! The driver as a transport: what users call. None of it calls user code (rule T1).

use std::error::Error;
use std::fmt;
use std::io::{self, IoSlice};
use std::rc::Rc;

use bytes::Bytes;

use super::StreamDriver;
use super::contract::{Host, IoAccess, Outflow, StreamIo, StreamOptions, Traffic};
use super::inner::{Elsewhere, Inner, is_transient};
use super::tag::Tag;
use crate::buffer::{MAX_SLICES, WriteQueue};
use crate::extra::{Request, WritingPaused};
use crate::flow::{Flow, Limits};
use crate::lost::Lost;
use crate::observe::Moment;
use crate::schedule::{Scheduler, Settle};
use crate::shared::{Reception, StreamProtocol};
use crate::stream::{Notice, Phase};
use crate::transport::{BaseTransport, ReadTransport, Transport, TransportId, WriteTransport};
use crate::vitals::{Above, Life, Vitals};
use crate::wire_log::Tap;

/// From this size on a chunk goes straight to the system when nothing is queued before it: the copy that gathering
/// costs outweighs the system call that it saves.
const DIRECT: usize = 16 * 1024;

/// The room of a loop's tray: what is longer goes straight to the system.
pub const TRAY: usize = DIRECT - 1;

impl<I: StreamIo> StreamDriver<I> {
    /// The one path of every write: `push` queues what `direct` could not send at once.
    #[inline]
    fn write_with(
        &self,
        len: usize,
        direct: impl FnOnce(&mut I) -> io::Result<usize>,
        push: impl FnOnce(&mut WriteQueue, usize),
    ) -> Flow {
        let mut inner = self.enter();
        let inner = &mut *inner;
        inner.note_below();
        let closing_below = I::LAYERED && inner.io.is_closing_below();
        if len == 0
            || closing_below
            || !inner.state.admits_write(inner.below(), &inner.options.limits)
        {
            return self.write_nothing(inner, len);
        }
        if len >= DIRECT && inner.queue.is_none() && inner.state.may_send_directly() {
            return self.write_directly(inner, len, direct, push);
        }
        self.enqueue(inner, len, |queue| push(queue, 0))
    }

    /// Queues `len` bytes, and answers the write.
    #[inline]
    fn enqueue(
        &self,
        inner: &mut Inner<I>,
        len: usize,
        push: impl FnOnce(&mut WriteQueue),
    ) -> Flow {
        push(inner.queue.get_or_insert_with(|| self.host().take_queue()));
        if inner.state.wrote(len, inner.below(), &inner.options.limits) {
            return self.answer_full(inner);
        }
        self.settle_soon();
        Flow::Open
    }

    /// Answers a write that has found the buffer over its mark: full of what was gathered, perhaps, and not of what the
    /// system would not take.
    #[inline(never)]
    fn answer_full(&self, inner: &mut Inner<I>) -> Flow {
        self.settle_soon();
        inner.flush(self.host());
        inner.state.answer_write()
    }

    /// Answers a write that has nothing to say, or comes too late or to an over-full buffer.
    #[cold]
    fn write_nothing(&self, inner: &mut Inner<I>, len: usize) -> Flow {
        if len == 0 {
            return inner.state.answer_write();
        }
        // Perhaps it was this write that has ended the connection.
        if inner.state.phase() == Phase::Closed {
            self.settle_soon();
        }
        Flow::Closed
    }

    /// Gives a large chunk to the system, with nothing queued before it, and queues what was not taken.
    #[inline(never)]
    fn write_directly(
        &self,
        inner: &mut Inner<I>,
        len: usize,
        direct: impl FnOnce(&mut I) -> io::Result<usize>,
        push: impl FnOnce(&mut WriteQueue, usize),
    ) -> Flow {
        let sent = match direct(&mut inner.io) {
            Ok(count) => {
                self.host().count(Traffic::Written(count));
                count
            }
            Err(error) if is_transient(&error) => 0,
            Err(error) => {
                inner.fail(Lost::Io(error));
                self.settle_soon();
                return Flow::Closed;
            }
        };
        inner.note_below();
        if sent < len {
            inner.state.blocked();
            return self.enqueue(inner, len - sent, |queue| push(queue, sent));
        }
        if I::LAYERED {
            // The buffer below may be over the mark.
            self.settle_soon();
        }
        inner.state.answer_write()
    }
}

impl<I: StreamIo> StreamDriver<I> {
    /// Puts a protocol in the place of another; gives that.
    fn place(&self, inner: &mut Inner<I>, protocol: StreamProtocol) -> Option<StreamProtocol> {
        self.tag.put(Tag::PLAIN, protocol.reception() == Reception::Plain);
        inner.protocol.replace(protocol)
    }

    fn vitals(&self, inner: &Inner<I>) -> Vitals {
        let made = inner.state.untold() != Some(Notice::Made);
        Vitals {
            reading: inner.state.is_reading() && !(I::LAYERED && inner.io.is_closing_below()),
            writing_paused: inner.state.told_paused(),
            queued: inner.unsent(),
            protocol: inner.protocol.as_ref().map(StreamProtocol::type_name),
            ..Vitals::new(Life::of_stream(made, inner.state.phase()))
        }
    }
}

impl<I: StreamIo> Settle for StreamDriver<I> {
    fn settle(self: Rc<Self>) {
        self.tag.unset(Tag::ENLISTED);
        self.settle_now();
    }
}

impl<I: StreamIo> IoAccess<I> for StreamDriver<I> {
    fn with_io(&self, view: &mut dyn FnMut(&mut I)) {
        let mut inner = self.enter();
        if inner.state.phase() != Phase::Lost {
            view(&mut inner.io);
        }
    }

    fn send_outflow(&self, outflow: Box<dyn Outflow<I>>) -> Result<(), Box<dyn Outflow<I>>> {
        let mut inner = self.enter();
        if inner.state.flow() == Flow::Closed || inner.state.has_outflow() {
            return Err(outflow);
        }
        let ahead = inner.state.queued();
        inner.rare().outflow = Some(Elsewhere::new(outflow, ahead));
        inner.state.set_outflow(true);
        self.settle_soon();
        Ok(())
    }

    fn cancel_outflow(&self) {
        let mut inner = self.enter();
        if let Some(elsewhere) = inner.rare.as_mut().and_then(|rare| rare.outflow.take()) {
            inner.state.set_outflow(false);
            drop(elsewhere);
            self.settle_soon();
        }
    }
}

impl<I: StreamIo> BaseTransport for StreamDriver<I> {
    fn id(&self) -> TransportId {
        self.tag.id()
    }

    fn close(&self) {
        self.enter().state.close();
        self.settle_soon();
    }

    fn abort(&self) {
        self.enter().fail(Lost::Aborted);
        self.settle_soon();
    }

    fn fail(&self, error: Box<dyn Error>) {
        let refused = self.enter().fail(Lost::Failed(error));
        self.settle_soon();
        // With nothing of ours borrowed: it is the user's.
        drop(refused);
    }

    fn is_closing(&self) -> bool {
        let inner = self.inner.borrow();
        inner.state.is_closing() || (I::LAYERED && inner.io.is_closing_below())
    }

    fn provide(&self, request: &mut Request<'_>) {
        let inner = self.look();
        request
            .provide(|| self.vitals(&inner))
            .provide_here(|| inner.protocol.as_ref().and_then(StreamProtocol::above).map(Above))
            .provide_here(|| inner.state.told_paused().then_some(WritingPaused))
            .provide_here(|| self.me().map(|me| Tap::new(me)));
        let is_logged = inner.rare.as_deref().is_some_and(|rare| rare.logs.is_on());
        // What goes around the stream would go around its log.
        let request = if is_logged { request.below() } else { request };
        inner.io.provide(&self.seat, request);
    }

    fn scheduler(&self) -> Rc<dyn Scheduler> {
        self.host().to_scheduler()
    }
}

impl<I: StreamIo> ReadTransport for StreamDriver<I> {
    fn is_reading(&self) -> bool {
        let inner = self.inner.borrow();
        inner.state.is_reading() && !(I::LAYERED && inner.io.is_closing_below())
    }

    fn pause_reading(&self) {
        let mut inner = self.enter();
        let before = inner.state.is_reading();
        inner.state.pause_reading();
        let changed = before != inner.state.is_reading();
        drop(inner);
        self.settle_soon();
        if changed {
            self.host().observe(self, &Moment::ReadingPaused);
        }
    }

    fn resume_reading(&self) {
        let mut inner = self.enter();
        let before = inner.state.is_reading();
        inner.state.resume_reading();
        let changed = before != inner.state.is_reading();
        drop(inner);
        self.settle_soon();
        if changed {
            self.host().observe(self, &Moment::ReadingResumed);
        }
    }
}

impl<I: StreamIo> WriteTransport for StreamDriver<I> {
    #[inline]
    fn write(&self, data: &[u8]) -> Flow {
        self.write_with(data.len(), |io| io.write(data), |queue, sent| queue.push(&data[sent..]))
    }

    fn write_bytes(&self, data: Bytes) -> Flow {
        self.write_with(
            data.len(),
            |io| io.write(&data),
            |queue, sent| queue.push_bytes(data.slice(sent..)),
        )
    }

    fn writelines(&self, chunks: &[IoSlice<'_>]) -> Flow {
        let len = chunks.iter().map(|chunk| chunk.len()).sum();
        self.write_with(
            len,
            |io| io.write_vectored(&chunks[..chunks.len().min(MAX_SLICES)]),
            |queue, mut sent| {
                for chunk in chunks {
                    let skipped = sent.min(chunk.len());
                    sent -= skipped;
                    queue.push(&chunk[skipped..]);
                }
            },
        )
    }

    fn write_eof(&self) {
        let mut inner = self.enter();
        if !inner.io.can_half_close() {
            return;
        }
        if I::ONE_WAY {
            inner.state.close();
        } else {
            inner.state.write_eof();
        }
        drop(inner);
        self.settle_soon();
    }

    fn can_write_eof(&self) -> bool {
        self.inner.borrow().io.can_half_close()
    }

    fn write_buffer_len(&self) -> usize {
        self.look().unsent()
    }

    fn write_buffer_limits(&self) -> Limits {
        self.inner.borrow().options.limits
    }

    fn set_write_buffer_limits(&self, limits: Limits) {
        let mut inner = self.enter();
        let inner = &mut *inner;
        if inner.options.limits != limits {
            let changed = StreamOptions { limits, ..(*inner.options).clone() };
            inner.options = changed.shared(self.host().resources());
        }
        if I::LAYERED {
            inner.io.limits_changed(&limits);
        }
        inner.state.limits_changed(inner.below(), &limits);
        self.tag.put(Tag::ROOMY, limits.high_mark() >= TRAY);
        self.settle_soon();
    }
}

impl<I: StreamIo> Transport for StreamDriver<I> {
    fn protocol(&self) -> Option<StreamProtocol> {
        self.protocol()
    }

    fn replace_protocol(
        &self,
        protocol: StreamProtocol,
        leftover: &[u8],
    ) -> Option<StreamProtocol> {
        let mut inner = self.enter();
        if inner.state.phase() == Phase::Lost || inner.state.is_lingering() {
            return None;
        }
        if inner.protocol.as_ref() != Some(&protocol) {
            inner.state.protocol_changed();
        }
        inner.put_leftover(Bytes::copy_from_slice(leftover));
        self.settle_soon();
        let to = protocol.type_name();
        let former = self.place(&mut inner, protocol);
        let switched = former.as_ref().filter(|former| inner.protocol.as_ref() != Some(*former));
        let from = switched.map(StreamProtocol::type_name);
        drop(inner);
        if let Some(from) = from {
            self.host().observe(self, &Moment::Switched { from, to });
        }
        former
    }

    fn interpose(&self, protocol: StreamProtocol) -> Option<StreamProtocol> {
        let mut inner = self.enter();
        if inner.state.phase() == Phase::Lost {
            return None;
        }
        self.place(&mut inner, protocol)
    }

    fn hear_out(&self, protocol: StreamProtocol) -> Option<StreamProtocol> {
        self.enter().state.linger();
        self.interpose(protocol)
    }
}

impl<I: StreamIo> fmt::Debug for StreamDriver<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamDriver")
            .field("id", &self.tag.id())
            .field("state", &self.inner.borrow().state)
            .finish_non_exhaustive()
    }
}
