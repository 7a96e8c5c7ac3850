//! `openssl s_client` calls our server, and our client calls `openssl s_server`.

use std::process::Command;

use wharf::tls::TlsVersion;
use wharf::tls::config::{ClientAuth, Roots, Versions, client, server};

use crate::peer::{Ends, call};
use crate::served::{Begin, Fact, Served};
use crate::tools::{Output, Papers, Program, is_there, run};

fn openssl() -> bool {
    is_there("openssl", &["version"])
}

/// Calls `served`, says hello and bye.
fn s_client(papers: &Papers, served: &Served, more: &[&str]) -> Output {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &served.address, "-CAfile", &papers.arg("ca.pem")]);
    command.args(["-brief", "-ign_eof", "-verify_return_error"]).args(more);
    run(command, "say hello\nbye\n")
}

fn version(name: &str) -> (TlsVersion, &'static str) {
    match name {
        "-tls1_2" => (TlsVersion::Tls12, "TLSv1.2"),
        _ => (TlsVersion::Tls13, "TLSv1.3"),
    }
}

const BOTH: [&str; 2] = ["-tls1_2", "-tls1_3"];

#[test]
fn openssl_calls_in_both_versions_and_ends_in_order() {
    if !openssl() {
        return;
    }
    let papers = Papers::new();
    let config = server(papers.identity("localhost")).build().unwrap();
    let served = Served::start(config, Begin::WithTls);
    for flag in BOTH {
        let (ours, theirs) = version(flag);
        let output = s_client(&papers, &served, &[flag, "-servername", "localhost"]);
        assert!(output.success, "{}", output.text);
        output.has(&["say hello", theirs, "Verification: OK"]);
        let facts = served.made();
        assert_eq!((facts.version, facts.name.as_deref()), (Some(ours), Some("localhost")));
        assert_eq!(served.lost(), "closed by us");
    }
}

#[test]
fn openssl_agrees_on_a_protocol_or_is_refused() {
    if !openssl() {
        return;
    }
    let papers = Papers::new();
    let config = server(papers.identity("localhost")).alpn(["x/2", "x/1"]).build().unwrap();
    let served = Served::start(config, Begin::WithTls);
    for flag in BOTH {
        s_client(&papers, &served, &[flag, "-alpn", "x/1,x/2"]).has(&["say hello"]);
        assert_eq!(served.made().alpn.as_deref(), Some("x/2"));
        served.lost();
        let output = s_client(&papers, &served, &[flag, "-alpn", "y"]);
        assert!(!output.success);
        output.has(&["no application protocol"]);
        assert!(matches!(served.fact(), Fact::Failed(_)));
    }
}

#[test]
fn openssl_resumes_its_session() {
    if !openssl() {
        return;
    }
    let papers = Papers::new();
    let config = server(papers.identity("localhost")).build().unwrap();
    let served = Served::start(config, Begin::WithTls);
    for flag in BOTH {
        let session = papers.arg(&format!("session{flag}"));
        for (option, resumed) in [("-sess_out", false), ("-sess_in", true)] {
            s_client(&papers, &served, &[flag, option, &session]).has(&["say hello"]);
            assert_eq!(served.made().resumed, resumed, "{flag} {option}");
            served.lost();
        }
    }
}

#[test]
fn openssl_shows_its_certificate_or_is_told_that_it_must() {
    if !openssl() {
        return;
    }
    let papers = Papers::new();
    let build = |auth| server(papers.identity("localhost")).client_auth(auth).build().unwrap();
    let ours = || Roots::pem_file(papers.path("ca.pem"));
    let optional = Served::start(build(ClientAuth::optional(ours())), Begin::WithTls);
    let required = Served::start(build(ClientAuth::required(ours())), Begin::WithTls);
    let (certificate, key) = (papers.arg("me.example.crt"), papers.arg("me.example.key"));
    for flag in BOTH {
        for served in [&optional, &required] {
            let output = s_client(&papers, served, &[flag, "-cert", &certificate, "-key", &key]);
            output.has(&["say hello"]);
            assert!(served.made().certified);
            served.lost();
        }
        s_client(&papers, &optional, &[flag]).has(&["say hello"]);
        assert!(!optional.made().certified);
        optional.lost();
        let output = s_client(&papers, &required, &[flag]);
        assert!(!output.success);
        output.has(&["alert"]);
        let Fact::Failed(why) = required.fact() else { panic!("it was served") };
        assert!(why.contains("no certificates"), "{why}");
    }
}

#[test]
fn openssl_starts_tls_on_a_plain_connection() {
    if !openssl() {
        return;
    }
    let papers = Papers::new();
    let config = server(papers.identity("localhost")).build().unwrap();
    let served = Served::start(config, Begin::WithStartTls);
    for flag in BOTH {
        let output = s_client(&papers, &served, &[flag, "-starttls", "smtp"]);
        output.has(&["say hello", "Verification: OK"]);
        assert_eq!(served.made().version, Some(version(flag).0));
        assert_eq!(served.lost(), "closed by us");
    }
}

