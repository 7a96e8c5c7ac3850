//! Rows of the conformance suite: child processes.

mod anything;
mod crowd;
mod debugged;
mod ending;
mod faults;
mod forking;
pub(crate) mod hearing;
mod running;
mod starting;
mod telling;
mod tracing;
