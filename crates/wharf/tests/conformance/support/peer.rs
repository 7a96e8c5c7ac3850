//! [`Peer`]: the other end of a connection, in the hand of the test, on the same thread.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use socket2::{SockRef, Socket};
use wharf::TransportRef;
use wharf::memory::{Seen, Wire};
use wharf::reactor::stream::SocketView;

use super::bench::{pattern, pattern_from};
use super::tls_peer::TlsPeer;

/// How much a socket under test takes before it blocks: fixed, so that tests fill it quickly.
const SEND_BUFFER: usize = 64 * 1024;

/// What fills a wire, which would take everything.
const WIRE_FILL: usize = 300 * 1024;

/// The other end: a wire in memory, a plain non-blocking socket, the other ends of pipes, or TLS on a wire or a socket.
#[derive(Debug)]
pub(crate) struct Peer {
    end: End,
    received: RefCell<Vec<u8>>,
}

#[derive(Debug)]
enum End {
    Wire(Wire),
    Tls(Rc<TlsPeer>),
    Socket(RawSocket),
    Pipes(RawPipes),
}

/// What the peer reads and what it writes; `None` where it does not, or has closed.
#[derive(Debug)]
struct RawPipes {
    reader: RefCell<Option<File>>,
    writer: RefCell<Option<File>>,
    seen: Cell<Seen>,
}

#[derive(Debug)]
struct RawSocket {
    /// `None` once closed.
    socket: RefCell<Option<Socket>>,
    seen: Cell<Seen>,
    /// The transport on the other end, where the one that a test has is not it.
    transport: RefCell<Option<TransportRef>>,
}

impl Peer {
    pub(crate) fn wire(wire: Wire) -> Self {
        Self { end: End::Wire(wire), received: RefCell::default() }
    }

    /// The user's end of TLS.
    pub(crate) fn tls(peer: Rc<TlsPeer>) -> Self {
        Self { end: End::Tls(peer), received: RefCell::default() }
    }

    /// A raw end of a socket; it is made non-blocking.
    pub(crate) fn socket(fd: impl Into<OwnedFd>) -> Self {
        let socket = Socket::from(fd.into());
        socket.set_nonblocking(true).expect("a socket can be made non-blocking");
        let end = RawSocket {
            socket: RefCell::new(Some(socket)),
            seen: Cell::new(Seen::Open),
            transport: RefCell::default(),
        };
        Self { end: End::Socket(end), received: RefCell::default() }
    }

    /// The other ends of pipes; they are made non-blocking.
    pub(crate) fn pipes(reader: Option<OwnedFd>, writer: Option<OwnedFd>) -> Self {
        let end = |fd: OwnedFd| {
            let flags = FcntlArg::F_SETFL(OFlag::O_NONBLOCK);
            fcntl(&fd, flags).expect("a pipe can be made non-blocking");
            File::from(fd)
        };
        let end = RawPipes {
            reader: RefCell::new(reader.map(end)),
            writer: RefCell::new(writer.map(end)),
            seen: Cell::new(Seen::Open),
        };
        Self { end: End::Pipes(end), received: RefCell::default() }
    }

    /// Takes note of the transport on the other end of the socket, below all layers.
    pub(crate) fn set_transport(&self, transport: TransportRef) {
        if let End::Socket(raw) = &self.end {
            raw.transport.replace(Some(transport));
        }
    }

    /// Whether every handshake of TLS is over, on this side.
    pub(crate) fn is_established(&self) -> bool {
        match &self.end {
            End::Tls(peer) => peer.is_established(),
            End::Wire(_) | End::Socket(_) | End::Pipes(_) => true,
        }
    }

    /// Sends what TLS has to send. Says whether there was anything.
    pub(crate) fn flush(&self) -> bool {
        match &self.end {
            End::Tls(peer) => peer.flush(),
            End::Wire(_) | End::Socket(_) | End::Pipes(_) => false,
        }
    }

    /// Sends all of `bytes`.
    pub(crate) fn send(&self, bytes: &[u8]) {
        assert_eq!(self.send_some(bytes), bytes.len(), "the kernel took the peer's bytes in part");
    }

    /// Sends what the kernel takes now; a wire takes everything, and so does TLS.
    pub(crate) fn send_some(&self, bytes: &[u8]) -> usize {
        self.try_send(bytes).unwrap_or_else(|error| panic!("the peer cannot send: {error}"))
    }

