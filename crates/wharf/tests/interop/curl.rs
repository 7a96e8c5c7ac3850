//! `curl` calls our server over HTTPS.

use std::process::Command;

use wharf::tls::TlsVersion;
use wharf::tls::config::{ClientAuth, Roots, server};

use crate::served::{Begin, Fact, Served};
use crate::tools::{Output, Papers, is_there, run};

fn curl(papers: &Papers, served: &Served, more: &[&str]) -> Output {
    let mut command = Command::new("curl");
    // `-q` first: the user's settings are left out.
    command.args(["-q", "-sS", "--noproxy", "*", "--cacert", &papers.arg("ca.pem")]).args(more);
    command.arg(format!("https://localhost:{}/", served.port()));
    command.args(["--resolve", &format!("localhost:{}:127.0.0.1", served.port())]);
    run(command, "")
}

#[test]
fn curl_gets_a_page_in_both_versions() {
    if !is_there("curl", &["--version"]) {
        return;
    }
    let papers = Papers::new();
    let config = server(papers.identity("localhost")).alpn(["http/1.1"]).build().unwrap();
    let served = Served::start(config, Begin::WithTls);
    for (flags, version) in [
        (&["--tlsv1.2", "--tls-max", "1.2"][..], TlsVersion::Tls12),
        (&["--tlsv1.3"], TlsVersion::Tls13),
    ] {
        let output = curl(&papers, &served, flags);
        assert_eq!((output.text.as_str(), output.success), ("hello\n", true));
        let facts = served.made();
        assert_eq!(facts.version, Some(version));
        assert_eq!(facts.alpn.as_deref(), Some("http/1.1"));
        assert_eq!(facts.name.as_deref(), Some("localhost"));
        served.lost();
    }
}

#[test]
fn curl_uses_a_connection_for_several_pages() {
    if !is_there("curl", &["--version"]) {
        return;
    }
    let papers = Papers::new();
    let config = server(papers.identity("localhost")).build().unwrap();
    let served = Served::start(config, Begin::WithTls);
    let again = format!("https://localhost:{}/again", served.port());
    let output = curl(&papers, &served, &["-w", "%{num_connects}\n", &again]);
    assert_eq!(output.text, "hello\n1\nhello\n0\n");
}

#[test]
fn curl_trusts_only_whom_it_is_told_and_says_so() {
    if !is_there("curl", &["--version"]) {
        return;
    }
    let (papers, others) = (Papers::new(), Papers::new());
    let config = server(papers.identity("localhost")).build().unwrap();
    let served = Served::start(config, Begin::WithTls);
    let output = curl(&others, &served, &[]);
    assert!(!output.success);
    output.has(&["certificate"]);
    // Its alert is what we hear.
    let Fact::Failed(why) = served.fact() else { panic!("it was served") };
    assert!(why.contains("alert"), "{why}");
}

#[test]
fn curl_shows_its_certificate_or_gets_nothing() {
    if !is_there("curl", &["--version"]) {
        return;
    }
    let papers = Papers::new();
    let auth = ClientAuth::required(Roots::pem_file(papers.path("ca.pem")));
    let config = server(papers.identity("localhost")).client_auth(auth).build().unwrap();
    let served = Served::start(config, Begin::WithTls);
    let (certificate, key) = (papers.arg("me.example.crt"), papers.arg("me.example.key"));
    let output = curl(&papers, &served, &["--cert", &certificate, "--key", &key]);
    assert_eq!(output.text, "hello\n");
    assert!(served.made().certified);
    served.lost();
    let output = curl(&papers, &served, &[]);
    assert!(!output.success);
    output.has(&["alert"]);
}
