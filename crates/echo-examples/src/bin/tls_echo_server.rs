//! A TLS echo server: `tcp_echo_server` with one line changed, the one that listens.
//!
//! Its certificate is made when it starts, by an authority that nobody knows; whoever wants to trust it finds the
//! authority's certificate in the file that is printed.
//! Another address may be given as the first argument, another file as the second.

use std::io::{self, Write};
use std::path::PathBuf;

use wharf::tls::config::server;
use wharf::tls::{CipherSuite, TlsVersion};
use wharf::{EventLoop, Protocol, TransportRef, tcp, tls};
use wharf_echo_examples::throwaway::{self, Throwaway};

struct Echo;

impl Protocol for Echo {
    fn connection_made(&mut self, transport: &TransportRef) {
        let (version, suite) = (transport.extra::<TlsVersion>(), transport.extra::<CipherSuite>());
        if let (Some(version), Some(CipherSuite(suite))) = (version, suite) {
            let _ = writeln!(io::stdout(), "Connection by {version:?}, {suite:?}");
        }
    }

    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        transport.write(data);
    }
}

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:8443".into());
    let trust = args.next().map_or_else(throwaway::usual_place, PathBuf::from);
    let authority = Throwaway::new()?;
    authority.publish(&trust)?;
    let config = server(authority.identity(&["localhost", "127.0.0.1"])?).build()?;
    let mut ev = EventLoop::new()?;
    let handle = ev.handle().clone();
    let server =
        ev.block_on(async { tcp::listen(&handle, address, tls::server(config, || Echo)).await })?;
    for address in server.addresses() {
        writeln!(io::stdout(), "listening on {address}")?;
        let file = trust.display();
        writeln!(io::stdout(), "try: openssl s_client -connect {address} -CAfile {file}")?;
    }
    ev.run_forever()
}
