//! UDP and Unix datagram transports, batch first.

#![deny(unsafe_code)]

#[allow(dead_code, unreachable_pub, unused_imports)] // Until the endpoints stand on it.
mod mmsg;
