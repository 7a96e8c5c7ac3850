//! Waits for data on a socket that exists already: one end of a pair, into whose other end "abc" is written.
//!
//! From asyncio's page on transports and protocols.
//! It needs no peer: `cargo run -p wharf-echo-examples --bin existing_socket`.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;

use wharf::{EventLoop, Lost, OneshotSender, Protocol, TransportRef, oneshot, unix};

struct Printer {
    over: Option<OneshotSender<()>>,
}

impl Protocol for Printer {
    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        let _ = writeln!(io::stdout(), "Received: {}", String::from_utf8_lossy(data));
        // That was all; connection_lost comes by itself.
        transport.close();
    }

    fn connection_lost(&mut self, _: &TransportRef, _: &Lost) {
        if let Some(over) = self.over.take() {
            // Nobody waits any more when `main` has failed meanwhile.
            let _ = over.send(());
        }
    }
}

fn main() -> io::Result<()> {
    let mut ev = EventLoop::new()?;
    let handle = ev.handle().clone();
    ev.block_on(async {
        let (ours, mut theirs) = UnixStream::pair()?;
        let (over, lost) = oneshot();
        unix::adopt(&handle, ours, || Printer { over: Some(over) }).await?;
        theirs.write_all(b"abc")?;
        lost.await;
        Ok(())
    })
}
