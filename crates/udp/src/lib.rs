//! UDP and Unix datagram transports, batch first.

#![deny(unsafe_code)]
