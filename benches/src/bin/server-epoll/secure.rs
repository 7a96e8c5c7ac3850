//! The limit over TLS: rustls by hand on epoll, with the settings that every system has.

use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection};
use wharf_benches::mode::Mode;
use wharf_benches::pattern::CHUNK_BYTES;

use crate::connection::After;
use crate::kernel::{self, READ, WRITE};

/// How much a source encrypts before it sends.
const BATCH: usize = 64;

/// The TLS of one connection, and the ciphertext that is not yet sent.
pub(crate) struct Secure {
    session: ServerConnection,
    unsent: Vec<u8>,
}

impl Secure {
    pub(crate) fn new(config: &Arc<ServerConfig>) -> io::Result<Self> {
        let mut session = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        session.set_buffer_limit(None);
        Ok(Self { session, unsent: Vec::new() })
    }

    pub(crate) fn attend(
        &mut self,
        socket: BorrowedFd<'_>,
        mode: Mode,
        ready: u32,
        buffer: &mut [u8],
    ) -> io::Result<After> {
        if ready & WRITE != 0 && !self.unsent.is_empty() {
            let sent = kernel::send(socket, &self.unsent)?;
            self.unsent.drain(..sent);
            if !self.unsent.is_empty() {
                return Ok(After::Same);
            }
            self.unsent = Vec::new();
            if mode != Mode::TlsSource {
                return Ok(After::Interest(READ));
            }
        }
        if ready & READ != 0 {
            let count = kernel::receive(socket, buffer)?;
            if count == 0 || !self.decrypt(&buffer[..count], mode)? {
                self.session.send_close_notify();
                self.send(socket)?;
                return Ok(After::Close);
            }
        }
        if mode == Mode::TlsSource && !self.session.is_handshaking() {
            while self.unsent.is_empty() {
                for _ in 0..BATCH {
                    self.session.writer().write_all(&CHUNK_BYTES)?;
                }
                self.send(socket)?;
            }
            return Ok(After::Interest(READ | WRITE));
        }
        self.send(socket)?;
        Ok(if self.unsent.is_empty() { After::Same } else { After::Interest(WRITE) })
    }

    /// Takes what came, and answers it; whether the peer goes on.
    fn decrypt(&mut self, mut wire: &[u8], mode: Mode) -> io::Result<bool> {
        while !wire.is_empty() {
            self.session.read_tls(&mut wire)?;
            self.session.process_new_packets().map_err(io::Error::other)?;
            loop {
                let mut reader = self.session.reader();
                let plain = match reader.fill_buf() {
                    Ok([]) => return Ok(false),
                    Ok(plain) => plain,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                };
                let count = plain.len();
                if mode == Mode::TlsSink {
                    reader.consume(count);
                } else {
                    let mut copy = vec![0; count];
                    reader.read_exact(&mut copy)?;
                    self.session.writer().write_all(&copy)?;
                }
            }
        }
        Ok(true)
    }

    /// Sends everything that is encrypted in one call; what the kernel does not take is kept.
    fn send(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        while self.session.wants_write() {
            self.session.write_tls(&mut self.unsent)?;
        }
        if self.unsent.is_empty() {
            return Ok(());
        }
        match kernel::send(socket, &self.unsent) {
            Ok(count) if count == self.unsent.len() => self.unsent = Vec::new(),
            Ok(count) => drop(self.unsent.drain(..count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