    /// The same for a peer that may have been left.
    pub(crate) fn try_send(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.end {
            End::Wire(wire) => {
                wire.send(bytes);
                Ok(bytes.len())
            }
            End::Tls(peer) => {
                peer.send(bytes);
                Ok(bytes.len())
            }
            End::Socket(raw) => raw.with(|mut socket| write_some(&mut socket, bytes)),
            End::Pipes(raw) => {
                let writer = raw.writer.borrow();
                write_some(&mut writer.as_ref().expect("the peer writes"), bytes)
            }
        }
    }

    /// Sends a [`pattern`] until the kernel takes no more, and says how much it was; a wire gets 300 KiB.
    pub(crate) fn fill(&self) -> usize {
        match &self.end {
            End::Wire(wire) => {
                wire.send(&pattern(WIRE_FILL));
                WIRE_FILL
            }
            End::Tls(peer) => {
                peer.send(&pattern(WIRE_FILL));
                WIRE_FILL
            }
            End::Socket(_) | End::Pipes(_) => {
                const CHUNK: usize = 64 * 1024;
                let mut total = 0;
                loop {
                    let sent = self.send_some(&pattern_from(total, CHUNK));
                    total += sent;
                    if sent < CHUNK {
                        return total;
                    }
                }
            }
        }
    }

    /// Ends the peer's direction.
    pub(crate) fn shutdown(&self) {
        match &self.end {
            End::Wire(wire) => wire.shutdown(),
            End::Tls(peer) => peer.say_goodbye(),
            End::Socket(raw) => raw.with(|socket| {
                socket.shutdown(Shutdown::Write).expect("the peer can end its direction");
            }),
            End::Pipes(raw) => drop(raw.writer.take()),
        }
    }

    /// Closes. With bytes unread, the protocol meets a reset.
    pub(crate) fn close(&self) {
        match &self.end {
            End::Wire(wire) => wire.close(),
            End::Tls(peer) => {
                peer.say_goodbye();
                peer.close_below();
            }
            End::Socket(raw) => drop(raw.socket.take()),
            End::Pipes(raw) => drop((raw.reader.take(), raw.writer.take())),
        }
    }

    /// Resets the connection of `transport`; what was sent before is still delivered.
    pub(crate) fn reset(&self, transport: &TransportRef) {
        match &self.end {
            End::Wire(wire) => wire.reset(),
            End::Tls(peer) => peer.below().reset(transport),
            End::Socket(raw) => {
                let lowest = raw.transport.take();
                raw.with(|socket| {
                    if socket.local_addr().is_ok_and(|address| address.is_unix()) {
                        leave_unread(socket, lowest.as_ref().unwrap_or(transport));
                    } else {
                        socket.set_linger(Some(Duration::ZERO)).expect("SO_LINGER can be set");
                    }
                });
                self.close();
            }
            // A pipe knows no other way to end: an error meets what is written to it, and nothing else.
            End::Pipes(_) => self.close(),
        }
    }

    /// Reads all there is, and says how many bytes have come since the beginning.
    pub(crate) fn read(&self) -> usize {
        let mut received = self.received.borrow_mut();
        match &self.end {
            End::Wire(wire) => received.extend(wire.take()),
            End::Tls(peer) => {
                peer.receive(&mut received);
                peer.flush();
            }
            End::Socket(raw) => raw.read(&mut received, usize::MAX),
            End::Pipes(raw) => raw.read(&mut received, usize::MAX),
        }
        received.len()
    }

    /// Reads no more than `most` bytes; a wire gives all it has.
    pub(crate) fn read_at_most(&self, most: usize) -> usize {
        let mut received = self.received.borrow_mut();
        match &self.end {
            End::Wire(wire) => received.extend(wire.take()),
            End::Tls(peer) => {
                peer.receive_at_most(most, &mut received);
                peer.flush();
            }
            End::Socket(raw) => raw.read(&mut received, most),
            End::Pipes(raw) => raw.read(&mut received, most),
        }
        received.len()
    }

    /// What was read since this was called last, or since the beginning.
    pub(crate) fn take_read(&self) -> Vec<u8> {
        self.received.take()
    }

    /// The same, with what has come and was not read.
    pub(crate) fn take(&self) -> Vec<u8> {
        self.read();
        self.take_read()
    }

