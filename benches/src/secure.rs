//! TLS for the side-by-side runs: one certificate and one set of settings for every server, and a client that asks for little.

use std::io;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::ServerName;
use wharf::tls::config::{self, Identity, Roots, Versions};

/// A certificate on P-256 and its key, as PEM.
///
/// # Errors
///
/// The system has no randomness.
pub fn identity() -> io::Result<(String, String)> {
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let params = CertificateParams::new(["localhost".to_owned()]).map_err(io::Error::other)?;
    let certificate = params.self_signed(&key).map_err(io::Error::other)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// What every server is: TLS 1.3, a certificate on P-256, aws-lc-rs, tickets that keep nothing on the server.
///
/// # Errors
///
/// The system has no randomness.
pub fn server() -> io::Result<Arc<ServerConfig>> {
    let (certificate, key) = identity()?;
    config::server(Identity::pem(certificate, key))
        .versions(Versions::Tls13)
        .build()
        .map_err(io::Error::other)
}

/// A client that believes every server, since whom it believes costs the server nothing.
///
/// # Errors
///
/// None that is known.
pub fn client(resumes: bool) -> io::Result<Arc<rustls::ClientConfig>> {
    let sessions = if resumes { 256 } else { 0 };
    let client = config::client(Roots::default()).versions(Versions::Tls13).sessions(sessions);
    client.dangerous().trust_everybody().build().map_err(io::Error::other)
}

/// The name by which clients ask for the server.
#[must_use]
pub fn name() -> ServerName<'static> {
    match ServerName::try_from("localhost") {
        Ok(name) => name,
        Err(error) => unreachable!("the name is a constant: {error}"),
    }
}
