//! What the side-by-side runs share: the load generator, the servers' command line and life, the readings of `/proc`.
//!
//! The servers are binaries of their own (`server-epoll`, `server-tokio`, `server-wharf`), so that each is measured alone and by the kernel's accounts; `compare` starts them, loads them in turn and prints the table.
//! `docs/performance.md` says how to run it and how to read it.

pub mod affinity;
pub mod allocations;
pub mod apps;
pub mod child;
pub mod datagrams;
pub mod foreign;
pub mod load;
pub mod mode;
pub mod pattern;
pub mod process;
pub mod request;
pub mod secure;
pub mod serve;
pub mod spread;
