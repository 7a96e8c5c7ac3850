//! Client authentication: whether a server asks its clients who they are.

use std::sync::Arc;

use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use super::error::Result;
use super::provider::Provider;
use super::revocation::{Revocation, verifier_error};
use super::roots::Roots;

/// Whether a server asks its clients for a certificate, and whose certificates it takes.
#[doc(alias = "verify_mode")]
#[derive(Debug, Clone, Default)]
pub struct ClientAuth {
    asked: Option<Asked>,
}

#[derive(Debug, Clone)]
struct Asked {
    roots: Roots,
    required: bool,
    revocation: Option<Revocation>,
}

impl ClientAuth {
    /// Clients are not asked. This is the default.
    pub fn none() -> Self {
        Self::default()
    }

    /// Clients are asked, and one without a certificate is served too; a bad certificate is refused.
    pub fn optional(roots: Roots) -> Self {
        Self::asked(roots, false)
    }

    /// Clients without a good certificate are refused.
    pub fn required(roots: Roots) -> Self {
        Self::asked(roots, true)
    }

    /// Refuses certificates that these lists call revoked.
    pub fn revocation(mut self, revocation: Revocation) -> Self {
        if let Some(asked) = &mut self.asked {
            asked.revocation = Some(revocation);
        }
        self
    }

    /// The verifier, if clients are asked.
    pub(super) fn verifier(
        &self,
        provider: &Provider,
    ) -> Result<Option<Arc<dyn ClientCertVerifier>>> {
        let Some(asked) = &self.asked else {
            return Ok(None);
        };
        let roots = asked.roots.store("client certificates")?;
        let mut verifier =
            WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider.crypto()));
        if let Some(revocation) = &asked.revocation {
            verifier = revocation.check_clients(verifier)?;
        }
        if !asked.required {
            verifier = verifier.allow_unauthenticated();
        }
        verifier.build().map(Some).map_err(verifier_error)
    }

    fn asked(roots: Roots, required: bool) -> Self {
        Self { asked: Some(Asked { roots, required, revocation: None }) }
    }
}
