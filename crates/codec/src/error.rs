//! What can be wrong with a frame, and with the limits of a codec.

use std::io;

/// What a codec of this crate does with a frame that is longer than its limit.
///
/// In no case is more of it kept than the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Oversize {
    /// Gives [`FrameError::TooLong`] once for it, and goes on behind it if the protocol wants to: `decode_error`
    /// decides.
    #[default]
    Error,
    /// Passes over it without a word; [`skipped`](crate::LineCodec::skipped) counts.
    Skip,
    /// Gives [`FrameError::TooLong`] and reads nothing any more, so the connection ends whatever `decode_error` says.
    Close,
}

/// Why bytes are no frame, or an item cannot become one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// It is longer than the codec's limit.
    #[error("a frame is longer than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// A length that counts its own header is less than that. What follows cannot be found any more.
    #[error("a frame says that it has {announced} bytes, less than its header")]
    TooShort {
        /// What the header says.
        announced: u64,
    },
    /// A line that was to be text is none; the next line may be.
    #[error("a line is not UTF-8")]
    NotUtf8,
    /// An item to be sent contains what would end its frame, so the peer would see two.
    #[error("an item contains the end of a frame")]
    ContainsEnd,
    /// The stream ended before the frame did.
    #[error("the stream ended {got} bytes into a frame")]
    Truncated {
        /// How much of the frame had come.
        got: usize,
    },
    /// An error of I/O, which the traits provide for and no codec of this crate gives.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Settings of a codec that contradict each other; refused when it is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitError {
    /// A limit of zero lets nothing through.
    #[error("the limit is zero, which lets no frame through")]
    Zero,
    /// A delimiter without bytes is everywhere.
    #[error("the delimiter is empty")]
    EmptyDelimiter,
    /// A length has one to eight bytes.
    #[error("a length has one to eight bytes and not {width}")]
    Width {
        /// The width that was asked for.
        width: usize,
    },
    /// A frame of that limit could never be announced: its length does not fit the header.
    #[error(
        "a header of {width} bytes cannot announce {limit} bytes; the longest frame has {longest}"
    )]
    BeyondHeader {
        /// The limit that was asked for.
        limit: usize,
        /// The bytes of the header.
        width: usize,
        /// The longest frame that such a header can announce.
        longest: usize,
    },
}
