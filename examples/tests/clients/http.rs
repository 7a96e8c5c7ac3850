//! `curl` and `wrk` against the server of HTTP/1.1.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::{env, fs, process};

use crate::program::{Printed, Server, is_there, run};

/// Sixteen requests at once.
const PIPELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/pipeline.lua");

fn server() -> Server {
    Server::start(env!("CARGO_BIN_EXE_http"), &[])
}

/// Over TLS, with the file for the certificate to trust.
fn secure_server(name: &str) -> (Server, PathBuf) {
    let trust = env::temp_dir().join(format!("wharf-clients-{}-{name}.pem", process::id()));
    let path = trust.to_str().expect("the folder has a plain name");
    let server = Server::start(env!("CARGO_BIN_EXE_http"), &["--tls", path]);
    (server, trust)
}

/// Calls `curl`; `{}` in an argument stands for the server's address.
#[track_caller]
fn curl(server: &Server, args: &[&str], input: &[u8]) -> Printed {
    // `-q` first: the user's settings are left out.
    let mut all: Vec<String> = ["-q", "-sS", "--noproxy", "*"].map(str::to_owned).into();
    all.extend(args.iter().map(|arg| arg.replace("{}", &server.address)));
    run("curl", &all, input)
}

/// Bytes that are not all alike.
fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at % 251) as u8).collect()
}

#[test]
fn curl_gets_pages_over_one_connection() {
    if !is_there("curl") {
        return;
    }
    let server = server();
    let urls = ["-w", " %{http_code} %{num_connects}\n", "http://{}/plaintext", "http://{}/none"];
    let printed = curl(&server, &urls, b"");
    assert_eq!(printed.text(), "Hello, World! 200 1\n404 Not Found 404 0\n");
    let printed = curl(&server, &["http://{}/bytes/5000000"], b"");
    assert_eq!(printed.out.len(), 5_000_000);
    let printed = curl(&server, &["-I", "http://{}/bytes/5000000"], b"");
    assert!(printed.text().contains("\r\nContent-Length: 5000000\r\n"), "{}", printed.text());
    let printed = curl(&server, &["-0", "-i", "http://{}/plaintext"], b"");
    assert!(printed.text().contains("\r\nConnection: close\r\n"), "{}", printed.text());
}

#[test]
fn curl_gets_back_what_it_uploads_in_every_framing() {
    if !is_there("curl") {
        return;
    }
    let server = server();
    let body = bytes(3_000_000);
    let chunked = curl(&server, &["-v", "-T", "-", "http://{}/echo"], &body);
    assert!(chunked.out == body, "{} bytes came back", chunked.out.len());
    assert!(chunked.errors.contains("Transfer-Encoding: chunked"), "{}", chunked.errors);
    let expect = ["-v", "-H", "Expect: 100-continue", "--expect100-timeout", "30"];
    let sized = [&expect[..], &["--data-binary", "@-", "http://{}/echo"]].concat();
    let sized = curl(&server, &sized, &body);
    assert!(sized.out == body, "{} bytes came back", sized.out.len());
    assert!(sized.errors.contains("HTTP/1.1 100 Continue"), "{}", sized.errors);
    assert!(sized.errors.contains("Content-Length: 3000000"), "{}", sized.errors);
}

#[test]
fn curl_hears_why_it_is_refused() {
    if !is_there("curl") {
        return;
    }
    let server = server();
    let code = ["-o", "/dev/null", "-w", "%{http_code}"];
    let long = format!("A: {}", "b".repeat(20_000));
    let target = format!("http://{{}}/{}", "x".repeat(10_000));
    let cases: [(&[&str], &str); 5] = [
        (&["-H", &long, "http://{}/"], "431"),
        (&[&target], "414"),
        (&["-X", "BREW", "http://{}/"], "501"),
        (&["-X", "DELETE", "http://{}/echo"], "405"),
        (&["-H", "Host:", "http://{}/"], "400"),
    ];
    for (args, expected) in cases {
        let printed = curl(&server, &[&code[..], args].concat(), b"");
        assert_eq!(printed.text(), expected, "{:.60}", args.join(" "));
    }
    // The answer comes though the body, which is too large, is on its way.
    let length = "Content-Length: 99999999999";
    let args = ["-H", "Expect:", "-H", length, "--data-binary", "@-", "http://{}/echo"];
    let printed = curl(&server, &[&code[..], &args].concat(), &bytes(2_000_000));
    assert_eq!(printed.text(), "413");
}

#[test]
fn curl_does_the_same_over_tls() {
    if !is_there("curl") {
        return;
    }
    let (server, trust) = secure_server("curl");
    let trusts = ["--cacert", trust.to_str().unwrap(), "--http1.1"];
    let body = bytes(1_000_000);
    for version in [&["--tlsv1.2", "--tls-max", "1.2"][..], &["--tlsv1.3"]] {
        let args = [&trusts[..], version].concat();
        let printed = curl(&server, &[&args[..], &["https://{}/plaintext"]].concat(), b"");
        assert_eq!(printed.text(), "Hello, World!");
        let printed = curl(&server, &[&args[..], &["-T", "-", "https://{}/echo"]].concat(), &body);
        assert!(printed.out == body, "{} bytes came back, {version:?}", printed.out.len());
        let args = [&args[..], &["-w", "%{http_code}", "-X", "BREW", "https://{}/"]].concat();
        assert_eq!(curl(&server, &args, b"").text(), "501 Not Implemented501");
    }
    let _ = fs::remove_file(trust);
}

/// What `wrk` says of a second.
#[track_caller]
fn wrk(args: &[&str]) {
    let printed = run("wrk", &[&["-t", "1", "-c", "16", "-d", "1"], args].concat(), b"").text();
    for trouble in ["Non-2xx", "Socket errors", "\n  0 requests"] {
        assert!(!printed.contains(trouble), "{printed}");
    }
    assert!(printed.contains("requests in"), "{printed}");
}

#[test]
fn wrk_is_served_plain_pipelined_and_over_tls() {
    if !is_there("wrk") {
        return;
    }
    let server = server();
    let page = format!("http://{}/plaintext", server.address);
    wrk(&[&page]);
    wrk(&["-s", PIPELINE, &page]);
    let (server, trust) = secure_server("wrk");
    wrk(&[&format!("https://{}/plaintext", server.address)]);
    let _ = fs::remove_file(trust);
}

#[test]
fn the_server_stops_when_it_is_told_to_and_finishes_what_has_begun() {
    let server = server();
    let (mut idle, mut busy) = (server.connect(), server.connect());
    let mut answer = [0; 17];
    for client in [&mut idle, &mut busy] {
        client.write_all(b"PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").unwrap();
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK\r\n");
    }
    busy.write_all(b"PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na").unwrap();
    // It is there when its answer begins.
    let mut text = String::new();
    while text.matches("HTTP/1.1 200 OK").count() < 1 || !text.ends_with("\r\n\r\na") {
        let mut byte = [0];
        busy.read_exact(&mut byte).unwrap();
        text.push(char::from(byte[0]));
    }
    server.terminate();
    let mut rest = String::new();
    idle.read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with("\r\n\r\n"), "the idle one is let go: {rest:?}");
    busy.write_all(b"b").unwrap();
    let mut rest = String::new();
    busy.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "b");
    drop(busy);
    server.end();
}
