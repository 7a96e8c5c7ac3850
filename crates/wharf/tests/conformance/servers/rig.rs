//! What the tests of servers, clients, Unix sockets and files stand on: a loop that checks itself, protocols that write
//! down what they are told, and peers that are no wharf.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::IntoFuture;
use std::io::{self, ErrorKind, Read};
use std::net::SocketAddr;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use socket2::{Domain, SockAddr, Type};
use wharf::memory::ManualClock;
use wharf::{
    EventLoop, EventLoopBuilder, KeepOpen, LoopHandle, Lost, Protocol, Server, TransportRef,
};

use crate::support::loop_builder;

/// How many turns a condition may take to come true, and how long one may wait.
const TURNS: usize = 2000;
const WAIT: Duration = Duration::from_millis(10);

/// A loop that must have nothing left on it when it is gone.
pub(crate) struct TestLoop {
    ev: Option<EventLoop>,
    pub(crate) handle: LoopHandle,
}

impl TestLoop {
    pub(crate) fn new() -> Self {
        Self::of(loop_builder())
    }

    pub(crate) fn of(builder: EventLoopBuilder) -> Self {
        let ev = builder.build().unwrap();
        Self { handle: ev.handle().clone(), ev: Some(ev) }
    }

    /// One whose time stands still unless it is moved.
    pub(crate) fn manual() -> (Self, ManualClock) {
        let clock = ManualClock::new();
        (Self::of(loop_builder().clock(clock.clone())), clock)
    }

    fn ev(&mut self) -> &mut EventLoop {
        self.ev.as_mut().expect("the loop is there until it is dropped")
    }

    /// Takes turns until `condition` holds.
    #[track_caller]
    pub(crate) fn until(&mut self, mut condition: impl FnMut() -> bool) {
        for _ in 0..TURNS {
            if condition() {
                return;
            }
            self.ev().turn(Some(WAIT)).unwrap();
        }
        assert!(condition(), "what was waited for did not come");
    }

    /// Takes turns until `future` is ready.
    #[track_caller]
    pub(crate) fn finish<F>(&mut self, future: F) -> F::Output
    where
        F: IntoFuture,
        F::IntoFuture: 'static,
        F::Output: 'static,
    {
        let task = self.handle.spawn(future.into_future());
        self.until(|| task.is_finished());
        self.ev().block_on(task).unwrap()
    }

    /// Takes one turn without waiting.
    pub(crate) fn turn(&mut self) {
        self.ev().turn(Some(Duration::ZERO)).unwrap();
    }

    /// Takes enough turns for everything to happen that can: for what must not happen.
    pub(crate) fn quieten(&mut self) {
        for _ in 0..20 {
            self.turn();
        }
    }
}

impl Deref for TestLoop {
    type Target = LoopHandle;

    fn deref(&self) -> &LoopHandle {
        &self.handle
    }
}

impl Drop for TestLoop {
    fn drop(&mut self) {
        drop(self.ev.take());
        if !std::thread::panicking() {
            assert_eq!(self.handle.statistics().sources, 0, "something is left on the loop");
        }
    }
}

/// Where a server listens first.
pub(crate) fn address(server: &Server) -> SocketAddr {
    server.addresses()[0].ip().unwrap()
}

/// What the protocols of one factory were told, each line beginning with the number of the protocol.
#[derive(Clone, Default)]
pub(crate) struct Story(Rc<Pages>);

#[derive(Default)]
struct Pages {
    lines: RefCell<Vec<String>>,
    transports: RefCell<Vec<TransportRef>>,
    received: RefCell<Vec<Vec<u8>>>,
    errors: RefCell<Vec<ErrorKind>>,
    alive: Cell<usize>,
}

impl Story {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Makes protocols that only write down.
    pub(crate) fn factory(&self) -> impl Fn() -> Teller + use<> {
        let story = self.clone();
        move || story.teller()
    }

    /// Makes protocols that send back what they get.
    pub(crate) fn echoes(&self) -> impl Fn() -> Teller + use<> {
        let story = self.clone();
        move || {
            let mut teller = story.teller();
            teller.echo = true;
            teller
        }
    }

    pub(crate) fn teller(&self) -> Teller {
        let mut received = self.0.received.borrow_mut();
        received.push(Vec::new());
        self.0.alive.set(self.0.alive.get() + 1);
        Teller { story: self.clone(), number: received.len() - 1, echo: false, keep: KeepOpen::No }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lines.borrow().clone()
    }

    /// How many lines say this, of whichever protocol.
    pub(crate) fn count(&self, what: &str) -> usize {
        let says = |line: &&String| line.split_once(' ').is_some_and(|(_, told)| told == what);
        self.0.lines.borrow().iter().filter(says).count()
    }

    pub(crate) fn made(&self) -> usize {
        self.count("made")
    }

    pub(crate) fn lost(&self) -> usize {
        self.0.lines.borrow().iter().filter(|line| line.contains(" lost ")).count()
    }

    /// How many protocols were ever made.
    pub(crate) fn born(&self) -> usize {
        self.0.received.borrow().len()
    }

    /// How many protocols have not been dropped.
    pub(crate) fn alive(&self) -> usize {
        self.0.alive.get()
    }

    /// The transports, in the order in which they were made.
    pub(crate) fn transport(&self, place: usize) -> TransportRef {
        self.0.transports.borrow()[place].clone()
    }

