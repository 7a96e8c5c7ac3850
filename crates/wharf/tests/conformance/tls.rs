//! TLS (rows T-*).

mod closing;
mod facts;
mod flow;
mod handshake;
mod rig;
mod splits;
mod starting;
