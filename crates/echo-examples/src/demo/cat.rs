//! An echo that is none of ours: each connection has a child, `cat`, between its two directions.
//!
//! The program `cat_echo` explains it, alone.

use wharf::subprocess::{self, Stdio};
use wharf::{
    Flow, KeepOpen, LoopHandle, Lost, PipeTransport, Protocol, ReadTransportRef,
    SubprocessProtocol, SubprocessTransportRef, TransportRef, WriteTransportRef,
};

/// The protocol of a connection whose child is being started.
pub(super) struct Visitor(pub(super) LoopHandle);

impl Protocol for Visitor {
    fn connection_made(&mut self, connection: &TransportRef) {
        connection.pause_reading();
        let (handle, connection) = (self.0.clone(), connection.clone());
        let starting = async move {
            let served = connection.clone();
            let child = subprocess::exec(&handle, "cat", [""; 0], || FromChild(connection));
            if let Err(error) = child.stderr(Stdio::Inherit).await {
                // The client says that its connection was lost.
                served.fail(error.into());
            }
        };
        self.0.spawn(starting).detach();
    }

    fn data_received(&mut self, _: &TransportRef, _: &[u8]) {}
}

/// The protocol of a connection that has its child.
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
        KeepOpen::Yes
    }

    fn resume_writing(&mut self, _: &TransportRef) {
        self.stdout.resume_reading();
    }

    fn connection_lost(&mut self, _: &TransportRef, _: &Lost) {
        self.child.close();
    }
}

/// The protocol of the child.
struct FromChild(TransportRef);

impl SubprocessProtocol for FromChild {
    fn connection_made(&mut self, child: &SubprocessTransportRef) {
        let pipes = (child.pipe_transport(0), child.pipe_transport(1));
        if let (Some(PipeTransport::Write(stdin)), Some(PipeTransport::Read(stdout))) = pipes {
            self.0.set_protocol(ToChild { child: child.clone(), stdin, stdout }, &[]);
            self.0.resume_reading();
        }
        if self.0.is_closing() {
            child.close();
        }
    }

    fn pipe_data_received(&mut self, child: &SubprocessTransportRef, fd: i32, data: &[u8]) {
        if self.0.write(data) == Flow::Full {
            if let Some(PipeTransport::Read(stdout)) = child.pipe_transport(fd) {
                stdout.pause_reading();
            }
        }
    }

    fn resume_writing(&mut self, _: &SubprocessTransportRef, _: i32) {
        self.0.resume_reading();
    }

    fn connection_lost(&mut self, _: &SubprocessTransportRef, _: &Lost) {
        self.0.close();
    }
}
