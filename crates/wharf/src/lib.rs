//! Transports and protocols for Rust: asyncio's model, event-driven, without an async runtime.
//!
//! ```text
//!                  ┌──────────────────────────────────────────────┐
//!                  │ your protocol: which bytes, and when         │
//!                  └──────────────────────────────────────────────┘
//!   connection_made, data_received,  ▲      │  write, write_eof, close, abort,
//!   eof_received, pause_writing,     │      │  pause_reading, set_protocol ...
//!   resume_writing, connection_lost  │      ▼
//!                  ┌──────────────────────────────────────────────┐
//!                  │ a transport: how bytes are moved             │
//!                  └──────────────────────────────────────────────┘
//!       TCP  UDP  Unix sockets  pipes  children  TLS over a stream  memory (tests)
//! ```
//!
//! An echo server:
//!
//! ```
//! use wharf::{EventLoop, Protocol, TransportRef, tcp};
//!
//! struct Echo;
//!
//! impl Protocol for Echo {
//!     fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
//!         transport.write(data);
//!     }
//! }
//!
//! # fn main() -> std::io::Result<()> {
//! let mut ev = EventLoop::new()?;
//! let handle = ev.handle().clone();
//! let server = ev.block_on(async { tcp::listen(&handle, "127.0.0.1:0", || Echo).await })?;
//! println!("listening on {}", server.addresses()[0]);
//! # ev.stop();
//! ev.run_forever()
//! # }
//! ```
//!
//! # The crates
//!
//! This one only re-exports; each part can be depended on by itself.
//! `tcp` is on unless said otherwise, and `reactor` with it.
//! `full` is `tcp`, `udp`, `subprocess`, `tls`, `codec` and `streams`.
//!
//! | feature | crate | what it is |
//! | --- | --- | --- |
//! | (always) | `wharf-core` | protocols, transports, state machines, transports in memory |
//! | `reactor` | `wharf-reactor` | the event loop |
//! | `tcp` | `wharf-tcp` | TCP and Unix streams |
//! | `subprocess` | `wharf-subprocess` | child processes and their pipes; pipes, FIFOs, terminals and devices |
//! | `tls`, `tls-ring` | `wharf-tls` | TLS over any byte stream |
//! | `platform-roots`, `webpki-roots` | `wharf-tls` | whom a client trusts: as the system does, as Mozilla does |
//! | `udp` | `wharf-udp` | UDP and Unix datagrams, in batches |
//! | `codec` | `wharf-codec` | frames: codecs as protocols |
//! | `streams` | `wharf-streams` | a reader and a writer, for async code |
//! | `tokio` | `wharf-tokio` | protocols on the streams of tokio |
//! | `tracing` | `wharf-core` | a span for each connection, and events for what happens to it |
//! | `tokio-io`, `futures-io` | `wharf-streams` | the reader and the writer with the traits of these worlds |
//!
//! # What this is not
//!
//! Not an async runtime: callbacks are plain method calls in one thread, and `async` is there where waiting reads
//! better.
//! Not a framework: no HTTP.

#![forbid(unsafe_code)]

pub use wharf_core::*;

#[cfg(feature = "reactor")]
#[doc(inline)]
pub use wharf_reactor as reactor;
#[cfg(feature = "reactor")]
pub use wharf_reactor::{
    Answer, Blocking, Elapsed, EventLoop, EventLoopBuilder, FaultPolicy, Handle, JoinHandle,
    Listening, LiveConnection, LiveListener, LoopClosed, LoopHandle, OneshotReceiver,
    OneshotSender, Remote, Resolution, Resolver, Sleep, SlowCallback, Statistics, SystemClock,
    SystemResolver, TaskError, TimerHandle, Unanswered, oneshot,
};

#[cfg(feature = "tcp")]
#[doc(inline)]
pub use wharf_tcp as tcp;
#[cfg(feature = "tcp")]
pub use wharf_tcp::{Server, unix};

#[cfg(feature = "udp")]
#[doc(inline)]
pub use wharf_udp as udp;
#[cfg(feature = "udp")]
pub use wharf_udp::unix as unix_datagram;

#[cfg(feature = "subprocess")]
#[doc(inline)]
pub use wharf_subprocess as subprocess;
#[cfg(feature = "subprocess")]
pub use wharf_subprocess::pipe;

#[cfg(any(feature = "tls", feature = "tls-ring"))]
#[doc(inline)]
pub use wharf_tls as tls;

#[cfg(feature = "codec")]
#[doc(inline)]
pub use wharf_codec as codec;

#[cfg(feature = "streams")]
#[doc(inline)]
pub use wharf_streams as streams;

#[cfg(feature = "tokio")]
#[doc(inline)]
pub use wharf_tokio as tokio;
