//! A UDP socket that fails as it is told, for what loopback never does (rows D-07, D-10, D-12, D-47).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::UdpSocket;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

use nix::errno::Errno;
use wharf::datagram::driver::DatagramOptions;
use wharf::datagram::{Inbox, Outbox, Peer};
use wharf::reactor::datagram::{DatagramSocket, datagrams};
use wharf::{Address, DatagramTransportRef, IntoDatagramProtocol};

use super::bench::{Bench, Over};
use super::log::{Call, Log};
use crate::support::limits;

/// What the next sends shall fail with, in order; without an entry a send goes to the socket.
#[derive(Clone, Default)]
struct Script(Rc<RefCell<VecDeque<Errno>>>);

/// A plain UDP socket, one datagram a call, that follows a [`Script`].
struct Stubborn {
    socket: UdpSocket,
    script: Script,
}

impl AsFd for Stubborn {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl DatagramSocket for Stubborn {
    fn receive(&mut self, inbox: &mut Inbox) -> io::Result<bool> {
        let (len, from) = self.socket.recv_from(inbox.buffer())?;
        inbox.push(|arrival| {
            arrival.len = len;
            arrival.from = Some(Address::Ip(from));
        });
        Ok(true)
    }

    fn send(&mut self, outbox: &Outbox) -> io::Result<usize> {
        if let Some(errno) = self.script.0.borrow_mut().pop_front() {
            return Err(errno.into());
        }
        let train = outbox.trains().next().expect("an outbox that is sent is not empty");
        let Some(Peer::Ip(to)) = train.to() else { return Err(ErrorKind::InvalidInput.into()) };
        let first = &train.data()[..train.segment().min(train.data().len())];
        self.socket.send_to(first, to).map(|_| 1)
    }

    fn admits(&self, _: &Address) -> io::Result<()> {
        Ok(())
    }

    fn local_addr(&self) -> Option<Address> {
        self.socket.local_addr().ok().map(Address::Ip)
    }
}

fn open(
    bench: &mut Bench,
    options: DatagramOptions,
) -> (Log, DatagramTransportRef, UdpSocket, Script) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_nonblocking(true).unwrap();
    let script = Script::default();
    let log = bench.log();
    let (_, protocol) = log.plain().share();
    let handle = bench.event_loop().handle().clone();
    let socket = Stubborn { socket, script: script.clone() };
    let driver = datagrams(&handle, socket, protocol, options);
    let transport = driver.handle();
    handle.call_soon(move || drop(driver.begin()));
    bench.run_until(|| log.has(Call::Made));
    (log, transport, peer, script)
}

fn to(peer: &UdpSocket) -> Address {
    Address::Ip(peer.local_addr().unwrap())
}

#[test]
fn d_07_a_full_interface_queue_costs_one_datagram_and_is_told() {
    let mut bench = Bench::new(Over::Udp4);
    let (log, transport, peer, script) = open(&mut bench, DatagramOptions::default());
    script.0.borrow_mut().extend([Errno::ENOBUFS, Errno::EPERM, Errno::EHOSTUNREACH]);
    for word in ["a", "b", "c", "d"] {
        transport.send_to(word.as_bytes(), Some(&to(&peer))).unwrap();
    }
    bench.settle();
    assert_eq!(log.story(), ["made", "error ENOBUFS", "error EPERM", "error EHOSTUNREACH"]);
    let mut buffer = [0; 9];
    assert_eq!((peer.recv(&mut buffer).unwrap(), buffer[0]), (1, b'd'));
    assert_eq!((transport.write_buffer_len(), transport.statistics().sent), (0, 1));
    bench.finish();
}

#[test]
fn d_10_a_udp_socket_that_would_block_is_asked_again_when_it_is_writable() {
    let mut bench = Bench::new(Over::Udp4);
    let mut options = DatagramOptions::default();
    options.limits.bytes = limits(10, 0);
    let (log, transport, peer, script) = open(&mut bench, options);
    script.0.borrow_mut().extend([Errno::EINTR, Errno::EAGAIN]);
    for word in ["a", "b", "c"] {
        transport.send_to(word.as_bytes(), Some(&to(&peer))).unwrap();
    }
    assert_eq!(transport.queued_datagrams(), 3);
    let mut buffer = [0; 9];
    for word in *b"abc" {
        bench.run_until(|| peer.peek(&mut buffer).is_ok());
        assert_eq!((peer.recv(&mut buffer).unwrap(), buffer[0]), (1, word));
    }
    bench.settle();
    assert_eq!(log.story(), ["made", "pause", "resume"]);
    assert_eq!(transport.write_buffer_len(), 0);
    bench.finish();
}

#[test]
fn d_47_a_socket_that_is_writable_and_takes_nothing_is_left_to_a_timer() {
    let mut bench = Bench::new(Over::Udp4);
    let (_log, transport, peer, script) = open(&mut bench, DatagramOptions::default());
    script.0.borrow_mut().extend([Errno::EAGAIN; 8]);
    transport.send_to(b"a", Some(&to(&peer))).unwrap();
    assert_eq!(bench.stirrings(), 0);
    let left = script.0.borrow().len();
    assert!(left >= 5, "{left}: it was asked too often");
    for _ in 0..8 {
        bench.advance(std::time::Duration::from_millis(64));
    }
    bench.settle();
    assert_eq!(transport.queued_datagrams(), 0);
    assert!(peer.recv(&mut [0; 9]).is_ok());
    bench.finish();
}

#[test]
fn d_15_a_socket_that_gives_one_datagram_a_call_gets_its_turn_by_the_budget() {
    let mut bench = Bench::new(Over::Udp4);
    let options = DatagramOptions { read_budget: 3, ..DatagramOptions::default() };
    let (log, transport, peer, _script) = open(&mut bench, options);
    for _ in 0..10 {
        peer.send_to(b"x", transport.local_addr().unwrap().ip().unwrap()).unwrap();
    }
    let mut counts = Vec::new();
    while log.count(Call::Data) < 10 {
        bench.turn();
        counts.push(log.count(Call::Data));
    }
    assert_eq!(counts, [3, 6, 9, 10]);
    bench.finish();
}
