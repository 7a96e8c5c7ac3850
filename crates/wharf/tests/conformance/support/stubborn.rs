//! [`Stubborn`]: a socket that fails as it is told, for errors that no peer can provoke.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use wharf::reactor::stream::{Origin, StreamSocket, stream};
use wharf::{Address, IntoProtocol, TransportRef};

use super::bench::Bench;
use super::peer::Peer;

/// What the next calls shall fail with, in order; without an entry a call goes to the socket.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script(Rc<RefCell<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    reads: VecDeque<ErrorKind>,
    writes: VecDeque<Trouble>,
}

#[derive(Debug)]
enum Trouble {
    Fail(ErrorKind),
    /// Takes no more than this.
    Take(usize),
}

impl Script {
    /// The next reads fail so.
    pub(crate) fn fail_reads(&self, kinds: &[ErrorKind]) {
        self.0.borrow_mut().reads.extend(kinds);
    }

    /// The next writes fail so.
    pub(crate) fn fail_writes(&self, kinds: &[ErrorKind]) {
        self.0.borrow_mut().writes.extend(kinds.iter().map(|kind| Trouble::Fail(*kind)));
    }

    /// The next writes take no more than so much.
    pub(crate) fn limit_writes(&self, counts: &[usize]) {
        self.0.borrow_mut().writes.extend(counts.iter().map(|count| Trouble::Take(*count)));
    }

    /// Whether every line was met.
    pub(crate) fn is_done(&self) -> bool {
        let lines = self.0.borrow();
        lines.reads.is_empty() && lines.writes.is_empty()
    }
}

/// A Unix socket that follows a [`Script`].
#[derive(Debug)]
pub(crate) struct Stubborn {
    stream: Rc<UnixStream>,
    script: Script,
}

impl Stubborn {
    /// Puts `protocol` on such a socket, on the loop of `bench`, and runs until it has heard `connection_made`.
    pub(crate) fn open(
        bench: &mut Bench,
        protocol: impl IntoProtocol,
    ) -> (TransportRef, Peer, Script) {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair can be made");
        let (transport, script) = Self::open_on(bench, &Rc::new(ours), protocol);
        (transport, Peer::socket(theirs), script)
    }

    /// The same on a socket that the test holds too.
    pub(crate) fn open_on(
        bench: &mut Bench,
        ours: &Rc<UnixStream>,
        protocol: impl IntoProtocol,
    ) -> (TransportRef, Script) {
        ours.set_nonblocking(true).expect("a socket can be made non-blocking");
        let script = Script::default();
        let socket = Self { stream: Rc::clone(ours), script: script.clone() };
        let handle = bench.event_loop().handle().clone();
        let (_, protocol) = protocol.share();
        let driver = stream(&handle, socket, Origin::default(), protocol, Rc::default());
        let transport = driver.handle();
        bench.call_soon(move || drop(driver.begin()));
        bench.turn();
        (transport, script)
    }

    /// How much of `len` bytes the next write may take.
    fn allowance(&self, len: usize) -> io::Result<usize> {
        match self.script.0.borrow_mut().writes.pop_front() {
            Some(Trouble::Fail(kind)) => Err(kind.into()),
            Some(Trouble::Take(count)) => Ok(count.min(len)),
            None => Ok(len),
        }
    }
}

impl AsFd for Stubborn {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl StreamSocket for Stubborn {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let trouble = self.script.0.borrow_mut().reads.pop_front();
        trouble.map_or_else(|| (&*self.stream).read(buffer), |kind| Err(kind.into()))
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.allowance(bytes.len())?;
        (&*self.stream).write(&bytes[..count])
    }

    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        self.write(&bytes)
    }

    fn shutdown_write(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.stream.take_error()
    }

    fn local_addr(&self) -> Option<Address> {
        None
    }
}