    /// Everything that has come since the beginning.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.read();
        self.received.borrow().clone()
    }

    /// How the stream looks after everything that has come.
    pub(crate) fn seen(&self) -> Seen {
        self.read();
        match &self.end {
            End::Wire(wire) => wire.seen(),
            End::Tls(peer) => peer.seen(),
            End::Socket(raw) => raw.seen.get(),
            End::Pipes(raw) => raw.seen(),
        }
    }

    /// The wire of a connection in memory, for what only memory can do.
    pub(crate) fn as_wire(&self) -> &Wire {
        match &self.end {
            End::Wire(wire) => wire,
            End::Tls(peer) => peer.below().as_wire(),
            End::Socket(_) | End::Pipes(_) => panic!("the peer is no wire"),
        }
    }

    /// Looks at the raw socket.
    pub(crate) fn with_socket<R>(&self, look: impl FnOnce(&Socket) -> R) -> R {
        match &self.end {
            End::Wire(_) | End::Pipes(_) => panic!("the peer is no socket"),
            End::Tls(peer) => peer.below().with_socket(look),
            End::Socket(raw) => raw.with(look),
        }
    }
}

impl RawSocket {
    fn with<R>(&self, look: impl FnOnce(&Socket) -> R) -> R {
        look(self.socket.borrow().as_ref().expect("the peer has not closed"))
    }

    fn read(&self, received: &mut Vec<u8>, most: usize) {
        if let Some(mut socket) = self.socket.borrow().as_ref() {
            read_some(&mut socket, received, most, &self.seen);
        }
    }
}

impl RawPipes {
    fn read(&self, received: &mut Vec<u8>, most: usize) {
        if let Some(mut reader) = self.reader.borrow().as_ref() {
            read_some(&mut reader, received, most, &self.seen);
        }
    }

    /// Where nothing is read, the end is that nobody reads what is written.
    fn seen(&self) -> Seen {
        match (&*self.reader.borrow(), &*self.writer.borrow()) {
            (None, Some(writer)) if is_broken(writer) => Seen::Eof,
            _ => self.seen.get(),
        }
    }
}

fn is_broken(writer: &File) -> bool {
    let mut fds = [PollFd::new(writer.as_fd(), PollFlags::empty())];
    nix::poll::poll(&mut fds, PollTimeout::ZERO).expect("a pipe can be polled");
    fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLERR))
}

/// Writes what the kernel takes now.
fn write_some(to: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match to.write(&bytes[sent..]) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

/// Reads what there is, no more than `most` bytes, and notes an end.
fn read_some(from: &mut impl Read, received: &mut Vec<u8>, most: usize, seen: &Cell<Seen>) {
    let mut buffer = [0; 64 * 1024];
    let mut left = most;
    while left > 0 && seen.get() == Seen::Open {
        let room = left.min(buffer.len());
        match from.read(&mut buffer[..room]) {
            Ok(0) => seen.set(Seen::Eof),
            Ok(count) => {
                received.extend_from_slice(&buffer[..count]);
                left -= count;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => seen.set(Seen::Reset),
        }
    }
}

/// A Unix socket that closes with bytes unread resets; this sees to it that there is one.
fn leave_unread(socket: &Socket, transport: &TransportRef) {
    let mut probe = [std::mem::MaybeUninit::uninit()];
    if socket.peek(&mut probe).is_ok_and(|count| count > 0) {
        return;
    }
    let view = transport.extra::<SocketView>().expect("a socket transport has its view");
    view.with(|fd| SockRef::from(&fd).send(b"!").expect("one byte can be sent"));
}

/// Two connected TCP sockets: the one to be put under a transport, and the peer's.
pub(crate) fn tcp_pair() -> (OwnedFd, Peer) {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
        .expect("loopback can be listened on");
    let address = listener.local_addr().expect("a listener has an address");
    let ours = TcpStream::connect(address).expect("loopback can be connected to");
    let (theirs, _) = listener.accept().expect("the connection has come");
    shrink(&ours).and_then(|()| shrink(&theirs)).expect("buffers can be set");
    // What the peer sends is on its way at once, however little it is.
    theirs.set_nodelay(true).expect("TCP_NODELAY can be set");
    (ours.into(), Peer::socket(theirs))
}

/// Two connected Unix sockets: the one to be put under a transport, and the peer's.
pub(crate) fn unix_pair() -> (OwnedFd, Peer) {
    let (ours, theirs) = UnixStream::pair().expect("a socket pair can be made");
    shrink(&ours).and_then(|()| shrink(&theirs)).expect("buffers can be set");
    (ours.into(), Peer::socket(theirs))
}

fn shrink(socket: &impl AsFd) -> io::Result<()> {
    SockRef::from(socket).set_send_buffer_size(SEND_BUFFER)
}
