//! An echo server that echoes nothing itself: each connection has a child of its own, `cat`, between its two directions.
//!
//! What comes from the client goes to the child's stdin, what the child writes goes to the client, and whoever does not
//! keep up stops the other side: nothing piles up anywhere.
//! Another program may be given after the address, with its arguments; any that reads stdin and writes stdout serves.

use std::io::{self, Write};

use wharf::subprocess::{self, Stdio};
use wharf::{
    EventLoop, Flow, KeepOpen, LoopHandle, Lost, PipeTransport, Protocol, ReadTransportRef,
    SubprocessProtocol, SubprocessTransportRef, TransportRef, WriteTransportRef, tcp,
};

/// The protocol of a connection whose child is being started.
struct Visitor {
    handle: LoopHandle,
    command: Vec<String>,
}

impl Protocol for Visitor {
    fn connection_made(&mut self, connection: &TransportRef) {
        // Until there is somebody to read it.
        connection.pause_reading();
        let (handle, connection) = (self.handle.clone(), connection.clone());
        let (program, args) = (self.command[0].clone(), self.command[1..].to_vec());
        let starting = async move {
            let served = connection.clone();
            let child = subprocess::exec(&handle, program, args, || FromChild { connection });
            if let Err(error) = child.stderr(Stdio::Inherit).await {
                let _ = writeln!(io::stdout(), "{error}");
                served.abort();
            }
        };
        self.handle.spawn(starting).detach();
    }

    fn data_received(&mut self, _: &TransportRef, _: &[u8]) {}
}

/// The protocol of a connection that has its child: what comes goes to stdin.
struct ToChild {
    child: SubprocessTransportRef,
    stdin: WriteTransportRef,
    stdout: ReadTransportRef,
}

impl Protocol for ToChild {
    fn data_received(&mut self, connection: &TransportRef, data: &[u8]) {
        if self.stdin.write(data) != Flow::Open {
            connection.pause_reading();
        }
    }

    fn eof_received(&mut self, _: &TransportRef) -> KeepOpen {
        self.stdin.close();
        // What the child has not written yet is still to come.
        KeepOpen::Yes
    }

    fn resume_writing(&mut self, _: &TransportRef) {
        self.stdout.resume_reading();
    }

    fn connection_lost(&mut self, _: &TransportRef, _: &Lost) {
        self.child.close();
    }
}

/// The protocol of the child: what it writes goes to the connection.
struct FromChild {
    connection: TransportRef,
}

impl SubprocessProtocol for FromChild {
    fn connection_made(&mut self, child: &SubprocessTransportRef) {
        let pipes = (child.pipe_transport(0), child.pipe_transport(1));
        if let (Some(PipeTransport::Write(stdin)), Some(PipeTransport::Read(stdout))) = pipes {
            self.connection.set_protocol(ToChild { child: child.clone(), stdin, stdout }, &[]);
            self.connection.resume_reading();
        }
        if self.connection.is_closing() {
            // The client has not waited for it.
            child.close();
        }
    }

    fn pipe_data_received(&mut self, child: &SubprocessTransportRef, fd: i32, data: &[u8]) {
        if self.connection.write(data) == Flow::Full {
            if let Some(PipeTransport::Read(stdout)) = child.pipe_transport(fd) {
                stdout.pause_reading();
            }
        }
    }

    fn resume_writing(&mut self, _: &SubprocessTransportRef, _fd: i32) {
        self.connection.resume_reading();
    }

    fn connection_lost(&mut self, child: &SubprocessTransportRef, _: &Lost) {
        if let Some(status) = child.status() {
            let _ = writeln!(io::stdout(), "{} was served: {status}", self.connection.id());
        }
        self.connection.close();
    }
}

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:8888".into());
    let mut command: Vec<String> = args.collect();
    if command.is_empty() {
        command.push("cat".into());
    }
    let mut ev = EventLoop::new()?;
    let handle = ev.handle().clone();
    let on = handle.clone();
    let factory = move || Visitor { handle: on.clone(), command: command.clone() };
    let server = ev.block_on(async { tcp::listen(&handle, address, factory).await })?;
    for address in server.addresses() {
        writeln!(io::stdout(), "listening on {address}")?;
    }
    ev.run_forever()
}
