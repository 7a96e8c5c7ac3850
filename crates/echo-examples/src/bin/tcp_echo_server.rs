//! A TCP echo server: what comes goes back. Try `nc 127.0.0.1 7000`.

use std::io;

use wharf::{EventLoop, Protocol, TransportRef, tcp};

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        transport.write(data);
    }
}

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7000".into());
    let mut ev = EventLoop::new()?;
    let handle = ev.handle().clone();
    let server = ev.block_on(async { tcp::listen(&handle, address, || Echo).await })?;
    println!("listening on {}", server.addresses()[0]);
    ev.run_forever()
}
