//! Datagrams to a UDP server, echoed or swallowed: singly or as trains, from one peer or from many.
//!
//! All peers are addresses of this host on one socket, so that a thousand of them load the server and not the generator.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::Instant;

use super::{Bound, Outcome, Probe, STALLED, garbled, latencies};
use crate::datagrams::{self, Batch, Setting};
use crate::mode::Service;
use crate::pattern::Pattern;

/// What every server asks for, so that nothing is lost.
pub const RECEIVE_BUFFER: usize = 2 * 1024 * 1024;

/// Messages of one call.
const BATCH: usize = 64;

/// Datagrams in flight when they go singly.
const SINGLES: u64 = 128;

/// Trains in flight.
const TRAINS: u64 = 4;

/// Of so many datagrams that go singly into a sink, one asks for an answer.
const ASKING: u64 = 32;

/// Whether a sink is to answer this datagram.
#[must_use]
pub fn wants_answer(datagram: &[u8]) -> bool {
    datagram.first() == Some(&1)
}

/// A load of datagrams.
#[derive(Debug, Clone, Copy)]
pub struct Datagrams {
    /// What the server does.
    pub service: Service,
    /// How many peers send in turn.
    pub peers: usize,
    /// Bytes of a datagram.
    pub size: usize,
    /// Datagrams in one message of the generator.
    pub train: usize,
}

/// One peer: datagrams in each direction since the beginning.
#[derive(Debug, Clone, Copy, Default)]
struct Peer {
    sent: u64,
    came: u64,
}

struct Run {
    load: Datagrams,
    server: SocketAddrV4,
    socket: UdpSocket,
    out: Batch,
    back: Batch,
    pattern: Pattern,
    peers: Vec<Peer>,
    /// Whose turn it is.
    turn: usize,
    issued: u64,
    in_flight: u64,
}

impl Datagrams {
    /// Warms up, then measures; each phase begins and ends with nothing in flight.
    ///
    /// # Errors
    ///
    /// The server stalled, which a lost datagram does too, or sent something else back.
    pub fn run(
        &self,
        server: SocketAddr,
        warm_up: Bound,
        bound: Bound,
        probe: Probe<'_>,
    ) -> io::Result<Outcome> {
        let mut run = Run::new(*self, server)?;
        run.phase(warm_up)?;
        let cpu = probe()?;
        let start = Instant::now();
        let operations = run.phase(bound)?;
        let elapsed = start.elapsed();
        let cpu = probe()?.saturating_sub(cpu);
        Ok(Outcome { operations, elapsed, cpu, latencies: latencies() })
    }

    /// Datagrams that are released by one answer.
    fn chunk(&self) -> u64 {
        match self.service {
            Service::Echo => 1,
            Service::Sink if self.train > 1 => self.train as u64,
            Service::Sink => ASKING,
        }
    }
}

