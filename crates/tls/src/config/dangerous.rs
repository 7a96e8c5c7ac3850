//! What is insecure, each behind a call that has "dangerous" in its name.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};

use super::client::ClientBuilder;
use super::error::Result;
use super::provider::Provider;
use super::server::ServerBuilder;

/// A client in the making, that can be told to do what is insecure.
#[derive(Debug, Clone)]
pub struct DangerousClientBuilder(pub(super) ClientBuilder);

impl DangerousClientBuilder {
    /// Takes every certificate of every server: anybody on the way can read and change everything.
    ///
    /// That the server holds the key of its certificate is still checked. The roots are not looked at.
    pub fn trust_everybody(mut self) -> Self {
        self.0.trust_everybody = true;
        self
    }

    /// Writes the keys of every connection to the file that `SSLKEYLOGFILE` names, if it is set.
    ///
    /// With them Wireshark shows what was said; so does anybody else who has the file.
    pub fn key_log(mut self) -> Self {
        self.0.key_log = true;
        self
    }

    /// Back to what is safe, for the rest.
    pub fn and(self) -> ClientBuilder {
        self.0
    }

    /// See [`ClientBuilder::build`].
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn build(self) -> Result<Arc<rustls::ClientConfig>> {
        self.0.build()
    }
}

/// A server in the making, that can be told to do what is insecure.
#[derive(Debug, Clone)]
pub struct DangerousServerBuilder(pub(super) ServerBuilder);

impl DangerousServerBuilder {
    /// Writes the keys of every connection to the file that `SSLKEYLOGFILE` names, if it is set.
    ///
    /// With them Wireshark shows what was said; so does anybody else who has the file.
    pub fn key_log(mut self) -> Self {
        self.0.key_log = true;
        self
    }

    /// Back to what is safe, for the rest.
    pub fn and(self) -> ServerBuilder {
        self.0
    }

    /// See [`ServerBuilder::build`].
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn build(self) -> Result<Arc<rustls::ServerConfig>> {
        self.0.build()
    }
}

/// Takes every certificate whose key signs the handshake.
#[derive(Debug)]
pub(super) struct TrustEverybody {
    algorithms: WebPkiSupportedAlgorithms,
}

impl TrustEverybody {
    /// With the signatures that the provider can check.
    pub(super) fn new(provider: &Provider) -> Self {
        Self { algorithms: provider.crypto().signature_verification_algorithms }
    }
}

impl ServerCertVerifier for TrustEverybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
