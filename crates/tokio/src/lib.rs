//! Protocols of wharf on the streams of tokio: any `AsyncRead` and `AsyncWrite` as a transport.
//!
//! ```text
//!   your protocol        connection_made, data_received, eof_received, connection_lost ...
//!        ▲ │
//!        │ ▼             write, close, pause_reading ... through a TransportRef
//!   StreamDriver         of wharf-core: the one that drives sockets and memory
//!        ▲ │
//!        │ ▼             poll_read, poll_write, poll_shutdown
//!   AsyncRead + AsyncWrite   a TcpStream, a TLS stream, a duplex, anything of tokio's world
//! ```
//!
//! A protocol that was written on wharf-core serves the users of tokio as it is, by [`serve`]:
//!
//! ```
//! use wharf_core::{Protocol, TransportRef};
//!
//! struct Echo;
//!
//! impl Protocol for Echo {
//!     fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
//!         transport.write(data);
//!     }
//! }
//!
//! # use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! # runtime.block_on(tokio::task::LocalSet::new().run_until(async {
//! let (ours, mut theirs) = tokio::io::duplex(64);
//! // For each connection of a listener: `tokio::task::spawn_local(wharf_tokio::serve(stream, Echo).into_future())`.
//! let serving = tokio::task::spawn_local(wharf_tokio::serve(ours, Echo).into_future());
//! theirs.write_all(b"hello").await?;
//! let mut answer = [0; 5];
//! theirs.read_exact(&mut answer).await?;
//! assert_eq!(&answer, b"hello");
//! drop(theirs);
//! assert!(serving.await?.is_ok());
//! # Ok::<(), std::io::Error>(())
//! # }))?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! A protocol is bound to its thread, and so is the future that drives it: it runs in a `LocalSet`, or under `block_on`.
//! The order of callbacks, flow control, closing and what `Lost` says are those of every wharf transport, because the
//! state machine and its driver are the same; there is no second one in here.
//!
//! # What this is not
//!
//! No way from tokio's futures to wharf's loop; that is what `wharf-streams` is for.

#![forbid(unsafe_code)]

mod driver;
mod host;
mod io;
mod serve;

pub use driver::Driver;
pub use host::Buffers;
pub use serve::{Serve, serve};
