//! The limit: echo, chatty, churn, idle, sink, source, RESP and HTTP by hand on epoll, level-triggered, recv and send.

mod connection;
mod kernel;
mod secure;

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use connection::{After, Connection};
use kernel::{Epoll, Events, READ, WRITE};
use wharf_benches::allocations::Counting;
use wharf_benches::apps::Application;
use wharf_benches::mode::Mode;
use wharf_benches::secure as settings;
use wharf_benches::serve::{self, Order};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One read at most; most peers use a quarter of it.
const READ_BUFFER: usize = 256 * 1024;

fn main() -> io::Result<()> {
    let order = Order::take()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    kernel::prepare(listener.as_fd())?;
    serve::announce(listener.local_addr()?.port())?;
    Server::new(order.mode, listener.into())?.serve()
}

/// The listener and its connections, by descriptor.
struct Server {
    mode: Mode,
    epoll: Epoll,
    listener: OwnedFd,
    connections: Vec<Option<Connection>>,
    buffer: Vec<u8>,
    application: Option<Application>,
    tls: Option<Arc<rustls::ServerConfig>>,
}

impl Server {
    fn new(mode: Mode, listener: OwnedFd) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        epoll.add(listener.as_fd(), READ)?;
        epoll.add(io::stdin().as_fd(), READ)?;
        let tls = if mode.is_secure() { Some(settings::server()?) } else { None };
        let buffer = vec![0; READ_BUFFER];
        let application = Application::of(mode);
        Ok(Self { mode, epoll, listener, connections: Vec::new(), buffer, application, tls })
    }

    fn serve(&mut self) -> io::Result<()> {
        let mut events = Events::new();
        loop {
            let count = self.epoll.wait(&mut events)?;
            if let Some(application) = &mut self.application {
                application.turn();
            }
            for at in 0..count {
                let (fd, ready) = events.get(at);
                if fd == self.listener.as_raw_fd() {
                    self.accept()?;
                } else if fd == io::stdin().as_raw_fd() {
                    serve::end();
                } else {
                    self.attend(fd, ready)?;
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        while let Some(socket) = kernel::accept(self.listener.as_fd())? {
            let interest = if matches!(self.mode, Mode::Source | Mode::SourceBuffered) {
                READ | WRITE
            } else {
                READ
            };
            self.epoll.add(socket.as_fd(), interest)?;
            let at = socket.as_raw_fd() as usize;
            if at >= self.connections.len() {
                self.connections.resize_with(at + 1, || None);
            }
            self.connections[at] = Some(Connection::new(socket, self.tls.as_ref())?);
        }
        Ok(())
    }

    fn attend(&mut self, fd: RawFd, ready: u32) -> io::Result<()> {
        let Some(slot) = self.connections.get_mut(fd as usize) else { return Ok(()) };
        let Some(connection) = slot else { return Ok(()) };
        let application = self.application.as_mut();
        match connection.attend(self.mode, ready, &mut self.buffer, application) {
            After::Same => {}
            After::Interest(interest) => self.epoll.modify(connection.socket(), interest)?,
            // Closing the only descriptor takes it out of the epoll set.
            After::Close => *slot = None,
        }
        Ok(())
    }
}
