//! What comes out at the other end of a real socket, on every path.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::rc::Rc;

use socket2::{Domain, Socket, Type};
use wharf_core::Address;
use wharf_core::datagram::{Inbox, Outbox, Outgoing};

use super::{Channel, Facts, Family, Headers, Missing};

mod facts;
mod faults;
mod trains;

/// A socket with its channel.
struct End {
    socket: Socket,
    channel: Channel,
}

impl End {
    fn new(socket: Socket, family: Family, missing: Missing) -> Self {
        socket.set_nonblocking(true).unwrap();
        let headers = Rc::new(RefCell::new(Headers::new()));
        let channel = Channel::new(headers, socket.as_fd(), family, missing);
        Self { socket, channel }
    }

    fn bound(to: &str, missing: Missing) -> Self {
        let address: SocketAddr = to.parse().unwrap();
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None).unwrap();
        socket.set_recv_buffer_size(1 << 20).unwrap();
        socket.bind(&address.into()).unwrap();
        let family = if address.is_ipv4() { Family::V4 } else { Family::V6 };
        Self::new(socket, family, missing)
    }

    fn address(&self) -> Address {
        self.socket.local_addr().unwrap().as_socket().unwrap().into()
    }

    fn ask_for(&self, facts: Facts) {
        self.channel.ask_for(self.socket.as_fd(), facts).unwrap();
    }

    fn send(&mut self, outbox: &mut Outbox) -> std::io::Result<usize> {
        let sent = self.channel.send(self.socket.as_fd(), outbox)?;
        outbox.advance(sent);
        Ok(sent)
    }

    fn send_all(&mut self, outbox: &mut Outbox) {
        while !outbox.is_empty() {
            self.send(outbox).unwrap();
        }
    }

    /// Waits until something is there, a datagram or an error.
    fn wait(&self) {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        let mut waiting = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        let ready = poll(&mut waiting, PollTimeout::from(10_000_u16)).unwrap();
        assert_eq!(ready, 1, "nothing came");
    }

    /// Waits until something is there, and receives it.
    fn receive(&mut self, inbox: &mut Inbox) {
        self.wait();
        inbox.clear();
        self.channel.receive(self.socket.as_fd(), inbox).unwrap();
    }
}

/// Every way of moving datagrams that a system may leave us.
fn every_path() -> impl Iterator<Item = Missing> {
    (0..16).map(|bits| Missing {
        batches: bits & 1 != 0,
        segment_option: bits & 2 != 0,
        segments: bits & 4 != 0,
        coalescing: bits & 8 != 0,
    })
}

/// The datagrams in `inbox` and their senders.
fn datagrams(inbox: &mut Inbox) -> Vec<(Vec<u8>, Option<Address>)> {
    let arrivals = inbox.arrivals().to_vec();
    let buffer = inbox.buffer();
    let mut found = Vec::new();
    for arrival in arrivals {
        assert!(!arrival.truncated);
        let bytes = &buffer[arrival.start..][..arrival.len];
        let size = if arrival.segment == 0 { arrival.len } else { arrival.segment };
        if bytes.is_empty() {
            found.push((Vec::new(), arrival.from.clone()));
        }
        found.extend(bytes.chunks(size.max(1)).map(|one| (one.to_vec(), arrival.from.clone())));
    }
    found
}

fn inbox() -> Inbox {
    Inbox::with_capacity(Inbox::CAPACITY)
}
