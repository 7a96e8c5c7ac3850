//! [`LineCodec`] and [`TextLineCodec`]: frames that are lines.

use bytes::{BufMut, Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use crate::error::{FrameError, LimitError, Oversize};
use crate::scan::{DEFAULT_LIMIT, Scanner};

/// Lines, as bytes and without their ending, which is `\n` or `\r\n`.
///
/// It differs from tokio-util's `LinesCodec` in three things: it has a limit unless told otherwise, a line costs no
/// `String` and no look at its encoding, and an item that would come out as two lines is refused.
/// [`TextLineCodec`] gives `String`s.
///
/// Lines share the memory of what was read with them: copy one that is kept for long.
/// What stands after the last line ending when the stream ends is a line too.
#[doc(alias = "LineReceiver")]
#[doc(alias = "LineOnlyReceiver")]
#[derive(Debug, Clone)]
pub struct LineCodec {
    scanner: Scanner,
    ending: LineEnding,
}

/// How a line that is sent ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LineEnding {
    /// `\n`.
    #[default]
    Lf,
    /// `\r\n`, as the protocols of the Internet want it.
    CrLf,
}

impl LineEnding {
    fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::Lf => b"\n",
            Self::CrLf => b"\r\n",
        }
    }
}

impl LineCodec {
    /// Lines of at most 64 KiB, sent with `\n`; a longer one is an error.
    #[must_use]
    pub fn new() -> Self {
        Self::with(LineCodecBuilder::new())
    }

    /// The settings, to be changed.
    pub fn builder() -> LineCodecBuilder {
        LineCodecBuilder::new()
    }

    fn with(settings: LineCodecBuilder) -> Self {
        let mark = Bytes::from_static(b"\n");
        Self {
            scanner: Scanner::new(mark, true, settings.limit, settings.oversize),
            ending: settings.ending,
        }
    }

    /// How many lines were passed over because they were too long.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.scanner.skipped()
    }

    /// The limit.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.scanner.limit()
    }
}

impl Default for LineCodec {
    fn default() -> Self {
        Self::new()
    }
}

/// The settings of a [`LineCodec`] or a [`TextLineCodec`].
#[derive(Debug, Clone)]
#[must_use = "a codec is made by `build` or `build_text`"]
pub struct LineCodecBuilder {
    limit: usize,
    oversize: Oversize,
    ending: LineEnding,
}

impl LineCodecBuilder {
    fn new() -> Self {
        Self { limit: DEFAULT_LIMIT, oversize: Oversize::default(), ending: LineEnding::default() }
    }

    /// How many bytes a line may have, without its ending.
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// What becomes of a longer one.
    pub fn oversize(mut self, policy: Oversize) -> Self {
        self.oversize = policy;
        self
    }

    /// How a line that is sent ends. What is received may end either way.
    pub fn ending(mut self, ending: LineEnding) -> Self {
        self.ending = ending;
        self
    }

    /// The codec of bytes.
    ///
    /// # Errors
    /// When the limit is zero.
    pub fn build(self) -> Result<LineCodec, LimitError> {
        if self.limit == 0 {
            return Err(LimitError::Zero);
        }
        Ok(LineCodec::with(self))
    }

    /// The codec of text.
    ///
    /// # Errors
    /// When the limit is zero.
    pub fn build_text(self) -> Result<TextLineCodec, LimitError> {
        self.build().map(TextLineCodec)
    }
}

impl Decoder for LineCodec {
    type Item = Bytes;
    type Error = FrameError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
        self.scanner.next(buffer)
    }

    fn decode_eof(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
        match self.scanner.next(buffer)? {
            Some(line) => Ok(Some(line)),
            None => self.scanner.rest(buffer),
        }
    }
}

/// Refuses an item with a line ending inside, because the peer would see two lines, and one beyond the limit.
impl<T: AsRef<[u8]>> Encoder<T> for LineCodec {
    type Error = FrameError;

    fn encode(&mut self, item: T, buffer: &mut BytesMut) -> Result<(), FrameError> {
        let line = item.as_ref();
        self.scanner.check(line)?;
        let ending = self.ending.as_bytes();
        buffer.reserve(line.len() + ending.len());
        buffer.put_slice(line);
        buffer.put_slice(ending);
        Ok(())
    }
}

/// Lines of text. A line that is not UTF-8 is [`FrameError::NotUtf8`], and the next one may be.
#[derive(Debug, Clone, Default)]
pub struct TextLineCodec(LineCodec);

impl TextLineCodec {
    /// Lines of at most 64 KiB, sent with `\n`; a longer one is an error.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many lines were passed over because they were too long.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.0.skipped()
    }
}

fn text(line: Bytes) -> Result<String, FrameError> {
    match std::str::from_utf8(&line) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(FrameError::NotUtf8),
    }
}

impl Decoder for TextLineCodec {
    type Item = String;
    type Error = FrameError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<String>, FrameError> {
        self.0.decode(buffer)?.map(text).transpose()
    }

    fn decode_eof(&mut self, buffer: &mut BytesMut) -> Result<Option<String>, FrameError> {
        self.0.decode_eof(buffer)?.map(text).transpose()
    }
}

/// Refuses what [`LineCodec`] refuses.
impl<T: AsRef<str>> Encoder<T> for TextLineCodec {
    type Error = FrameError;

    fn encode(&mut self, item: T, buffer: &mut BytesMut) -> Result<(), FrameError> {
        self.0.encode(item.as_ref(), buffer)
    }
}
