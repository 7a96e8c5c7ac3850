//! The configuration of a client, part by part.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::sign::SingleCertAndKey;

use super::dangerous::{DangerousClientBuilder, TrustEverybody};
use super::error::{ConfigError, Result};
use super::identity::Identity;
use super::provider::{Provider, Versions};
use super::revocation::{Revocation, verifier_error};
use super::roots::Roots;
use super::{alpn_names, check_alpn};

/// A client that trusts these roots; everything else has a default.
///
/// It speaks TLS 1.3 and 1.2, sends the server's name, resumes sessions, shows no certificate of its own, and sends no
/// early data.
#[doc(alias = "SSLContext")]
#[doc(alias = "create_default_context")]
pub fn client(roots: Roots) -> ClientBuilder {
    ClientBuilder {
        roots,
        revocation: None,
        identity: None,
        alpn: Vec::new(),
        versions: Versions::default(),
        sessions: DEFAULT_SESSIONS,
        send_name: true,
        provider: None,
        trust_everybody: false,
        key_log: false,
    }
}

/// A configuration of a client in the making; see [`client`].
#[derive(Debug, Clone)]
pub struct ClientBuilder {
    roots: Roots,
    revocation: Option<Revocation>,
    identity: Option<Identity>,
    alpn: Vec<Vec<u8>>,
    versions: Versions,
    sessions: usize,
    send_name: bool,
    provider: Option<Provider>,
    pub(super) trust_everybody: bool,
    pub(super) key_log: bool,
}

impl ClientBuilder {
    /// Refuses servers whose certificates these lists call revoked.
    pub fn revocation(mut self, revocation: Revocation) -> Self {
        self.revocation = Some(revocation);
        self
    }

    /// Who we are, for a server that asks. A server that asks one without an identity is answered that there is none.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// The protocols that we offer to speak on top (ALPN), the dearest first.
    #[doc(alias = "set_alpn_protocols")]
    pub fn alpn<N: AsRef<[u8]>>(mut self, protocols: impl IntoIterator<Item = N>) -> Self {
        self.alpn = alpn_names(protocols);
        self
    }

    /// Which versions of TLS are spoken.
    pub fn versions(mut self, versions: Versions) -> Self {
        self.versions = versions;
        self
    }

    /// For how many servers sessions are remembered, to be resumed: 256 by default, none for 0.
    pub fn sessions(mut self, servers: usize) -> Self {
        self.sessions = servers;
        self
    }

    /// Whether the server is told by which name we want it (SNI). It is, by default.
    pub fn send_name(mut self, send: bool) -> Self {
        self.send_name = send;
        self
    }

    /// Who encrypts.
    pub fn provider(mut self, provider: impl Into<Provider>) -> Self {
        self.provider = Some(provider.into());
        self
    }

    /// What is insecure, and has its use when something is being debugged.
    pub fn dangerous(self) -> DangerousClientBuilder {
        DangerousClientBuilder(self)
    }

    /// Reads and checks everything.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with the name of its file.
    pub fn build(self) -> Result<Arc<rustls::ClientConfig>> {
        check_alpn(&self.alpn)?;
        let provider = match &self.provider {
            Some(provider) => provider.clone(),
            None => Provider::compiled_in()?,
        };
        let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(provider.crypto()))
            .with_protocol_versions(&self.versions.supported())
            .map_err(ConfigError::Versions)?
            .dangerous()
            .with_custom_certificate_verifier(self.verifier(&provider)?);
        let mut config = match &self.identity {
            Some(identity) => {
                let identity = SingleCertAndKey::from(identity.load(&provider)?);
                builder.with_client_cert_resolver(Arc::new(identity))
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.alpn;
        config.enable_sni = self.send_name;
        config.resumption = match self.sessions {
            0 => rustls::client::Resumption::disabled(),
            sessions => rustls::client::Resumption::in_memory_sessions(sessions),
        };
        if self.key_log {
            config.key_log = Arc::new(rustls::KeyLogFile::new());
        }
        Ok(Arc::new(config))
    }

    /// Who decides whether a server is the one that it says it is.
    fn verifier(&self, provider: &Provider) -> Result<Arc<dyn ServerCertVerifier>> {
        if self.trust_everybody {
            return Ok(Arc::new(TrustEverybody::new(provider)));
        }
        if self.roots.wants_platform() && self.revocation.is_none() {
            return platform_verifier(&self.roots, provider);
        }
        let roots = self.roots.store("revocation lists")?;
        let mut verifier =
            WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider.crypto()));
        if let Some(revocation) = &self.revocation {
            verifier = revocation.check_servers(verifier)?;
        }
        match verifier.build() {
            Ok(verifier) => Ok(verifier),
            Err(error) => Err(verifier_error(error)),
        }
    }
}

/// The verifier of the operating system, which also trusts the roots that were named.
#[cfg(feature = "platform-roots")]
fn platform_verifier(roots: &Roots, provider: &Provider) -> Result<Arc<dyn ServerCertVerifier>> {
    use rustls_platform_verifier::Verifier;

    let crypto = Arc::clone(provider.crypto());
    let verifier = Verifier::new_with_extra_roots(roots.named_certificates()?, crypto);
    Ok(Arc::new(verifier.map_err(ConfigError::PlatformRoots)?))
}

/// Nobody can ask for it.
#[cfg(not(feature = "platform-roots"))]
fn platform_verifier(_: &Roots, _: &Provider) -> Result<Arc<dyn ServerCertVerifier>> {
    Err(ConfigError::NoRoots)
}

/// For as many servers as rustls remembers by default.
const DEFAULT_SESSIONS: usize = 256;
