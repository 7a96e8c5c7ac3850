//! [`Framed`]: a codec and a protocol of frames, as a protocol of bytes.

use std::error::Error;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use tokio_util::codec::Decoder;
use wharf_core::{KeepOpen, Lost, Protocol, StreamProtocol, TransportRef};

use crate::error::FrameError;
use crate::transport::{FramedTransport, Parts};

/// How much may be waiting for the end of its frame unless said otherwise: the net under a codec without a limit of its
/// own, as high as the ceiling of a write buffer.
const MAX_BUFFERED: usize = 16 * 1024 * 1024;

/// A rest this short is copied when it would keep a read of this size alive.
const SHORT_REST: usize = 1024;
const LONG_READ: usize = 8 * 1024;

/// How long a peer whose frame was refused is heard out, so that it hears the answer.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What becomes of a connection on which something came that is no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AfterError {
    /// It ends at once, and what is queued is dropped: `connection_lost` gets the error as [`Lost::Failed`].
    #[default]
    Fail,
    /// It is closed after what is queued has gone out, an answer for example. A peer that goes on sending hears it: what it
    /// sends is thrown away until it ends, for five seconds at most, as by
    /// [`close_lingering`](TransportRef::close_lingering).
    Close,
    /// Decoding goes on with what follows, where the codec can tell that.
    GoOn,
}

/// A protocol of frames. Put on a transport as [`Framed::new`]`(codec, protocol)`.
///
/// The grammar of its calls is that of a [`Protocol`], with `frame_received` and `decode_error` in the place of
/// `data_received`. Every callback may call every method of its transport, and of any other.
pub trait FramedProtocol<C: Decoder>: 'static {
    /// The connection is there. Called once, before anything else.
    fn connection_made(&mut self, transport: &FramedTransport<C>) {
        let _ = transport;
    }

    /// A frame has come. After `pause_reading` or `close` within it, no further one is given, also of those that have
    /// come already; after `resume_reading` they are.
    #[doc(alias = "lineReceived")]
    #[doc(alias = "stringReceived")]
    fn frame_received(&mut self, transport: &FramedTransport<C>, frame: C::Item);

    /// What has come is no frame. The answer says what becomes of the connection; it ends unless said otherwise.
    ///
    /// A codec that reports an error where no bytes are, or two and uses none, has given up: the connection fails,
    /// whatever the answer was.
    fn decode_error(&mut self, transport: &FramedTransport<C>, error: &C::Error) -> AfterError {
        let _ = (transport, error);
        AfterError::Fail
    }

    /// The peer will send no more, and every frame of it has been given; what the codec makes of the end comes before.
    ///
    /// See [`Protocol::eof_received`].
    fn eof_received(&mut self, transport: &FramedTransport<C>) -> KeepOpen {
        let _ = transport;
        KeepOpen::No
    }

    /// The write buffer is over its high mark. See [`Protocol::pause_writing`].
    fn pause_writing(&mut self, transport: &FramedTransport<C>) {
        let _ = transport;
    }

    /// The write buffer has drained to its low mark. See [`Protocol::resume_writing`].
    fn resume_writing(&mut self, transport: &FramedTransport<C>) {
        let _ = transport;
    }

    /// The connection is over. Called once, after everything else.
    fn connection_lost(&mut self, transport: &FramedTransport<C>, why: &Lost) {
        let _ = (transport, why);
    }
}

/// A codec and a protocol of frames, together a [`Protocol`].
///
/// Nothing is kept between two frames: a connection that is idle owns no buffer.
pub struct Framed<C, P> {
    protocol: P,
    parts: Rc<Parts<C>>,
    transport: Option<FramedTransport<C>>,
    max_buffered: usize,
}

/// What a [`Framed`] consists of.
#[derive(Debug)]
#[non_exhaustive]
pub struct FramedParts<C, P> {
    /// The codec.
    pub codec: C,
    /// The protocol.
    pub protocol: P,
    /// What has come and is no frame yet.
    pub leftover: BytesMut,
}

impl<C, P> Framed<C, P> {
    /// Frames of `codec` for `protocol`.
    pub fn new(codec: C, protocol: P) -> Self {
        Self { protocol, parts: Parts::new(codec), transport: None, max_buffered: MAX_BUFFERED }
    }

    /// Ends a connection on which more than `bytes` wait for the end of their frame; 16 MiB unless said otherwise.
    ///
    /// The codecs of this crate have limits of their own and keep far below.
    #[must_use]
    pub fn max_buffered(mut self, bytes: usize) -> Self {
        self.max_buffered = bytes;
        self
    }

    /// The protocol.
    pub fn protocol(&self) -> &P {
        &self.protocol
    }

    /// The protocol.
    pub fn protocol_mut(&mut self) -> &mut P {
        &mut self.protocol
    }

    /// The handle that writes frames, for use from outside the callbacks; `None` before the first callback and after
    /// the last.
    #[must_use]
    pub fn transport(&self) -> Option<FramedTransport<C>> {
        self.transport.clone()
    }

