//! The configuration of a server, part by part.

use std::sync::Arc;

use rustls::server::{NoServerSessionStorage, ResolvesServerCert, ServerSessionMemoryCache};

use super::by_name::{ByName, Chosen};
use super::client_auth::ClientAuth;
use super::dangerous::DangerousServerBuilder;
use super::error::{ConfigError, Result};
use super::identity::Identity;
use super::provider::{Provider, Versions};
use super::reload::ReloadingCertificates;
use super::{alpn_names, check_alpn};

/// What a server shows: one identity, or one for each name.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Certificates {
    /// The same for everybody.
    One(Box<Identity>),
    /// By the name that the client asks for.
    ByName(ByName),
}

impl Certificates {
    /// Reads and checks them.
    pub(super) fn load(&self, provider: &Provider) -> Result<Chosen> {
        match self {
            Self::One(identity) => Ok(Chosen::always(identity.load(provider)?)),
            Self::ByName(names) => names.load(provider),
        }
    }
}

impl From<Identity> for Certificates {
    fn from(identity: Identity) -> Self {
        Self::One(Box::new(identity))
    }
}

impl From<ByName> for Certificates {
    fn from(names: ByName) -> Self {
        Self::ByName(names)
    }
}

/// How clients that come back are spared a full handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resumption {
    /// The client keeps the session, encrypted: nothing is kept here, for however many clients.
    ///
    /// Its keys live in the configuration and change every six hours; loops that share the configuration share them.
    Tickets,
    /// As many sessions are kept here, in memory, under a lock.
    Memory(usize),
    /// Every handshake is a full one.
    Off,
}

/// A server with these certificates; everything else has a default.
///
/// It speaks TLS 1.3 and 1.2, resumes by tickets, asks for no client certificate, and takes no early data.
#[doc(alias = "SSLContext")]
#[doc(alias = "create_default_context")]
pub fn server(certificates: impl Into<Certificates>) -> ServerBuilder {
    ServerBuilder {
        certificates: certificates.into(),
        client_auth: ClientAuth::none(),
        alpn: Vec::new(),
        versions: Versions::default(),
        resumption: None,
        provider: None,
        key_log: false,
    }
}

/// A configuration of a server in the making; see [`server`].
#[derive(Debug, Clone)]
pub struct ServerBuilder {
    certificates: Certificates,
    client_auth: ClientAuth,
    alpn: Vec<Vec<u8>>,
    versions: Versions,
    resumption: Option<Resumption>,
    provider: Option<Provider>,
    pub(super) key_log: bool,
}

impl ServerBuilder {
    /// Whether clients are asked who they are. They are not, by default.
    pub fn client_auth(mut self, client_auth: ClientAuth) -> Self {
        self.client_auth = client_auth;
        self
    }

    /// The protocols that are spoken on top (ALPN), the dearest first.
    ///
    /// A client that names protocols and shares none is refused; one that names none is served.
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

    /// How sessions are resumed: by tickets where the provider can make them, else from memory.
    pub fn resumption(mut self, resumption: Resumption) -> Self {
        self.resumption = Some(resumption);
        self
    }

    /// Who encrypts.
    pub fn provider(mut self, provider: impl Into<Provider>) -> Self {
        self.provider = Some(provider.into());
        self
    }

    /// What is insecure, and has its use when something is being debugged.
    pub fn dangerous(self) -> DangerousServerBuilder {
        DangerousServerBuilder(self)
    }

    /// Reads and checks everything.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with the name of its file.
    pub fn build(self) -> Result<Arc<rustls::ServerConfig>> {
        let provider = self.chosen_provider()?;
        let certificates = self.certificates.load(&provider)?;
        self.finish(&provider, Arc::new(certificates))
    }

    /// As [`build`](Self::build), with certificates that can be read again while the server runs.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with the name of its file.
    pub fn build_reloading(self) -> Result<(Arc<rustls::ServerConfig>, ReloadingCertificates)> {
        let provider = self.chosen_provider()?;
        let certificates = ReloadingCertificates::new(self.certificates.clone(), provider.clone())?;
        let config = self.finish(&provider, Arc::new(certificates.clone()))?;
        Ok((config, certificates))
    }

    fn chosen_provider(&self) -> Result<Provider> {
        self.provider.clone().map_or_else(Provider::compiled_in, Ok)
    }

    fn finish(
        self,
        provider: &Provider,
        certificates: Arc<dyn ResolvesServerCert>,
    ) -> Result<Arc<rustls::ServerConfig>> {
        check_alpn(&self.alpn)?;
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(provider.crypto()))
            .with_protocol_versions(&self.versions.supported())
            .map_err(ConfigError::Versions)?;
        let builder = match self.client_auth.verifier(provider)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(certificates);
        config.alpn_protocols = self.alpn;
        let by_default = if provider.has_tickets() {
            Resumption::Tickets
        } else {
            Resumption::Memory(DEFAULT_SESSIONS)
        };
        match self.resumption.unwrap_or(by_default) {
            Resumption::Tickets => {
                config.ticketer = provider.tickets()?;
                config.session_storage = Arc::new(NoServerSessionStorage {});
            }
            Resumption::Memory(sessions) => {
                config.session_storage = ServerSessionMemoryCache::new(sessions);
            }
            Resumption::Off => {
                config.session_storage = Arc::new(NoServerSessionStorage {});
                config.send_tls13_tickets = 0;
            }
        }
        if self.key_log {
            config.key_log = Arc::new(rustls::KeyLogFile::new());
        }
        Ok(Arc::new(config))
    }
}

/// As many sessions as rustls keeps by default.
const DEFAULT_SESSIONS: usize = 256;
