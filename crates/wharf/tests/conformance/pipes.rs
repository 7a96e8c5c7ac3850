//! Rows of the conformance suite: pipes, FIFOs and other one-way descriptors as transports.

mod hearing;
mod kinds;
mod reading;
mod writing;
