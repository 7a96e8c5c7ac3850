//! The applications of the servers by hand: bytes in, bytes out, as much of RESP and HTTP/1.1 as the load asks for.
//!
//! The limit and the peer on tokio share them, so that no system parses better than another; the examples of wharf have
//! their own, which know far more.

mod http;
mod resp;

use crate::mode::Mode;

pub use http::{PAGE, Pages};

pub use resp::Store;

/// What a server answers, for all of its connections.
#[derive(Debug)]
pub enum Application {
    /// Strings that may expire.
    Resp(Store),
    /// One page.
    Http(Pages),
}

impl Application {
    /// The application of a mode that has one.
    #[must_use]
    pub fn of(mode: Mode) -> Option<Self> {
        match mode {
            Mode::Resp => Some(Self::Resp(Store::default())),
            Mode::Http => Some(Self::Http(Pages::default())),
            _ => None,
        }
    }

    /// To be called after each wait: looks at the clock.
    pub fn turn(&mut self) {
        match self {
            Self::Resp(store) => store.turn(),
            Self::Http(pages) => pages.turn(),
        }
    }

    /// Appends the answers to all whole requests of `input`, and says how many bytes those take; nothing when that is no
    /// request.
    pub fn serve(&mut self, input: &[u8], answers: &mut Vec<u8>) -> Option<usize> {
        match self {
            Self::Resp(store) => store.serve(input, answers),
            Self::Http(pages) => pages.serve(input, answers),
        }
    }
}
