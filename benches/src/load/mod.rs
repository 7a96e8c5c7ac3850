//! The load generator: raw epoll on one thread, every byte verified, everything bounded.

mod bulk;
mod churn;
mod clients;
pub mod datagrams;
mod echo;
mod idle;
mod ready;
mod secure;

use std::io;
use std::time::Duration;

use hdrhistogram::Histogram;

pub use bulk::{Sink, SlowReader, Source};
pub use churn::Churn;
pub use clients::{PIPELINED, RedisBenchmark, Wrk};
pub use datagrams::Datagrams;
pub use echo::Echo;
pub use idle::{Closing, Idle, Rest};
pub use secure::{Handshakes, TlsBulk, TlsEcho, tls_idle};

/// How long nothing at all may come from a server before the run is given up.
const STALLED: Duration = Duration::from_secs(10);

/// When a phase of a run ends.
#[derive(Debug, Clone, Copy)]
pub enum Bound {
    /// After this time.
    Time(Duration),
    /// After so many operations.
    Count(u64),
}

/// What one run measured.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Messages, connections or KiB, as the kind of load has it.
    pub operations: u64,
    /// Wall-clock time from the first to the last of them.
    pub elapsed: Duration,
    /// The server's CPU time in between.
    pub cpu: Duration,
    /// Nanoseconds from sending to having received, where that has a meaning.
    pub latencies: Histogram<u64>,
}

impl Outcome {
    /// Operations in one second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.operations as f64 / self.elapsed.as_secs_f64()
    }

    /// Microseconds of the server's CPU for one operation.
    #[must_use]
    pub fn cpu_each(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.operations as f64
    }

    /// A quantile of the latencies, in microseconds.
    #[must_use]
    pub fn latency(&self, quantile: f64) -> f64 {
        self.latencies.value_at_quantile(quantile) as f64 / 1e3
    }
}

/// Reads the server's CPU time.
pub type Probe<'a> = &'a dyn Fn() -> io::Result<Duration>;

/// An empty histogram from nanoseconds to a minute, three digits.
fn latencies() -> Histogram<u64> {
    match Histogram::new_with_bounds(1, 60_000_000_000, 3) {
        Ok(histogram) => histogram,
        Err(error) => unreachable!("the bounds are constants: {error}"),
    }
}

/// What the server sent is not what it should have sent.
fn garbled(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the server {what}"))
}
