//! One direction at full speed: into a sink, out of a source, and out of a source that is not read.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::{Bound, Outcome, Probe, STALLED, garbled, latencies};
use crate::pattern::{CHUNK, CHUNK_BYTES, LONGEST, Pattern};
use crate::process::memory;

const MIB: u64 = 1024 * 1024;

/// One connection that is written to; the operations are MiB.
#[derive(Debug, Clone, Copy)]
pub struct Sink;

impl Sink {
    /// Warms up, then writes until the bound, and waits until the server has read the last byte.
    ///
    /// # Errors
    ///
    /// The server refused or stalled.
    pub fn run(
        &self,
        server: SocketAddr,
        warm_up: Bound,
        bound: Bound,
        probe: Probe<'_>,
    ) -> io::Result<Outcome> {
        pour(server, warm_up)?;
        let cpu = probe()?;
        let start = Instant::now();
        let operations = pour(server, bound)?;
        let elapsed = start.elapsed();
        Ok(Outcome {
            operations,
            elapsed,
            cpu: probe()?.saturating_sub(cpu),
            latencies: latencies(),
        })
    }
}

fn pour(server: SocketAddr, bound: Bound) -> io::Result<u64> {
    let mut stream = connect(server)?;
    let pattern = Pattern::new();
    let clock = Clock::start(bound);
    let mut sent = 0;
    while clock.goes_on(sent) {
        stream.write_all(pattern.at(sent, LONGEST))?;
        sent += LONGEST as u64;
    }
    stream.shutdown(Shutdown::Write)?;
    match stream.read(&mut [0])? {
        0 => Ok(sent / MIB),
        _ => Err(garbled("answered, being a sink")),
    }
}

/// One connection that is read from; the operations are MiB.
#[derive(Debug, Clone, Copy)]
pub struct Source;

impl Source {
    /// Warms up, then reads until the bound.
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
        let mut draw = Draw::connect(server)?;
        draw.read(warm_up)?;
        let cpu = probe()?;
        let start = Instant::now();
        let operations = draw.read(bound)?;
        let elapsed = start.elapsed();
        Ok(Outcome {
            operations,
            elapsed,
            cpu: probe()?.saturating_sub(cpu),
            latencies: latencies(),
        })
    }
}

/// A reader of a source that stops reading.
#[derive(Debug, Clone, Copy)]
pub struct SlowReader {
    /// How long it does not read.
    pub pause: Duration,
}

impl SlowReader {
    /// The bytes by which the server's memory grew while it was not read from.
    ///
    /// # Errors
    ///
    /// The server refused, stalled, or did not go on when it was read from again.
    pub fn run(&self, server: SocketAddr, pid: u32) -> io::Result<i64> {
        // A connection that was read from and is gone again has set up what is set up once.
        Draw::connect(server)?.read(Bound::Count(1))?;
        thread::sleep(Duration::from_millis(200));
        let before = memory(pid)?;
        let mut draw = Draw::connect(server)?;
        draw.read(Bound::Count(1))?;
        thread::sleep(self.pause);
        let after = memory(pid)?;
        draw.read(Bound::Count(64))?;
        Ok(after as i64 - before as i64)
    }
}

/// The reading end of a source.
struct Draw {
    stream: TcpStream,
    received: u64,
    buffer: Vec<u8>,
    /// The source's chunk, often enough for every slice of a whole buffer.
    expected: Vec<u8>,
}

impl Draw {
    fn connect(server: SocketAddr) -> io::Result<Self> {
        let expected = CHUNK_BYTES.repeat(LONGEST / CHUNK + 1);
        Ok(Self { stream: connect(server)?, received: 0, buffer: vec![0; LONGEST], expected })
    }

    fn read(&mut self, bound: Bound) -> io::Result<u64> {
        let start = self.received;
        let clock = Clock::start(bound);
        while clock.goes_on(self.received - start) {
            let count = self.stream.read(&mut self.buffer)?;
            let offset = (self.received % CHUNK as u64) as usize;
            if count == 0 || self.buffer[..count] != self.expected[offset..offset + count] {
                return Err(garbled("closed or sent other bytes"));
            }
            self.received += count as u64;
        }
        Ok((self.received - start) / MIB)
    }
}

/// Tells when a bulk run is over.
struct Clock {
    deadline: Option<Instant>,
    bytes: u64,
}

impl Clock {
    fn start(bound: Bound) -> Self {
        match bound {
            Bound::Time(time) => Self { deadline: Some(Instant::now() + time), bytes: u64::MAX },
            Bound::Count(mib) => Self { deadline: None, bytes: mib * MIB },
        }
    }

    fn goes_on(&self, done: u64) -> bool {
        done < self.bytes && self.deadline.is_none_or(|deadline| Instant::now() < deadline)
    }
}

fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(STALLED))?;
    stream.set_write_timeout(Some(STALLED))?;
    Ok(stream)
}
