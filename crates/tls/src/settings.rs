//! [`ClientConfig`] and [`ServerConfig`]: what rustls is told, and what the layer is told.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use wharf_core::Address;

use crate::error::Error;
use crate::statistics::Statistics;

/// How long the two ends may take until the handshake is over. asyncio waits for a minute; a client that needs more than
/// ten seconds has gone or means harm.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a close waits for the peer's goodbye once everything has been sent. asyncio waits for half a minute, which
/// holds up programs whose peers never answer; all that is missing by then is an acknowledgement.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// How many handshakes a loop has under way at once.
const MAX_HANDSHAKES: usize = 1024;

/// How many handshakes a loop begins in one turn: each is some hundred microseconds of arithmetic, so established
/// connections wait for a few milliseconds at most (rule T12).
const HANDSHAKES_PER_TURN: usize = 16;

/// What both sides are told.
#[derive(Debug, Clone)]
pub(crate) struct Timeouts {
    pub(crate) handshake: Duration,
    pub(crate) shutdown: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { handshake: HANDSHAKE_TIMEOUT, shutdown: SHUTDOWN_TIMEOUT }
    }
}

macro_rules! timeouts {
    () => {
        /// How long the handshake may take; ten seconds unless said otherwise. The connection is aborted then.
        #[doc(alias = "ssl_handshake_timeout")]
        #[must_use]
        pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
            self.timeouts.handshake = timeout;
            self
        }

        /// How long `close` waits for the peer's goodbye after everything has been sent; five seconds unless said
        /// otherwise. The loss is [`TimedOut`](wharf_core::Lost::TimedOut) then.
        ///
        /// Zero does not wait: the connection is closed as soon as our own goodbye has gone out.
        #[doc(alias = "ssl_shutdown_timeout")]
        #[must_use]
        pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
            self.timeouts.shutdown = timeout;
            self
        }
    };
}

/// The settings of a client. Cheap to clone; sessions are resumed among all who share it, on any loop.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    pub(crate) rustls: Arc<rustls::ClientConfig>,
    pub(crate) timeouts: Timeouts,
}

impl From<Arc<rustls::ClientConfig>> for ClientConfig {
    fn from(rustls: Arc<rustls::ClientConfig>) -> Self {
        Self { rustls, timeouts: Timeouts::default() }
    }
}

impl ClientConfig {
    timeouts!();
}

/// Is told of a handshake that failed: the peer's address, and why.
pub(crate) type FailureHook = Arc<dyn Fn(Option<&Address>, &Error) + Send + Sync>;

/// The settings of a server. Cheap to clone; tickets, counters and the hook are shared among all clones, on any loop.
#[derive(Clone)]
pub struct ServerConfig {
    pub(crate) rustls: Arc<rustls::ServerConfig>,
    pub(crate) timeouts: Timeouts,
    pub(crate) max_handshakes: usize,
    pub(crate) handshakes_per_turn: usize,
    pub(crate) on_failure: Option<FailureHook>,
    pub(crate) statistics: Arc<Statistics>,
}

impl From<Arc<rustls::ServerConfig>> for ServerConfig {
    fn from(rustls: Arc<rustls::ServerConfig>) -> Self {
        Self {
            rustls,
            timeouts: Timeouts::default(),
            max_handshakes: MAX_HANDSHAKES,
            handshakes_per_turn: HANDSHAKES_PER_TURN,
            on_failure: None,
            statistics: Arc::default(),
        }
    }
}

impl ServerConfig {
    timeouts!();

    /// How many handshakes a loop has under way at once; 1024 unless said otherwise, at least one. Further clients wait,
    /// unread and under their own handshake timeout. A client counts from its first bytes on.
    #[must_use]
    pub fn max_handshakes(mut self, count: usize) -> Self {
        self.max_handshakes = count.max(1);
        self
    }

    /// How many handshakes a loop begins in one turn; 16 unless said otherwise, at least one.
    #[must_use]
    pub fn handshakes_per_turn(mut self, count: usize) -> Self {
        self.handshakes_per_turn = count.max(1);
        self
    }

    /// Tells `hook` of every handshake that fails: the peer's address, where it has one, and why.
    ///
    /// Called from the loop, as a callback is; what it panics with is reported as a fault. No protocol hears of such a
    /// connection.
    #[must_use]
    pub fn on_handshake_failure(
        mut self,
        hook: impl Fn(Option<&Address>, &Error) + Send + Sync + 'static,
    ) -> Self {
        self.on_failure = Some(Arc::new(hook));
        self
    }

    /// The counters of handshakes, of all who share this configuration.
    #[must_use]
    pub fn statistics(&self) -> Arc<Statistics> {
        Arc::clone(&self.statistics)
    }
}

impl fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConfig")
            .field("timeouts", &self.timeouts)
            .field("max_handshakes", &self.max_handshakes)
            .field("handshakes_per_turn", &self.handshakes_per_turn)
            .finish_non_exhaustive()
    }
}
