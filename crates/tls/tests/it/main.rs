//! The tests of TLS that need no other transport than memory.

mod model;
mod mutations;
