//! [`Statistics`]: how many handshakes began, and how they ended.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of a server's handshakes. They only grow; read them from any thread.
#[derive(Debug, Default)]
pub struct Statistics {
    started: AtomicU64,
    finished: AtomicU64,
    failed: AtomicU64,
}

impl Statistics {
    /// Handshakes that began: the client had sent something, and it was its turn.
    #[must_use]
    pub fn started(&self) -> u64 {
        self.started.load(Ordering::Relaxed)
    }

    /// Handshakes that led to a connection.
    #[must_use]
    pub fn finished(&self) -> u64 {
        self.finished.load(Ordering::Relaxed)
    }

    /// Clients that left, were refused, or took too long before their handshake was over.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    pub(crate) fn count_started(&self) {
        self.started.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_finished(&self) {
        self.finished.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }
}
