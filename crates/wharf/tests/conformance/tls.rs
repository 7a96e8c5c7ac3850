//! TLS (rows T-*).

mod closing;
mod handshake;
mod rig;
