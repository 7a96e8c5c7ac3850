//! A throw-away authority: certificates for examples and tests, made when they start and trusted by nobody else.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use wharf::tls::config::{Identity, Roots};

/// An authority that lives as long as the program, whose key is written nowhere.
pub struct Throwaway(CertifiedIssuer<'static, KeyPair>);

impl fmt::Debug for Throwaway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Throwaway")
    }
}

impl Throwaway {
    /// A new one.
    ///
    /// # Errors
    ///
    /// When the system has no randomness.
    pub fn new() -> io::Result<Self> {
        let key = KeyPair::generate().map_err(io::Error::other)?;
        // Authorities are told apart by their names, so each has one of its own.
        let name = key.public_key_raw().iter().rev().take(4).map(|byte| format!("{byte:02x}"));
        let name = format!("wharf throw-away authority {}", name.collect::<String>());
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        CertifiedIssuer::self_signed(params, key).map(Self).map_err(io::Error::other)
    }

    /// A certificate for these names, which may be addresses, and its key.
    ///
    /// # Errors
    ///
    /// When a name is none.
    pub fn identity(&self, names: &[&str]) -> io::Result<Identity> {
        let (certificate, key) = self.issue(names)?;
        Ok(Identity::pem(certificate, key))
    }

    /// A certificate for these names and its key, both in PEM.
    ///
    /// # Errors
    ///
    /// When a name is none.
    pub fn issue(&self, names: &[&str]) -> io::Result<(String, String)> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).map_err(io::Error::other)?;
        params.distinguished_name.push(DnType::CommonName, "wharf throw-away certificate");
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let certificate = params.signed_by(&key, &self.0).map_err(io::Error::other)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    /// What a peer in the same program trusts.
    pub fn roots(&self) -> Roots {
        Roots::pem(self.pem())
    }

    /// The certificate of the authority in PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Writes the certificate of the authority to `path`, for peers in other programs.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn publish(&self, path: &Path) -> io::Result<()> {
        std::fs::write(path, self.pem())
    }
}

/// Where the certificate of the authority stands unless another place is given.
pub fn usual_place() -> PathBuf {
    std::env::temp_dir().join("wharf-throw-away-ca.pem")
}
