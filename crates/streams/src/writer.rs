//! [`StreamWriter`]: writing, and waiting for room and for the end.

use std::fmt;
use std::future::poll_fn;
use std::io::IoSlice;
use std::rc::Rc;

use bytes::Bytes;
use wharf_core::{Flow, Lost, TransportRef};

use crate::error::StreamError;
use crate::shared::Shared;

/// How much of a long write is handed over at once: the mark above which a transport asks for patience.
const CHUNK: usize = 64 * 1024;

/// The writing half of a [`Stream`](crate::Stream). Dropping it closes the connection, after what was written has gone
/// out.
pub struct StreamWriter {
    shared: Rc<Shared>,
    transport: TransportRef,
}

impl StreamWriter {
    pub(crate) fn new(shared: Rc<Shared>, transport: TransportRef) -> Self {
        Self { shared, transport }
    }

    /// Writes without waiting. The answer says whether to go on; after [`Flow::Full`] wait for
    /// [`drain`](Self::drain).
    pub fn write(&self, data: &[u8]) -> Flow {
        self.note(self.transport.write(data))
    }

    /// The same without a copy.
    pub fn write_bytes(&self, data: Bytes) -> Flow {
        self.note(self.transport.write_bytes(data))
    }

    /// Writes several chunks as one.
    pub fn writelines(&self, chunks: &[IoSlice<'_>]) -> Flow {
        self.note(self.transport.writelines(chunks))
    }

    /// Waits until there is room: until the write buffer has drained to its low mark, if it was above its high one.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// [`StreamError::Lost`] when the connection is over.
    pub async fn drain(&self) -> Result<(), StreamError> {
        poll_fn(|cx| self.shared.poll_drained(cx)).await
    }

    /// Writes all of `data`, a piece at a time, and waits for room after each.
    ///
    /// Not cancel-safe: when the future is dropped, a part may have been written.
    ///
    /// # Errors
    /// [`StreamError::Lost`] when the connection is over, [`StreamError::Closed`] when we have closed it.
    pub async fn write_all(&self, data: &[u8]) -> Result<(), StreamError> {
        for chunk in data.chunks(CHUNK) {
            if self.write(chunk) == Flow::Closed {
                return Err(self.shared.refusal());
            }
            self.drain().await?;
        }
        Ok(())
    }

    /// Ends our direction after what was written has gone out; reading goes on. Without effect where
    /// [`can_write_eof`](Self::can_write_eof) is false.
    pub fn write_eof(&self) {
        self.transport.write_eof();
    }

    /// Whether our direction can end by itself.
    #[must_use]
    pub fn can_write_eof(&self) -> bool {
        self.transport.can_write_eof()
    }

    /// Ends the connection after what was written has gone out.
    pub fn close(&self) {
        self.transport.close();
    }

    /// Ends the connection at once; what was not sent is dropped.
    pub fn abort(&self) {
        self.transport.abort();
    }

    /// Whether the connection is ending or has ended.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.transport.is_closing()
    }

    /// Waits until the connection is over, and says why. Does not close it: after the peer's end our direction is still
    /// open, so whoever has read to the end calls [`close`](Self::close) first, or may wait for ever.
    ///
    /// Cancel-safe.
    #[doc(alias = "wait_closed")]
    pub async fn closed(&self) -> Lost {
        poll_fn(|cx| self.shared.poll_closed(cx)).await
    }

    /// A handle on the transport, for addresses and other facts, and to write from callbacks.
    #[doc(alias = "get_extra_info")]
    #[must_use]
    pub fn transport(&self) -> &TransportRef {
        &self.transport
    }

    fn note(&self, flow: Flow) -> Flow {
        if flow == Flow::Full {
            self.shared.set_full(true);
        }
        flow
    }

    pub(crate) fn shared(&self) -> &Rc<Shared> {
        &self.shared
    }
}

#[cfg(any(feature = "futures-io", feature = "tokio-io"))]
mod polled {
    use std::io;
    use std::task::{Context, Poll, ready};

    use super::{CHUNK, Flow, StreamWriter};

    impl StreamWriter {
        /// Writes some when there is room.
        pub(crate) fn poll_write(
            &self,
            cx: &mut Context<'_>,
            data: &[u8],
        ) -> Poll<io::Result<usize>> {
            ready!(self.shared.poll_drained(cx))?;
            let count = data.len().min(CHUNK);
            match self.write(&data[..count]) {
                Flow::Closed => Poll::Ready(Err(self.shared.refusal().into())),
                Flow::Open | Flow::Full => Poll::Ready(Ok(count)),
            }
        }

        /// Waits for room. What was written is on its way: the loop sends it before the turn ends, or when it can.
        pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            if self.shared.has_ended_cleanly() {
                return Poll::Ready(Ok(()));
            }
            self.shared.poll_drained(cx).map_err(Into::into)
        }

        /// Ends our direction, or the connection where that cannot be done by itself.
        pub(crate) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            if self.can_write_eof() {
                self.write_eof();
            } else {
                self.close();
            }
            self.poll_flush(cx)
        }
    }
}

impl Drop for StreamWriter {
    fn drop(&mut self) {
        if !self.shared.is_detached() {
            self.transport.close();
        }
    }
}

impl fmt::Debug for StreamWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamWriter").field("transport", &self.transport).finish_non_exhaustive()
    }
}
