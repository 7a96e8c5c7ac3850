//! UDP and Unix datagram transports, batch first.
//!
//! ```text
//!   bind(..).await ─────┐
//!   connect(..).await ──┼──▶ (transport, protocol)
//!   adopt(socket).await ┘
//! ```
//!
//! The functions at the root speak UDP, those in [`unix`] Unix datagram sockets; what they give behaves alike.
//! One system call brings many datagrams, and what a callback sends leaves by few: as trains to one peer, and as one call
//! for many peers.
//! Where a system cannot do that, which is found out for each socket, more calls are made and nothing else changes; the
//! fact [`Abilities`] tells what was found: `transport.extra::<udp::Abilities>()`.
//!
//! # What this is not
//!
//! Nothing is made reliable or put in order in here, and nothing is cut or put together.

#![deny(unsafe_code)]

mod adopt;
mod establish;
mod groups;
mod mmsg;
mod open;
mod options;
mod socket;
pub mod unix;

pub use adopt::{Adopt, adopt};
pub use establish::Opened;
pub use groups::{Groups, Interface};
pub use mmsg::Abilities;
#[doc(hidden)]
pub use mmsg::Missing;
pub use open::{Open, bind, connect};
pub use wharf_core::datagram::driver::{DatagramStatistics, DropPolicy, Target};
