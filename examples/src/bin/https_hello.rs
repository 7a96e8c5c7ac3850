//! The least that curl accepts of an HTTPS server: every request is greeted, and the connection stays open for more.
//!
//! It reads requests without a body and nothing else of HTTP.
//! Its certificate is made when it starts; another address may be given as the first argument, and the file for the
//! certificate to trust as the second.

use std::io::{self, Write};
use std::path::PathBuf;

use wharf::tls::config::server;
use wharf::{EventLoop, Protocol, TransportRef, tcp, tls};
use wharf_examples::throwaway::{self, Throwaway};

/// Longer requests are refused.
const LONGEST: usize = 16 * 1024;

#[derive(Default)]
struct Hello {
    /// The beginning of a request whose end has not come yet.
    request: Vec<u8>,
}

impl Protocol for Hello {
    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        self.request.extend_from_slice(data);
        while let Some(end) = self.request.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = self.request.split_off(end + 4);
            let request = std::mem::replace(&mut self.request, rest);
            let line = request.split(|&byte| byte == b'\r').next().unwrap_or_default();
            let body = format!("hello over TLS; you said {}\n", String::from_utf8_lossy(line));
            transport.write(
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
                    .as_bytes(),
            );
        }
        if self.request.len() > LONGEST {
            transport.write(b"HTTP/1.1 431 Too Large\r\nContent-Length: 0\r\n\r\n");
            transport.close();
        }
    }
}

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:8443".into());
    let trust = args.next().map_or_else(throwaway::usual_place, PathBuf::from);
    let authority = Throwaway::new()?;
    authority.publish(&trust)?;
    let identity = authority.identity(&["localhost", "127.0.0.1"])?;
    let config = server(identity).alpn(["http/1.1"]).build()?;
    let mut ev = EventLoop::new()?;
    let handle = ev.handle().clone();
    let server = ev.block_on(async {
        tcp::listen(&handle, address, tls::server(config, Hello::default)).await
    })?;
    for address in server.addresses() {
        writeln!(io::stdout(), "listening on {address}")?;
        writeln!(io::stdout(), "try: curl --cacert {} https://{address}/", trust.display())?;
    }
    ev.run_forever()
}
