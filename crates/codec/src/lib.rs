//! Frames over byte streams: any codec of tokio-util as a protocol, and ready-made codecs with their limits on.
//!
//! ```text
//!   your FramedProtocol     frame_received(item), decode_error, eof_received, connection_lost ...
//!        ▲ │
//!        │ ▼                write_frame(item) through a FramedTransport
//!   Framed<codec, protocol> bytes to frames and back: a Decoder and an Encoder
//!        ▲ │
//!        │ ▼                data_received, write
//!   any byte stream         TCP, Unix sockets, TLS, memory ...
//! ```
//!
//! A *codec* says where a frame ends: it implements [`Decoder`] and [`Encoder`], the traits of tokio-util, so one that
//! was written for tokio works here, and one of this crate works there. No runtime comes with them.
//!
//! ```
//! use bytes::Bytes;
//! use wharf_codec::{Framed, FramedProtocol, FramedTransport, LineCodec};
//! use wharf_core::memory::Stage;
//!
//! struct Shout;
//!
//! impl FramedProtocol<LineCodec> for Shout {
//!     fn frame_received(&mut self, transport: &FramedTransport<LineCodec>, line: Bytes) {
//!         // A line of a peer has no line ending inside, so it can be sent as one.
//!         let _ = transport.write_frame(line.to_ascii_uppercase());
//!     }
//! }
//!
//! let stage = Stage::new();
//! let (_transport, _shout, wire) = stage.wire(Framed::new(LineCodec::new(), Shout));
//! wire.send(b"one\r\ntw");
//! wire.send(b"o\n");
//! stage.run();
//! assert_eq!(wire.take(), b"ONE\nTWO\n");
//! ```
//!
//! # The codecs
//!
//! | codec | frames | at most, unless said otherwise |
//! | --- | --- | --- |
//! | [`LineCodec`] | lines as bytes, without their ending | 64 KiB, asyncio's |
//! | [`TextLineCodec`] | lines as `String` | 64 KiB |
//! | [`DelimiterCodec`] | what ends with a fixed sequence of bytes | 64 KiB |
//! | [`LengthCodec`] | what is preceded by its length, of one to eight bytes | 1 MiB |
//! | [`BytesCodec`] | whatever has come (tokio-util's) | what one read brings |
//!
//! What is longer is met with a named policy ([`Oversize`]), and never costs more memory than the limit: a peer that
//! announces a frame is not given the room for it before its bytes have come.
//! A codec of one's own is put to the test with [`verify`].
//!
//! # What this is not
//!
//! No format of messages: what a frame means is the protocol's.

#![forbid(unsafe_code)]

mod delimiter;
mod error;
mod framed;
mod length;
mod line;
mod scan;
mod transport;
pub mod verify;

pub use delimiter::{DelimiterCodec, DelimiterCodecBuilder};
pub use error::{FrameError, LimitError, Oversize};
pub use framed::{AfterError, Framed, FramedParts, FramedProtocol};
pub use length::{ByteOrder, LengthCodec, LengthCodecBuilder};
pub use line::{LineCodec, LineCodecBuilder, LineEnding, TextLineCodec};
pub use tokio_util::codec::{BytesCodec, Decoder, Encoder};
pub use transport::FramedTransport;