#[test]
fn openssl_is_told_by_an_alert_that_there_is_no_version_in_common() {
    if !openssl() {
        return;
    }
    let papers = Papers::new();
    let config = server(papers.identity("localhost")).versions(Versions::Tls13).build().unwrap();
    let served = Served::start(config, Begin::WithTls);
    let output = s_client(&papers, &served, &["-tls1_2"]);
    assert!(!output.success);
    output.has(&["alert protocol version"]);
    assert!(matches!(served.fact(), Fact::Failed(_)));
}

#[test]
fn openssl_changes_its_keys_and_asks_for_ours() {
    if !openssl() {
        return;
    }
    let papers = Papers::new();
    let config = server(papers.identity("localhost")).build().unwrap();
    let served = Served::start(config, Begin::WithTls);
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &served.address, "-CAfile", &papers.arg("ca.pem")]);
    // Without -ign_eof a line `K` changes both keys, and `k` one.
    let mut program = Program::start(command, "");
    for (line, answer) in [
        ("say one\n", "say one\n"),
        ("K\n", "KEYUPDATE\n"),
        ("say two\n", "say two\n"),
        ("k\n", "KEYUPDATE\n"),
        ("say three\n", "say three\n"),
    ] {
        program.type_in(line);
        program.until(answer);
    }
    program.type_in("bye\n");
    assert!(program.end().success);
    served.made();
    assert_eq!(served.lost(), "closed by us");
}

/// A server that sends lines back reversed.
fn s_server(papers: &Papers, more: &[&str]) -> (Program, String) {
    let mut command = Command::new("openssl");
    command.args(["s_server", "-accept", "127.0.0.1:0", "-rev", "-CAfile", &papers.arg("ca.pem")]);
    command.args(["-cert", &papers.arg("localhost.crt"), "-key", &papers.arg("localhost.key")]);
    command.args(more);
    let mut program = Program::start(command, "");
    let address = program.line("ACCEPT ");
    (program, address)
}

#[test]
fn we_call_openssl_in_both_versions() {
    if !openssl() {
        return;
    }
    let papers = Papers::new();
    let us = client(papers.authority.roots()).alpn(["x/1"]).build().unwrap();
    for flag in BOTH {
        let (_program, address) = s_server(&papers, &[flag, "-alpn", "x/1"]);
        let talk = call(us.clone(), &address, "localhost", "abc\n", "cba", Ends::We).unwrap();
        assert_eq!(talk.facts.version, Some(version(flag).0));
        assert_eq!(talk.facts.alpn.as_deref(), Some("x/1"));
        assert_eq!(talk.lost, "closed by us");
    }
}

#[test]
fn we_resume_a_session_with_openssl() {
    if !openssl() {
        return;
    }
    let papers = Papers::new();
    let us = client(papers.authority.roots()).build().unwrap();
    for flag in BOTH {
        let (_program, address) = s_server(&papers, &[flag]);
        for resumed in [false, true] {
            let talk = call(us.clone(), &address, "localhost", "abc\n", "cba", Ends::We).unwrap();
            assert_eq!(talk.facts.resumed, resumed, "{flag}");
        }
    }
}

#[test]
fn we_show_openssl_our_certificate() {
    if !openssl() {
        return;
    }
    let papers = Papers::new();
    let us = client(papers.authority.roots());
    let known = us.clone().identity(papers.identity("me.example")).build().unwrap();
    let nobody = us.build().unwrap();
    for flag in BOTH {
        let (_program, address) = s_server(&papers, &[flag, "-Verify", "1"]);
        call(known.clone(), &address, "localhost", "abc\n", "cba", Ends::We).unwrap();
        // By 1.3 the client is through before the server has looked at it.
        let refused = call(nobody.clone(), &address, "localhost", "abc\n", "cba", Ends::We);
        let why = refused.map_or_else(|error| error.to_string(), |talk| talk.lost);
        assert!(why.contains("alert"), "{flag}: {why}");
    }
}

#[test]
fn openssl_hears_by_an_alert_what_we_think_of_its_certificate() {
    if !openssl() {
        return;
    }
    let (papers, others) = (Papers::new(), Papers::new());
    let cases = [
        (papers.authority.roots(), "other.example", "not valid for"),
        (others.authority.roots(), "localhost", "UnknownIssuer"),
    ];
    for flag in BOTH {
        for (roots, name, ours) in &cases {
            let us = client(roots.clone()).build().unwrap();
            let (mut program, address) = s_server(&papers, &[flag]);
            let error = call(us, &address, name, "", "", Ends::We).unwrap_err().to_string();
            assert!(error.contains(ours), "{error}");
            program.until("alert");
        }
    }
}
