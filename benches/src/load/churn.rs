//! Short lives: connect, one message there and back, half-close, wait for the end, begin again.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::ready::{Interest, Ready};
use super::{Bound, Outcome, Probe, garbled, latencies};
use crate::pattern::Pattern;

/// Bytes of the one message.
const SIZE: usize = 64;

/// A load of short connections; the operations are connections.
#[derive(Debug, Clone, Copy)]
pub struct Churn {
    /// How many of them live at a time.
    pub connections: usize,
}

/// A connection on its way.
struct Life {
    stream: TcpStream,
    begun: Instant,
    received: usize,
}

impl Churn {
    /// Warms up, then measures.
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
        self.phase(server, warm_up, &pattern)?;
        let cpu = probe()?;
        let measured = self.phase(server, bound, &pattern)?;
        Ok(Outcome { cpu: probe()?.saturating_sub(cpu), ..measured })
    }

    fn phase(&self, server: SocketAddr, bound: Bound, pattern: &Pattern) -> io::Result<Outcome> {
        let start = Instant::now();
        let (mut left, deadline) = match bound {
            Bound::Time(time) => (u64::MAX, Some(start + time)),
            Bound::Count(count) => (count, None),
        };
        let message = pattern.at(0, SIZE);
        let mut ready = Ready::new()?;
        let mut lives: Vec<Option<Life>> = Vec::with_capacity(self.connections);
        for key in 0..self.connections.min(usize::try_from(left).unwrap_or(usize::MAX)) {
            lives.push(Some(begin(server, message, &ready, key)?));
            left -= 1;
        }
        let mut alive = lives.len();
        let mut histogram = latencies();
        let mut operations = 0;
        while alive > 0 {
            for at in 0..ready.wait()? {
                let key = ready.key(at);
                let Some(life) = &mut lives[key] else { continue };
                if !go_on(life, message)? {
                    continue;
                }
                let now = Instant::now();
                histogram.saturating_record((now - life.begun).as_nanos() as u64);
                operations += 1;
                lives[key] = None;
                if deadline.is_some_and(|deadline| now >= deadline) {
                    left = 0;
                }
                if left > 0 {
                    left -= 1;
                    lives[key] = Some(begin(server, message, &ready, key)?);
                } else {
                    alive -= 1;
                }
            }
        }
        Ok(Outcome {
            operations,
            elapsed: start.elapsed(),
            cpu: Duration::ZERO,
            latencies: histogram,
        })
    }
}

fn begin(server: SocketAddr, message: &[u8], ready: &Ready, key: usize) -> io::Result<Life> {
    let begun = Instant::now();
    let mut stream = connect(server)?;
    stream.write_all(message)?;
    stream.set_nonblocking(true)?;
    ready.add(&stream, key, Interest::Read)?;
    Ok(Life { stream, begun, received: 0 })
}

/// Connects; when every local port waits for its past to fade, so does this, for a while.
fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let mut patience = 300;
    loop {
        match TcpStream::connect(server) {
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable && patience > 0 => {
                patience -= 1;
                thread::sleep(Duration::from_millis(10));
            }
            other => return other,
        }
    }
}

/// Takes what came; whether this was the end of a whole life.
fn go_on(life: &mut Life, message: &[u8]) -> io::Result<bool> {
    let mut buffer = [0; 2 * SIZE];
    let count = match life.stream.read(&mut buffer) {
        Ok(count) => count,
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
        Err(error) => return Err(error),
    };
    if count == 0 {
        return if life.received == SIZE { Ok(true) } else { Err(garbled("closed early")) };
    }
    let Some(expected) = message.get(life.received..life.received + count) else {
        return Err(garbled("sent too much"));
    };
    if buffer[..count] != *expected {
        return Err(garbled("sent other bytes back"));
    }
    life.received += count;
    if life.received == SIZE {
        life.stream.shutdown(Shutdown::Write)?;
    }
    Ok(false)
}
