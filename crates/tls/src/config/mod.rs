//! Configurations from what users have: files or bytes in PEM, roots, names; checked before anything listens.
//!
//! ```text
//!   Identity ─┐                                   Roots ─┐
//!   ByName   ─┴▶ server(..) ──▶ ServerBuilder     client(..) ──▶ ClientBuilder
//!                  │ client_auth, alpn, versions,      │ identity, alpn, versions,
//!                  │ resumption, provider              │ revocation, resumption, provider
//!                  ▼ build()?                          ▼ build()?
//!            Arc<rustls::ServerConfig>           Arc<rustls::ClientConfig>
//! ```
//!
//! Everything here describes; nothing is read or checked before `build`, and then all of it is, so that a server that
//! starts has what it needs.
//! What is built is rustls's own type, and whoever needs what is not offered here makes one by hand.
//! A configuration is shared by cloning the `Arc`, also between threads: loops that share one share its session tickets.
//!
//! ```no_run
//! use wharf_tls::config::{self, ClientAuth, Identity, Roots};
//!
//! # fn main() -> Result<(), config::ConfigError> {
//! let server = config::server(Identity::pem_files("chain.pem", "key.pem"))
//!     .client_auth(ClientAuth::optional(Roots::pem_file("staff.pem")))
//!     .alpn(["http/1.1"])
//!     .build()?;
//! let client = config::client(Roots::pem_file("ca.pem")).build()?;
//! # Ok(())
//! # }
//! ```

mod by_name;
mod client;
mod client_auth;
mod dangerous;
mod error;
mod identity;
mod pem;
mod provider;
mod reload;
mod revocation;
mod roots;
mod server;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use by_name::ByName;
pub use client::{ClientBuilder, client};
pub use client_auth::ClientAuth;
pub use dangerous::{DangerousClientBuilder, DangerousServerBuilder};
pub use error::{ConfigError, Origin};
pub use identity::Identity;
pub use provider::{Provider, Versions};
pub use reload::ReloadingCertificates;
pub use revocation::Revocation;
pub use roots::Roots;
pub use server::{Certificates, Resumption, ServerBuilder, server};

use error::Result;

/// Checks protocol names as RFC 7301 has them: one to 255 bytes each.
fn alpn_names<N: AsRef<[u8]>>(names: impl IntoIterator<Item = N>) -> Vec<Vec<u8>> {
    names.into_iter().map(|name| name.as_ref().to_vec()).collect()
}

/// Refuses names that do not fit into the one byte of length that they have on the wire.
fn check_alpn(names: &[Vec<u8>]) -> Result<()> {
    match names.iter().find(|name| !(1..=255).contains(&name.len())) {
        None => Ok(()),
        Some(name) => Err(ConfigError::AlpnName(String::from_utf8_lossy(name).into_owned())),
    }
}
