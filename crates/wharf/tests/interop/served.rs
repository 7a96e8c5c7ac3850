//! A server of ours in a thread of its own, that tells what its connections were.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use wharf::tls::{
    Alpn, PeerCertificates, Resumed, ServerConfig, ServerName, TlsVersion, start_tls,
};
use wharf::{EventLoop, Lost, Protocol, Remote, TransportRef, tcp, tls};

use crate::tools::PATIENCE;

/// What was known of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fact {
    Made(Facts),
    /// The handshake failed.
    Failed(String),
    Lost(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) version: Option<TlsVersion>,
    pub(crate) resumed: bool,
    pub(crate) alpn: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) certified: bool,
}

impl Facts {
    pub(crate) fn of(transport: &TransportRef) -> Self {
        let alpn = transport.extra::<Alpn>();
        Self {
            version: transport.extra::<TlsVersion>(),
            resumed: transport.extra::<Resumed>() == Some(Resumed(true)),
            alpn: alpn.map(|alpn| String::from_utf8_lossy(&alpn.0).into_owned()),
            name: transport.extra::<ServerName>().map(|name| name.0),
            certified: transport.extra::<PeerCertificates>().is_some_and(|them| !them.0.is_empty()),
        }
    }
}

/// How a server begins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    WithTls,
    /// As SMTP does.
    WithStartTls,
}

/// A server that answers each line with the same line, and a request of HTTP with a greeting; `bye` ends it.
pub(crate) struct Served {
    pub(crate) address: String,
    facts: Receiver<Fact>,
    remote: Remote,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    pub(crate) fn start(config: impl Into<ServerConfig>, begin: Begin) -> Self {
        let (sender, facts) = channel();
        let (ready, listening) = channel();
        let failures = sender.clone();
        let config = config.into().on_handshake_failure(move |_, error| {
            let _ = failures.send(Fact::Failed(error.to_string()));
        });
        let thread = thread::spawn(move || {
            let mut ev = EventLoop::new().expect("a loop");
            let handle = ev.handle().clone();
            let plain = config.clone();
            let line = move || Line {
                facts: sender.clone(),
                begun: Vec::new(),
                plain: (begin == Begin::WithStartTls).then(|| plain.clone()),
            };
            let server = ev.block_on(async {
                match begin {
                    Begin::WithTls => {
                        tcp::listen(&handle, "127.0.0.1:0", tls::server(config, line)).await
                    }
                    Begin::WithStartTls => tcp::listen(&handle, "127.0.0.1:0", line).await,
                }
            });
            let server = server.expect("a port");
            ready.send((server.addresses()[0].to_string(), ev.remote())).expect("somebody waits");
            ev.run_forever().expect("the loop runs");
        });
        let (address, remote) = listening.recv_timeout(PATIENCE).expect("the server listens");
        Self { address, facts, remote, thread: Some(thread) }
    }

    /// The next thing that happened.
    pub(crate) fn fact(&self) -> Fact {
        self.facts.recv_timeout(PATIENCE).expect("something happens")
    }

    /// The next connection, which is made.
    #[track_caller]
    pub(crate) fn made(&self) -> Facts {
        match self.fact() {
            Fact::Made(facts) => facts,
            other => panic!("instead of a connection: {other:?}"),
        }
    }

    /// The end of a connection.
    #[track_caller]
    pub(crate) fn lost(&self) -> String {
        match self.fact() {
            Fact::Lost(why) => why,
            other => panic!("instead of an end: {other:?}"),
        }
    }

    pub(crate) fn port(&self) -> &str {
        self.address.rsplit(':').next().expect("an address has a port")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.remote.stop();
        let thread = self.thread.take();
        let ended = thread.is_none_or(|thread| thread.join().is_ok());
        assert!(ended || thread::panicking(), "the server's thread panicked");
    }
}

struct Line {
    facts: Sender<Fact>,
    begun: Vec<u8>,
    /// Until TLS is asked for.
    plain: Option<ServerConfig>,
}

impl Line {
    fn tell(&self, fact: Fact) {
        let _ = self.facts.send(fact);
    }

    fn answer(&mut self, transport: &TransportRef, line: &[u8], rest: &[u8]) {
        let line = line.trim_ascii_end();
        if let Some(config) = &self.plain {
            match line {
                b"STARTTLS" => {
                    transport.write(b"220 go ahead\r\n");
                    let facts = self.facts.clone();
                    let started = start_tls(transport, config.clone(), rest);
                    drop(started.on_established(move |outcome| {
                        let _ = facts.send(match outcome {
                            Ok(transport) => Fact::Made(Facts::of(transport)),
                            Err(error) => Fact::Failed(error.to_string()),
                        });
                    }));
                    self.plain = None;
                }
                _ => drop(transport.write(b"250-wharf\r\n250 STARTTLS\r\n")),
            }
        } else if line == b"bye" {
            transport.close();
        } else if line.starts_with(b"GET ") {
            transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n");
        } else if line.starts_with(b"say ") {
            transport.write(&[line, b"\n"].concat());
        }
    }
}

impl Protocol for Line {
    fn connection_made(&mut self, transport: &TransportRef) {
        if self.plain.is_some() {
            transport.write(b"220 wharf\r\n");
        } else {
            self.tell(Fact::Made(Facts::of(transport)));
        }
    }

    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        let mut rest = data;
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            let (line, after) = rest.split_at(end + 1);
            let line = [&std::mem::take(&mut self.begun)[..], line].concat();
            let was_plain = self.plain.is_some();
            self.answer(transport, &line, after);
            if was_plain && self.plain.is_none() {
                return;
            }
            rest = after;
        }
        self.begun.extend_from_slice(rest);
    }

    fn connection_lost(&mut self, _: &TransportRef, why: &Lost) {
        self.tell(Fact::Lost(why.to_string()));
    }
}
