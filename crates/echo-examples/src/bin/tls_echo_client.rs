//! A TLS echo client: sends "Hello World!", prints what comes back, and says goodbye.
//!
//! Start `tls_echo_server` first; its address may be given as the first argument, the file with the certificate to trust
//! as the second, and the name that the server's certificate bears as the third.

use std::io::{self, Write};
use std::path::PathBuf;

use wharf::tls::config::{Roots, client};
use wharf::{EventLoop, Lost, OneshotSender, Protocol, TransportRef, oneshot, tcp, tls};
use wharf_echo_examples::throwaway;

struct EchoClient {
    message: &'static str,
    over: Option<OneshotSender<()>>,
}

impl Protocol for EchoClient {
    fn connection_made(&mut self, transport: &TransportRef) {
        transport.write(self.message.as_bytes());
    }

    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        let _ = writeln!(io::stdout(), "Data received: {:?}", String::from_utf8_lossy(data));
        transport.close();
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
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:8443".into());
    let trust = args.next().map_or_else(throwaway::usual_place, PathBuf::from);
    let name = args.next().unwrap_or_else(|| "localhost".into());
    let config = client(Roots::pem_file(trust)).build()?;
    let mut ev = EventLoop::new()?;
    let handle = ev.handle().clone();
    ev.block_on(async {
        let (over, lost) = oneshot();
        let client = EchoClient { message: "Hello World!", over: Some(over) };
        tcp::connect(&handle, address, tls::client(config, name, || client)).await?;
        lost.await;
        Ok(())
    })
}
