//! TLS (rows T-*).

mod handshake;