impl Run {
    fn new(load: Datagrams, server: SocketAddr) -> io::Result<Self> {
        let SocketAddr::V4(server) = server else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the server is at IPv4"));
        };
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        datagrams::set(&socket, Setting::ReceiveBuffer(RECEIVE_BUFFER))?;
        datagrams::set(&socket, Setting::Coalesce)?;
        datagrams::set(&socket, Setting::Destination)?;
        datagrams::set(&socket, Setting::Patience(STALLED.as_secs() as usize))?;
        Ok(Self {
            load,
            server,
            socket,
            out: Batch::new(BATCH, load.size * load.train),
            back: Batch::new(BATCH, 64 * 1024),
            pattern: Pattern::new(),
            peers: vec![Peer::default(); load.peers],
            turn: 0,
            issued: 0,
            in_flight: 0,
        })
    }

    /// Runs until the bound is reached and everything has come back; gives the datagrams.
    fn phase(&mut self, bound: Bound) -> io::Result<u64> {
        let (mut left, deadline) = match bound {
            Bound::Time(time) => (u64::MAX / 2, Some(Instant::now() + time)),
            // A whole number of answers.
            Bound::Count(count) => (count.next_multiple_of(self.step()), None),
        };
        let mut done = 0;
        while left > 0 || self.in_flight > 0 {
            left -= self.issue(left)?;
            done += self.collect()?;
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                left = self.unanswered();
            }
        }
        Ok(done)
    }

    /// Datagrams that cannot be told apart in the accounts.
    fn step(&self) -> u64 {
        self.load.chunk().max(self.load.train as u64)
    }

    /// Datagrams that must follow before those in flight are all answered.
    fn unanswered(&self) -> u64 {
        (self.load.chunk() - self.issued % self.load.chunk()) % self.load.chunk()
    }

    /// Sends as much as may be in flight, no more than `left`; says how many datagrams.
    fn issue(&mut self, left: u64) -> io::Result<u64> {
        let train = self.load.train as u64;
        let window = if train > 1 { TRAINS * train } else { SINGLES };
        let room = window.saturating_sub(self.in_flight).min(left) / train;
        let count = (room as usize).min(BATCH);
        for at in 0..count {
            self.fill(at);
        }
        let mut sent = 0;
        while sent < count {
            sent += self.out.send(&self.socket, sent, count)?;
        }
        let datagrams = count as u64 * train;
        self.in_flight += datagrams;
        Ok(datagrams)
    }

    /// Makes message `at` the next train of whoever's turn it is.
    fn fill(&mut self, at: usize) {
        let Datagrams { size, train, service, .. } = self.load;
        let (key, peer) = (self.turn, &mut self.peers[self.turn]);
        self.turn = (self.turn + 1) % self.load.peers;
        let len = size * train;
        let space = &mut self.out.space(at)[..len];
        space.copy_from_slice(self.pattern.at(origin(key) + peer.sent * size as u64, len));
        peer.sent += train as u64;
        if service == Service::Sink {
            for datagram in space.chunks_exact_mut(size) {
                self.issued += 1;
                datagram[0] = u8::from(self.issued % self.load.chunk() == 0);
            }
        }
        let message = self.out.message(at);
        (message.len, message.peer) = (len, self.server);
        message.segment = if train > 1 { size } else { 0 };
        message.local = Some(address(key));
    }

    /// Receives once, verifies, and gives the datagrams that are done by it.
    fn collect(&mut self) -> io::Result<u64> {
        let count =
            self.back.receive(&self.socket, libc::MSG_WAITFORONE, true).map_err(|error| {
                if error.kind() == io::ErrorKind::WouldBlock {
                    io::Error::new(io::ErrorKind::TimedOut, "the server stalled")
                } else {
                    error
                }
            })?;
        let mut done = 0;
        for at in 0..count {
            let message = *self.back.message(at);
            done += match self.load.service {
                Service::Echo => self.verify(at, message.local)?,
                // Each answer is one byte; several may come as a train.
                Service::Sink => message.len as u64 * self.load.chunk(),
            };
        }
        self.in_flight = self.in_flight.saturating_sub(done);
        Ok(done)
    }

    /// Compares what came back in message `at`.
    fn verify(&mut self, at: usize, local: Option<Ipv4Addr>) -> io::Result<u64> {
        let key = local.and_then(key).filter(|key| *key < self.peers.len());
        let key = key.ok_or_else(|| garbled("answers somebody else"))?;
        let (size, data) = (self.load.size, self.back.data(at));
        let peer = &mut self.peers[key];
        let expected = self.pattern.at(origin(key) + peer.came * size as u64, data.len());
        if data.len() % size != 0 || data != expected {
            return Err(garbled("sent other bytes back, or in another order"));
        }
        let datagrams = (data.len() / size) as u64;
        peer.came += datagrams;
        Ok(datagrams)
    }
}

/// Where a peer begins in the pattern, so that mixed-up peers are noticed.
fn origin(key: usize) -> u64 {
    key as u64 * 977
}

/// The address of a peer.
fn address(key: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 1, (key >> 8) as u8, key as u8)
}

/// The peer at an address.
fn key(address: Ipv4Addr) -> Option<usize> {
    match address.octets() {
        [127, 1, high, low] => Some(usize::from(high) << 8 | usize::from(low)),
        _ => None,
    }
}
