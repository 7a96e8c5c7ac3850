//! Rows of the conformance suite: Unix sockets.

mod files;
mod names;
mod streams;
