//! Revocation: lists of certificates that are no longer good, given by configuration.

use std::fmt;
use std::path::PathBuf;

use rustls::client::ServerCertVerifierBuilder;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::server::ClientCertVerifierBuilder;
use rustls::server::VerifierBuilderError;

use super::error::{ConfigError, Result};
use super::pem::Source;

/// Lists of revoked certificates, and how strictly they are followed.
///
/// It is strict unless told otherwise: every certificate of a chain must be covered by a list.
/// Nothing is fetched; whoever renews a list builds the configuration anew.
#[derive(Clone, Default)]
pub struct Revocation {
    lists: Vec<Source>,
    end_entity_only: bool,
    allow_unknown: bool,
    enforce_expiration: bool,
}

impl Revocation {
    /// Every list of a file in PEM.
    pub fn pem_file(path: impl Into<PathBuf>) -> Self {
        Self::of(Source::File(path.into()))
    }

    /// Every list of these bytes in PEM.
    pub fn pem(text: impl Into<Vec<u8>>) -> Self {
        Self::of(Source::Bytes(text.into()))
    }

    /// These lists, and others as well; each mildness that either has.
    pub fn and(mut self, others: Self) -> Self {
        self.lists.extend(others.lists);
        self.end_entity_only |= others.end_entity_only;
        self.allow_unknown |= others.allow_unknown;
        self.enforce_expiration |= others.enforce_expiration;
        self
    }

    /// Looks up the peer's own certificate only, and not those that lead from it to a root.
    pub fn end_entity_only(mut self) -> Self {
        self.end_entity_only = true;
        self
    }

    /// Takes a certificate that no list covers for good.
    pub fn allow_unknown(mut self) -> Self {
        self.allow_unknown = true;
        self
    }

    /// Refuses everybody once a list has passed its date of renewal. Otherwise an old list goes on to be followed.
    pub fn enforce_expiration(mut self) -> Self {
        self.enforce_expiration = true;
        self
    }

    /// Makes a verifier of servers follow the lists.
    pub(super) fn check_servers(
        &self,
        mut verifier: ServerCertVerifierBuilder,
    ) -> Result<ServerCertVerifierBuilder> {
        verifier = verifier.with_crls(self.read()?);
        if self.end_entity_only {
            verifier = verifier.only_check_end_entity_revocation();
        }
        if self.allow_unknown {
            verifier = verifier.allow_unknown_revocation_status();
        }
        if self.enforce_expiration {
            verifier = verifier.enforce_revocation_expiration();
        }
        Ok(verifier)
    }

    /// Makes a verifier of clients follow the lists.
    pub(super) fn check_clients(
        &self,
        mut verifier: ClientCertVerifierBuilder,
    ) -> Result<ClientCertVerifierBuilder> {
        verifier = verifier.with_crls(self.read()?);
        if self.end_entity_only {
            verifier = verifier.only_check_end_entity_revocation();
        }
        if self.allow_unknown {
            verifier = verifier.allow_unknown_revocation_status();
        }
        if self.enforce_expiration {
            verifier = verifier.enforce_revocation_expiration();
        }
        Ok(verifier)
    }

    fn of(source: Source) -> Self {
        Self { lists: vec![source], ..Self::default() }
    }

    fn read(&self) -> Result<Vec<CertificateRevocationListDer<'static>>> {
        let mut lists = Vec::new();
        for source in &self.lists {
            lists.extend(source.revocation_lists()?);
        }
        Ok(lists)
    }
}

/// What a verifier says that cannot be built.
pub(super) fn verifier_error(error: VerifierBuilderError) -> ConfigError {
    match error {
        VerifierBuilderError::NoRootAnchors => ConfigError::NoRoots,
        other => ConfigError::BadRevocationList(other.to_string()),
    }
}

impl fmt::Debug for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocation")
            .field("lists", &self.lists.len())
            .field("end_entity_only", &self.end_entity_only)
            .field("allow_unknown", &self.allow_unknown)
            .field("enforce_expiration", &self.enforce_expiration)
            .finish()
    }
}
