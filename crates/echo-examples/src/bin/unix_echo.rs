//! An echo server on a Unix socket.
//!
//! Try `nc -U` or `socat - UNIX-CONNECT:` with the path that it prints; another path may be given as the first argument.
//! The socket file of a server that is gone is replaced at the next start.

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;

use wharf::{EventLoop, Protocol, TransportRef, unix};

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        transport.write(data);
    }
}

fn main() -> io::Result<()> {
    let path = env::args_os().nth(1).map(PathBuf::from);
    let path = path.unwrap_or_else(|| env::temp_dir().join("wharf-echo.sock"));
    let mut ev = EventLoop::new()?;
    let handle = ev.handle().clone();
    let server = ev.block_on(async { unix::listen(&handle, path, || Echo).await })?;
    for address in server.addresses() {
        writeln!(io::stdout(), "listening on {address}")?;
        writeln!(io::stdout(), "try: socat - UNIX-CONNECT:{address}")?;
    }
    ev.run_forever()
}
