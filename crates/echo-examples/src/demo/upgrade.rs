//! STARTTLS: both sides begin in the clear, say one word each, and go on over TLS.

use wharf::tls::{ServerConfig, start_tls};
use wharf::{OneshotSender, Protocol, TransportRef};

/// What a client says, and what it is answered.
const PLEASE: &[u8] = b"STARTTLS\n";
const GO: &[u8] = b"GO\n";

/// A server's side: in the clear it knows one word, over TLS it is an echo.
pub(super) struct Upgrading {
    config: ServerConfig,
    heard: Vec<u8>,
}

impl Upgrading {
    pub(super) fn new(config: ServerConfig) -> Self {
        Self { config, heard: Vec::new() }
    }
}

impl Protocol for Upgrading {
    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        let missing = PLEASE.len() - self.heard.len();
        if missing == 0 {
            transport.write(data);
            return;
        }
        let (word, rest) = data.split_at(data.len().min(missing));
        self.heard.extend_from_slice(word);
        if !PLEASE.starts_with(&self.heard) {
            transport.abort();
        } else if self.heard.len() == PLEASE.len() {
            transport.write(GO);
            // Nobody waits here: the next bytes come over TLS, or the connection is lost.
            drop(start_tls(transport, self.config.clone(), rest));
        }
    }

    fn pause_writing(&mut self, transport: &TransportRef) {
        transport.pause_reading();
    }

    fn resume_writing(&mut self, transport: &TransportRef) {
        transport.resume_reading();
    }
}

/// A client's side, until the server has agreed.
pub(super) struct Asking {
    heard: Vec<u8>,
    agreed: Option<OneshotSender<()>>,
}

impl Asking {
    pub(super) fn new(agreed: OneshotSender<()>) -> Self {
        Self { heard: Vec::new(), agreed: Some(agreed) }
    }
}

impl Protocol for Asking {
    fn connection_made(&mut self, transport: &TransportRef) {
        transport.write(PLEASE);
    }

    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        self.heard.extend_from_slice(data);
        if !GO.starts_with(&self.heard) {
            transport.abort();
        } else if self.heard.len() == GO.len() {
            if let Some(agreed) = self.agreed.take() {
                // Whoever waited may have given up.
                let _ = agreed.send(());
            }
        }
    }
}
