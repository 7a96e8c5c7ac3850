//! A TCP echo client in the other style: it writes, waits for the answer, and closes.
//!
//! The client of asyncio's page on streams.
//! Start `streams_echo_server` first; another address may be given as the first argument.

use std::io::{self, Write};

use wharf::streams::{self, Endpoint, Stream};
use wharf::{EventLoop, tcp};

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8888".into());
    let mut ev = EventLoop::new()?;
    let handle = ev.handle().clone();
    ev.block_on(async {
        let stream = streams::open(tcp::connect(&handle, address, Endpoint::new)).await?;
        let Stream { mut reader, writer } = stream;
        writeln!(io::stdout(), "Send: {:?}", "Hello World!")?;
        writer.write_all(b"Hello World!").await?;
        let data = reader.read(100).await?;
        writeln!(io::stdout(), "Received: {:?}", String::from_utf8_lossy(&data))?;
        writer.close();
        writeln!(io::stdout(), "The connection is over: {}", writer.closed().await)
    })
}
