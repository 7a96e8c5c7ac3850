//! Many connections that have spoken once and then say nothing.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::garbled;
use crate::pattern::Pattern;
use crate::process::{cpu_time, memory, wake_ups};

/// Bytes of the one message of each connection.
const SIZE: usize = 64;

/// Connections that come and go before the first reading, so that what a server sets up once is not counted.
const FIRST: usize = 16;

/// The order in which connections close. It decides what an allocator can give back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// As they were opened.
    Opening,
    /// The last first.
    Reverse,
    /// As chance has it, the same in every run.
    Shuffled,
}

impl Closing {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Opening, Self::Reverse, Self::Shuffled];

    /// Puts connections that lie in the order of their opening into this one.
    pub(super) fn arrange<P>(self, peers: &mut [P]) {
        match self {
            Self::Opening => (),
            Self::Reverse => peers.reverse(),
            Self::Shuffled => {
                // A generator of Knuth's; its upper bits are random enough.
                let mut state = 1_u64;
                for last in (1..peers.len()).rev() {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let other = (state >> 33) % (last as u64 + 1);
                    peers.swap(last, usize::try_from(other).unwrap_or(last));
                }
            }
        }
    }
}

/// A load of silence.
#[derive(Debug, Clone, Copy)]
pub struct Idle {
    /// How many connections.
    pub connections: usize,
    /// How long they are watched at rest.
    pub rest: Duration,
    /// How they end.
    pub closing: Closing,
}

/// What the server needed for them.
#[derive(Debug, Clone, Copy)]
pub struct Rest {
    /// Bytes of memory for each connection.
    pub each: f64,
    /// Wake-ups of the server while nothing happened.
    pub wake_ups: u64,
    /// Its memory before the connections came.
    pub before: u64,
    /// Its memory while they were there.
    pub full: u64,
    /// Its memory after they had gone.
    pub after: u64,
}

impl Idle {
    /// Opens the connections, watches, closes them.
    ///
    /// # Errors
    ///
    /// The server refused, stalled, or sent something else back.
    pub fn run(&self, server: SocketAddr, pid: u32) -> io::Result<Rest> {
        let pattern = Pattern::new();
        let message = pattern.at(0, SIZE);
        drop(open(server, FIRST, message)?);
        settle(pid)?;
        let before = memory(pid)?;
        let mut peers = open(server, self.connections, message)?;
        settle(pid)?;
        let full = memory(pid)?;
        let woken = wake_ups(pid)?;
        thread::sleep(self.rest);
        let woken = wake_ups(pid)? - woken;
        self.closing.arrange(&mut peers);
        drop(peers);
        settle(pid)?;
        let after = memory(pid)?;
        let each = full.saturating_sub(before) as f64 / self.connections as f64;
        Ok(Rest { each, wake_ups: woken, before, full, after })
    }
}

fn open(server: SocketAddr, count: usize, message: &[u8]) -> io::Result<Vec<TcpStream>> {
    let mut peers = Vec::with_capacity(count);
    for _ in 0..count {
        let mut peer = TcpStream::connect(server)?;
        peer.set_read_timeout(Some(super::STALLED))?;
        peer.write_all(message)?;
        let mut answer = [0; SIZE];
        peer.read_exact(&mut answer)?;
        if answer != message {
            return Err(garbled("sent other bytes back"));
        }
        peers.push(peer);
    }
    Ok(peers)
}

/// Lets the server take notice of what happened last, until it does nothing more.
pub(super) fn settle(pid: u32) -> io::Result<()> {
    let deadline = Instant::now() + super::STALLED;
    let mut used = cpu_time(pid)?;
    loop {
        thread::sleep(Duration::from_millis(300));
        let now = cpu_time(pid)?;
        if now == used || Instant::now() > deadline {
            return Ok(());
        }
        used = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_order_has_every_connection_once() {
        let opened: Vec<usize> = (0..1000).collect();
        for closing in Closing::ALL {
            let mut peers = opened.clone();
            closing.arrange(&mut peers);
            assert_eq!(peers == opened, closing == Closing::Opening);
            peers.sort_unstable();
            assert_eq!(peers, opened, "{closing:?}");
        }
    }
}
