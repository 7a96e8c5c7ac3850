//! What configurations accept, refuse and do, shown by handshakes in memory.

use std::fs;
use std::sync::Arc;

use rcgen::{
    CertificateParams, CertificateRevocationListParams, KeyIdMethod, KeyPair, PKCS_RSA_SHA256,
    RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::{CertificateError, HandshakeKind, ProtocolVersion};

use super::testing::{Authority, Folder, handshake};
use super::{
    ByName, ClientAuth, ConfigError, Identity, Origin, Provider, Resumption, Revocation, Roots,
    Versions, client, server,
};

/// The error of building a server with this identity.
fn refusal(identity: Identity) -> ConfigError {
    server(identity).build().map(drop).unwrap_err()
}

#[test]
fn files_and_bytes_make_a_server_that_a_client_trusts() {
    let (ca, folder) = (Authority::new(), Folder::new());
    let issued = ca.issue(&["a.example"]);
    let chain = folder.write("chain.pem", &issued.certificate);
    let key = folder.write("key.pem", &issued.key);
    let both = folder.write("both.pem", &format!("{}{}", issued.key, issued.certificate));
    let client = client(Roots::pem_file(folder.write("ca.pem", &ca.pem()))).build().unwrap();
    for identity in
        [Identity::pem_files(&chain, &key), Identity::pem_file(&both), issued.identity()]
    {
        let server = server(identity).build().unwrap();
        let pair = handshake(&client, &server, "a.example").unwrap();
        assert_eq!(pair.client.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    }
}

#[test]
fn every_form_of_key_is_understood() {
    let ca = Authority::new();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["a.example".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &ca.0).unwrap().pem();
    // PKCS#8 is what rcgen writes; the older forms are inside it.
    let sec1 = octets_of(key.serialized_der());
    server(Identity::pem(certificate.clone(), pem("EC PRIVATE KEY", sec1))).build().unwrap();
    server(Identity::pem(certificate, key.serialize_pem())).build().unwrap();

    let rsa = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let params = CertificateParams::new(["a.example".to_owned()]).unwrap();
    let certificate = params.signed_by(&rsa, &ca.0).unwrap().pem();
    let pkcs1 = octets_of(rsa.serialized_der());
    server(Identity::pem(certificate, pem("RSA PRIVATE KEY", pkcs1))).build().unwrap();
}

#[test]
fn a_missing_file_is_named() {
    let folder = Folder::new();
    let (chain, key) = (folder.path("nowhere.pem"), folder.path("key.pem"));
    let error = refusal(Identity::pem_files(&chain, key));
    assert!(matches!(&error, ConfigError::Read { path, .. } if *path == chain));
    assert!(error.to_string().contains("nowhere.pem"), "{error}");
    let error = std::io::Error::from(error);
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn a_file_without_what_is_looked_for_is_named() {
    let (ca, folder) = (Authority::new(), Folder::new());
    let issued = ca.issue(&["a.example"]);
    let chain = folder.write("chain.pem", &issued.certificate);
    let key = folder.write("key.pem", &issued.key);
    let swapped = Identity::pem_files(&key, &chain);
    assert!(
        matches!(refusal(swapped), ConfigError::NoCertificate(Origin::File(path)) if path == key)
    );
    let no_key = Identity::pem_files(&chain, &chain);
    assert!(matches!(refusal(no_key), ConfigError::NoKey(Origin::File(path)) if path == chain));
    let empty = Identity::pem("", issued.key.clone());
    assert!(matches!(refusal(empty), ConfigError::NoCertificate(Origin::Bytes)));
    let two = Identity::pem(issued.certificate, issued.key.repeat(2));
    assert!(matches!(refusal(two), ConfigError::SeveralKeys(_)));
}

#[test]
fn damaged_pem_and_damaged_certificates_are_told_apart() {
    let ca = Authority::new();
    let issued = ca.issue(&["a.example"]);
    let cut = issued.certificate.replace("-----END CERTIFICATE-----", "");
    let error = refusal(Identity::pem(cut, issued.key.clone()));
    assert!(matches!(&error, ConfigError::BadPem { .. }), "{error}");
    assert!(error.to_string().contains("there is no end of CERTIFICATE"), "{error}");
    let nonsense = issued.certificate.clone() + &pem("CERTIFICATE", b"not a certificate");
    let error = refusal(Identity::pem(nonsense, issued.key));
    assert!(matches!(&error, ConfigError::BadCertificate { position: 2, .. }), "{error}");
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let ca = Authority::new();
    let (one, other) = (ca.issue(&["a.example"]), ca.issue(&["a.example"]));
    let error = refusal(Identity::pem(one.certificate, other.key));
    assert!(matches!(error, ConfigError::KeyMismatch { .. }), "{error}");
}

#[test]
fn a_chain_whose_first_certificate_is_not_that_of_the_key_is_told_its_order() {
    let ca = Authority::new();
    let issued = ca.issue(&["a.example"]);
    let error = refusal(Identity::pem(ca.pem() + &issued.certificate, issued.key));
    assert!(matches!(error, ConfigError::WrongOrder { position: 2, .. }), "{error}");
}

#[test]
fn an_encrypted_key_is_named_as_such() {
    let ca = Authority::new();
    let issued = ca.issue(&["a.example"]);
    let new = pem("ENCRYPTED PRIVATE KEY", b"secret");
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\
               \nAAAA\n-----END RSA PRIVATE KEY-----\n";
    for key in [new, old.to_owned()] {
        let error = refusal(Identity::pem(issued.certificate.clone(), key));
        assert!(matches!(error, ConfigError::EncryptedKey(_)), "{error}");
    }
}

#[test]
fn a_key_that_the_provider_cannot_use_is_refused() {
    let issued = Authority::new().issue(&["a.example"]);
    let key = pem("PRIVATE KEY", b"no key");
    let error = refusal(Identity::pem(issued.certificate, key));
    assert!(matches!(error, ConfigError::BadKey { .. }), "{error}");
}

#[test]
fn clients_are_asked_for_certificates_as_configured() {
    let (ca, staff, stranger) = (Authority::new(), Authority::new(), Authority::new());
    let identity = ca.issue(&["a.example"]).identity();
    let nobody = client(ca.roots()).build().unwrap();
    let named = |authority: &Authority| {
        let me = authority.issue(&["me.example"]).identity();
        client(ca.roots()).identity(me).build().unwrap()
    };
    let (known, unknown) = (named(&staff), named(&stranger));
    let build = |auth| server(identity.clone()).client_auth(auth).build().unwrap();
    let certificates = |config, server| {
        let pair = handshake(config, server, "a.example")?;
        Ok::<_, rustls::Error>(pair.server.peer_certificates().map_or(0, <[_]>::len))
    };

    let none = build(ClientAuth::none());
    assert_eq!(certificates(&known, &none), Ok(0));
    let optional = build(ClientAuth::optional(staff.roots()));
    assert_eq!(certificates(&nobody, &optional), Ok(0));
    assert_eq!(certificates(&known, &optional), Ok(1));
    assert!(certificates(&unknown, &optional).is_err());
    let required = build(ClientAuth::required(staff.roots()));
    assert_eq!(certificates(&known, &required), Ok(1));
    assert_eq!(certificates(&nobody, &required), Err(rustls::Error::NoCertificatesPresented));
    assert!(certificates(&unknown, &required).is_err());
}

#[test]
fn revoked_certificates_are_refused_on_both_sides() {
    let ca = Authority::new();
    let (good, bad) = (
        ca.issue_numbered(&["a.example"], 1).identity(),
        ca.issue_numbered(&["a.example"], 2).identity(),
    );
    let list = revocation_list(&ca, 2);
    let revoked = Err(CertificateError::Revoked.into());
    let outcome = |client, server| handshake(&client, &server, "a.example").map(drop);

    let careful = client(ca.roots()).revocation(Revocation::pem(list.clone())).build().unwrap();
    let serve = |identity: &Identity| server(identity.clone()).build().unwrap();
    assert_eq!(outcome(careful.clone(), serve(&good)), Ok(()));
    assert_eq!(outcome(careful, serve(&bad)), revoked);

    let auth = ClientAuth::required(ca.roots()).revocation(Revocation::pem(list));
    let careful = server(good.clone()).client_auth(auth).build().unwrap();
    let call = |identity: &Identity| client(ca.roots()).identity(identity.clone()).build().unwrap();
    assert_eq!(outcome(call(&good), careful.clone()), Ok(()));
    assert_eq!(outcome(call(&bad), careful), revoked);
}

#[test]
fn revocation_is_strict_unless_told_otherwise() {
    let (ca, other) = (Authority::new(), Authority::new());
    let server = server(ca.issue(&["a.example"]).identity()).build().unwrap();
    // A list of another authority says nothing about this certificate.
    let foreign = Revocation::pem(revocation_list(&other, 2));
    let outcome = |revocation| {
        let client = client(ca.roots()).revocation(revocation).build().unwrap();
        handshake(&client, &server, "a.example").map(drop)
    };
    assert_eq!(outcome(foreign.clone()), Err(CertificateError::UnknownRevocationStatus.into()));
    assert_eq!(outcome(foreign.allow_unknown()), Ok(()));
    // The list ended long ago; that matters to whoever says so.
    let old = Revocation::pem(revocation_list(&ca, 2));
    assert_eq!(outcome(old.clone()), Ok(()));
    assert!(outcome(old.enforce_expiration()).is_err());

    let error = client(ca.roots()).revocation(Revocation::pem(ca.pem())).build().unwrap_err();
    assert!(matches!(error, ConfigError::NoRevocationList(_)), "{error}");
}

#[test]
fn roots_must_be_there_and_be_certificates() {
    let error = client(Roots::default()).build().unwrap_err();
    assert!(matches!(error, ConfigError::NoRoots), "{error}");
    let error = client(Roots::pem(pem("CERTIFICATE", b"nonsense"))).build().unwrap_err();
    assert!(matches!(error, ConfigError::BadCertificate { position: 1, .. }), "{error}");
}

#[test]
fn roots_of_several_places_are_trusted_together() {
    let (one, two) = (Authority::new(), Authority::new());
    let client = client(one.roots().and(two.roots())).build().unwrap();
    for ca in [one, two] {
        let server = server(ca.issue(&["a.example"]).identity()).build().unwrap();
        handshake(&client, &server, "a.example").unwrap();
    }
}

#[cfg(feature = "webpki-roots")]
#[test]
fn mozillas_roots_do_not_trust_a_throw_away_authority() {
    let ca = Authority::new();
    let server = server(ca.issue(&["a.example"]).identity()).build().unwrap();
    let strict = client(Roots::mozilla()).build().unwrap();
    assert!(handshake(&strict, &server, "a.example").is_err());
    let both = client(Roots::mozilla().and(ca.roots())).build().unwrap();
    handshake(&both, &server, "a.example").unwrap();
}

#[cfg(feature = "platform-roots")]
#[test]
fn roots_of_the_platform_take_more_roots_and_no_revocation_lists() {
    let ca = Authority::new();
    let server = server(ca.issue(&["a.example"]).identity()).build().unwrap();
    let both = Roots::platform().and(ca.roots());
    let config = client(both.clone()).build().unwrap();
    handshake(&config, &server, "a.example").unwrap();
    let error =
        client(both).revocation(Revocation::pem(revocation_list(&ca, 2))).build().unwrap_err();
    assert!(matches!(error, ConfigError::PlatformRootsFor(_)), "{error}");
    let error = super::server(ca.issue(&["a.example"]).identity())
        .client_auth(ClientAuth::required(Roots::platform()))
        .build()
        .unwrap_err();
    assert!(matches!(error, ConfigError::PlatformRootsFor(_)), "{error}");
}

#[test]
fn alpn_agrees_refuses_and_is_checked() {
    let ca = Authority::new();
    let identity = ca.issue(&["a.example"]).identity();
    let server = server(identity).alpn(["h2", "http/1.1"]);
    let config = server.clone().build().unwrap();
    let agree = |offer: &[&str]| {
        let client = client(ca.roots()).alpn(offer).build().unwrap();
        let pair = handshake(&client, &config, "a.example")?;
        Ok::<_, rustls::Error>(pair.client.alpn_protocol().map(<[u8]>::to_vec))
    };
    assert_eq!(agree(&["http/1.1", "h2"]), Ok(Some(b"h2".to_vec())));
    assert_eq!(agree(&[]), Ok(None));
    assert_eq!(agree(&["smtp"]), Err(rustls::Error::NoApplicationProtocol));
    for bad in [String::new(), "x".repeat(256)] {
        let error = server.clone().alpn([bad]).build().unwrap_err();
        assert!(matches!(error, ConfigError::AlpnName(_)), "{error}");
    }
}

#[test]
fn versions_are_chosen() {
    let ca = Authority::new();
    let identity = ca.issue(&["a.example"]).identity();
    let speak = |ours, theirs| {
        let server = server(identity.clone()).versions(ours).build().unwrap();
        let client = client(ca.roots()).versions(theirs).build().unwrap();
        let pair = handshake(&client, &server, "a.example").ok()?;
        pair.server.protocol_version()
    };
    let (both, v12, v13) = (Versions::Tls12AndTls13, Versions::Tls12, Versions::Tls13);
    assert_eq!(speak(both, both), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(speak(both, v12), Some(ProtocolVersion::TLSv1_2));
    assert_eq!(speak(v12, both), Some(ProtocolVersion::TLSv1_2));
    assert_eq!(speak(v13, v12), None);
}

#[test]
fn the_certificate_is_chosen_by_name() {
    let ca = Authority::new();
    let exact = ca.issue_numbered(&["www.example.org", "*.example.org"], 1);
    let wild = ca.issue_numbered(&["*.example.org"], 2);
    let other = ca.issue_numbered(&["other.example"], 3);
    let names = ByName::new()
        .name("WWW.example.org.", exact.identity())
        .name("*.example.org", wild.identity());
    let shown = |config: &Arc<rustls::ServerConfig>, name: &str| {
        let client = client(ca.roots()).dangerous().trust_everybody().build().unwrap();
        let pair = handshake(&client, config, name)?;
        let certificate = pair.client.peer_certificates().unwrap()[0].clone();
        Ok::<_, rustls::Error>(certificate)
    };
    let der = |issued: &super::testing::Issued| {
        use rustls::pki_types::CertificateDer;
        use rustls::pki_types::pem::PemObject;
        Ok(CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap())
    };

    let strict = server(names.clone()).build().unwrap();
    assert_eq!(shown(&strict, "www.example.org"), der(&exact));
    assert_eq!(shown(&strict, "mail.EXAMPLE.org"), der(&wild));
    for unknown in ["example.org", "a.b.example.org", "127.0.0.1"] {
        assert!(shown(&strict, unknown).is_err(), "{unknown}");
    }
    let open = server(names.otherwise(other.identity())).build().unwrap();
    assert_eq!(shown(&open, "www.example.org"), der(&exact));
    assert_eq!(shown(&open, "example.org"), der(&other));
    assert_eq!(shown(&open, "127.0.0.1"), der(&other));
}

#[test]
fn names_are_checked_when_the_configuration_is_built() {
    let ca = Authority::new();
    let identity = || ca.issue(&["a.example"]).identity();
    let error = |names: ByName| server(names).build().unwrap_err();
    assert!(matches!(error(ByName::new()), ConfigError::NoNames));
    let twice = ByName::new().name("a.example", identity()).name("A.example.", identity());
    assert!(matches!(error(twice), ConfigError::NameTwice(_)));
    for bad in ["", "a b", "*", "a.*.example", "*.*.example", "10.0.0.1/8"] {
        let error = error(ByName::new().name(bad, identity()));
        assert!(matches!(error, ConfigError::BadName(_)), "{bad}: {error}");
    }
    for foreign in ["b.example", "*.example"] {
        let error = error(ByName::new().name(foreign, identity()));
        assert!(matches!(error, ConfigError::NameNotCovered { .. }), "{foreign}: {error}");
    }
}

#[test]
fn certificates_are_reloaded_and_a_bad_replacement_keeps_the_old_ones() {
    let (ca, folder) = (Authority::new(), Folder::new());
    let (old, new) = (ca.issue(&["a.example"]), ca.issue(&["a.example"]));
    let both = |issued: &super::testing::Issued| format!("{}{}", issued.certificate, issued.key);
    let file = folder.write("both.pem", &both(&old));
    let (config, certificates) = server(Identity::pem_file(&file)).build_reloading().unwrap();
    // Without sessions, so that each handshake shows a certificate.
    let client = client(ca.roots()).sessions(0).build().unwrap();
    let shown = || {
        let pair = handshake(&client, &config, "a.example").unwrap();
        pair.client.peer_certificates().unwrap()[0].clone()
    };

    let before = shown();
    for bad in ["", &old.certificate, &(new.certificate.clone() + &old.key)] {
        fs::write(&file, bad).unwrap();
        let error = certificates.reload().unwrap_err();
        assert!(error.to_string().contains("both.pem"), "{error}");
        assert_eq!(shown(), before);
    }
    fs::remove_file(&file).unwrap();
    assert!(matches!(certificates.reload(), Err(ConfigError::Read { .. })));
    assert_eq!(shown(), before);

    fs::write(&file, both(&new)).unwrap();
    // From another thread, as a worker that reads files would.
    let handle = certificates.clone();
    std::thread::spawn(move || handle.reload().unwrap()).join().unwrap();
    assert_ne!(shown(), before);
}

#[test]
fn sessions_are_resumed_as_configured() {
    let ca = Authority::new();
    let identity = ca.issue(&["a.example"]).identity();
    let second = |resumption, versions, sessions| {
        let server = server(identity.clone()).resumption(resumption).build().unwrap();
        let client = client(ca.roots()).versions(versions).sessions(sessions).build().unwrap();
        // Two threads share one configuration, as two loops would.
        let there = (Arc::clone(&client), Arc::clone(&server));
        std::thread::spawn(move || handshake(&there.0, &there.1, "a.example").map(drop))
            .join()
            .unwrap()
            .unwrap();
        let pair = handshake(&client, &server, "a.example").unwrap();
        pair.server.handshake_kind().unwrap()
    };
    for versions in [Versions::Tls12, Versions::Tls13] {
        for resumption in [Resumption::Tickets, Resumption::Memory(8)] {
            assert_eq!(second(resumption, versions, 8), HandshakeKind::Resumed);
            assert_eq!(second(resumption, versions, 0), HandshakeKind::Full);
        }
        assert_eq!(second(Resumption::Off, versions, 8), HandshakeKind::Full);
    }
}

#[test]
fn a_provider_without_tickets_keeps_sessions_in_memory() {
    let ca = Authority::new();
    let identity = ca.issue(&["a.example"]).identity();
    let bare = Provider::from(Arc::clone(Provider::compiled_in().unwrap().crypto()));
    let config = server(identity.clone()).provider(bare.clone()).build().unwrap();
    let client = client(ca.roots()).provider(bare.clone()).build().unwrap();
    handshake(&client, &config, "a.example").unwrap();
    let pair = handshake(&client, &config, "a.example").unwrap();
    assert_eq!(pair.server.handshake_kind(), Some(HandshakeKind::Resumed));
    let error =
        server(identity).provider(bare).resumption(Resumption::Tickets).build().unwrap_err();
    assert!(matches!(error, ConfigError::NoTickets), "{error}");
}

#[cfg(all(feature = "ring", feature = "aws-lc-rs"))]
#[test]
fn both_providers_talk_to_each_other_in_one_program() {
    let ca = Authority::new();
    let identity = ca.issue(&["a.example"]).identity();
    for (ours, theirs) in
        [(Provider::ring(), Provider::aws_lc_rs()), (Provider::aws_lc_rs(), Provider::ring())]
    {
        let server = server(identity.clone()).provider(ours).build().unwrap();
        let client = client(ca.roots()).provider(theirs).build().unwrap();
        handshake(&client, &server, "a.example").unwrap();
    }
}

#[test]
fn a_provider_without_suites_of_a_version_is_refused() {
    let identity = Authority::new().issue(&["a.example"]).identity();
    let provider = Provider::compiled_in().unwrap();
    let mut crypto = (**provider.crypto()).clone();
    crypto.cipher_suites.retain(|suite| suite.version().version == ProtocolVersion::TLSv1_2);
    let error =
        server(identity).provider(Arc::new(crypto)).versions(Versions::Tls13).build().unwrap_err();
    assert!(matches!(error, ConfigError::Versions(_)), "{error}");
}

#[test]
fn whoever_is_not_told_otherwise_checks_who_the_server_is() {
    let (ca, stranger) = (Authority::new(), Authority::new());
    let server = server(ca.issue(&["a.example"]).identity()).build().unwrap();
    let client = client(stranger.roots());
    let strict = client.clone().build().unwrap();
    assert_eq!(
        handshake(&strict, &server, "a.example").map(drop),
        Err(CertificateError::UnknownIssuer.into())
    );
    let blind = client.dangerous().trust_everybody().build().unwrap();
    handshake(&blind, &server, "anything.example").unwrap();
    // The server's name is part of it.
    let named = super::client(ca.roots()).build().unwrap();
    assert!(matches!(
        handshake(&named, &server, "b.example").map(drop),
        Err(rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext { .. }))
    ));
}

#[test]
fn no_name_is_sent_when_told_so() {
    let ca = Authority::new();
    let server = server(ca.issue(&["a.example"]).identity()).build().unwrap();
    let name = |send| {
        let client = client(ca.roots()).send_name(send).build().unwrap();
        let pair = handshake(&client, &server, "a.example").unwrap();
        pair.server.server_name().map(str::to_owned)
    };
    assert_eq!(name(true).as_deref(), Some("a.example"));
    assert_eq!(name(false), None);
}

#[test]
fn keys_are_logged_only_when_asked_for() {
    let ca = Authority::new();
    let quiet = server(ca.issue(&["a.example"]).identity());
    let config = quiet.clone().build().unwrap();
    assert!(!config.key_log.will_log("CLIENT_RANDOM"));
    assert!(format!("{:?}", config.key_log).contains("NoKeyLog"));
    let config = quiet.dangerous().key_log().build().unwrap();
    assert!(format!("{:?}", config.key_log).contains("KeyLogFile"));
    let config = client(ca.roots()).build().unwrap();
    assert!(format!("{:?}", config.key_log).contains("NoKeyLog"));
    let config = client(ca.roots()).dangerous().key_log().build().unwrap();
    assert!(format!("{:?}", config.key_log).contains("KeyLogFile"));
}

#[test]
fn a_key_is_never_shown() {
    let issued = Authority::new().issue(&["a.example"]);
    let shown = format!("{:?}", server(issued.identity()));
    let secret = issued.key.lines().nth(1).unwrap();
    assert!(!shown.contains(secret), "{shown}");
    assert!(!shown.contains("PRIVATE"), "{shown}");
}

/// A list that revokes one certificate, and whose renewal is long overdue.
fn revocation_list(ca: &Authority, serial: u64) -> String {
    CertificateRevocationListParams {
        this_update: date_time_ymd(2020, 1, 1),
        next_update: date_time_ymd(2020, 2, 1),
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: vec![RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        }],
        key_identifier_method: KeyIdMethod::Sha256,
    }
    .signed_by(&ca.0)
    .unwrap()
    .pem()
    .unwrap()
}

/// PEM with this label.
fn pem(label: &str, der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut body = String::new();
    for (index, three) in der.chunks(3).enumerate() {
        let mut bits = [0; 3];
        bits[..three.len()].copy_from_slice(three);
        let all = u32::from_be_bytes([0, bits[0], bits[1], bits[2]]);
        for place in 0..4 {
            let digit = (all >> (18 - 6 * place)) & 63;
            let padding = place > three.len();
            body.push(if padding { '=' } else { char::from(DIGITS[digit as usize]) });
        }
        if index % 16 == 15 {
            body.push('\n');
        }
    }
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", body.trim_end())
}

/// What is inside the octet string at the end of a key in PKCS#8.
fn octets_of(pkcs8: &[u8]) -> &[u8] {
    // SEQUENCE { INTEGER 0, SEQUENCE algorithm, OCTET STRING key, .. }
    let (_, body) = element(pkcs8);
    let (version, _) = split(body);
    let (algorithm, _) = split(&body[version..]);
    element(&body[version + algorithm..]).1
}

/// The tag and the content of the first element.
fn element(der: &[u8]) -> (u8, &[u8]) {
    let (whole, header) = split(der);
    (der[0], &der[header..whole])
}

/// How long the first element is, and its header.
fn split(der: &[u8]) -> (usize, usize) {
    let first = usize::from(der[1]);
    if first < 128 {
        return (2 + first, 2);
    }
    let digits = first - 128;
    let length = der[2..2 + digits].iter().fold(0, |sum, &digit| sum * 256 + usize::from(digit));
    (2 + digits + length, 2 + digits)
}
