//! Rows of the conformance suite: pipes, FIFOs and other one-way descriptors as transports.

mod both;
pub(crate) mod hearing;
mod kinds;
mod reading;
mod writing;
