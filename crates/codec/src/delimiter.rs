//! [`DelimiterCodec`]: frames that end with a fixed sequence of bytes.

use bytes::{BufMut, Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use crate::error::{FrameError, LimitError, Oversize};
use crate::scan::{DEFAULT_LIMIT, Scanner};

/// Frames that end with a fixed sequence of bytes, such as `b"\0"` or `b"\r\n\r\n"`; the frames come without it.
///
/// tokio-util has a codec for a set of single bytes only, and without a limit unless one is asked for.
///
/// Frames share the memory of what was read with them: copy one that is kept for long.
/// When the stream ends within a frame, that is [`FrameError::Truncated`].
///
/// ```
/// use wharf_codec::{DelimiterCodec, LimitError};
///
/// let codec = DelimiterCodec::builder("\r\n\r\n").limit(8 * 1024).build()?;
/// # let _ = codec;
/// # Ok::<(), LimitError>(())
/// ```
#[derive(Debug, Clone)]
pub struct DelimiterCodec(Scanner);

impl DelimiterCodec {
    /// Frames that end with `delimiter`; at most 64 KiB, and a longer one is an error.
    pub fn builder(delimiter: impl AsRef<[u8]>) -> DelimiterCodecBuilder {
        DelimiterCodecBuilder {
            delimiter: Bytes::copy_from_slice(delimiter.as_ref()),
            limit: DEFAULT_LIMIT,
            oversize: Oversize::default(),
        }
    }

    /// How many frames were passed over because they were too long.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.0.skipped()
    }
}

/// The settings of a [`DelimiterCodec`].
#[derive(Debug, Clone)]
#[must_use = "a codec is made by `build`"]
pub struct DelimiterCodecBuilder {
    delimiter: Bytes,
    limit: usize,
    oversize: Oversize,
}

impl DelimiterCodecBuilder {
    /// How many bytes a frame may have, without its delimiter.
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// What becomes of a longer one.
    pub fn oversize(mut self, policy: Oversize) -> Self {
        self.oversize = policy;
        self
    }

    /// The codec.
    ///
    /// # Errors
    /// When the delimiter is empty or the limit is zero.
    pub fn build(self) -> Result<DelimiterCodec, LimitError> {
        if self.delimiter.is_empty() {
            return Err(LimitError::EmptyDelimiter);
        }
        if self.limit == 0 {
            return Err(LimitError::Zero);
        }
        Ok(DelimiterCodec(Scanner::new(self.delimiter, false, self.limit, self.oversize)))
    }
}

impl Decoder for DelimiterCodec {
    type Item = Bytes;
    type Error = FrameError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
        self.0.next(buffer)
    }

    fn decode_eof(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
        if let Some(frame) = self.0.next(buffer)? {
            return Ok(Some(frame));
        }
        let got = buffer.len();
        match self.0.rest(buffer)? {
            Some(_) => Err(FrameError::Truncated { got }),
            None => Ok(None),
        }
    }
}

/// Refuses an item that contains the delimiter, because the peer would see two frames, and one beyond the limit.
impl<T: AsRef<[u8]>> Encoder<T> for DelimiterCodec {
    type Error = FrameError;

    fn encode(&mut self, item: T, buffer: &mut BytesMut) -> Result<(), FrameError> {
        let item = item.as_ref();
        self.0.check(item)?;
        buffer.reserve(item.len() + self.0.mark().len());
        buffer.put_slice(item);
        buffer.put_slice(self.0.mark());
        Ok(())
    }
}
