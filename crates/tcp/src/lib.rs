//! TCP and Unix stream transports: servers, clients, adopted sockets, sendfile.
//!
//! ```text
//!   listen(..).await ──▶ Server ──accepts──▶ protocol from the factory
//!   connect(..).await ─────────────────────▶ (transport, protocol)
//!   adopt(socket).await ───────────────────▶ (transport, protocol)
//! ```
//!
//! The functions at the root speak TCP, those in [`unix`] Unix sockets; what they give behaves alike.
//! Every socket is non-blocking and close-on-exec, every TCP socket has `TCP_NODELAY`, and a write to a peer that is gone
//! is an error and never a signal.
//!
//! # What this is not
//!
//! There is no TLS in here, and no framing: those are layers of their own.

#![deny(unsafe_code)]

mod connect;
mod inherited;
mod listen;
mod options;
mod race;
mod sendfile;
mod server;
mod socket;
pub mod unix;

pub use connect::{Connect, ConnectError, Connected, adopt, connect};
pub use inherited::inherited_sockets;
pub use listen::{Listen, listen, listen_on};
pub use sendfile::sendfile;
pub use server::{AcceptError, DrainReport, Server};
pub use wharf_reactor::{EndpointList, Endpoints};
