//! TLS: a protocol below, a transport above.
//!
//! ```text
//!   your protocol            plaintext
//!        ▲ │
//!        │ ▼
//!   core's StreamDriver      the same code, and so the same behaviour, as for every stream
//!        ▲ │
//!        │ ▼
//!   session                  rustls: records in, plaintext out, and the other way round
//!        ▲ │
//!        │ ▼
//!   any transport            TCP, a Unix socket, memory, TLS again
//! ```
//!
//! An existing server becomes a TLS server by a change of one line:
//!
//! ```text
//! tcp::listen(&handle, address, Echo::new)
//! tcp::listen(&handle, address, tls::server(config, Echo::new))
//! ```
//!
//! This crate knows core and rustls and nothing else: no socket and no event loop (rule L2).
//!
//! # What this is not
//!
//! No cryptography of its own, no early data (0-RTT), no renegotiation, no compression.

#![forbid(unsafe_code)]

mod admission;
pub mod config;
mod engine;
mod error;
mod host;
mod incoming;
mod info;
mod io;
mod layer;
mod session;
mod settings;
mod side;
mod start;
mod state;
mod statistics;

pub use error::Error;
pub use info::{
    Alpn, CipherSuite, KeyExchangeGroup, Keys, PeerCertificates, Resumed, ServerName, TlsVersion,
};
pub use rustls;
pub use settings::{ClientConfig, ServerConfig};
pub use side::{Name, Side};
pub use start::{StartTls, Tls, client, server, start_tls};
pub use statistics::Statistics;
