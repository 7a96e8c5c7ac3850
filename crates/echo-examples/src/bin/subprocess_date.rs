//! Runs a program and prints what it wrote and how it ended.
//!
//! The program of asyncio's page on subprocess protocols: there a child of Python's own tells the date, here it is
//! `date`. Another program may be given, with its arguments.

use std::io::{self, Write};

use wharf::{EventLoop, Lost, SubprocessProtocol, SubprocessTransportRef, subprocess};

#[derive(Default)]
struct DateProtocol {
    output: Vec<u8>,
}

impl SubprocessProtocol for DateProtocol {
    fn pipe_data_received(&mut self, _: &SubprocessTransportRef, _fd: i32, data: &[u8]) {
        self.output.extend_from_slice(data);
    }

    fn pipe_connection_lost(&mut self, _: &SubprocessTransportRef, fd: i32, why: &Lost) {
        let _ = writeln!(io::stdout(), "Descriptor {fd}: {why}");
    }

    fn process_exited(&mut self, transport: &SubprocessTransportRef) {
        // A pipe that somebody else still holds may bring more data after this.
        if let Some(status) = transport.status() {
            let _ = writeln!(io::stdout(), "The child has ended: {status}");
        }
    }

    fn connection_lost(&mut self, _: &SubprocessTransportRef, _: &Lost) {
        let _ = writeln!(io::stdout(), "Output: {}", String::from_utf8_lossy(&self.output).trim());
    }
}

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let program = args.next().unwrap_or_else(|| "date".into());
    let mut ev = EventLoop::new()?;
    let handle = ev.handle().clone();
    ev.block_on(async {
        let child = subprocess::exec(&handle, program, args, DateProtocol::default);
        let (transport, _protocol) = child.stdin(subprocess::Stdio::Null).await?;
        transport.finished().await;
        Ok(())
    })
}
