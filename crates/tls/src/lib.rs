//! TLS: a protocol below, a transport above.

#![deny(unsafe_code)]
