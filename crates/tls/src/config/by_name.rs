//! Certificates by name: which one a server shows, by the name that the client asks for.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::pki_types::{DnsName, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::error::{ConfigError, Result};
use super::identity::Identity;
use super::provider::Provider;

/// A certificate for each name that clients ask for (SNI).
///
/// An exact name goes before a wildcard; `*.example.org` stands for one label and not for `example.org` itself.
/// A client that asks for an unknown name, or for none, is shown the certificate of [`otherwise`](Self::otherwise), or
/// is refused with an alert where there is none.
#[derive(Debug, Clone, Default)]
pub struct ByName {
    names: Vec<(String, Identity)>,
    otherwise: Option<Identity>,
}

impl ByName {
    /// No names yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Shows `identity` to whoever asks for `name`: a DNS name, or one whose first label is `*`.
    ///
    /// Building fails if the certificate is not valid for the name.
    pub fn name(mut self, name: impl Into<String>, identity: Identity) -> Self {
        self.names.push((name.into(), identity));
        self
    }

    /// Shows `identity` to whoever asks for another name, or for none.
    pub fn otherwise(mut self, identity: Identity) -> Self {
        self.otherwise = Some(identity);
        self
    }

    /// Reads and checks all of them.
    pub(super) fn load(&self, provider: &Provider) -> Result<Chosen> {
        if self.names.is_empty() && self.otherwise.is_none() {
            return Err(ConfigError::NoNames);
        }
        let mut by_name = HashMap::with_capacity(self.names.len());
        for (name, identity) in &self.names {
            let normal = normal(name);
            let certificate = identity.load(provider)?;
            check_name(&normal, &certificate, identity)?;
            if by_name.insert(normal, certificate).is_some() {
                return Err(ConfigError::NameTwice(name.clone()));
            }
        }
        let otherwise = match &self.otherwise {
            Some(identity) => Some(identity.load(provider)?),
            None => None,
        };
        Ok(Chosen { by_name, otherwise })
    }
}

/// The certificates of a server, read.
pub(super) struct Chosen {
    by_name: HashMap<String, Arc<CertifiedKey>>,
    otherwise: Option<Arc<CertifiedKey>>,
}

impl Chosen {
    /// One certificate for everybody.
    pub(super) fn always(certificate: Arc<CertifiedKey>) -> Self {
        Self { by_name: HashMap::new(), otherwise: Some(certificate) }
    }

    /// What a client is shown that asks for `name`.
    pub(super) fn choose(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let named = name.filter(|_| !self.by_name.is_empty()).and_then(|name| {
            let name = normal(name);
            let wildcard = || {
                let (_, parent) = name.split_once('.')?;
                self.by_name.get(&format!("*.{parent}"))
            };
            self.by_name.get(&name).or_else(wildcard)
        });
        named.or(self.otherwise.as_ref()).cloned()
    }
}

impl ResolvesServerCert for Chosen {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name())
    }
}

impl fmt::Debug for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chosen")
            .field("names", &self.by_name.keys())
            .field("otherwise", &self.otherwise.is_some())
            .finish()
    }
}

/// Names have no case, and a full stop at their end means nothing.
fn normal(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// A name is one, and the certificate is valid for it.
fn check_name(name: &str, certificate: &CertifiedKey, identity: &Identity) -> Result<()> {
    // A wildcard is covered if any one label in its place is.
    let sample = match name.strip_prefix("*.") {
        Some(parent) => format!("any-label.{parent}"),
        None => name.to_owned(),
    };
    let dns = DnsName::try_from(sample).map_err(|_| ConfigError::BadName(name.to_owned()))?;
    let not_covered =
        |_| ConfigError::NameNotCovered { origin: identity.origin(), name: name.to_owned() };
    let end_entity = certificate.end_entity_cert().map_err(not_covered)?;
    let parsed = ParsedCertificate::try_from(end_entity).map_err(not_covered)?;
    verify_server_name(&parsed, &ServerName::DnsName(dns)).map_err(not_covered)
}