    /// The transport that was made last.
    pub(crate) fn last_transport(&self) -> TransportRef {
        self.0.transports.borrow().last().cloned().unwrap()
    }

    /// Lets go of the transports.
    pub(crate) fn forget_transports(&self) {
        self.0.transports.borrow_mut().clear();
    }

    /// What a protocol was given, whole.
    pub(crate) fn received(&self, number: usize) -> Vec<u8> {
        self.0.received.borrow()[number].clone()
    }

    pub(crate) fn received_len(&self, number: usize) -> usize {
        self.0.received.borrow()[number].len()
    }

    /// The kinds of the errors of `lost io`.
    pub(crate) fn errors(&self) -> Vec<ErrorKind> {
        self.0.errors.borrow().clone()
    }

    fn write(&self, number: usize, what: &str) {
        self.0.lines.borrow_mut().push(format!("{number} {what}"));
    }
}

/// A protocol that writes down what it is told.
pub(crate) struct Teller {
    story: Story,
    number: usize,
    pub(crate) echo: bool,
    pub(crate) keep: KeepOpen,
}

impl Protocol for Teller {
    fn connection_made(&mut self, transport: &TransportRef) {
        self.story.0.transports.borrow_mut().push(transport.clone());
        self.story.write(self.number, "made");
    }

    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        let first = self.story.received_len(self.number) == 0;
        self.story.0.received.borrow_mut()[self.number].extend_from_slice(data);
        if first {
            self.story.write(self.number, "data");
        }
        if self.echo {
            transport.write(data);
        }
    }

    fn eof_received(&mut self, _: &TransportRef) -> KeepOpen {
        self.story.write(self.number, "eof");
        self.keep
    }

    fn pause_writing(&mut self, _: &TransportRef) {
        self.story.write(self.number, "pause");
    }

    fn resume_writing(&mut self, _: &TransportRef) {
        self.story.write(self.number, "resume");
    }

    fn connection_lost(&mut self, _: &TransportRef, why: &Lost) {
        if let Lost::Io(error) = why {
            self.story.0.errors.borrow_mut().push(error.kind());
        }
        self.story.write(self.number, &format!("lost {}", Lost::NAMES[why.index()]));
    }
}

impl fmt::Debug for Teller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Teller").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.story.0.alive.set(self.story.0.alive.get() - 1);
    }
}

/// How a connection ended, as a peer sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Eof,
    Reset,
}

/// A peer that is a plain socket; it never blocks.
pub(crate) struct Peer {
    pub(crate) socket: socket2::Socket,
    received: Vec<u8>,
    end: Option<End>,
}

impl Peer {
    pub(crate) fn of(fd: impl Into<OwnedFd>) -> Self {
        let socket = socket2::Socket::from(fd.into());
        socket.set_nonblocking(true).unwrap();
        Self { socket, received: Vec::new(), end: None }
    }

    pub(crate) fn try_tcp(to: SocketAddr) -> io::Result<Self> {
        // The bound keeps a failure from hanging the test.
        std::net::TcpStream::connect_timeout(&to, Duration::from_secs(10)).map(Self::of)
    }

    #[track_caller]
    pub(crate) fn tcp(to: SocketAddr) -> Self {
        Self::try_tcp(to).unwrap()
    }

    #[track_caller]
    pub(crate) fn unix(path: impl AsRef<Path>) -> Self {
        Self::of(std::os::unix::net::UnixStream::connect(path).unwrap())
    }

    /// The port of a TCP peer.
    pub(crate) fn local(&self) -> SocketAddr {
        self.socket.local_addr().unwrap().as_socket().unwrap()
    }

    /// Sends a little, which the system takes at once.
    #[track_caller]
    pub(crate) fn send(&self, bytes: &[u8]) {
        assert_eq!(self.socket.send(bytes).unwrap(), bytes.len());
    }

    /// Reads what is there.
    fn look(&mut self) {
        let mut chunk = [0; 64 * 1024];
        while self.end.is_none() {
            match (&self.socket).read(&mut chunk) {
                Ok(0) => self.end = Some(End::Eof),
                Ok(count) => self.received.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.end = Some(End::Reset),
            }
        }
    }

    /// Everything that has come so far.
    pub(crate) fn received(&mut self) -> &[u8] {
        self.look();
        &self.received
    }

    /// How the connection ended, once it has.
    pub(crate) fn end(&mut self) -> Option<End> {
        self.look();
        self.end
    }

    /// Ends the connection by a reset.
    pub(crate) fn reset(self) {
        self.socket.set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// A TCP socket that is bound and does not listen: its port refuses, and nobody else gets it meanwhile.
pub(crate) fn refusing(ip: [u8; 4]) -> (socket2::Socket, SocketAddr) {
    let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((ip, 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// A listener that answers nobody, because its backlog is full: connections to it stay in the making.
pub(crate) struct BlackHole {
    pub(crate) listener: socket2::Socket,
    pub(crate) address: SocketAddr,
    _waiting: Vec<socket2::Socket>,
}

impl BlackHole {
    pub(crate) fn new(ip: [u8; 4]) -> Self {
        let (listener, address) = refusing(ip);
        listener.listen(0).unwrap();
        let connect = || {
            let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&SockAddr::from(address));
            socket
        };
        // The first fills it; the others make sure.
        let waiting = (0..3).map(|_| connect()).collect();
        Self { listener, address, _waiting: waiting }
    }
}
