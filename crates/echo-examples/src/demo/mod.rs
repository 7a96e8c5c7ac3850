//! The demo: echo servers over every transport, driven by many clients, every byte verified.
//!
//! ```text
//!   main thread          run.rs: one transport after the other, then the table
//!     │  ▲ News          (progress, and how it ended)
//!     │  │
//!     │  └──────────────┬───────────────────────────┐
//!     ▼                 │                           │
//!   server thread       │    bytes    clients' thread
//!   server.rs: one loop ◀───────────▶ fleet.rs: one loop, many of client.rs
//! ```
//!
//! Both sides are written on wharf, each on a loop of its own.
//! The main thread only waits, and never without a bound.

mod board;
mod cat;
mod client;
mod datagrams;
mod fleet;
mod histogram;
mod idle;
mod options;
mod pattern;
mod place;
mod progress;
mod run;
mod secrets;
mod server;
mod sizes;
mod table;
mod units;
mod upgrade;

use std::time::Duration;

pub use run::run;

/// What ends a run early; it is printed, and the exit status is 1.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// How long anything may take that takes milliseconds on a healthy machine: a message's way there and back, making a
/// connection, ending a server.
const PATIENCE: Duration = Duration::from_secs(10);
