//! A UDP echo server: every datagram goes back to whom it came from.
//!
//! The server of asyncio's page on transports and protocols.
//! Try `udp_echo_client`, or `nc -u 127.0.0.1 9999`; another address may be given as the first argument.

use std::io::{self, Write};

use wharf::{Address, DatagramProtocol, DatagramTransportRef, EventLoop, udp};

struct EchoServer;

impl DatagramProtocol for EchoServer {
    fn datagram_received(
        &mut self,
        transport: &DatagramTransportRef,
        data: &[u8],
        from: Option<&Address>,
    ) {
        let Some(from) = from else { return };
        let _ = writeln!(io::stdout(), "Received {:?} from {from}", String::from_utf8_lossy(data));
        // What cannot be sent now is queued; the queue of a peer that floods us is full some day, and then it is refused.
        let _ = transport.send_to(data, Some(from));
    }
}

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9999".into());
    let mut ev = EventLoop::new()?;
    let handle = ev.handle().clone();
    let (transport, _) = ev.block_on(async { udp::bind(&handle, address, || EchoServer).await })?;
    if let Some(address) = transport.local_addr() {
        writeln!(io::stdout(), "listening on {address}")?;
    }
    ev.run_forever()
}
