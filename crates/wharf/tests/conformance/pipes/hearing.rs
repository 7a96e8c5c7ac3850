//! What the tests of pipes stand on: a protocol of each kind that writes down what it hears.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use wharf::subprocess::pipe::{connect_read, connect_write};
use wharf::{
    Buffered, BufferedReadPipeProtocol, LoopHandle, Lost, ReadPipeProtocol, ReadTransportRef,
    WritePipeProtocol, WriteTransportRef,
};

use crate::servers::rig::TestLoop;

/// What one protocol heard. Cloning refers to the same one.
#[derive(Clone, Default)]
pub(crate) struct Heard(Rc<Record>);

#[derive(Default)]
struct Record {
    lines: RefCell<Vec<String>>,
    data: RefCell<Vec<u8>>,
    panics: Cell<bool>,
}

impl Heard {
    /// The calls so far; calls with data in a row are one `data`.
    pub(crate) fn story(&self) -> Vec<String> {
        self.0.lines.borrow().clone()
    }

    pub(crate) fn data(&self) -> Vec<u8> {
        self.0.data.borrow().clone()
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.has("lost")
    }

    pub(crate) fn has(&self, start: &str) -> bool {
        self.0.lines.borrow().iter().any(|line| line.starts_with(start))
    }

    /// From now on data makes the protocol panic.
    pub(crate) fn panic_at_data(&self) {
        self.0.panics.set(true);
    }

    fn note(&self, line: &str) {
        assert!(!self.is_lost(), "{line} after the loss");
        self.0.lines.borrow_mut().push(line.to_owned());
    }

    fn lost(&self, why: &Lost) {
        let line = match why {
            Lost::Io(error) => format!("lost {:?}", error.kind()),
            other => format!("lost {}", Lost::NAMES[other.index()]),
        };
        self.note(&line);
    }

    fn take(&self, data: &[u8]) {
        assert!(!data.is_empty());
        assert!(!self.has("eof") && !self.is_lost(), "data after the end");
        if self.0.lines.borrow().last().is_none_or(|line| line != "data") {
            self.note("data");
        }
        self.0.data.borrow_mut().extend(data);
        assert!(!self.0.panics.get(), "as the test wants it");
    }
}

/// The protocol of a read pipe.
pub(crate) struct Reader(pub(crate) Heard);

impl ReadPipeProtocol for Reader {
    fn connection_made(&mut self, _: &ReadTransportRef) {
        self.0.note("made");
    }
    fn data_received(&mut self, _: &ReadTransportRef, data: &[u8]) {
        self.0.take(data);
    }
    fn eof_received(&mut self, _: &ReadTransportRef) {
        self.0.note("eof");
    }
    fn connection_lost(&mut self, transport: &ReadTransportRef, why: &Lost) {
        assert!(transport.is_closing());
        self.0.lost(why);
    }
}

/// The same with a buffer of its own.
pub(crate) struct Filler(Heard, [u8; 7]);

impl Filler {
    pub(crate) fn buffered(heard: &Heard) -> Buffered<Self> {
        Buffered(Self(heard.clone(), [0; 7]))
    }
}

impl BufferedReadPipeProtocol for Filler {
    fn connection_made(&mut self, _: &ReadTransportRef) {
        self.0.note("made");
    }
    fn get_buffer(&mut self, _: Option<usize>) -> &mut [u8] {
        &mut self.1
    }
    fn buffer_updated(&mut self, _: &ReadTransportRef, count: usize) {
        self.0.take(&self.1[..count]);
    }
    fn eof_received(&mut self, _: &ReadTransportRef) {
        self.0.note("eof");
    }
    fn connection_lost(&mut self, _: &ReadTransportRef, why: &Lost) {
        self.0.lost(why);
    }
}

/// The protocol of a write pipe.
pub(crate) struct Writer(pub(crate) Heard);

impl WritePipeProtocol for Writer {
    fn connection_made(&mut self, _: &WriteTransportRef) {
        self.0.note("made");
    }
    fn pause_writing(&mut self, _: &WriteTransportRef) {
        self.0.note("pause");
    }
    fn resume_writing(&mut self, _: &WriteTransportRef) {
        self.0.note("resume");
    }
    fn connection_lost(&mut self, transport: &WriteTransportRef, why: &Lost) {
        assert!(transport.is_closing());
        self.0.lost(why);
    }
}

/// The two ends of a pipe. Other tests start children meanwhile, which must not inherit them.
pub(crate) fn pipe() -> (File, File) {
    #[cfg(target_os = "linux")]
    let ends = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC);
    #[cfg(not(target_os = "linux"))]
    let ends = nix::unistd::pipe();
    let (reader, writer) = ends.unwrap();
    (reader.into(), writer.into())
}

/// Ends of a pipe: ours under a transport to be read, and the other one raw.
pub(crate) fn read_pipe(ev: &mut TestLoop) -> (Heard, ReadTransportRef, File) {
    let (reader, writer) = pipe();
    let (heard, transport) = open_read(ev, reader).unwrap();
    (heard, transport, writer)
}

/// Ends of a pipe: ours under a transport to be written, and the other one raw.
pub(crate) fn write_pipe(ev: &mut TestLoop) -> (Heard, WriteTransportRef, File) {
    let (reader, writer) = pipe();
    let (heard, transport) = open_write(ev, writer).unwrap();
    (heard, transport, reader)
}

pub(crate) fn open_read(
    ev: &mut TestLoop,
    fd: impl Into<OwnedFd>,
) -> io::Result<(Heard, ReadTransportRef)> {
    let heard = Heard::default();
    let handle: LoopHandle = ev.handle.clone();
    let (transport, _) = ev.finish(connect_read(&handle, fd, Reader(heard.clone())))?;
    Ok((heard, transport))
}

pub(crate) fn open_write(
    ev: &mut TestLoop,
    fd: impl Into<OwnedFd>,
) -> io::Result<(Heard, WriteTransportRef)> {
    let heard = Heard::default();
    let handle: LoopHandle = ev.handle.clone();
    let (transport, _) = ev.finish(connect_write(&handle, fd, Writer(heard.clone())))?;
    Ok((heard, transport))
}
