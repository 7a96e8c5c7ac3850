//! [`Authority`]: a certificate authority for one test, and the configurations of those who trust it.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
};
use wharf::tls::rustls;
use wharf::tls::{ClientConfig, ServerConfig};

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, SupportedProtocolVersion};

/// The versions a configuration is for.
pub(crate) const BOTH: &[&SupportedProtocolVersion] =
    &[&rustls::version::TLS13, &rustls::version::TLS12];
pub(crate) const TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
pub(crate) const TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// The name that every server certificate here bears.
pub(crate) const NAME: &str = "wharf.test";

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A certificate, its chain, and its key.
pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Identity {
    /// A certificate that nobody has issued.
    pub(crate) fn self_signed(name: &str) -> Self {
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a good name");
        let key = KeyPair::generate().expect("a key can be made");
        Self::of(&params.self_signed(&key).expect("a certificate can be made"), &key)
    }

    fn of(certificate: &rcgen::Certificate, key: &KeyPair) -> Self {
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Self { chain: vec![certificate.der().clone()], key: key.into() }
    }
}

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are good names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key can be made");
        // Two authorities are not to be mistaken for each other.
        let name = format!("{:?}", key.public_key_raw());
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let certificate = params.self_signed(&key).expect("a certificate can be made");
        Self { certificate: certificate.der().clone(), issuer: Issuer::new(params, key) }
    }

    /// A certificate for `name`, after `change` has had its way with it.
    pub(crate) fn issue(
        &self,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Identity {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a good name");
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate can be made");
        Identity::of(&certificate, &key)
    }

    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("a good root");
        roots
    }

    /// A client that trusts this authority.
    pub(crate) fn rustls_client(
        &self,
        versions: &[&'static SupportedProtocolVersion],
    ) -> rustls::ClientConfig {
        rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .expect("the versions are supported")
            .with_root_certificates(self.roots())
            .with_no_client_auth()
    }

    /// A client that trusts this authority, but for the certificate that it has revoked under this number.
    pub(crate) fn rustls_client_revoking(&self, serial: u64) -> rustls::ClientConfig {
        let list = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2020, 1, 1),
            next_update: rcgen::date_time_ymd(2020, 2, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: SerialNumber::from(serial),
                revocation_time: rcgen::date_time_ymd(2020, 1, 1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer).expect("a list can be made").der().clone();
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(self.roots()), provider())
                .with_crls([list])
                .build()
                .expect("a good verifier");
        rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(BOTH)
            .expect("the versions are supported")
            .with_webpki_verifier(verifier)
            .with_no_client_auth()
    }

    /// A client that trusts this authority and shows `identity`.
    pub(crate) fn rustls_client_as(&self, identity: Identity) -> rustls::ClientConfig {
        rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(BOTH)
            .expect("the versions are supported")
            .with_root_certificates(self.roots())
            .with_client_auth_cert(identity.chain, identity.key)
            .expect("a good identity")
    }

    /// A server with `identity`.
    pub(crate) fn rustls_server_as(
        &self,
        identity: Identity,
        versions: &[&'static SupportedProtocolVersion],
    ) -> rustls::ServerConfig {
        rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .expect("the versions are supported")
            .with_no_client_auth()
            .with_single_cert(identity.chain, identity.key)
            .expect("a good identity")
    }

    /// A server with a certificate for [`NAME`].
    pub(crate) fn rustls_server(
        &self,
        versions: &[&'static SupportedProtocolVersion],
    ) -> rustls::ServerConfig {
        self.rustls_server_as(self.issue(NAME, |_| {}), versions)
    }

    /// A server that asks its clients for a certificate of this authority.
    pub(crate) fn rustls_server_asking(&self, required: bool) -> rustls::ServerConfig {
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()), provider());
        let verifier = if required { verifier } else { verifier.allow_unauthenticated() };
        let identity = self.issue(NAME, |_| {});
        rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(BOTH)
            .expect("the versions are supported")
            .with_client_cert_verifier(verifier.build().expect("a good verifier"))
            .with_single_cert(identity.chain, identity.key)
            .expect("a good identity")
    }

    pub(crate) fn client(&self) -> ClientConfig {
        ClientConfig::from(Arc::new(self.rustls_client(BOTH)))
    }

    pub(crate) fn server(&self) -> ServerConfig {
        ServerConfig::from(Arc::new(self.rustls_server(BOTH)))
    }
}
