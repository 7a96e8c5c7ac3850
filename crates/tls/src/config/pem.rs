//! PEM: certificates, private keys and revocation lists out of files or bytes, with errors that say where.

use std::fs;
use std::path::PathBuf;

use rustls::pki_types::pem::{self, PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use super::error::{ConfigError, Origin, Result};

/// A piece of PEM that is read when a configuration is built, and again when it is reloaded.
#[derive(Clone)]
pub(super) enum Source {
    /// A file, read anew each time.
    File(PathBuf),
    /// Bytes that the program gave.
    Bytes(Vec<u8>),
}

impl Source {
    /// Where it comes from, for errors.
    pub(super) fn origin(&self) -> Origin {
        match self {
            Self::File(path) => Origin::file(path),
            Self::Bytes(_) => Origin::Bytes,
        }
    }

    /// Every certificate in it, in the order of the file; at least one.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>> {
        let found = self.sections(&self.read()?, SectionKind::Certificate)?;
        if found.is_empty() {
            return Err(ConfigError::NoCertificate(self.origin()));
        }
        Ok(found.into_iter().map(CertificateDer::from).collect())
    }

    /// Every revocation list in it; at least one.
    pub(super) fn revocation_lists(&self) -> Result<Vec<CertificateRevocationListDer<'static>>> {
        let found = self.sections(&self.read()?, SectionKind::Crl)?;
        if found.is_empty() {
            return Err(ConfigError::NoRevocationList(self.origin()));
        }
        Ok(found.into_iter().map(CertificateRevocationListDer::from).collect())
    }

    /// The one private key in it.
    pub(super) fn private_key(&self) -> Result<PrivateKeyDer<'static>> {
        let text = self.read()?;
        // Looked for first: an encrypted PKCS#1 or SEC1 key has header lines that no reader of keys understands.
        if is_encrypted(&text) {
            return Err(ConfigError::EncryptedKey(self.origin()));
        }
        let mut keys = Vec::new();
        for section in PemObject::pem_slice_iter(&text) {
            let (kind, der): (SectionKind, Vec<u8>) = section.map_err(|e| self.bad(&e))?;
            keys.extend(PrivateKeyDer::from_pem(kind, der));
        }
        match keys.len() {
            0 => Err(ConfigError::NoKey(self.origin())),
            1 => Ok(keys.remove(0)),
            _ => Err(ConfigError::SeveralKeys(self.origin())),
        }
    }

    /// The sections of one kind.
    fn sections(&self, text: &[u8], wanted: SectionKind) -> Result<Vec<Vec<u8>>> {
        let mut found = Vec::new();
        for section in PemObject::pem_slice_iter(text) {
            let (kind, der): (SectionKind, Vec<u8>) = section.map_err(|e| self.bad(&e))?;
            if kind == wanted {
                found.push(der);
            }
        }
        Ok(found)
    }

    /// The text itself.
    fn read(&self) -> Result<Vec<u8>> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.clone()),
            Self::File(path) => {
                fs::read(path).map_err(|error| ConfigError::Read { path: path.clone(), error })
            }
        }
    }

    /// Damaged PEM.
    fn bad(&self, error: &pem::Error) -> ConfigError {
        // Its own words print lines as lists of numbers.
        let error = match error {
            pem::Error::MissingSectionEnd { end_marker } => {
                format!("there is no end of {}", String::from_utf8_lossy(end_marker))
            }
            pem::Error::IllegalSectionStart { line } => {
                format!("bad line {:?}", String::from_utf8_lossy(line))
            }
            other => other.to_string(),
        };
        ConfigError::BadPem { origin: self.origin(), error }
    }
}

/// Whether a private key in it is protected by a pass phrase, in the form of PKCS#8 or in the older one.
fn is_encrypted(text: &[u8]) -> bool {
    String::from_utf8_lossy(text).lines().any(|line| {
        let line = line.trim();
        line == "-----BEGIN ENCRYPTED PRIVATE KEY-----" || line == "Proc-Type: 4,ENCRYPTED"
    })
}
