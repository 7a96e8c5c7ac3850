//! A TCP echo server whose protocol owns the buffer that the system receives into.
//!
//! Try `nc 127.0.0.1 8888`; another address may be given as the first argument.

use std::io::{self, Write};

use wharf::{Buffered, BufferedProtocol, EventLoop, TransportRef, tcp};

struct Echo {
    buffer: [u8; 4096],
}

impl BufferedProtocol for Echo {
    fn get_buffer(&mut self, _size_hint: Option<usize>) -> &mut [u8] {
        &mut self.buffer
    }

    fn buffer_updated(&mut self, transport: &TransportRef, count: usize) {
        transport.write(&self.buffer[..count]);
    }
}

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8888".into());
    let mut ev = EventLoop::new()?;
    let handle = ev.handle().clone();
    let factory = || Buffered(Echo { buffer: [0; 4096] });
    let server = ev.block_on(async { tcp::listen(&handle, address, factory).await })?;
    for address in server.addresses() {
        writeln!(io::stdout(), "listening on {address}")?;
        writeln!(io::stdout(), "try: socat - TCP:{address}")?;
    }
    ev.run_forever()
}
