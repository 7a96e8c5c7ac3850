//! The loads over TLS: messages there and back, handshakes, bulk in either direction, idle connections.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned};

use super::idle::settle;
use super::ready::{Interest, Ready};
use super::{Bound, Idle, Outcome, Probe, Rest, STALLED, garbled, latencies};
use crate::pattern::{CHUNK, CHUNK_BYTES, LONGEST, Pattern};
use crate::process::{memory, wake_ups};
use crate::secure;

/// Bytes of the one message of a short or idle connection.
const SIZE: usize = 64;

const MIB: u64 = 1024 * 1024;

/// One message at a time on each connection; the operations are messages.
#[derive(Debug, Clone, Copy)]
pub struct TlsEcho {
    /// How many connections.
    pub connections: usize,
    /// Bytes of a message.
    pub size: usize,
}

/// A handshake, one message, an orderly end; the operations are connections.
#[derive(Debug, Clone, Copy)]
pub struct Handshakes {
    /// How many of them live at a time.
    pub connections: usize,
    /// Whether sessions are resumed.
    pub resumed: bool,
}

/// One direction at full speed; the operations are MiB.
#[derive(Debug, Clone, Copy)]
pub enum TlsBulk {
    /// To the server.
    Sink,
    /// From the server.
    Source,
}

/// A connection of ours that never waits.
struct Peer {
    stream: TcpStream,
    session: ClientConnection,
    interest: Interest,
    begun: Instant,
    received: usize,
}

impl Peer {
    fn connect(server: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let begun = Instant::now();
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut session = session(config)?;
        session.set_buffer_limit(None);
        Ok(Self { stream, session, interest: Interest::Read, begun, received: 0 })
    }

