//! What the protocol on the connection and the two halves of a stream share.
//!
//! Nothing in here calls user code while it is borrowed: wakers are taken out first.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use wharf_core::{Lost, TransportRef};

use crate::error::{StreamError, same};

/// asyncio's: how many unread bytes resume reading, and how long a line may be. Twice as many pause it.
pub(crate) const DEFAULT_LIMIT: usize = 64 * 1024;

pub(crate) struct Shared(RefCell<State>);

struct State {
    /// Known from `connection_made` on.
    transport: Option<TransportRef>,
    /// What has come and the reader has not taken over.
    arrived: BytesMut,
    /// How much the user has not read: `arrived`, and what the reader holds.
    unread: usize,
    limit: usize,
    /// Whether reading is paused for want of room.
    paused: bool,
    /// The peer has ended.
    ended: bool,
    lost: Option<Lost>,
    /// A write was answered that the buffer is full, or the protocol was told so.
    full: bool,
    /// Nobody reads; what comes is thrown away.
    reader_gone: bool,
    /// Another protocol has taken the connection over.
    detached: bool,
    reading: Wakers,
    draining: Wakers,
    closing: Wakers,
}

/// Those who wait for one thing.
#[derive(Default)]
struct Wakers(Vec<Waker>);

impl Wakers {
    fn add(&mut self, cx: &Context<'_>) {
        if !self.0.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.0.push(cx.waker().clone());
        }
    }
}

impl Shared {
    pub(crate) fn new(limit: usize) -> Rc<Self> {
        Rc::new(Self(RefCell::new(State {
            transport: None,
            arrived: BytesMut::new(),
            unread: 0,
            limit,
            paused: false,
            ended: false,
            lost: None,
            full: false,
            reader_gone: false,
            detached: false,
            reading: Wakers::default(),
            draining: Wakers::default(),
            closing: Wakers::default(),
        })))
    }

    pub(crate) fn limit(&self) -> usize {
        self.0.borrow().limit
    }

    pub(crate) fn transport(&self) -> Option<TransportRef> {
        self.0.borrow().transport.clone()
    }

    // ---- what the protocol is told ----

    pub(crate) fn made(&self, transport: &TransportRef) {
        self.0.borrow_mut().transport = Some(transport.clone());
    }

    pub(crate) fn received(&self, transport: &TransportRef, data: &[u8]) {
        let woken = {
            let mut state = self.0.borrow_mut();
            if state.reader_gone {
                return;
            }
            state.arrived.extend_from_slice(data);
            state.unread += data.len();
            if !state.paused && state.unread > state.limit.saturating_mul(2) {
                state.paused = true;
                transport.pause_reading();
            }
            std::mem::take(&mut state.reading)
        };
        wake(woken);
    }

    pub(crate) fn ended(&self) {
        let woken = {
            let mut state = self.0.borrow_mut();
            state.ended = true;
            std::mem::take(&mut state.reading)
        };
        wake(woken);
    }

    pub(crate) fn set_full(&self, full: bool) {
        let woken = {
            let mut state = self.0.borrow_mut();
            state.full = full;
            if full { Wakers::default() } else { std::mem::take(&mut state.draining) }
        };
        wake(woken);
    }

    pub(crate) fn lost(&self, why: &Lost) {
        let woken = {
            let mut state = self.0.borrow_mut();
            state.lost = Some(same(why));
            [
                std::mem::take(&mut state.reading),
                std::mem::take(&mut state.draining),
                std::mem::take(&mut state.closing),
            ]
        };
        woken.into_iter().for_each(wake);
    }

    // ---- what the reader asks ----

    /// Moves what has arrived behind what the reader holds; says whether there was anything.
    pub(crate) fn hand_over(&self, held: &mut BytesMut) -> bool {
        let arrived = std::mem::take(&mut self.0.borrow_mut().arrived);
        if arrived.is_empty() {
            return false;
        }
        if held.is_empty() {
            *held = arrived;
        } else {
            held.extend_from_slice(&arrived);
        }
        true
    }

    /// Waits for something to hand over; `false` at the end of the stream.
    pub(crate) fn poll_arrived(&self, cx: &mut Context<'_>) -> Poll<Result<bool, StreamError>> {
        let mut state = self.0.borrow_mut();
        if !state.arrived.is_empty() {
            return Poll::Ready(Ok(true));
        }
        if state.ended || state.detached {
            return Poll::Ready(Ok(false));
        }
        if let Some(lost) = &state.lost {
            return Poll::Ready(match lost.is_clean() {
                true => Ok(false),
                false => Err(StreamError::Lost(same(lost))),
            });
        }
        // Somebody wants more than the marks let through.
        state.resume();
        state.reading.add(cx);
        Poll::Pending
    }

    /// `count` bytes were read.
    pub(crate) fn consumed(&self, count: usize) {
        let mut state = self.0.borrow_mut();
        state.unread -= count;
        if state.unread <= state.limit {
            state.resume();
        }
    }

    /// Whether nothing more will come.
    pub(crate) fn has_ended(&self) -> bool {
        let state = self.0.borrow();
        (state.ended || state.lost.is_some()) && state.arrived.is_empty()
    }

    pub(crate) fn unread(&self) -> usize {
        self.0.borrow().unread
    }

    /// Nobody reads any more. What comes is thrown away, so that the end is still seen.
    pub(crate) fn drop_reader(&self) {
        let mut state = self.0.borrow_mut();
        state.reader_gone = true;
        state.arrived = BytesMut::new();
        state.unread = 0;
        state.resume();
    }

    // ---- what the writer asks ----

    /// Waits until there is room.
    pub(crate) fn poll_drained(&self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        let mut state = self.0.borrow_mut();
        if let Some(lost) = &state.lost {
            return Poll::Ready(Err(StreamError::Lost(same(lost))));
        }
        if !state.full || state.detached {
            return Poll::Ready(Ok(()));
        }
        state.draining.add(cx);
        Poll::Pending
    }

    /// Waits until the connection is over.
    pub(crate) fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<Lost> {
        let mut state = self.0.borrow_mut();
        if let Some(lost) = &state.lost {
            return Poll::Ready(same(lost));
        }
        state.closing.add(cx);
        Poll::Pending
    }

    /// Why a write was not taken.
    pub(crate) fn refusal(&self) -> StreamError {
        let state = self.0.borrow();
        state.lost.as_ref().map_or(StreamError::Closed, |lost| StreamError::Lost(same(lost)))
    }

    /// Whether the connection is over, and everything that was written has gone out.
    #[cfg(any(feature = "futures-io", feature = "tokio-io"))]
    pub(crate) fn has_ended_cleanly(&self) -> bool {
        self.0.borrow().lost.as_ref().is_some_and(Lost::is_clean)
    }

    // ---- another protocol takes over ----

    /// Gives what the reader has not taken over, and lets go of the connection.
    pub(crate) fn detach(&self) -> BytesMut {
        let mut state = self.0.borrow_mut();
        state.detached = true;
        std::mem::take(&mut state.arrived)
    }

    pub(crate) fn is_detached(&self) -> bool {
        self.0.borrow().detached
    }
}

impl State {
    fn resume(&mut self) {
        if std::mem::take(&mut self.paused) {
            if let Some(transport) = &self.transport {
                transport.resume_reading();
            }
        }
    }
}

fn wake(wakers: Wakers) {
    wakers.0.into_iter().for_each(Waker::wake);
}
