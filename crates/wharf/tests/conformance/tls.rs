//! TLS (rows T-*).

mod closing;
mod facts;
mod flow;
mod handshake;
mod hostile;
mod rig;
mod splits;
mod starting;
