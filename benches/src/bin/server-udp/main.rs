//! Datagrams by hand, in three ways: one call each, `recvmmsg` and `sendmmsg`, trains with GRO and GSO.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use rustix::event::{PollFd, PollFlags, poll};
use wharf_benches::allocations::Counting;
use wharf_benches::datagrams::{self, Batch, Setting};
use wharf_benches::load::datagrams::{RECEIVE_BUFFER, wants_answer};
use wharf_benches::mode::{Mode, Service, Way};
use wharf_benches::serve::{self, Order};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Messages of one call.
const BATCH: usize = 64;

/// The space of a message that is no train; the loads have no longer ones.
const PLAIN: usize = 2048;

/// The greatest train.
const TRAIN: usize = 65_507;

fn main() -> io::Result<()> {
    let order = Order::take()?;
    let Mode::Datagrams(service, way) = order.mode else {
        let what = format!("no {} by hand over UDP", order.mode);
        return Err(io::Error::new(ErrorKind::Unsupported, what));
    };
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_nonblocking(true)?;
    datagrams::set(&socket, Setting::ReceiveBuffer(RECEIVE_BUFFER))?;
    if way == Way::Trains {
        datagrams::set(&socket, Setting::Coalesce)?;
    }
    serve::announce(socket.local_addr()?.port())?;
    let mut server = Server { socket, service, way, batch: batch(way) };
    loop {
        let stdin = io::stdin();
        let mut ready =
            [PollFd::new(&server.socket, PollFlags::IN), PollFd::new(&stdin, PollFlags::IN)];
        poll(&mut ready, None)?;
        if !ready[1].revents().is_empty() {
            serve::end();
        }
        match server.attend() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
    }
}

fn batch(way: Way) -> Batch {
    match way {
        Way::Plain => Batch::new(1, PLAIN),
        Way::Batched => Batch::new(BATCH, PLAIN),
        // Eight trains are some hundred datagrams already.
        Way::Trains => Batch::new(8, TRAIN),
    }
}

struct Server {
    socket: UdpSocket,
    service: Service,
    way: Way,
    batch: Batch,
}

impl Server {
    /// Receives and answers until nothing is left.
    fn attend(&mut self) -> io::Result<()> {
        if self.way == Way::Plain {
            return self.attend_plainly();
        }
        let trains = self.way == Way::Trains;
        loop {
            let count = self.batch.receive(&self.socket, libc::MSG_DONTWAIT, trains)?;
            match self.service {
                Service::Echo => self.send(0, count)?,
                Service::Sink => self.acknowledge(count)?,
            }
            if count < self.batch.count() {
                return Ok(());
            }
        }
    }

    fn attend_plainly(&mut self) -> io::Result<()> {
        let mut buffer = [0; PLAIN];
        loop {
            let (count, from) = self.socket.recv_from(&mut buffer)?;
            let data = &buffer[..count];
            match self.service {
                Service::Echo => self.send_one(data, from)?,
                Service::Sink => {
                    if wants_answer(data) {
                        self.send_one(&data[..1], from)?;
                    }
                }
            }
        }
    }

    fn send_one(&self, data: &[u8], to: SocketAddr) -> io::Result<()> {
        loop {
            match self.socket.send_to(data, to) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait_for_room()?,
                other => return other.map(drop),
            }
        }
    }

    fn wait_for_room(&self) -> io::Result<()> {
        poll(&mut [PollFd::new(&self.socket, PollFlags::OUT)], None)?;
        Ok(())
    }

    fn send(&mut self, mut from: usize, to: usize) -> io::Result<()> {
        while from < to {
            match self.batch.send(&self.socket, from, to) {
                Ok(count) => from += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait_for_room()?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Answers those of the received messages that have a datagram that wants it.
    fn acknowledge(&mut self, count: usize) -> io::Result<()> {
        for at in 0..count {
            let message = *self.batch.message(at);
            let size = if message.segment == 0 { message.len } else { message.segment };
            let mut datagrams = self.batch.data(at).chunks(size.max(1));
            if datagrams.any(wants_answer) {
                self.batch.message(at).len = 1;
                self.batch.message(at).segment = 0;
                self.send(at, at + 1)?;
            }
        }
        Ok(())
    }
}
