//! Certificates that are read again while the server runs.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::by_name::Chosen;
use super::error::Result;
use super::provider::Provider;
use super::server::Certificates;

/// The certificates of a server, which [`reload`](Self::reload) reads again without a restart.
///
/// [`ServerBuilder::build_reloading`](super::ServerBuilder::build_reloading) makes one.
/// Clones are handles to the same certificates, and may be used from any thread.
#[derive(Clone)]
pub struct ReloadingCertificates {
    shared: Arc<Shared>,
}

struct Shared {
    description: Certificates,
    provider: Provider,
    /// Held for as long as cloning an `Arc` takes; handshakes read it, and nothing else does.
    current: RwLock<Arc<Chosen>>,
}

impl ReloadingCertificates {
    /// Reads the certificates for the first time.
    pub(super) fn new(description: Certificates, provider: Provider) -> Result<Self> {
        let current = description.load(&provider)?;
        Ok(Self {
            shared: Arc::new(Shared {
                description,
                provider,
                current: RwLock::new(Arc::new(current)),
            }),
        })
    }

    /// Reads and checks everything again, and shows it to clients from now on.
    ///
    /// Connections that are open go on with what they have, and sessions that are resumed show no certificate.
    /// It reads files, which takes a moment: a server that minds calls it in `spawn_blocking`, others in a timer or on a
    /// signal.
    ///
    /// # Errors
    ///
    /// What is wrong with the new ones; then the old ones stay, all of them.
    pub fn reload(&self) -> Result<()> {
        let fresh = Arc::new(self.shared.description.load(&self.shared.provider)?);
        *self.shared.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// The certificates of now.
    fn current(&self) -> Arc<Chosen> {
        Arc::clone(&self.shared.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ResolvesServerCert for ReloadingCertificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current().resolve(hello)
    }
}

impl fmt::Debug for ReloadingCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReloadingCertificates")
            .field("current", &self.current())
            .finish_non_exhaustive()
    }
}
