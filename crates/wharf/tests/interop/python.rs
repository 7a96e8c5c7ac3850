//! Python's `ssl` calls our server, and our client calls a server on Python's `ssl`.

use std::process::Command;

use wharf::tls::TlsVersion;
use wharf::tls::config::{ClientAuth, Roots, client, server};

use crate::peer::{Ends, call};
use crate::served::{Begin, Served};
use crate::tools::{Output, Papers, Program, is_there, run};

fn python() -> bool {
    is_there("python3", &["-c", "import ssl; ssl.TLSVersion.TLSv1_3"])
}

/// Begins both sides: the version, and where the papers are.
const PRELUDE: &str = "
import socket, ssl, sys
folder, version, more = sys.argv[1], getattr(ssl.TLSVersion, sys.argv[2]), sys.argv[3]
def limit(context):
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(['x/1'])
    return context
";

/// Calls twice: the second time with the session of the first.
const CLIENT: &str = "
port = int(more.split()[0])
context = limit(ssl.create_default_context(cafile=folder + '/ca.pem'))
if 'certificate' in more:
    context.load_cert_chain(folder + '/me.example.crt', folder + '/me.example.key')
session = None
for turn in 'first', 'second':
    plain = socket.create_connection(('127.0.0.1', port), timeout=20)
    s = context.wrap_socket(plain, server_hostname='localhost', session=session)
    s.sendall(b'say ' + b'x' * 100000 + b'\\n')
    answer = b''
    while not answer.endswith(b'\\n'):
        answer += s.recv(65536)
    session = s.session
    print(turn, s.version(), s.selected_alpn_protocol(), len(answer), s.session_reused)
    if 'truncate' in more:
        s.close()
    else:
        # Waits for the other side's goodbye, and fails where there is none.
        s.unwrap().close()
        print('goodbye')
";

