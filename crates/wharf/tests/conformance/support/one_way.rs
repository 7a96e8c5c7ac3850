//! [`OneWay`]: a pipe that is read or written, in the dress of a stream in both directions, so that the tests of streams
//! run over it too.
//!
//! What has come is told to the protocol of the test by the protocols of pipes; the direction that is missing answers as
//! one that is over.

use std::cell::RefCell;
use std::error::Error;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use bytes::Bytes;
use wharf::extra::Request;
use wharf::shared::Reception;
use wharf::subprocess::pipe::{connect_read, connect_write};
use wharf::{
    BaseTransport, Buffered, BufferedReadPipeProtocol, Flow, IntoProtocol, Limits, LoopHandle,
    Lost, ReadPipeProtocol, ReadTransport, ReadTransportRef, Scheduler, StreamProtocol, Transport,
    TransportId, TransportRef, WritePipeProtocol, WriteTransport, WriteTransportRef,
};

/// The handle of a pipe.
enum OneWay {
    Read(ReadTransportRef),
    Write(WriteTransportRef),
}

macro_rules! either {
    ($self:ident, $transport:ident => $call:expr) => {
        match $self {
            OneWay::Read($transport) => $call,
            OneWay::Write($transport) => $call,
        }
    };
}

impl BaseTransport for OneWay {
    fn id(&self) -> TransportId {
        either!(self, transport => transport.id())
    }
    fn close(&self) {
        either!(self, transport => transport.close());
    }
    fn abort(&self) {
        either!(self, transport => transport.abort());
    }
    fn fail(&self, error: Box<dyn Error>) {
        either!(self, transport => transport.fail(error));
    }
    fn is_closing(&self) -> bool {
        either!(self, transport => transport.is_closing())
    }
    fn provide(&self, request: &mut Request<'_>) {
        either!(self, transport => transport.provide(request));
    }
    fn scheduler(&self) -> Rc<dyn Scheduler> {
        either!(self, transport => transport.scheduler())
    }
}

impl ReadTransport for OneWay {
    fn is_reading(&self) -> bool {
        matches!(self, Self::Read(transport) if transport.is_reading())
    }
    fn pause_reading(&self) {
        if let Self::Read(transport) = self {
            transport.pause_reading();
        }
    }
    fn resume_reading(&self) {
        if let Self::Read(transport) = self {
            transport.resume_reading();
        }
    }
}

impl OneWay {
    fn written(&self) -> Option<&WriteTransportRef> {
        match self {
            Self::Read(_) => None,
            Self::Write(transport) => Some(transport),
        }
    }
}

impl WriteTransport for OneWay {
    fn write(&self, data: &[u8]) -> Flow {
        self.written().map_or(Flow::Closed, |transport| transport.write(data))
    }
    fn write_bytes(&self, data: Bytes) -> Flow {
        self.written().map_or(Flow::Closed, |transport| transport.write_bytes(data))
    }
    fn writelines(&self, chunks: &[IoSlice<'_>]) -> Flow {
        self.written().map_or(Flow::Closed, |transport| transport.writelines(chunks))
    }
    fn write_eof(&self) {
        if let Some(transport) = self.written() {
            transport.write_eof();
        }
    }
    fn can_write_eof(&self) -> bool {
        self.written().is_some_and(|transport| transport.can_write_eof())
    }
    fn write_buffer_len(&self) -> usize {
        self.written().map_or(0, |transport| transport.write_buffer_len())
    }
    fn write_buffer_limits(&self) -> Limits {
        self.written().map_or(Limits::DEFAULT, |transport| transport.write_buffer_limits())
    }
    fn set_write_buffer_limits(&self, limits: Limits) {
        if let Some(transport) = self.written() {
            transport.set_write_buffer_limits(limits);
        }
    }
}

impl Transport for OneWay {
    /// The protocol of a pipe stays what it is.
    fn protocol(&self) -> Option<StreamProtocol> {
        None
    }
    fn replace_protocol(&self, _: StreamProtocol, _: &[u8]) -> Option<StreamProtocol> {
        panic!("the protocol of a pipe cannot be switched")
    }
}

/// A protocol of streams as one of pipes.
struct Dressed {
    protocol: StreamProtocol,
    transport: Rc<RefCell<Option<TransportRef>>>,
    /// As large as the protocol's own, and copied into that.
    buffer: Vec<u8>,
}

impl Dressed {
    fn made(&self, transport: OneWay) {
        let transport = TransportRef::new(Rc::new(transport));
        self.transport.replace(Some(transport.clone()));
        self.protocol.connection_made(&transport);
    }

