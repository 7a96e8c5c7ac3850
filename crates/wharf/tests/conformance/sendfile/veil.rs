//! [`veil`]: a transport of somebody else's making, which passes everything on but the socket below it, so that a file
//! cannot find it.

use std::error::Error;
use std::io::IoSlice;
use std::rc::Rc;

use bytes::Bytes;
use wharf::extra::{LocalAddr, PeerAddr, Request, WritingPaused};
use wharf::{
    BaseTransport, Flow, Limits, ReadTransport, Scheduler, StreamProtocol, Transport, TransportId,
    TransportRef, WriteTransport,
};

/// The same stream, with nothing known of what it runs on.
pub(crate) fn veil(transport: &TransportRef) -> TransportRef {
    TransportRef::new(Rc::new(Veil(transport.clone())))
}

struct Veil(TransportRef);

impl BaseTransport for Veil {
    fn id(&self) -> TransportId {
        self.0.id()
    }

    fn close(&self) {
        self.0.close();
    }

    fn abort(&self) {
        self.0.abort();
    }

    fn fail(&self, error: Box<dyn Error>) {
        self.0.fail(error);
    }

    fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    fn provide(&self, request: &mut Request<'_>) {
        request
            .provide_some(|| self.0.extra::<LocalAddr>())
            .provide_some(|| self.0.extra::<PeerAddr>())
            .provide_some(|| self.0.extra::<WritingPaused>());
    }

    fn scheduler(&self) -> Rc<dyn Scheduler> {
        self.0.scheduler()
    }
}

impl ReadTransport for Veil {
    fn is_reading(&self) -> bool {
        self.0.is_reading()
    }

    fn pause_reading(&self) {
        self.0.pause_reading();
    }

    fn resume_reading(&self) {
        self.0.resume_reading();
    }
}

impl WriteTransport for Veil {
    fn write(&self, data: &[u8]) -> Flow {
        self.0.write(data)
    }

    fn write_bytes(&self, data: Bytes) -> Flow {
        self.0.write_bytes(data)
    }

    fn writelines(&self, chunks: &[IoSlice<'_>]) -> Flow {
        self.0.writelines(chunks)
    }

    fn write_eof(&self) {
        self.0.write_eof();
    }

    fn can_write_eof(&self) -> bool {
        self.0.can_write_eof()
    }

    fn write_buffer_len(&self) -> usize {
        self.0.write_buffer_len()
    }

    fn write_buffer_limits(&self) -> Limits {
        self.0.write_buffer_limits()
    }

    fn set_write_buffer_limits(&self, limits: Limits) {
        self.0.set_write_buffer_limits(limits);
    }
}

impl Transport for Veil {
    fn protocol(&self) -> Option<StreamProtocol> {
        self.0.protocol()
    }

    fn replace_protocol(
        &self,
        protocol: StreamProtocol,
        leftover: &[u8],
    ) -> Option<StreamProtocol> {
        self.0.replace_protocol(protocol, leftover)
    }

    fn interpose(&self, protocol: StreamProtocol) -> Option<StreamProtocol> {
        self.0.interpose(protocol)
    }
}
