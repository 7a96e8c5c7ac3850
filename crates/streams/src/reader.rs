//! [`StreamReader`]: what has come, and waiting for more.

use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use wharf_core::{TransportRef, search};

use crate::error::StreamError;
use crate::shared::Shared;

/// The reading half of a [`Stream`](crate::Stream).
///
/// Whoever does not read lets bytes wait: when more than twice the limit are unread, the transport is paused, and the
/// peer is slowed down.
/// What came before an error is read before the error is.
///
/// Every method is cancel-safe: a future that is dropped has read nothing.
pub struct StreamReader {
    shared: Rc<Shared>,
    transport: TransportRef,
    /// What the reader has taken over and the user has not read.
    held: BytesMut,
}

impl StreamReader {
    pub(crate) fn new(shared: Rc<Shared>, transport: TransportRef) -> Self {
        Self { shared, transport, held: BytesMut::new() }
    }

    /// Reads what is there, at most `max` bytes; waits when nothing is. Empty at the end of the stream only.
    ///
    /// # Errors
    /// [`StreamError::Lost`] when the connection was lost otherwise than by an end of one of its sides.
    pub async fn read(&mut self, max: usize) -> Result<Bytes, StreamError> {
        if max == 0 {
            return Ok(Bytes::new());
        }
        while self.held.is_empty() {
            if !self.more().await? {
                return Ok(Bytes::new());
            }
        }
        Ok(self.split(max.min(self.held.len())))
    }

    /// Reads `count` bytes. They wait in memory until all have come, whatever the limit.
    ///
    /// # Errors
    /// [`StreamError::Incomplete`] with what came, when the stream ended before; [`StreamError::Lost`] as
    /// [`read`](Self::read).
    #[doc(alias = "readexactly")]
    pub async fn read_exact(&mut self, count: usize) -> Result<Bytes, StreamError> {
        while self.held.len() < count {
            if !self.more().await? {
                return Err(StreamError::Incomplete { partial: self.split(self.held.len()) });
            }
        }
        Ok(self.split(count))
    }

    /// Reads up to and with the next `mark`.
    ///
    /// # Errors
    /// [`StreamError::TooLong`] when there is none within the limit, with nothing read;
    /// [`StreamError::Incomplete`] with what came, when the stream ended before; [`StreamError::Lost`] as
    /// [`read`](Self::read).
    ///
    /// # Panics
    /// When the mark is empty.
    #[doc(alias = "readuntil")]
    pub async fn read_until(&mut self, mark: &[u8]) -> Result<Bytes, StreamError> {
        let limit = self.shared.limit();
        let mut from = 0;
        loop {
            match search::find(&self.held, mark, from) {
                Ok(at) if at > limit => return Err(StreamError::TooLong { limit }),
                Ok(at) => return Ok(self.split(at + mark.len())),
                Err(_) if self.held.len() >= limit.saturating_add(mark.len()) => {
                    return Err(StreamError::TooLong { limit });
                }
                Err(next) => from = next,
            }
            if !self.more().await? {
                return Err(StreamError::Incomplete { partial: self.split(self.held.len()) });
            }
        }
    }

    /// Reads a line, with its `\n`. At the end of the stream it may come without, and is empty when nothing is left.
    ///
    /// # Errors
    /// [`StreamError::TooLong`] and [`StreamError::Lost`], as [`read_until`](Self::read_until).
    #[doc(alias = "readline")]
    pub async fn read_line(&mut self) -> Result<Bytes, StreamError> {
        match self.read_until(b"\n").await {
            Err(StreamError::Incomplete { partial }) => Ok(partial),
            outcome => outcome,
        }
    }

    /// Reads to the end of the stream, at most `limit` bytes.
    ///
    /// # Errors
    /// [`StreamError::TooLong`] when more come, with nothing read; [`StreamError::Lost`] as [`read`](Self::read).
    pub async fn read_to_end(&mut self, limit: usize) -> Result<Bytes, StreamError> {
        loop {
            if self.held.len() > limit {
                return Err(StreamError::TooLong { limit });
            }
            if !self.more().await? {
                return Ok(self.split(self.held.len()));
            }
        }
    }

    /// Whether everything has been read and nothing more will come.
    #[must_use]
    pub fn at_eof(&self) -> bool {
        self.held.is_empty() && self.shared.has_ended()
    }

    /// How many bytes have come and were not read.
    #[must_use]
    pub fn unread(&self) -> usize {
        self.shared.unread()
    }

    /// A handle on the transport, for addresses and other facts.
    #[must_use]
    pub fn transport(&self) -> &TransportRef {
        &self.transport
    }

    /// Takes over what has come, or waits for it; `false` at the end of the stream.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, StreamError>> {
        if !ready!(self.shared.poll_arrived(cx))? {
            return Poll::Ready(Ok(false));
        }
        Poll::Ready(Ok(self.shared.hand_over(&mut self.held)))
    }

    async fn more(&mut self) -> Result<bool, StreamError> {
        poll_fn(|cx| self.poll_more(cx)).await
    }

    fn split(&mut self, count: usize) -> Bytes {
        // All of it needs no second owner.
        let bytes = match count == self.held.len() {
            true => std::mem::take(&mut self.held),
            false => self.held.split_to(count),
        };
        self.shared.consumed(count);
        bytes.freeze()
    }

    pub(crate) fn shared(&self) -> &Rc<Shared> {
        &self.shared
    }

    /// Everything that was not read, in one piece, for the next protocol.
    pub(crate) fn take_unread(&mut self) -> BytesMut {
        let arrived = self.shared.detach();
        let mut unread = std::mem::take(&mut self.held);
        unread.extend_from_slice(&arrived);
        unread
    }
}

#[cfg(any(feature = "futures-io", feature = "tokio-io"))]
mod polled {
    use std::io;
    use std::task::{Context, Poll, ready};

    use bytes::{Buf, BytesMut};

    use super::StreamReader;

    impl StreamReader {
        /// Lends what is there; waits when nothing is. Empty at the end of the stream only.
        pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
            while self.held.is_empty() {
                if !ready!(self.poll_more(cx))? {
                    break;
                }
            }
            Poll::Ready(Ok(&self.held))
        }

        /// `count` bytes of what was lent were used.
        pub(crate) fn consume(&mut self, count: usize) {
            self.held.advance(count);
            if self.held.is_empty() {
                self.held = BytesMut::new();
            }
            self.shared.consumed(count);
        }

        /// Gives what is there to `copy`, as much as there is room for; waits when nothing is.
        pub(crate) fn poll_copy(
            &mut self,
            cx: &mut Context<'_>,
            room: usize,
            copy: impl FnOnce(&[u8]),
        ) -> Poll<io::Result<usize>> {
            if room == 0 {
                return Poll::Ready(Ok(0));
            }
            let there = ready!(self.poll_fill(cx))?;
            let count = there.len().min(room);
            copy(&there[..count]);
            self.consume(count);
            Poll::Ready(Ok(count))
        }
    }
}

impl Drop for StreamReader {
    fn drop(&mut self) {
        if !self.shared.is_detached() {
            self.shared.drop_reader();
        }
    }
}

impl fmt::Debug for StreamReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamReader")
            .field("transport", &self.transport)
            .field("unread", &self.unread())
            .finish_non_exhaustive()
    }
}
