//! A TCP echo client: sends "Hello World!", prints what comes back, and ends when the server closes.
//!
//! The client of asyncio's page on transports and protocols.
//! Start `tcp_echo_server` first, or `socat TCP-LISTEN:8888,reuseaddr EXEC:cat`; another address may be given as the
//! first argument.

use std::io::{self, Write};

use wharf::{EventLoop, Lost, OneshotSender, Protocol, TransportRef, oneshot, tcp};

struct EchoClient {
    message: &'static str,
    over: Option<OneshotSender<()>>,
}

impl Protocol for EchoClient {
    fn connection_made(&mut self, transport: &TransportRef) {
        transport.write(self.message.as_bytes());
        let _ = writeln!(io::stdout(), "Data sent: {:?}", self.message);
    }

    fn data_received(&mut self, _: &TransportRef, data: &[u8]) {
        let _ = writeln!(io::stdout(), "Data received: {:?}", String::from_utf8_lossy(data));
    }

    fn connection_lost(&mut self, _: &TransportRef, why: &Lost) {
        let _ = writeln!(io::stdout(), "The connection is over: {why}");
        if let Some(over) = self.over.take() {
            // Nobody waits any more when `main` has failed meanwhile.
            let _ = over.send(());
        }
    }
}

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8888".into());
    let mut ev = EventLoop::new()?;
    let handle = ev.handle().clone();
    ev.block_on(async {
        let (over, lost) = oneshot();
        let client = EchoClient { message: "Hello World!", over: Some(over) };
        tcp::connect(&handle, address, || client).await?;
        lost.await;
        Ok(())
    })
}