    /// Hands everything to the kernel that it takes.
    fn flush(&mut self, ready: &Ready, key: usize) -> io::Result<()> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.stream) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let blocked = self.session.wants_write();
        let wanted = if blocked { Interest::ReadWrite } else { Interest::Read };
        if wanted != self.interest {
            self.interest = wanted;
            ready.modify(&self.stream, key, wanted)?;
        }
        Ok(())
    }

    /// Takes what has come, and compares it with `message`; gives whether the server has ended.
    fn receive(&mut self, message: &[u8], buffer: &mut [u8]) -> io::Result<bool> {
        loop {
            let closed = match self.session.read_tls(&mut self.stream) {
                Ok(count) => count == 0,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            };
            self.session.process_new_packets().map_err(io::Error::other)?;
            loop {
                match self.session.reader().read(buffer) {
                    Ok(0) => return Ok(true),
                    Ok(count) => {
                        let expected = message.get(self.received..self.received + count);
                        if expected != Some(&buffer[..count]) {
                            return Err(garbled("sent other bytes back"));
                        }
                        self.received += count;
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
            if closed {
                return Ok(true);
            }
        }
    }
}

impl TlsEcho {
    /// Connects and warms up, then measures.
    ///
    /// # Errors
    ///
    /// The server refused, stalled, or sent something else back.
    pub fn run(
        &self,
        server: SocketAddr,
        warm_up: Bound,
        bound: Bound,
        probe: Probe<'_>,
    ) -> io::Result<Outcome> {
        let pattern = Pattern::new();
        let message = pattern.at(0, self.size);
        let config = secure::client(false)?;
        let mut ready = Ready::new()?;
        let mut peers = Vec::with_capacity(self.connections);
        for key in 0..self.connections {
            let peer = Peer::connect(server, &config)?;
            ready.add(&peer.stream, key, Interest::Read)?;
            peers.push(peer);
        }
        phase(&mut peers, &mut ready, message, warm_up)?;
        let cpu = probe()?;
        let outcome = phase(&mut peers, &mut ready, message, bound)?;
        Ok(Outcome { cpu: probe()?.saturating_sub(cpu), ..outcome })
    }
}

/// Sends messages until the bound is reached, and waits until all have come back.
fn phase(
    peers: &mut [Peer],
    ready: &mut Ready,
    message: &[u8],
    bound: Bound,
) -> io::Result<Outcome> {
    let (start, mut left, deadline) = begin(bound);
    let mut buffer = vec![0; LONGEST];
    let mut histogram = latencies();
    let (mut operations, mut in_flight) = (0, 0_usize);
    for (key, peer) in peers.iter_mut().enumerate() {
        if left > 0 {
            left -= 1;
            in_flight += 1;
            issue(peer, message, ready, key)?;
        }
    }
    while in_flight > 0 {
        for at in 0..ready.wait()? {
            let key = ready.key(at);
            let peer = &mut peers[key];
            if peer.receive(message, &mut buffer)? {
                return Err(garbled("closed"));
            }
            if peer.received < message.len() {
                peer.flush(ready, key)?;
                continue;
            }
            let now = Instant::now();
            histogram.saturating_record((now - peer.begun).as_nanos() as u64);
            operations += 1;
            if deadline.is_some_and(|deadline| now >= deadline) {
                left = 0;
            }
            if left > 0 {
                left -= 1;
                issue(peer, message, ready, key)?;
            } else {
                peer.received = 0;
                in_flight -= 1;
            }
        }
    }
    Ok(outcome(operations, start, histogram))
}

fn issue(peer: &mut Peer, message: &[u8], ready: &Ready, key: usize) -> io::Result<()> {
    peer.begun = Instant::now();
    peer.received = 0;
    peer.session.writer().write_all(message)?;
    peer.flush(ready, key)
}

impl Handshakes {
    /// Warms up, then measures.
    ///
    /// # Errors
    ///
    /// The server refused, stalled, sent something else back, or resumed when it should not.
    pub fn run(
        &self,
        server: SocketAddr,
        warm_up: Bound,
        bound: Bound,
        probe: Probe<'_>,
    ) -> io::Result<Outcome> {
        // Each place has sessions of its own, for a client keeps a handful for each server and no more.
        let configs = (0..self.connections).map(|_| secure::client(self.resumed));
        let configs = configs.collect::<io::Result<Vec<_>>>()?;
        self.phase(server, &configs, Bound::Count(self.connections as u64), false)?;
        self.phase(server, &configs, warm_up, self.resumed)?;
        let cpu = probe()?;
        let outcome = self.phase(server, &configs, bound, self.resumed)?;
        Ok(Outcome { cpu: probe()?.saturating_sub(cpu), ..outcome })
    }

    fn phase(
        &self,
        server: SocketAddr,
        configs: &[Arc<ClientConfig>],
        bound: Bound,
        resumed: bool,
    ) -> io::Result<Outcome> {
        let pattern = Pattern::new();
        let message = pattern.at(0, SIZE);
        let (start, mut left, deadline) = begin(bound);
        let mut ready = Ready::new()?;
        let mut buffer = vec![0; 4096];
        let mut histogram = latencies();
        let mut peers: Vec<Option<Peer>> = Vec::with_capacity(self.connections);
        let (mut operations, mut alive) = (0, 0_usize);
        let open = |key: usize, ready: &Ready| {
            let mut peer = Peer::connect(server, &configs[key])?;
            ready.add(&peer.stream, key, Interest::Read)?;
            issue(&mut peer, message, ready, key)?;
            Ok::<_, io::Error>(peer)
        };
        for key in 0..self.connections {
            if left > 0 {
                left -= 1;
                alive += 1;
                peers.push(Some(open(key, &ready)?));
            }
        }
        while alive > 0 {
            for at in 0..ready.wait()? {
                let key = ready.key(at);
                let Some(peer) = &mut peers[key] else { continue };
                let ended = peer.receive(message, &mut buffer)?;
                if !ended {
                    if peer.received == SIZE {
                        peer.received += 1;
                        peer.session.send_close_notify();
                    }
                    peer.flush(&ready, key)?;
                    continue;
                }
                if peer.received < SIZE {
                    return Err(garbled("closed early"));
                }
                if resumed != (peer.session.handshake_kind() == Some(HandshakeKind::Resumed)) {
                    return Err(garbled("made a handshake of the wrong kind"));
                }
                let now = Instant::now();
                histogram.saturating_record((now - peer.begun).as_nanos() as u64);
                operations += 1;
                peers[key] = None;
                if deadline.is_some_and(|deadline| now >= deadline) {
                    left = 0;
                }
                if left > 0 {
                    left -= 1;
                    peers[key] = Some(open(key, &ready)?);
                } else {
                    alive -= 1;
                }
            }
        }
        Ok(outcome(operations, start, histogram))
    }
}

impl TlsBulk {
    /// Warms up, then measures.
    ///
    /// # Errors
    ///
    /// The server refused, stalled, or sent something else.
    pub fn run(
        &self,
        server: SocketAddr,
        warm_up: Bound,
        bound: Bound,
        probe: Probe<'_>,
    ) -> io::Result<Outcome> {
        let once = match self {
            Self::Sink => pour,
            Self::Source => draw,
        };
        let mut stream = blocking(server, &secure::client(false)?)?;
        once(&mut stream, warm_up)?;
        let cpu = probe()?;
        let start = Instant::now();
        let operations = once(&mut stream, bound)?;
        let elapsed = start.elapsed();
        let cpu = probe()?.saturating_sub(cpu);
        Ok(Outcome { operations, elapsed, cpu, latencies: latencies() })
    }
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

fn pour(stream: &mut Stream, bound: Bound) -> io::Result<u64> {
    let pattern = Pattern::new();
    let (_, mib, deadline) = begin(bound);
    let (mut sent, bytes) = (0, mib.saturating_mul(MIB));
    while sent < bytes && deadline.is_none_or(|deadline| Instant::now() < deadline) {
        stream.write_all(pattern.at(sent, LONGEST))?;
        sent += LONGEST as u64;
    }
    stream.flush()?;
    Ok(sent / MIB)
}

fn draw(stream: &mut Stream, bound: Bound) -> io::Result<u64> {
    let expected = CHUNK_BYTES.repeat(LONGEST / CHUNK + 1);
    let mut buffer = vec![0; LONGEST];
    let (_, mib, deadline) = begin(bound);
    let (mut received, bytes) = (0, mib.saturating_mul(MIB));
    while received < bytes && deadline.is_none_or(|deadline| Instant::now() < deadline) {
        // Whole chunks, so that the next phase begins where a chunk does.
        let count = LONGEST.min(CHUNK * 64);
        stream.read_exact(&mut buffer[..count])?;
        if buffer[..count] != expected[..count] {
            return Err(garbled("sent other bytes"));
        }
        received += count as u64;
    }
    Ok(received / MIB)
}

/// What idle connections over TLS need of a server; see [`Idle`](super::Idle).
///
/// # Errors
///
/// The server refused, stalled, or sent something else back.
pub fn tls_idle(
    Idle { connections, rest, closing }: Idle,
    server: SocketAddr,
    pid: u32,
) -> io::Result<Rest> {
    let config = secure::client(false)?;
    let pattern = Pattern::new();
    let message = pattern.at(0, SIZE);
    let open = |count: usize| {
        let peers = (0..count).map(|_| {
            let mut peer = blocking(server, &config)?;
            peer.write_all(message)?;
            let mut answer = [0; SIZE];
            peer.read_exact(&mut answer)?;
            if answer != message { Err(garbled("sent other bytes back")) } else { Ok(peer) }
        });
        peers.collect::<io::Result<Vec<_>>>()
    };
    drop(open(16)?);
    settle(pid)?;
    let before = memory(pid)?;
    let mut peers = open(connections)?;
    settle(pid)?;
    let full = memory(pid)?;
    let woken = wake_ups(pid)?;
    thread::sleep(rest);
    let woken = wake_ups(pid)? - woken;
    closing.arrange(&mut peers);
    for peer in peers {
        peer.sock.shutdown(Shutdown::Both)?;
    }
    settle(pid)?;
    let after = memory(pid)?;
    let each = full.saturating_sub(before) as f64 / connections as f64;
    Ok(Rest { each, wake_ups: woken, before, full, after })
}

fn session(config: &Arc<ClientConfig>) -> io::Result<ClientConnection> {
    ClientConnection::new(Arc::clone(config), secure::name()).map_err(io::Error::other)
}

fn blocking(server: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Stream> {
    let stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(STALLED))?;
    stream.set_write_timeout(Some(STALLED))?;
    Ok(StreamOwned::new(session(config)?, stream))
}

/// The beginning, how many operations there may be, and when it ends.
fn begin(bound: Bound) -> (Instant, u64, Option<Instant>) {
    let start = Instant::now();
    match bound {
        Bound::Time(time) => (start, u64::MAX, Some(start + time)),
        Bound::Count(count) => (start, count, None),
    }
}

fn outcome(operations: u64, start: Instant, latencies: hdrhistogram::Histogram<u64>) -> Outcome {
    Outcome { operations, elapsed: start.elapsed(), cpu: Duration::ZERO, latencies }
}
