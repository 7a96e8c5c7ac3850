//! Datagrams in batches: many messages by one system call, and whole trains as one message.
//!
//! ```text
//!   Inbox  ◀── Channel::receive ◀── Headers::receive ◀── recvmmsg, or recvmsg where there is no such call
//!   Outbox ──▶ Channel::send    ──▶ Headers::send    ──▶ sendmmsg, or sendmsg
//!                  │
//!                  ├─ control.rs   what is said about a datagram: bytes to facts and back, safe and fuzzed
//!                  ├─ name.rs      addresses: bytes to addresses and back, safe
//!                  └─ segments.rs  whether trains can be sent, found out per socket
//! ```
//!
//! A [`Channel`] is what one socket knows, some words; the [`Headers`] with all the memory that the calls need are one
//! set for each loop.
//!
//! # What makes the unsafe part sound
//!
//! It is `system.rs`, and nothing else.
//!
//! 1. A header is written for one call, from slices that the call borrows, inside the function that makes the call.
//!    Between calls there are pointers in the headers, but nobody follows them.
//! 2. Each message has a slot, a vector and a space of its own, and is told their true lengths: what the system writes
//!    lands in memory that nobody else refers to.
//! 3. What the system answers is not trusted: lengths are cut to what was offered, and bytes are parsed by safe code.
//! 4. All of it is initialised memory from the beginning, so a system that writes less than it says shows old bytes and
//!    not undefined ones.

mod channel;
mod control;
mod missing;
mod name;
mod options;
mod segments;
#[allow(unsafe_code)]
// System calls that no library has in a form that can be used again and again.
mod system;
#[cfg(test)]
mod tests;

pub(crate) use channel::{Channel, Facts, Family};
pub(crate) use system::Headers;

pub use channel::Abilities;
pub use missing::Missing;
