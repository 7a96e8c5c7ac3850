//! Request and answer of equal content: echo and chatty, any size, any number in flight per connection.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use hdrhistogram::Histogram;

use super::ready::{Interest, Ready};
use super::{Bound, Outcome, Probe, garbled, latencies};
use crate::pattern::{LONGEST, Pattern};

/// A load of messages that come back as they were sent.
#[derive(Debug, Clone, Copy)]
pub struct Echo {
    /// How many connections.
    pub connections: usize,
    /// Bytes of a message.
    pub size: usize,
    /// Messages in flight on each connection.
    pub depth: usize,
}

impl Echo {
    /// Warms up, then measures; each phase begins and ends with nothing in flight.
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
        let mut run = Run::connect(*self, server)?;
        run.phase(warm_up)?;
        run.latencies.reset();
        let cpu = probe()?;
        let start = Instant::now();
        let operations = run.phase(bound)?;
        let elapsed = start.elapsed();
        Ok(Outcome {
            operations,
            elapsed,
            cpu: probe()?.saturating_sub(cpu),
            latencies: run.latencies,
        })
    }
}

/// One connection; offsets count from its beginning.
struct Peer {
    stream: TcpStream,
    /// Where this connection begins in the pattern, so that mixed-up connections are noticed.
    origin: u64,
    /// To be sent up to here.
    issued: u64,
    sent: u64,
    received: u64,
    interest: Interest,
    /// When each message in flight was issued.
    stamps: VecDeque<Instant>,
}

struct Run {
    load: Echo,
    ready: Ready,
    peers: Vec<Peer>,
    pattern: Pattern,
    buffer: Vec<u8>,
    latencies: Histogram<u64>,
    /// Messages that may still be issued in this phase.
    left: u64,
    in_flight: u64,
}

impl Run {
    fn connect(load: Echo, server: SocketAddr) -> io::Result<Self> {
        let ready = Ready::new()?;
        let mut peers = Vec::with_capacity(load.connections);
        for key in 0..load.connections {
            let stream = TcpStream::connect(server)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            ready.add(&stream, key, Interest::Read)?;
            peers.push(Peer {
                stream,
                origin: key as u64 * 977,
                issued: 0,
                sent: 0,
                received: 0,
                interest: Interest::Read,
                stamps: VecDeque::with_capacity(load.depth),
            });
        }
        let buffer = vec![0; LONGEST];
        Ok(Self {
            load,
            ready,
            peers,
            pattern: Pattern::new(),
            buffer,
            latencies: latencies(),
            left: 0,
            in_flight: 0,
        })
    }

    /// Runs until the bound is reached and everything has come back; gives the messages.
    fn phase(&mut self, bound: Bound) -> io::Result<u64> {
        let mut now = Instant::now();
        let (allowed, deadline) = match bound {
            Bound::Time(time) => (u64::MAX / 2, Some(now + time)),
            Bound::Count(count) => (count, None),
        };
        self.left = allowed;
        for key in 0..self.peers.len() {
            self.issue(key, self.load.depth as u64, now)?;
        }
        let mut done = 0;
        while self.in_flight > 0 {
            for at in 0..self.ready.wait()? {
                let key = self.ready.key(at);
                let complete = self.receive(key)?;
                if complete > 0 {
                    now = self.settle(key, complete);
                    if deadline.is_some_and(|deadline| now >= deadline) {
                        self.left = 0;
                    }
                    done += complete;
                    self.issue(key, complete, now)?;
                } else {
                    self.flush(key)?;
                }
            }
        }
        Ok(done)
    }

    /// Sends up to `count` more messages on connection `key`.
    fn issue(&mut self, key: usize, count: u64, now: Instant) -> io::Result<()> {
        let count = count.min(self.left);
        self.left -= count;
        self.in_flight += count;
        let peer = &mut self.peers[key];
        peer.issued += count * self.load.size as u64;
        peer.stamps.extend((0..count).map(|_| now));
        self.flush(key)
    }

    fn flush(&mut self, key: usize) -> io::Result<()> {
        let peer = &mut self.peers[key];
        while peer.sent < peer.issued {
            let len = (peer.issued - peer.sent).min(LONGEST as u64) as usize;
            match peer.stream.write(self.pattern.at(peer.origin + peer.sent, len)) {
                Ok(count) => peer.sent += count as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let wanted = if peer.sent < peer.issued { Interest::ReadWrite } else { Interest::Read };
        if wanted != peer.interest {
            peer.interest = wanted;
            self.ready.modify(&peer.stream, key, wanted)?;
        }
        Ok(())
    }

    /// Reads once, verifies, and gives the messages that are complete by it.
    fn receive(&mut self, key: usize) -> io::Result<u64> {
        let peer = &mut self.peers[key];
        let count = match peer.stream.read(&mut self.buffer) {
            Ok(0) => return Err(garbled("closed")),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error),
        };
        if self.buffer[..count] != *self.pattern.at(peer.origin + peer.received, count) {
            return Err(garbled("sent other bytes back"));
        }
        let size = self.load.size as u64;
        let before = peer.received / size;
        peer.received += count as u64;
        Ok(peer.received / size - before)
    }

    /// Records the messages that came back.
    fn settle(&mut self, key: usize, complete: u64) -> Instant {
        let now = Instant::now();
        for _ in 0..complete {
            if let Some(issued) = self.peers[key].stamps.pop_front() {
                self.latencies.saturating_record((now - issued).as_nanos() as u64);
            }
        }
        self.in_flight -= complete;
        now
    }
}
