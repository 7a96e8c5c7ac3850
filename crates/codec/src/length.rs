//! [`LengthCodec`]: frames that are preceded by their length.
//!
//! ```text
//!            header              all of it has come
//!   Header ─────────▶ Body ──────────────────────────▶ a frame, and Header again
//!     │
//!     │ too long: Error, Skip           all of it has passed
//!     ├───────────────────────▶ Passing ───────────────────▶ Header
//!     │ too long: Close; shorter than its header
//!     └───────────────────────▶ Refusing
//! ```

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use crate::error::{FrameError, LimitError, Oversize};

/// More than most messages have, and little enough to be kept for each of a thousand connections.
const DEFAULT_LIMIT: usize = 1024 * 1024;

/// Frames that are preceded by their length; the frames come without it.
///
/// tokio-util's `LengthDelimitedCodec` makes room for a whole frame as soon as it is announced, up to 8 MiB for four
/// bytes of a peer. This one makes none: memory is taken as bytes come, and never more than the limit.
///
/// Frames share the memory of what was read with them: copy one that is kept for long.
/// When the stream ends within a frame, that is [`FrameError::Truncated`].
///
/// ```
/// use wharf_codec::{LengthCodec, LimitError};
///
/// let codec = LengthCodec::builder().width(2).limit(10_000).build()?;
/// # let _ = codec;
/// let refused = LengthCodec::builder().width(1).limit(10_000).build();
/// assert_eq!(
///     refused.err(),
///     Some(LimitError::BeyondHeader { limit: 10_000, width: 1, longest: 255 })
/// );
/// # Ok::<(), LimitError>(())
/// ```
#[doc(alias = "IntNStringReceiver")]
#[doc(alias = "Int16StringReceiver")]
#[doc(alias = "Int32StringReceiver")]
#[derive(Debug, Clone)]
pub struct LengthCodec {
    width: usize,
    order: ByteOrder,
    counts_header: bool,
    limit: usize,
    oversize: Oversize,
    skipped: u64,
    state: State,
}

/// In which order the bytes of a length stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ByteOrder {
    /// The most significant first, as on the network.
    #[default]
    Big,
    /// The least significant first.
    Little,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Header,
    /// The frame has so many bytes.
    Body(usize),
    /// So many bytes are to pass.
    Passing(u64),
    /// Nothing is read any more, because the next frame cannot be found, or is not wanted.
    Refusing(Refusal),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    TooLong,
    TooShort(u64),
}

impl LengthCodec {
    /// A length of four bytes in network order that does not count itself; frames of at most 1 MiB, and a longer one is
    /// an error.
    #[must_use]
    pub fn new() -> Self {
        LengthCodecBuilder::new().with_limit(DEFAULT_LIMIT)
    }

    /// The settings, to be changed.
    pub fn builder() -> LengthCodecBuilder {
        LengthCodecBuilder::new()
    }

    /// How many frames were passed over because they were too long.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// What the header at the front of `buffer` says.
    fn announced(&self, mut buffer: &[u8]) -> u64 {
        match self.order {
            ByteOrder::Big => buffer.get_uint(self.width),
            ByteOrder::Little => buffer.get_uint_le(self.width),
        }
    }

    /// Goes on from a header that announces `announced` bytes.
    fn begin(&mut self, announced: u64) -> Result<(), FrameError> {
        let header = if self.counts_header { self.width as u64 } else { 0 };
        let Some(len) = announced.checked_sub(header) else {
            self.state = State::Refusing(Refusal::TooShort(announced));
            return Err(FrameError::TooShort { announced });
        };
        match usize::try_from(len) {
            Ok(len) if len <= self.limit => {
                self.state = State::Body(len);
                return Ok(());
            }
            _ => self.state = State::Passing(len),
        }
        match self.oversize {
            Oversize::Skip => {
                self.skipped += 1;
                return Ok(());
            }
            Oversize::Error => {}
            Oversize::Close => self.state = State::Refusing(Refusal::TooLong),
        }
        Err(FrameError::TooLong { limit: self.limit })
    }
}

impl Default for LengthCodec {
    fn default() -> Self {
        Self::new()
    }
}

/// The settings of a [`LengthCodec`].
#[derive(Debug, Clone)]
#[must_use = "a codec is made by `build`"]
pub struct LengthCodecBuilder {
    width: usize,
    order: ByteOrder,
    counts_header: bool,
    limit: Option<usize>,
    oversize: Oversize,
}

