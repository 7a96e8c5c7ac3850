//! A UDP echo client: sends "Hello World!", prints the answer, and closes.
//!
//! The client of asyncio's page on transports and protocols.
//! Start `udp_echo_server` first; another address may be given as the first argument.

use std::io::{self, Write};

use wharf::{Address, DatagramProtocol, DatagramTransportRef, EventLoop, Lost, OneshotSender};
use wharf::{oneshot, udp};

struct EchoClient {
    message: &'static str,
    over: Option<OneshotSender<()>>,
}

impl DatagramProtocol for EchoClient {
    fn connection_made(&mut self, transport: &DatagramTransportRef) {
        let _ = writeln!(io::stdout(), "Send: {:?}", self.message);
        // Without an address it goes to the peer that the endpoint is connected to.
        let _ = transport.send_to(self.message.as_bytes(), None);
    }

    fn datagram_received(
        &mut self,
        transport: &DatagramTransportRef,
        data: &[u8],
        _: Option<&Address>,
    ) {
        let _ = writeln!(io::stdout(), "Received: {:?}", String::from_utf8_lossy(data));
        transport.close();
    }

    fn error_received(&mut self, transport: &DatagramTransportRef, error: &io::Error) {
        // Nobody is there, most likely.
        let _ = writeln!(io::stdout(), "Error received: {error}");
        transport.close();
    }

    fn connection_lost(&mut self, _: &DatagramTransportRef, why: &Lost) {
        let _ = writeln!(io::stdout(), "Connection closed: {why}");
        if let Some(over) = self.over.take() {
            // Nobody waits any more when `main` has failed meanwhile.
            let _ = over.send(());
        }
    }
}

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9999".into());
    let mut ev = EventLoop::new()?;
    let handle = ev.handle().clone();
    ev.block_on(async {
        let (over, lost) = oneshot();
        let client = EchoClient { message: "Hello World!", over: Some(over) };
        udp::connect(&handle, address, || client).await?;
        lost.await;
        Ok(())
    })
}
