//! TLS: a protocol below, a transport above.

#![forbid(unsafe_code)]

pub mod config;
