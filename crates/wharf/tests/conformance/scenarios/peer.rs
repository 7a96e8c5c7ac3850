//! [`Peer`]: the raw end of a connection, a non-blocking socket on the same thread.

use std::io::{ErrorKind, Read};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::python::{errno, shown};
use super::scene::{Progress, Scene};

const LOOPBACK: &str = "127.0.0.1:0";

/// The raw end of a connection.
pub(super) struct Peer {
    socket: Socket,
    scene: Scene,
}

/// What a raw end found after the bytes: `open`, `eof`, or an errno.
pub(super) type End = String;

/// A connected TCP pair: a socket for the loop, and the raw end.
pub(super) fn tcp_pair(scene: &Scene) -> (TcpStream, Peer) {
    let listener = TcpListener::bind(LOOPBACK).expect("a listener");
    let ours = TcpStream::connect(listener.local_addr().expect("its address")).expect("connected");
    let (theirs, _) = listener.accept().expect("accepted");
    theirs.set_nodelay(true).expect("no delays on the raw end");
    (ours, Peer::new(scene, theirs.into()))
}

/// A connected Unix pair.
pub(super) fn unix_pair(scene: &Scene) -> (UnixStream, Peer) {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    (ours, Peer::new(scene, theirs.into()))
}

/// A raw client of the server at `address`.
pub(super) fn client(scene: &Scene, address: SocketAddr) -> Peer {
    Peer::new(scene, TcpStream::connect(address).expect("connected").into())
}

/// A port that nobody listens on.
pub(super) fn dead_port() -> u16 {
    let listener = TcpListener::bind(LOOPBACK).expect("a listener");
    listener.local_addr().expect("its address").port()
}

/// A listener whose backlog is full, with the clients that fill it: connecting to it neither succeeds nor fails.
pub(super) struct FullListener {
    pub(super) address: SocketAddr,
    _sockets: Vec<Socket>,
}

impl FullListener {
    pub(super) fn new() -> Self {
        let stream = || Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let listener = stream();
        let any: SocketAddr = LOOPBACK.parse().expect("an address");
        listener.bind(&any.into()).expect("bound");
        listener.listen(0).expect("listening");
        let address = listener.local_addr().expect("its address");
        let mut sockets = vec![listener];
        for _ in 0..6 {
            let plug = stream();
            plug.set_nonblocking(true).expect("non-blocking");
            // In progress, or refused for now: either way the backlog fills up.
            let _ = plug.connect(&address);
            sockets.push(plug);
        }
        let address = address.as_socket().expect("an IP address");
        Self { address, _sockets: sockets }
    }
}

impl Peer {
    fn new(scene: &Scene, socket: Socket) -> Self {
        socket.set_nonblocking(true).expect("non-blocking");
        Self { socket, scene: scene.clone() }
    }

    pub(super) fn send(&self, data: &[u8]) {
        let sent = self.socket.send(data).expect("the raw end can send");
        assert_eq!(sent, data.len(), "a short message goes out whole");
        self.scene.line(format!("peer> send {}", shown(data)));
    }

    /// Sends until the system takes no more; says how many bytes that was.
    pub(super) fn fill(&self, most: usize) -> usize {
        let mut sent = 0;
        while sent < most {
            match self.socket.send(&[b'z'; 65_536]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("the raw end can send: {error}"),
            }
        }
        self.scene.line("peer> fill the socket");
        sent
    }

    pub(super) fn shutdown(&self) {
        self.socket.shutdown(Shutdown::Write).expect("shut down");
        self.scene.line("peer> shutdown(WR)");
    }

    pub(super) fn close(self) {
        drop(self.socket);
        self.scene.line("peer> close");
    }

    pub(super) fn reset(self) {
        self.socket.set_linger(Some(Duration::ZERO)).expect("a socket option");
        drop(self.socket);
        self.scene.line("peer> reset");
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        ip(self.socket.local_addr())
    }

    pub(super) fn peer_addr(&self) -> SocketAddr {
        ip(self.socket.peer_addr())
    }

    /// Reads until the end, an error, `most` bytes, or nothing more is coming.
    pub(super) async fn reads(&self, most: usize) -> (Vec<u8>, End) {
        let mut data = Vec::new();
        let end = self.scene.as_long_as(|| self.read_some(&mut data, most)).await;
        (data, end.unwrap_or_else(|| "open".to_owned()))
    }

    fn read_some(&self, data: &mut Vec<u8>, most: usize) -> Progress<End> {
        let before = data.len();
        while data.len() < most {
            let mut chunk = vec![0; (most - data.len()).min(65_536)];
            match (&self.socket).read(&mut chunk) {
                Ok(0) => return Progress::Done("eof".to_owned()),
                Ok(count) => data.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let some = data.len() > before;
                    return if some { Progress::Some } else { Progress::None };
                }
                Err(error) => {
                    let errno = errno(&error).map(|errno| format!("{errno:?}"));
                    return Progress::Done(errno.unwrap_or_else(|| error.to_string()));
                }
            }
        }
        Progress::Done("open".to_owned())
    }

    /// Reads all that comes, whatever it is.
    pub(super) async fn drains(&self) -> (usize, End) {
        let (data, end) = self.reads(usize::MAX).await;
        (data.len(), end)
    }

    /// Writes down what it reads.
    pub(super) async fn sees(&self) {
        let (data, end) = self.reads(usize::MAX).await;
        let bytes = if data.is_empty() { "-".to_owned() } else { shown(&data) };
        self.scene.line(format!("peer< {bytes} {end}"));
    }
}

fn ip(address: std::io::Result<SockAddr>) -> SocketAddr {
    address.expect("an address").as_socket().expect("an IP address")
}
