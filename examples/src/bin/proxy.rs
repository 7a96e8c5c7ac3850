//! A TCP proxy: `proxy LISTEN TARGET` passes on what each side sends, no faster than the other side reads.
//!
//! A write that is answered `Full` pauses reading on the side it came from, `resume_writing` resumes it: the proxy holds
//! no more than the limits of two write buffers, however fast one side is and however slow the other.
//! The end of one direction is passed on, and the other direction goes on.
//! Try `proxy 127.0.0.1:8888 example.org:80`, then `nc 127.0.0.1 8888`.

use std::cell::OnceCell;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::Duration;

use wharf::{EventLoop, Flow, JoinHandle, KeepOpen, LoopHandle, Lost, Protocol, TransportRef, tcp};

/// How long the target may take to accept.
const PATIENCE: Duration = Duration::from_secs(10);

/// One side. Both are alike, except that the client's has to find the target first.
struct Side {
    other: Rc<OnceCell<TransportRef>>,
    client: Option<Client>,
}

/// What only the client's side has.
struct Client {
    handle: LoopHandle,
    target: Rc<str>,
    /// Dropping this gives up connecting.
    connecting: Option<JoinHandle<()>>,
}

impl Protocol for Side {
    fn connection_made(&mut self, transport: &TransportRef) {
        let Some(client) = &mut self.client else { return };
        // There is nowhere to write to yet, so nothing is read; the system holds what comes.
        transport.pause_reading();
        let connecting = connect(
            client.handle.clone(),
            client.target.clone(),
            transport.clone(),
            self.other.clone(),
        );
        client.connecting = Some(client.handle.spawn(connecting));
    }

    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        if let Some(other) = self.other.get() {
            if other.write(data) == Flow::Full {
                transport.pause_reading();
            }
        }
    }

    fn resume_writing(&mut self, _: &TransportRef) {
        if let Some(other) = self.other.get() {
            other.resume_reading();
        }
    }

    fn eof_received(&mut self, _: &TransportRef) -> KeepOpen {
        if let Some(other) = self.other.get() {
            other.write_eof();
        }
        // When both directions have ended, the transport closes by itself.
        KeepOpen::Yes
    }

    fn connection_lost(&mut self, _: &TransportRef, why: &Lost) {
        match self.other.get() {
            Some(other) if why.is_clean() => other.close(),
            Some(other) => other.abort(),
            None => {}
        }
    }
}

/// Finds the target for `client`, then lets it speak.
async fn connect(
    handle: LoopHandle,
    target: Rc<str>,
    client: TransportRef,
    found: Rc<OnceCell<TransportRef>>,
) {
    let to_client = Rc::new(OnceCell::from(client.clone()));
    let side = Side { other: to_client, client: None };
    match tcp::connect(&handle, &*target, || side).timeout(PATIENCE).await {
        Ok((transport, _)) => {
            let transport = found.get_or_init(|| transport);
            client.resume_reading();
            if client.is_closing() {
                transport.abort();
            }
        }
        Err(error) => client.fail(error.into()),
    }
}

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let listen = args.next().unwrap_or_else(|| "127.0.0.1:8888".into());
    let target: Rc<str> = args.next().unwrap_or_else(|| "127.0.0.1:8889".into()).into();
    let mut ev = EventLoop::new()?;
    let handle = ev.handle().clone();
    let (on, to) = (handle.clone(), Rc::clone(&target));
    let factory = move || Side {
        other: Rc::default(),
        client: Some(Client { handle: on.clone(), target: Rc::clone(&to), connecting: None }),
    };
    let server = ev.block_on(async { tcp::listen(&handle, listen, factory).await })?;
    for address in server.addresses() {
        writeln!(io::stdout(), "listening on {address}")?;
        writeln!(io::stdout(), "try: socat - TCP:{address}, which is answered by {target}")?;
    }
    ev.run_forever()
}
