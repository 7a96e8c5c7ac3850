//! Datagrams, batch first: what one receive brings, what waits to be sent, the life of an endpoint, and its one driver.
//!
//! ```text
//!   your protocol        connection_made, datagrams_received or datagram_received, error_received ...
//!        ▲ │
//!        │ ▼             send_to, send, close, pause_reading ... through a DatagramTransportRef
//!   DatagramDriver ◀──▶  DatagramState decides, Outbox holds
//!        ▲ │
//!        │ ▼             receive into an Inbox, send from an Outbox
//!     DatagramIo         a socket (wharf-udp), memory (this crate), anything
//! ```
//!
//! A *train* is a run of datagrams of one size from or to one peer, of which the last may be shorter.
//! The system can move a train as one message, so trains are what an [`Inbox`] and an [`Outbox`] consist of; a single
//! datagram is a train of one.

mod batch;
pub mod driver;
mod inbox;
mod outbox;
mod outgoing;
mod shared;
mod state;

pub use batch::{Batch, Datagram, Datagrams, Train, Trains};
pub use inbox::{Arrival, Ecn, Inbox};
pub use outbox::{MAX_TRAIN_BYTES, MAX_TRAIN_DATAGRAMS, Outbox, Packed, Peer};
pub use outgoing::Outgoing;
pub use shared::{EndpointProtocol, IntoDatagramProtocol};
pub use state::{DatagramState, Notice, Phase, QueueLimits};