    fn transport(&self) -> TransportRef {
        self.transport.borrow().clone().expect("connection_made was told")
    }

    fn lost(&self, why: &Lost) {
        let transport = self.transport.take().expect("the loss is told once");
        self.protocol.connection_lost(&transport, why);
    }
}

impl ReadPipeProtocol for Dressed {
    fn connection_made(&mut self, transport: &ReadTransportRef) {
        self.made(OneWay::Read(transport.clone()));
    }
    fn data_received(&mut self, _: &ReadTransportRef, data: &[u8]) {
        self.protocol.data_received(&self.transport(), data).expect("nobody holds the protocol");
    }
    fn eof_received(&mut self, _: &ReadTransportRef) {
        // There is no other half to keep open.
        let _ = self.protocol.eof_received(&self.transport());
    }
    fn connection_lost(&mut self, _: &ReadTransportRef, why: &Lost) {
        self.lost(why);
    }
}

impl BufferedReadPipeProtocol for Dressed {
    fn connection_made(&mut self, transport: &ReadTransportRef) {
        self.made(OneWay::Read(transport.clone()));
    }
    fn get_buffer(&mut self, size_hint: Option<usize>) -> &mut [u8] {
        let buffer = &mut self.buffer;
        self.protocol.get_buffer(size_hint, &mut |theirs| {
            buffer.resize(theirs.len(), 0);
            0
        });
        &mut self.buffer
    }
    fn buffer_updated(&mut self, _: &ReadTransportRef, count: usize) {
        self.protocol.get_buffer(Some(count), &mut |theirs| {
            theirs[..count].copy_from_slice(&self.buffer[..count]);
            count
        });
        self.protocol.buffer_updated(&self.transport(), count);
    }
    fn eof_received(&mut self, _: &ReadTransportRef) {
        let _ = self.protocol.eof_received(&self.transport());
    }
    fn connection_lost(&mut self, _: &ReadTransportRef, why: &Lost) {
        self.lost(why);
    }
}

impl WritePipeProtocol for Dressed {
    fn connection_made(&mut self, transport: &WriteTransportRef) {
        self.made(OneWay::Write(transport.clone()));
    }
    fn pause_writing(&mut self, _: &WriteTransportRef) {
        self.protocol.pause_writing(&self.transport());
    }
    fn resume_writing(&mut self, _: &WriteTransportRef) {
        self.protocol.resume_writing(&self.transport());
    }
    fn connection_lost(&mut self, _: &WriteTransportRef, why: &Lost) {
        self.lost(why);
    }
}

/// Puts a protocol of streams on `fd`, to be read if `reads` and else to be written, by the function for that.
pub(crate) async fn connect<P: IntoProtocol>(
    handle: &LoopHandle,
    fd: OwnedFd,
    reads: bool,
    protocol: P,
) -> io::Result<(TransportRef, P::Shared)> {
    let (shared, protocol) = protocol.share();
    let buffered = protocol.reception() == Reception::Buffered;
    let made = Rc::new(RefCell::new(None));
    let dressed = Dressed { protocol, transport: Rc::clone(&made), buffer: Vec::new() };
    let fallback = match (reads, buffered) {
        (true, false) => OneWay::Read(connect_read(handle, fd, dressed).await?.0),
        (true, true) => OneWay::Read(connect_read(handle, fd, Buffered(dressed)).await?.0),
        (false, _) => OneWay::Write(connect_write(handle, fd, dressed).await?.0),
    };
    // It may be over by now, and has let go of its handle then.
    let transport = made.borrow().clone();
    Ok((transport.unwrap_or_else(|| TransportRef::new(Rc::new(fallback))), shared))
}