/// Serves one connection: what comes goes back, until the goodbye.
const SERVER: &str = "
context = limit(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
context.load_cert_chain(folder + '/localhost.crt', folder + '/localhost.key')
if 'certificate' in more:
    context.load_verify_locations(folder + '/ca.pem')
    context.verify_mode = ssl.CERT_REQUIRED
door = socket.create_server(('127.0.0.1', 0))
door.settimeout(20)
print('port', door.getsockname()[1], flush=True)
for turn in range(2):
    plain, _ = door.accept()
    plain.settimeout(20)
    s = context.wrap_socket(plain, server_side=True)
    print(s.version(), s.selected_alpn_protocol(), s.session_reused, bool(s.getpeercert()), flush=True)
    if 'goes' in more:
        s.sendall(s.recv(100))
        s.unwrap().close()
        continue
    if 'truncate' in more:
        s.sendall(s.recv(100))
        # The end of TCP, without a goodbye of TLS.
        s.close()
        continue
    while True:
        data = s.recv(65536)
        if not data:
            break
        s.sendall(data)
    s.unwrap().close()
print('all was said', flush=True)
";

fn script(papers: &Papers, body: &str, version: &str, more: &str) -> Command {
    let mut command = Command::new("python3");
    command.args(["-I", "-c", &format!("{PRELUDE}{body}"), &papers.arg(""), version, more]);
    command
}

const BOTH: [(&str, &str, TlsVersion); 2] =
    [("TLSv1_2", "TLSv1.2", TlsVersion::Tls12), ("TLSv1_3", "TLSv1.3", TlsVersion::Tls13)];

#[test]
fn python_calls_resumes_and_hears_our_goodbye() {
    if !python() {
        return;
    }
    let papers = Papers::new();
    let config = server(papers.identity("localhost")).alpn(["x/1"]).build().unwrap();
    let served = Served::start(config, Begin::WithTls);
    for (flag, theirs, ours) in BOTH {
        let output = run(script(&papers, CLIENT, flag, served.port()), "");
        assert!(output.success, "{}", output.text);
        let (first, second) = (
            format!("first {theirs} x/1 100005 False\ngoodbye"),
            format!("second {theirs} x/1 100005 True\ngoodbye"),
        );
        output.has(&[&first, &second]);
        for resumed in [false, true] {
            let facts = served.made();
            assert_eq!((facts.version, facts.resumed), (Some(ours), resumed));
            assert_eq!(served.lost(), "ended by the peer");
        }
    }
}

#[test]
fn python_shows_its_certificate() {
    if !python() {
        return;
    }
    let papers = Papers::new();
    let auth = ClientAuth::required(Roots::pem_file(papers.path("ca.pem")));
    let config = server(papers.identity("localhost")).client_auth(auth).build().unwrap();
    let served = Served::start(config, Begin::WithTls);
    for (flag, ..) in BOTH {
        let more = format!("{} certificate", served.port());
        let output = run(script(&papers, CLIENT, flag, &more), "");
        assert!(output.success, "{}", output.text);
        for resumed in [false, true] {
            let facts = served.made();
            assert_eq!((facts.certified, facts.resumed), (true, resumed));
            served.lost();
        }
    }
}

#[test]
fn python_that_goes_without_a_goodbye_has_truncated() {
    if !python() {
        return;
    }
    let papers = Papers::new();
    let config = server(papers.identity("localhost")).build().unwrap();
    let served = Served::start(config, Begin::WithTls);
    for (flag, ..) in BOTH {
        let more = format!("{} truncate", served.port());
        let output = run(script(&papers, CLIENT, flag, &more), "");
        assert!(output.success, "{}", output.text);
        for _ in 0..2 {
            served.made();
            assert_eq!(served.lost(), "the peer's bytes ended without a goodbye");
        }
    }
}

/// A server on Python, and where it is.
fn serve(papers: &Papers, version: &str, more: &str) -> (Program, String) {
    let mut program = Program::start(script(papers, SERVER, version, more), "");
    let port = program.line("port ");
    (program, format!("127.0.0.1:{port}"))
}

/// Both talks must have been as `line` says.
fn both(output: &Output, lines: &[&str]) {
    assert!(output.success, "{}", output.text);
    output.has(lines);
    output.has(&["all was said"]);
}

#[test]
fn we_call_python_resume_and_say_goodbye() {
    if !python() {
        return;
    }
    let papers = Papers::new();
    let us = client(papers.authority.roots()).alpn(["x/1"]).build().unwrap();
    for (flag, theirs, ours) in BOTH {
        let (program, address) = serve(&papers, flag, "");
        for resumed in [false, true] {
            let talk = call(us.clone(), &address, "localhost", "abc\n", "abc", Ends::We).unwrap();
            assert_eq!((talk.facts.version, talk.facts.resumed), (Some(ours), resumed));
            assert_eq!(talk.lost, "closed by us");
        }
        let (first, second) =
            (format!("{theirs} x/1 False False"), format!("{theirs} x/1 True False"));
        both(&program.end(), &[&first, &second]);
    }
}

#[test]
fn we_show_python_our_certificate() {
    if !python() {
        return;
    }
    let papers = Papers::new();
    let us = client(papers.authority.roots()).identity(papers.identity("me.example"));
    let us = us.sessions(0).build().unwrap();
    for (flag, theirs, _) in BOTH {
        let (program, address) = serve(&papers, flag, "certificate");
        for _ in 0..2 {
            call(us.clone(), &address, "localhost", "abc\n", "abc", Ends::We).unwrap();
        }
        both(&program.end(), &[&format!("{theirs} None False True")]);
    }
}

#[test]
fn python_that_goes_in_order_and_python_that_just_goes_are_told_apart() {
    if !python() {
        return;
    }
    let papers = Papers::new();
    let us = client(papers.authority.roots()).build().unwrap();
    for (flag, ..) in BOTH {
        for (how, lost) in [
            ("goes", "ended by the peer"),
            ("truncate", "the peer's bytes ended without a goodbye"),
        ] {
            let (program, address) = serve(&papers, flag, how);
            for _ in 0..2 {
                let talk = call(us.clone(), &address, "localhost", "abc", "abc", Ends::They);
                let Ok(talk) = talk else { panic!("{how} {flag} {talk:?} {:?}", program.end()) };
                assert_eq!((talk.heard.as_str(), talk.lost.as_str()), ("abc", lost), "{flag}");
            }
            both(&program.end(), &[]);
        }
    }
}
