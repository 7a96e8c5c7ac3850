//! A TCP echo server in the other style: a task for each connection, with a reader and a writer.
//!
//! The server of asyncio's page on streams.
//! Try `nc 127.0.0.1 8888`; another address may be given as the first argument.

use std::io::{self, Write};

use wharf::streams::{self, Stream, StreamError};
use wharf::{EventLoop, tcp};

async fn echo(stream: Stream) -> Result<(), StreamError> {
    let Stream { mut reader, writer } = stream;
    let data = reader.read(100).await?;
    if let Some(peer) = writer.transport().peer_addr() {
        let text = String::from_utf8_lossy(&data);
        let _ = writeln!(io::stdout(), "Received {text:?} from {peer}");
    }
    writer.write_all(&data).await?;
    writer.close();
    let why = writer.closed().await;
    let _ = writeln!(io::stdout(), "The connection is over: {why}");
    Ok(())
}

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8888".into());
    let mut ev = EventLoop::new()?;
    let handle = ev.handle().clone();
    ev.block_on(async {
        let (accept, mut incoming) = streams::incoming(100);
        let server = tcp::listen(&handle, address, accept).await?;
        for address in server.addresses() {
            writeln!(io::stdout(), "listening on {address}")?;
            writeln!(io::stdout(), "try: socat - TCP:{address}")?;
        }
        while let Some(stream) = incoming.next().await {
            let session = async {
                if let Err(error) = echo(stream).await {
                    let _ = writeln!(io::stdout(), "A connection failed: {error}");
                }
            };
            handle.spawn(session).detach();
        }
        Ok(())
    })
}
