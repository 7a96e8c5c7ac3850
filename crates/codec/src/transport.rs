//! [`FramedTransport`]: a handle that writes frames.

use std::cell::RefCell;
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

use bytes::BytesMut;
use tokio_util::codec::{Decoder, Encoder};
use wharf_core::{Flow, IntoProtocol, StreamProtocol, TransportRef};

/// From this size on an encoded frame is handed over as it is, and its memory with it; a smaller one is copied by the
/// transport, and its memory is used again. It is the size from which transports write without gathering.
const HAND_OVER: usize = 16 * 1024;

/// How much memory for encoding a connection keeps between two frames.
const KEEP: usize = 1024;

/// What a [`Framed`](crate::Framed) protocol and its handles share.
pub(crate) struct Parts<C> {
    /// `None` once it was taken back.
    pub(crate) codec: RefCell<Option<C>>,
    /// What has come and is no frame yet.
    pub(crate) buffer: RefCell<BytesMut>,
    /// Where frames are encoded.
    scratch: RefCell<BytesMut>,
}

impl<C> Parts<C> {
    pub(crate) fn new(codec: C) -> Rc<Self> {
        Rc::new(Self {
            codec: RefCell::new(Some(codec)),
            buffer: RefCell::default(),
            scratch: RefCell::default(),
        })
    }

    /// Lends the codec; `None` once it was taken back.
    ///
    /// # Panics
    /// When it is at work already.
    pub(crate) fn with_codec<R>(&self, call: impl FnOnce(&mut C) -> R) -> Option<R> {
        let mut codec = self
            .codec
            .try_borrow_mut()
            .expect("a codec was asked for while it works: it must not use its own transport");
        codec.as_mut().map(call)
    }
}

impl<C: Decoder> Parts<C> {
    /// The next frame, and whether bytes were used for it.
    pub(crate) fn decode(&self, end: bool) -> (Result<Option<C::Item>, C::Error>, bool) {
        let mut buffer = self.buffer.borrow_mut();
        let before = buffer.len();
        let outcome = self.with_codec(|codec| match end {
            false => codec.decode(&mut buffer),
            true => codec.decode_eof(&mut buffer),
        });
        (outcome.unwrap_or(Ok(None)), buffer.len() != before)
    }
}

/// A handle on a byte stream that is read and written in frames: a [`TransportRef`], to which it derefs, with the codec
/// beside it. Cheap to clone, equal by identity, and bound to its thread.
///
/// What is written by `write` goes out between two frames, as it is.
pub struct FramedTransport<C> {
    transport: TransportRef,
    parts: Rc<Parts<C>>,
}

impl<C> FramedTransport<C> {
    pub(crate) fn new(transport: &TransportRef, parts: &Rc<Parts<C>>) -> Self {
        Self { transport: transport.clone(), parts: Rc::clone(parts) }
    }

    /// Encodes `item` and writes it. The answer is that of `write`: whether to go on.
    ///
    /// Nothing of an item that cannot be encoded is written.
    /// On a transport that is closing nothing is encoded, and the answer is [`Flow::Closed`].
    ///
    /// # Errors
    /// The codec's.
    #[doc(alias = "sendLine")]
    #[doc(alias = "sendString")]
    pub fn write_frame<I>(&self, item: I) -> Result<Flow, <C as Encoder<I>>::Error>
    where
        C: Encoder<I>,
    {
        if self.transport.is_closing() {
            return Ok(Flow::Closed);
        }
        // Taken out, so that nothing but the codec is held while the codec runs.
        let mut scratch = self.parts.scratch.take();
        let encoded = self.parts.with_codec(|codec| codec.encode(item, &mut scratch));
        let outcome = match encoded {
            Some(Ok(())) if scratch.len() >= HAND_OVER => {
                Ok(self.transport.write_bytes(scratch.split().freeze()))
            }
            Some(Ok(())) => Ok(self.transport.write(&scratch)),
            Some(Err(error)) => Err(error),
            None => Ok(Flow::Closed),
        };
        scratch.clear();
        if scratch.capacity() <= KEEP {
            self.parts.scratch.replace(scratch);
        }
        outcome
    }

    /// Lends the codec, to read or change its settings; `None` once it was taken out by
    /// [`into_parts`](crate::Framed::into_parts).
    ///
    /// What is changed counts from the next frame on.
    ///
    /// # Panics
    /// When `look` asks for the codec again, or writes a frame.
    pub fn codec<R>(&self, look: impl FnOnce(&mut C) -> R) -> Option<R> {
        self.parts.with_codec(look)
    }

    /// How many bytes have come and are no frame yet.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.parts.buffer.borrow().len()
    }

    /// Switches the protocol in mid-stream and loses no byte: `protocol` gets `leftover`, what a frame was not used up
    /// of, then what has come behind that frame, then what comes next.
    ///
    /// It may be framed by another codec, or not framed. Otherwise this is
    /// [`TransportRef::set_protocol`].
    pub fn set_protocol<P: IntoProtocol>(
        &self,
        protocol: P,
        leftover: &[u8],
    ) -> (P::Shared, Option<StreamProtocol>) {
        let buffered = self.parts.buffer.take();
        if leftover.is_empty() {
            return self.transport.set_protocol(protocol, &buffered);
        }
        self.transport.set_protocol(protocol, &[leftover, &buffered].concat())
    }

    /// The handle on the byte stream.
    #[must_use]
    pub fn transport(&self) -> &TransportRef {
        &self.transport
    }
}

impl<C> Clone for FramedTransport<C> {
    fn clone(&self) -> Self {
        Self::new(&self.transport, &self.parts)
    }
}

impl<C> Deref for FramedTransport<C> {
    type Target = TransportRef;

    fn deref(&self) -> &TransportRef {
        &self.transport
    }
}

impl<C> PartialEq for FramedTransport<C> {
    fn eq(&self, other: &Self) -> bool {
        self.transport == other.transport
    }
}

impl<C> Eq for FramedTransport<C> {}

impl<C> fmt::Debug for FramedTransport<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FramedTransport").field(&self.transport).finish()
    }
}
