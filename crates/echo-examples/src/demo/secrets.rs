//! What TLS needs, in files: the certificates are made when the demo starts, and the server whose memory is measured is a
//! process of its own.

use std::fs;
use std::io;
use std::path::Path;

use wharf::tls::config::{Identity, Roots, client, server};
use wharf::tls::{ClientConfig, ServerConfig};

use crate::throwaway::Throwaway;

/// The name that the server's certificate bears.
pub(super) const NAME: &str = "localhost";

const TRUST: &str = "ca.pem";
const IDENTITY: &str = "server.pem";

/// Makes an authority and a certificate, and puts them into `folder`.
pub(super) fn make(folder: &Path) -> io::Result<()> {
    let authority = Throwaway::new()?;
    authority.publish(&folder.join(TRUST))?;
    let (certificate, key) = authority.issue(&[NAME])?;
    fs::write(folder.join(IDENTITY), certificate + &key)
}

/// What a server shows.
pub(super) fn of_server(folder: &Path) -> io::Result<ServerConfig> {
    Ok(server(Identity::pem_file(folder.join(IDENTITY))).build()?.into())
}

/// Whom a client trusts.
pub(super) fn of_client(folder: &Path) -> io::Result<ClientConfig> {
    Ok(client(Roots::pem_file(folder.join(TRUST))).build()?.into())
}
