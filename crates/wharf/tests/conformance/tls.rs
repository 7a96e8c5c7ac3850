//! TLS (rows T-*).

mod closing;
mod facts;
mod flow;
mod handshake;
mod hostile;
pub(crate) mod rig;
mod splits;
mod starting;