impl LengthCodecBuilder {
    fn new() -> Self {
        Self {
            width: 4,
            order: ByteOrder::default(),
            counts_header: false,
            limit: None,
            oversize: Oversize::default(),
        }
    }

    /// How many bytes the length has: one to eight, four unless said otherwise.
    pub fn width(mut self, bytes: usize) -> Self {
        self.width = bytes;
        self
    }

    /// In which order they stand.
    pub fn byte_order(mut self, order: ByteOrder) -> Self {
        self.order = order;
        self
    }

    /// Whether the length counts its own bytes as well.
    pub fn counts_header(mut self, counts: bool) -> Self {
        self.counts_header = counts;
        self
    }

    /// How many bytes a frame may have, without its length: 1 MiB unless said otherwise, or what the header can announce
    /// if that is less.
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = Some(bytes);
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
    /// When the width is not one to eight, the limit is zero, or no header of that width could announce it.
    pub fn build(self) -> Result<LengthCodec, LimitError> {
        let width = self.width;
        if !(1..=8).contains(&width) {
            return Err(LimitError::Width { width });
        }
        let longest = self.longest();
        let limit = self.limit.unwrap_or_else(|| DEFAULT_LIMIT.min(longest));
        if limit == 0 {
            return Err(LimitError::Zero);
        }
        if limit > longest {
            return Err(LimitError::BeyondHeader { limit, width, longest });
        }
        Ok(self.with_limit(limit))
    }

    /// The longest frame that the header can announce.
    fn longest(&self) -> usize {
        let largest = u64::MAX >> (64 - 8 * self.width);
        let header = if self.counts_header { self.width as u64 } else { 0 };
        usize::try_from(largest - header).unwrap_or(usize::MAX)
    }

    fn with_limit(self, limit: usize) -> LengthCodec {
        LengthCodec {
            width: self.width,
            order: self.order,
            counts_header: self.counts_header,
            limit,
            oversize: self.oversize,
            skipped: 0,
            state: State::Header,
        }
    }
}

impl Decoder for LengthCodec {
    type Item = Bytes;
    type Error = FrameError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
        loop {
            match self.state {
                State::Header if buffer.len() < self.width => return Ok(None),
                State::Header => {
                    let announced = self.announced(buffer);
                    let outcome = self.begin(announced);
                    match self.state {
                        // With nothing left, an error says that there will be no more frames.
                        State::Refusing(_) => buffer.clear(),
                        _ => buffer.advance(self.width),
                    }
                    outcome?;
                }
                State::Body(len) if buffer.len() < len => return Ok(None),
                State::Body(len) => {
                    self.state = State::Header;
                    return Ok(Some(buffer.split_to(len).freeze()));
                }
                State::Passing(left) => {
                    let passed =
                        usize::try_from(left).map_or(buffer.len(), |n| n.min(buffer.len()));
                    buffer.advance(passed);
                    let left = left - passed as u64;
                    if left > 0 {
                        self.state = State::Passing(left);
                        return Ok(None);
                    }
                    self.state = State::Header;
                }
                State::Refusing(Refusal::TooLong) => {
                    return Err(FrameError::TooLong { limit: self.limit });
                }
                State::Refusing(Refusal::TooShort(announced)) => {
                    return Err(FrameError::TooShort { announced });
                }
            }
        }
    }

    fn decode_eof(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
        if let Some(frame) = self.decode(buffer)? {
            return Ok(Some(frame));
        }
        let got = match std::mem::replace(&mut self.state, State::Header) {
            State::Header if buffer.is_empty() => return Ok(None),
            State::Passing(_) => return Ok(None),
            State::Body(_) => self.width + buffer.len(),
            _ => buffer.len(),
        };
        buffer.clear();
        Err(FrameError::Truncated { got })
    }
}

/// Refuses an item beyond the limit.
impl<T: AsRef<[u8]>> Encoder<T> for LengthCodec {
    type Error = FrameError;

    fn encode(&mut self, item: T, buffer: &mut BytesMut) -> Result<(), FrameError> {
        let item = item.as_ref();
        if item.len() > self.limit {
            return Err(FrameError::TooLong { limit: self.limit });
        }
        let header = if self.counts_header { self.width } else { 0 };
        let announced = (item.len() + header) as u64;
        buffer.reserve(self.width + item.len());
        match self.order {
            ByteOrder::Big => buffer.put_uint(announced, self.width),
            ByteOrder::Little => buffer.put_uint_le(announced, self.width),
        }
        buffer.put_slice(item);
        Ok(())
    }
}
