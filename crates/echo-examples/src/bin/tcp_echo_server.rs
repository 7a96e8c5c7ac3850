//! A TCP echo server: what a client sends goes back, then the connection is closed.
//!
//! The server of asyncio's page on transports and protocols.
//! Try `nc 127.0.0.1 8888`; another address may be given as the first argument.

use std::io::{self, Write};

use wharf::{EventLoop, Protocol, TransportRef, tcp};

struct EchoServer;

impl Protocol for EchoServer {
    fn connection_made(&mut self, transport: &TransportRef) {
        if let Some(peer) = transport.peer_addr() {
            let _ = writeln!(io::stdout(), "Connection from {peer}");
        }
    }

    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        let _ = writeln!(io::stdout(), "Echo: {:?}", String::from_utf8_lossy(data));
        transport.write(data);
        // Closing waits until everything that was written has gone out.
        transport.close();
    }
}

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8888".into());
    let mut ev = EventLoop::new()?;
    let handle = ev.handle().clone();
    let server = ev.block_on(async { tcp::listen(&handle, address, || EchoServer).await })?;
    for address in server.addresses() {
        writeln!(io::stdout(), "listening on {address}")?;
        writeln!(io::stdout(), "try: socat - TCP:{address}")?;
    }
    ev.run_forever()
}