    /// Takes it apart, after a switch to another protocol or after the end. Handles write no more frames then.
    ///
    /// # Panics
    /// When called from within the codec.
    pub fn into_parts(self) -> FramedParts<C, P> {
        let codec = self.parts.codec.take().expect("only `into_parts` takes the codec");
        FramedParts { codec, protocol: self.protocol, leftover: self.parts.buffer.take() }
    }
}

impl<C, P> Framed<C, P>
where
    C: Decoder + 'static,
    C::Error: Into<Box<dyn Error>>,
    P: FramedProtocol<C>,
{
    /// The protocol, and what its callbacks are given.
    fn called(&mut self, transport: &TransportRef) -> (&mut P, &FramedTransport<C>) {
        let parts = &self.parts;
        let framed = self.transport.get_or_insert_with(|| FramedTransport::new(transport, parts));
        (&mut self.protocol, framed)
    }

    /// Gives the frames that have come; at the `end` also what the codec makes of the rest.
    fn deliver(&mut self, transport: &TransportRef, end: bool) {
        let listener = transport.protocol();
        let parts = Rc::clone(&self.parts);
        let (protocol, framed) = self.called(transport);
        let mut stuck = false;
        loop {
            let (outcome, moved) = parts.decode(end);
            match outcome {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    stuck = false;
                    protocol.frame_received(framed, frame);
                }
                Err(error) => {
                    // A codec may report an error before it uses the bytes, but not twice; and with no byte there is
                    // nothing that an error could be about: the codec has given up.
                    let given_up = !moved && (stuck || framed.buffered() == 0);
                    let after = match given_up {
                        true => AfterError::Fail,
                        false => protocol.decode_error(framed, &error),
                    };
                    match after {
                        AfterError::Fail => transport.fail(error.into()),
                        AfterError::Close => transport.close_lingering(LAST_WORDS),
                        AfterError::GoOn if end && !moved => break,
                        AfterError::GoOn => {}
                    }
                    stuck = !moved;
                }
            }
            if interrupted(transport, &parts, listener.as_ref(), end) {
                return;
            }
        }
        let buffered = parts.buffer.borrow().len();
        if buffered > self.max_buffered {
            transport.fail(Box::new(FrameError::TooLong { limit: self.max_buffered }));
        }
    }
}

/// Whether the callback that has returned put an end to the delivery; what has come is then where it belongs.
fn interrupted<C>(
    transport: &TransportRef,
    parts: &Parts<C>,
    listener: Option<&StreamProtocol>,
    end: bool,
) -> bool {
    if transport.is_closing() {
        parts.buffer.take();
        return true;
    }
    let now = transport.protocol();
    if now.as_ref() != listener {
        // Switched by a handle that knows nothing of frames: the rest is the new protocol's.
        let rest = parts.buffer.take();
        if let Some(now) = now.filter(|_| !rest.is_empty()) {
            transport.replace_protocol(now, &rest);
        }
        return true;
    }
    if end || transport.is_reading() {
        return false;
    }
    // Paused. The last byte waits in the transport, which delivers it when reading is resumed, by whatever handle; that
    // is when the frames before it are asked for.
    let last = {
        let mut buffer = parts.buffer.borrow_mut();
        let Some(last) = buffer.last().copied() else { return true };
        let rest = buffer.len() - 1;
        buffer.truncate(rest);
        last
    };
    if let Some(now) = now {
        transport.replace_protocol(now, &[last]);
    }
    true
}

/// Keeps no more memory for what is left of a read than it needs.
fn tidy_up(buffer: &mut BytesMut, read: usize) {
    if buffer.is_empty() {
        *buffer = BytesMut::new();
    } else if read >= LONG_READ && buffer.len() <= SHORT_REST {
        *buffer = BytesMut::from(&buffer[..]);
    }
}

impl<C, P> Protocol for Framed<C, P>
where
    C: Decoder + 'static,
    C::Error: Into<Box<dyn Error>>,
    P: FramedProtocol<C>,
{
    fn connection_made(&mut self, transport: &TransportRef) {
        let (protocol, framed) = self.called(transport);
        protocol.connection_made(framed);
    }

    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        self.parts.buffer.borrow_mut().extend_from_slice(data);
        self.deliver(transport, false);
        tidy_up(&mut self.parts.buffer.borrow_mut(), data.len());
    }

    fn eof_received(&mut self, transport: &TransportRef) -> KeepOpen {
        self.deliver(transport, true);
        tidy_up(&mut self.parts.buffer.borrow_mut(), 0);
        if transport.is_closing() {
            return KeepOpen::No;
        }
        let (protocol, framed) = self.called(transport);
        protocol.eof_received(framed)
    }

    fn pause_writing(&mut self, transport: &TransportRef) {
        let (protocol, framed) = self.called(transport);
        protocol.pause_writing(framed);
    }

    fn resume_writing(&mut self, transport: &TransportRef) {
        let (protocol, framed) = self.called(transport);
        protocol.resume_writing(framed);
    }

    fn connection_lost(&mut self, transport: &TransportRef, why: &Lost) {
        self.parts.buffer.take();
        let (protocol, framed) = self.called(transport);
        protocol.connection_lost(framed, why);
        self.transport = None;
    }
}

impl<C, P: fmt::Debug> fmt::Debug for Framed<C, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Framed")
            .field("protocol", &self.protocol)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}
