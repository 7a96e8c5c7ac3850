//! A reader and a writer on any transport, for code that reads better when it waits.
//!
//! ```text
//!   your async code       read_line().await, write_all(..).await, drain().await, closed().await
//!      ▲        │
//!      │        ▼
//!  StreamReader StreamWriter        together a Stream
//!      ▲        │
//!      │        ▼
//!     Endpoint, a protocol          data_received, eof_received, pause_writing, connection_lost ...
//!      ▲        │
//!      │        ▼
//!   any byte stream                 TCP, Unix sockets, TLS, memory ...
//! ```
//!
//! asyncio's streams: an [`Endpoint`] is put on a connection like any protocol, and gives a [`Stream`], which is a
//! [`StreamReader`] and a [`StreamWriter`].
//! They need nothing but `std`'s wakers, so they run on the loop's own executor and in any other that stays in its
//! thread.
//!
//! ```
//! # use std::pin::pin;
//! # use std::task::{Context, Poll, Waker};
//! use wharf_core::memory::Stage;
//! use wharf_streams::{Endpoint, Stream, StreamError};
//!
//! async fn greet(stream: Stream) -> Result<(), StreamError> {
//!     let Stream { mut reader, writer } = stream;
//!     let name = reader.read_line().await?;
//!     writer.write_all(&[b"hello, ", &name[..]].concat()).await?;
//!     writer.close();
//!     writer.closed().await;
//!     Ok(())
//! }
//!
//! // On a loop: `let stream = streams::open(tcp::connect(&handle, address, Endpoint::new)).await?;`
//! let stage = Stage::new();
//! let (_transport, endpoint, wire) = stage.wire(Endpoint::new());
//! stage.run();
//! # let Some(stream) = endpoint.take() else { unreachable!() };
//! # let mut greeting = pin!(greet(stream));
//! # let mut cx = Context::from_waker(Waker::noop());
//! # assert!(greeting.as_mut().poll(&mut cx).is_pending());
//! wire.send(b"wharf\n");
//! stage.run();
//! # assert!(greeting.as_mut().poll(&mut cx).is_pending());
//! # stage.run();
//! # assert!(matches!(greeting.as_mut().poll(&mut cx), Poll::Ready(Ok(()))));
//! assert_eq!(wire.take(), b"hello, wharf\n");
//! ```
//!
//! # Ways to a stream
//!
//! | from | by |
//! | --- | --- |
//! | connecting | [`open`]`(tcp::connect(&handle, address, Endpoint::new))` |
//! | two pipes, such as a child's | [`open`]`(pipe::connect_both(&handle, reader, writer, Endpoint::new()))` |
//! | a server, one connection after the other | [`incoming`] |
//! | a server, a call for each connection | [`each`] |
//! | a transport that talks already | [`take`] |
//! | back to a protocol | [`Stream::into_protocol`] |
//!
//! # What dropping means
//!
//! Dropping the writer closes the connection after what was written has gone out, as asyncio does.
//! Dropping the reader lets the peer talk to nobody: what comes is thrown away, so that the writer still learns of the
//! end. Dropping a future is harmless where its method says that it is *cancel-safe*: nothing is lost, and the next call
//! goes on from there.
//!
//! # The traits of others
//!
//! With the feature `tokio-io` or `futures-io` a [`Stream`] and its halves implement the `AsyncRead`, `AsyncBufRead` and
//! `AsyncWrite` of that world, so `tokio::io::copy`, `tokio_util::codec::Framed` and the like work on every wharf
//! transport; with `futures-core`, [`Incoming`] is a stream of connections.
//!
//! # What this is not
//!
//! No executor: futures run on `wharf-reactor`'s, or on one's own.

#![forbid(unsafe_code)]

mod endpoint;
mod error;
#[cfg(feature = "futures-io")]
mod futures;
mod incoming;
mod reader;
mod shared;
mod stream;
#[cfg(feature = "tokio-io")]
mod tokio;
mod writer;

pub use endpoint::Endpoint;
pub use error::StreamError;
pub use incoming::{Incoming, each, incoming};
pub use reader::StreamReader;
pub use stream::{Stream, open, take};
pub use writer::StreamWriter;
