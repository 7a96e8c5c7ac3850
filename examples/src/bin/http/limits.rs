//! What a client may ask of the server, in bytes, in requests and in time.

use std::time::Duration;

/// How many header fields a request may have; browsers send some twenty.
pub(crate) const MOST_FIELDS: usize = 64;

/// The longest line of a chunked body: a size in hex with its extensions, which nobody uses.
pub(crate) const LONGEST_CHUNK_LINE: usize = 256;

/// How much the trailer fields behind a chunked body may measure; they are read and forgotten.
pub(crate) const LONGEST_TRAILER: usize = 4 * 1024;

/// The limits of one server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The longest request line; what is longer has too long a target.
    pub(crate) line: usize,
    /// The longest head: request line and fields together.
    pub(crate) head: usize,
    /// The longest body.
    pub(crate) body: u64,
    /// How many pipelined requests are answered before other connections have their turn.
    pub(crate) burst: usize,
    /// From the first byte of a head to its last.
    pub(crate) head_time: Duration,
    /// Between two pieces of a body.
    pub(crate) body_time: Duration,
    /// Between two requests.
    pub(crate) idle_time: Duration,
    /// How long a client may take nothing of an answer that is longer than what is queued.
    pub(crate) send_time: Duration,
    /// After the last answer: how long is waited for the client to end its side.
    pub(crate) linger_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line: 8 * 1024,
            head: 16 * 1024,
            body: 1024 * 1024 * 1024,
            burst: 128,
            head_time: Duration::from_secs(10),
            body_time: Duration::from_secs(20),
            idle_time: Duration::from_secs(60),
            send_time: Duration::from_secs(20),
            linger_time: Duration::from_secs(2),
        }
    }
}
