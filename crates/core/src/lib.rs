//! Protocols, transports and their state machines, without I/O.
//!
//! ```text
//!   your protocol        connection_made, data_received, eof_received, connection_lost ...
//!        ▲ │
//!        │ ▼             write, close, pause_reading ... through a TransportRef
//!   StreamDriver ◀────▶  StreamState decides, WriteQueue holds
//!        ▲ │
//!        │ ▼             read, write, interest
//!     StreamIo           a socket (wharf-tcp), memory (this crate), anything
//! ```
//!
//! Datagrams have the same three parts, in [`datagram`], and move in batches.
//!
//! A *protocol* decides which bytes go out and when; a *transport* knows how they are moved; the two call each other.
//! This crate holds the contracts of both ([`Protocol`], [`Transport`]), the state machine of a byte stream
//! ([`StreamState`](stream::StreamState)), its one driver ([`StreamDriver`](driver::StreamDriver)), and an in-memory
//! transport with a manual clock ([`memory`]) to test protocols with.
//!
//! # What this is not
//!
//! There is no socket, no event loop and no clock in here, and no unsafe code (rule L1): those are `wharf-reactor` and
//! the transport crates, or `wharf` for all of them.

#![forbid(unsafe_code)]

pub mod address;
pub mod buffer;
pub mod datagram;
pub mod driver;
pub mod extra;
pub mod flow;
pub mod guard;
pub mod handle;
mod lingering;
pub mod lost;
pub mod memory;
pub mod observe;
pub mod pipe;
pub mod protocol;
pub mod resource;
pub mod schedule;
pub mod search;
pub mod shared;
pub mod stream;
mod subprocess;
#[cfg_attr(not(feature = "tracing"), path = "trace/silent.rs")]
pub mod trace;
pub mod transport;
pub mod tray;
pub mod vitals;
pub mod wire_log;

pub use address::{Address, UnixAddress};
/// What `write_bytes` takes, from the crate of this name.
#[doc(no_inline)]
pub use bytes::Bytes;
pub use datagram::{Batch, Datagram, IntoDatagramProtocol, Outgoing};
pub use flow::{Flow, Limits, LimitsError};
pub use handle::{
    DatagramTransportRef, ReadTransportRef, SubprocessTransportRef, TransportRef, WriteTransportRef,
};
pub use lost::{Fault, Lost};
pub use pipe::{
    BufferedReadPipeProtocol, IntoReadPipeProtocol, IntoWritePipeProtocol, ReadPipeProtocol,
    WritePipeProtocol,
};
pub use protocol::{BufferedProtocol, DatagramProtocol, KeepOpen, Protocol, SubprocessProtocol};
pub use schedule::{Clock, Scheduler, Timer};
pub use shared::{Buffered, IntoProtocol, StreamProtocol};
pub use subprocess::{IntoSubprocessProtocol, SharedSubprocessProtocol};
pub use transport::{
    BaseTransport, DatagramTransport, Narrow, PipeTransport, ReadTransport, SubprocessTransport,
    Transport, TransportId, WriteTransport,
};
