//! Datagrams: UDP, Unix and in memory (rows D-01 to D-30, X-07, P-07).
//!
//! A test is a function over a [`Bench`](bench::Bench), which puts endpoints on a stage, on UDP over IPv4 and IPv6, and
//! on Unix sockets, against raw peers.

mod bench;
mod log;
mod peer;

mod batches;
mod closing;
mod errors;
mod faults;
mod opening;
mod queue;
mod receiving;
mod sending;
mod stubborn;
