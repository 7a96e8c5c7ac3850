//! TLS as most servers have it: OpenSSL by hand on epoll, with the settings that every system has.
//!
//! It is built where OpenSSL's headers are (`--features openssl`), and the tables are without it elsewhere.

#[path = "../server-epoll/kernel.rs"]
// Gathering is for the plain server.
#[allow(dead_code)]
mod kernel;

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, RawFd};

use kernel::{Epoll, Events, READ, WRITE};
use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::ssl::{
    self, ErrorCode, ShutdownResult, Ssl, SslContext, SslMethod, SslMode, SslStream, SslVersion,
};
use openssl::x509::X509;
use wharf_benches::allocations::Counting;
use wharf_benches::mode::Mode;
use wharf_benches::pattern::{CHUNK, CHUNK_BYTES};
use wharf_benches::secure;
use wharf_benches::serve::{self, Order};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The plaintext of the largest record.
const RECORD: usize = 16 * 1024;

fn main() -> io::Result<()> {
    let order = Order::take()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    kernel::prepare(listener.as_fd())?;
    serve::announce(listener.local_addr()?.port())?;
    let epoll = Epoll::new()?;
    epoll.add(listener.as_fd(), READ)?;
    epoll.add(io::stdin().as_fd(), READ)?;
    let mut server = Server {
        mode: order.mode,
        epoll,
        listener,
        connections: Vec::new(),
        settings: settings()?,
        buffer: vec![0; RECORD],
        chunks: CHUNK_BYTES.repeat(RECORD / CHUNK),
    };
    server.serve()
}

/// TLS 1.3; several records are read by one call, and an idle connection keeps no buffers.
fn settings() -> io::Result<SslContext> {
    let (certificate, key) = secure::identity()?;
    let build = || {
        let mut builder = SslContext::builder(SslMethod::tls_server())?;
        builder.set_min_proto_version(Some(SslVersion::TLS1_3))?;
        let certificate = X509::from_pem(certificate.as_bytes())?;
        builder.set_certificate(&certificate)?;
        let key = PKey::private_key_from_pem(key.as_bytes())?;
        builder.set_private_key(&key)?;
        builder.set_session_id_context(b"bench")?;
        builder.set_read_ahead(true);
        builder.set_mode(
            SslMode::RELEASE_BUFFERS
                | SslMode::ENABLE_PARTIAL_WRITE
                | SslMode::ACCEPT_MOVING_WRITE_BUFFER,
        );
        Ok::<_, ErrorStack>(builder.build())
    };
    build().map_err(io::Error::other)
}

/// The listener and its connections, by descriptor.
struct Server {
    mode: Mode,
    epoll: Epoll,
    listener: TcpListener,
    connections: Vec<Option<Connection>>,
    settings: SslContext,
    buffer: Vec<u8>,
    /// What a source encrypts as one record.
    chunks: Vec<u8>,
}

/// What the server must do after a connection was attended to.
enum After {
    Interest(u32),
    Close,
}

struct Connection {
    stream: SslStream<TcpStream>,
    established: bool,
    interest: u32,
    /// What OpenSSL did not take yet; of a source, which can say it again, only how much of a record it took.
    unsent: Vec<u8>,
    offset: usize,
}

impl Server {
    fn serve(&mut self) -> io::Result<()> {
        let mut events = Events::new();
        loop {
            for at in 0..self.epoll.wait(&mut events)? {
                let (fd, _) = events.get(at);
                if fd == self.listener.as_raw_fd() {
                    self.accept()?;
                } else if fd == io::stdin().as_raw_fd() {
                    serve::end();
                } else {
                    self.attend(fd)?;
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        while let Some(socket) = kernel::accept(self.listener.as_fd())? {
            self.epoll.add(socket.as_fd(), READ)?;
            let at = socket.as_raw_fd() as usize;
            if at >= self.connections.len() {
                self.connections.resize_with(at + 1, || None);
            }
            let ssl = Ssl::new(&self.settings).map_err(io::Error::other)?;
            let stream = SslStream::new(ssl, socket.into()).map_err(io::Error::other)?;
            self.connections[at] = Some(Connection {
                stream,
                established: false,
                interest: READ,
                unsent: Vec::new(),
                offset: 0,
            });
        }
        Ok(())
    }

    fn attend(&mut self, fd: RawFd) -> io::Result<()> {
        let Some(slot) = self.connections.get_mut(fd as usize) else { return Ok(()) };
        let Some(connection) = slot else { return Ok(()) };
        match connection.attend(self.mode, &mut self.buffer, &self.chunks) {
            After::Interest(interest) if interest != connection.interest => {
                connection.interest = interest;
                self.epoll.modify(connection.stream.get_ref().as_fd(), interest)?;
            }
            After::Interest(_) => {}
            // Closing the only descriptor takes it out of the epoll set.
            After::Close => *slot = None,
        }
        Ok(())
    }
}

impl Connection {
    fn attend(&mut self, mode: Mode, buffer: &mut [u8], chunks: &[u8]) -> After {
        let outcome = match mode {
            Mode::TlsSource => self.pour(buffer, chunks),
            _ => self.answer(mode, buffer),
        };
        match outcome {
            Ok(after) => after,
            Err(error) => match error.code() {
                ErrorCode::WANT_READ => After::Interest(READ),
                ErrorCode::WANT_WRITE => After::Interest(READ | WRITE),
                _ => After::Close,
            },
        }
    }

    fn establish(&mut self) -> Result<(), ssl::Error> {
        if !self.established {
            self.stream.accept()?;
            self.established = true;
        }
        Ok(())
    }

    /// Reads until nothing is left, and sends it back unless the server is a sink.
    fn answer(&mut self, mode: Mode, buffer: &mut [u8]) -> Result<After, ssl::Error> {
        self.establish()?;
        loop {
            while !self.unsent.is_empty() {
                let sent = self.stream.ssl_write(&self.unsent)?;
                self.unsent.drain(..sent);
            }
            let count = match self.stream.ssl_read(buffer) {
                Ok(count) => count,
                Err(error) if error.code() == ErrorCode::ZERO_RETURN => return self.end(),
                Err(error) => return Err(error),
            };
            if mode == Mode::TlsSink {
                continue;
            }
            let mut sent = 0;
            while sent < count {
                match self.stream.ssl_write(&buffer[sent..count]) {
                    Ok(more) => sent += more,
                    Err(error) => {
                        self.unsent.extend_from_slice(&buffer[sent..count]);
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Writes records until the kernel takes no more.
    fn pour(&mut self, buffer: &mut [u8], chunks: &[u8]) -> Result<After, ssl::Error> {
        self.establish()?;
        match self.stream.ssl_read(buffer) {
            Err(error) if error.code() == ErrorCode::WANT_READ => {}
            Ok(_) => {}
            Err(error) if error.code() == ErrorCode::ZERO_RETURN => return self.end(),
            Err(error) => return Err(error),
        }
        loop {
            let sent = self.stream.ssl_write(&chunks[self.offset..])?;
            self.offset = (self.offset + sent) % chunks.len();
        }
    }

    /// Says goodbye.
    fn end(&mut self) -> Result<After, ssl::Error> {
        match self.stream.shutdown() {
            Ok(ShutdownResult::Sent | ShutdownResult::Received) => Ok(After::Close),
            Err(error) if error.io_error().is_some_and(|e| e.kind() == ErrorKind::WouldBlock) => {
                Ok(After::Close)
            }
            Err(error) => Err(error),
        }
    }
}
