//! One connection of the raw server, and what it does when it is ready.

use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use crate::kernel::{self, READ, WRITE};
use crate::secure::Secure;
use wharf_benches::apps::Application;
use wharf_benches::mode::Mode;
use wharf_benches::pattern::{CHUNK, CHUNK_BYTES};
use wharf_benches::request::Requests;

/// Chunks that a gathering source hands over at once.
const GATHERED: usize = 64;

/// What the server must do after a connection was attended to.
pub(crate) enum After {
    Same,
    Interest(u32),
    Close,
}

/// A socket and what is not yet sent on it.
pub(crate) struct Connection {
    socket: OwnedFd,
    unsent: Vec<u8>,
    requests: Requests,
    /// Of an application: the part of a request that has come.
    part: Vec<u8>,
    /// Of a source: how much of the current chunk is sent.
    offset: usize,
    secure: Option<Box<Secure>>,
}

impl Connection {
    pub(crate) fn new(
        socket: OwnedFd,
        tls: Option<&Arc<rustls::ServerConfig>>,
    ) -> io::Result<Self> {
        let secure = tls.map(Secure::new).transpose()?.map(Box::new);
        let requests = Requests::default();
        let (unsent, part) = (Vec::new(), Vec::new());
        Ok(Self { socket, unsent, requests, part, offset: 0, secure })
    }

    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub(crate) fn attend(
        &mut self,
        mode: Mode,
        ready: u32,
        buffer: &mut [u8],
        application: Option<&mut Application>,
    ) -> After {
        let outcome = match (&mut self.secure, mode) {
            (Some(secure), _) => secure.attend(self.socket.as_fd(), mode, ready, buffer),
            (_, Mode::Source | Mode::SourceBuffered) if ready & WRITE != 0 && ready & READ == 0 => {
                self.pour(mode)
            }
            _ if ready & WRITE != 0 && !self.unsent.is_empty() => self.flush(),
            _ => self.receive(mode, buffer, application),
        };
        match outcome {
            Ok(after) => after,
            Err(error) if error.kind() == ErrorKind::WouldBlock => After::Same,
            Err(_) => After::Close,
        }
    }

    fn receive(
        &mut self,
        mode: Mode,
        buffer: &mut [u8],
        application: Option<&mut Application>,
    ) -> io::Result<After> {
        let count = kernel::receive(self.socket.as_fd(), buffer)?;
        if count == 0 {
            return Ok(After::Close);
        }
        let data = &buffer[..count];
        if let Some(application) = application {
            self.serve(application, data)?;
        }
        match mode {
            Mode::Echo | Mode::Churn | Mode::Idle | Mode::IdleLean => self.answer(data)?,
            Mode::Chatty => self.answer_in_pieces(data)?,
            Mode::ChattyBuffered => self.answer_at_once(data)?,
            _ => {}
        }
        Ok(if self.unsent.is_empty() { After::Same } else { After::Interest(WRITE) })
    }

    /// Sends; what the kernel does not take is kept, and reading stops until it is gone.
    fn answer(&mut self, data: &[u8]) -> io::Result<()> {
        let sent = match kernel::send(self.socket.as_fd(), data) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        if sent < data.len() {
            self.unsent.extend_from_slice(&data[sent..]);
        }
        Ok(())
    }

    fn answer_in_pieces(&mut self, data: &[u8]) -> io::Result<()> {
        let mut requests = std::mem::take(&mut self.requests);
        let mut outcome = Ok(());
        requests.feed(data, |piece| {
            if outcome.is_err() {
            } else if self.unsent.is_empty() {
                outcome = self.answer(piece);
            } else {
                self.unsent.extend_from_slice(piece);
            }
        });
        self.requests = requests;
        outcome
    }

    fn answer_at_once(&mut self, data: &[u8]) -> io::Result<()> {
        thread_local!(static ANSWER: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) });
        ANSWER.with_borrow_mut(|answer| {
            answer.clear();
            self.requests.feed(data, |piece| answer.extend_from_slice(piece));
            if answer.is_empty() { Ok(()) } else { self.answer(answer) }
        })
    }

    /// Answers what has come, in one send.
    fn serve(&mut self, application: &mut Application, data: &[u8]) -> io::Result<()> {
        thread_local!(static ANSWERS: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) });
        ANSWERS.with_borrow_mut(|answers| {
            answers.clear();
            let used = if self.part.is_empty() {
                let used = application.serve(data, answers);
                self.part.extend_from_slice(&data[used.unwrap_or(0)..]);
                used
            } else {
                self.part.extend_from_slice(data);
                let used = application.serve(&self.part, answers);
                self.part.drain(..used.unwrap_or(0));
                used
            };
            if !answers.is_empty() {
                self.answer(answers)?;
            }
            used.map(drop).ok_or_else(|| ErrorKind::InvalidData.into())
        })
    }

    fn flush(&mut self) -> io::Result<After> {
        let sent = kernel::send(self.socket.as_fd(), &self.unsent)?;
        self.unsent.drain(..sent);
        if !self.unsent.is_empty() {
            return Ok(After::Same);
        }
        self.unsent = Vec::new();
        Ok(After::Interest(READ))
    }

    /// Writes chunks until the kernel takes no more.
    fn pour(&mut self, mode: Mode) -> io::Result<After> {
        loop {
            let sent = if mode == Mode::Source {
                kernel::send(self.socket.as_fd(), &CHUNK_BYTES[self.offset..])?
            } else {
                let mut slices = [IoSlice::new(&CHUNK_BYTES); GATHERED];
                slices[0] = IoSlice::new(&CHUNK_BYTES[self.offset..]);
                kernel::send_vectored(self.socket.as_fd(), &slices)?
            };
            self.offset = (self.offset + sent) % CHUNK;
        }
    }
}
