//! STARTTLS: a line protocol that begins in the clear and turns to TLS when the client asks for it.
//!
//! It says as much of SMTP as `openssl s_client -starttls smtp` wants to hear; after that, lines come back as they were
//! sent. In the clear nothing does.
//! Another address may be given as the first argument, and the file for the certificate to trust as the second.

use std::io::{self, Write};
use std::path::PathBuf;

use wharf::tls::ServerConfig;
use wharf::tls::config::server;
use wharf::{EventLoop, Protocol, TransportRef, tcp, tls};
use wharf_echo_examples::throwaway::{self, Throwaway};

/// Longer lines end the connection.
const LONGEST: usize = 1024;

struct Session {
    config: ServerConfig,
    line: Vec<u8>,
    secure: bool,
}

impl Protocol for Session {
    fn connection_made(&mut self, transport: &TransportRef) {
        transport.write(b"220 wharf ready\r\n");
    }

    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        if self.secure {
            transport.write(data);
            return;
        }
        for (at, &byte) in data.iter().enumerate() {
            self.line.push(byte);
            if byte != b'\n' {
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let command = line.trim_ascii_end();
            if command.eq_ignore_ascii_case(b"STARTTLS") {
                // The same protocol goes on, and its next callback has the TLS transport.
                // What follows the line belongs to the handshake, or it ends the connection.
                self.secure = true;
                transport.write(b"220 go ahead\r\n");
                drop(tls::start_tls(transport, self.config.clone(), &data[at + 1..]));
                return;
            }
            transport.write(answer(command));
            if command.eq_ignore_ascii_case(b"QUIT") {
                return transport.close();
            }
        }
        if self.line.len() > LONGEST {
            transport.close();
        }
    }
}

fn answer(command: &[u8]) -> &'static [u8] {
    let (verb, _) = command.split_at(command.len().min(4));
    match verb.to_ascii_uppercase().as_slice() {
        b"EHLO" => b"250-wharf\r\n250 STARTTLS\r\n",
        b"QUIT" => b"221 bye\r\n",
        _ => b"530 say STARTTLS first\r\n",
    }
}

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:8025".into());
    let trust = args.next().map_or_else(throwaway::usual_place, PathBuf::from);
    let authority = Throwaway::new()?;
    authority.publish(&trust)?;
    let identity = authority.identity(&["localhost", "127.0.0.1"])?;
    let config = ServerConfig::from(server(identity).build()?);
    let mut ev = EventLoop::new()?;
    let handle = ev.handle().clone();
    let factory = move || Session { config: config.clone(), line: Vec::new(), secure: false };
    let server = ev.block_on(async { tcp::listen(&handle, address, factory).await })?;
    for address in server.addresses() {
        writeln!(io::stdout(), "listening on {address}")?;
        let file = trust.display();
        writeln!(
            io::stdout(),
            "try: openssl s_client -connect {address} -starttls smtp -CAfile {file}"
        )?;
    }
    ev.run_forever()
}
