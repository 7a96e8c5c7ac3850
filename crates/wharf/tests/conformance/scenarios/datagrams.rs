//! Scenarios of datagrams: UDP and Unix endpoints against raw sockets.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;

use wharf::{
    Address, DatagramProtocol, DatagramTransportRef, Flow, Limits, Lost, Outgoing, udp,
    unix_datagram,
};

use super::performance::perform;
use super::python::{Python, Raised, shown};
use super::scene::Scene;
use crate::support::Folder;

/// A datagram protocol that writes every callback into the trace.
struct Recorder {
    scene: Scene,
    name: &'static str,
    fails: bool,
}

impl Recorder {
    fn new(scene: &Scene, name: &'static str) -> Self {
        Self { scene: scene.clone(), name, fails: false }
    }

    /// Panics with each datagram.
    fn fails(self) -> Self {
        Self { fails: true, ..self }
    }

    fn heard(&self, line: &str) {
        self.scene.line(format!("cb {} {line}", self.name));
    }
}

impl DatagramProtocol for Recorder {
    fn connection_made(&mut self, _: &DatagramTransportRef) {
        self.heard("connection_made");
    }

    fn datagram_received(&mut self, _: &DatagramTransportRef, data: &[u8], from: Option<&Address>) {
        let from = if from.is_some() { "addr" } else { "None" };
        self.heard(&format!("datagram_received {} from {from}", shown(data)));
        assert!(!self.fails, "RuntimeError: boom");
    }

    fn error_received(&mut self, _: &DatagramTransportRef, error: &std::io::Error) {
        self.heard(&format!("error_received {}", error.raised()));
    }

    fn pause_writing(&mut self, _: &DatagramTransportRef) {
        self.heard("pause_writing");
    }

    fn resume_writing(&mut self, _: &DatagramTransportRef) {
        self.heard("resume_writing");
    }

    fn connection_lost(&mut self, _: &DatagramTransportRef, why: &Lost) {
        self.heard(&format!("connection_lost {}", why.raised()));
    }
}

/// A raw UDP socket, and its address.
fn udp_peer() -> (UdpSocket, Address) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback can be bound");
    socket.set_nonblocking(true).expect("a socket can be made non-blocking");
    let address = socket.local_addr().expect("a bound socket has an address");
    (socket, address.into())
}

/// Everything that waits on a raw socket.
fn waiting(mut receive: impl FnMut(&mut [u8]) -> std::io::Result<usize>) -> Vec<Vec<u8>> {
    let mut buffer = [0; 100];
    let mut got = Vec::new();
    loop {
        match receive(&mut buffer) {
            Ok(len) => got.push(buffer[..len].to_vec()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return got,
            Err(error) => panic!("a raw socket cannot receive: {error}"),
        }
    }
}

fn list(datagrams: &[Vec<u8>]) -> String {
    let words: Vec<String> = datagrams.iter().map(Python::python).collect();
    format!("[{}]", words.join(", "))
}

async fn bind(scene: &Scene, protocol: Recorder) -> (DatagramTransportRef, SocketAddr) {
    let opened = udp::bind(&scene.handle, "127.0.0.1:0", || protocol).await;
    let (transport, _) = opened.expect("loopback can be bound");
    let at = transport.local_addr().and_then(|at| at.ip()).expect("an endpoint has an address");
    (transport, at)
}

/// A send, as asyncio's, which answers nothing.
fn send(
    scene: &Scene,
    what: &str,
    transport: &DatagramTransportRef,
    data: &[u8],
    to: Option<&Address>,
) {
    let answer = scene.attempt(what, transport.send_to(data, to));
    assert!(matches!(answer, None | Some(Flow::Open | Flow::Closed)));
}

#[test]
fn s34_unconnected_and_connected_endpoints() {
    perform("S34", async |scene| {
        let (endpoint, at) = bind(scene, Recorder::new(scene, "U")).await;
        let (peer, to) = udp_peer();
        for data in [&b"hello"[..], b""] {
            peer.send_to(data, at).expect("loopback takes datagrams");
        }
        scene.line("peer> two datagrams, one empty");
        scene.until("datagram_received 0").await;
        send(scene, "sendto with an address", &endpoint, b"pong", Some(&to));
        send(scene, "sendto empty with an address", &endpoint, b"", Some(&to));
        scene.settle().await;
        scene.line(format!("peer< datagrams {}", list(&waiting(|buffer| peer.recv(buffer)))));
        let protocol = Recorder::new(scene, "V");
        let place = to.ip().expect("it is a UDP socket");
        let opened = udp::connect(&scene.handle, place, || protocol).await;
        let (connected, _) = opened.expect("loopback can be connected to");
        send(scene, "connected: sendto plain", &connected, b"a", None);
        send(scene, "connected: sendto same address", &connected, b"b", Some(&to));
        let other = Address::Ip(SocketAddr::from(([127, 0, 0, 1], 9)));
        send(scene, "connected: sendto other address", &connected, b"c", Some(&other));
        scene.settle().await;
        scene.line(format!("peer< datagrams {}", list(&waiting(|buffer| peer.recv(buffer)))));
        endpoint.close();
        connected.abort();
        scene.did("close U, abort V");
        send(scene, "connected: sendto after abort", &connected, b"x", None);
        scene.until("cb V connection_lost").await;
    });
}

#[test]
fn s35_errors_and_panics_do_not_end_an_endpoint() {
    perform("S35", async |scene| {
        let dead = udp_peer().1.ip().expect("it is a UDP socket");
        let protocol = Recorder::new(scene, "V");
        let opened = udp::connect(&scene.handle, dead, || protocol).await;
        let (connected, _) = opened.expect("loopback can be connected to");
        connected.send(&[Outgoing::new(b"1")]).expect("it is connected");
        scene.did("sendto a closed port");
        scene.until("error_received").await;
        send(scene, "sendto again", &connected, b"2", None);
        scene.settle().await;
        scene.value("is_closing", connected.is_closing());
        connected.close();
        scene.until("cb V connection_lost").await;
        let (endpoint, at) = bind(scene, Recorder::new(scene, "U").fails()).await;
        let (peer, _) = udp_peer();
        for data in [b"a", b"b"] {
            peer.send_to(data, at).expect("loopback takes datagrams");
            scene.settle().await;
        }
        scene.value("is_closing", endpoint.is_closing());
        send(scene, "sendto 70000 bytes", &endpoint, &[b'z'; 70_000], Some(&at.into()));
        scene.until("cb U error_received").await;
        endpoint.close();
        scene.until("cb U connection_lost").await;
    });
}

/// An endpoint at a path that is connected to the raw socket at another.
async fn unix_pair(scene: &Scene, folder: &Folder) -> (DatagramTransportRef, UnixDatagram) {
    let peer = UnixDatagram::bind(folder.join("b")).expect("a path can be bound");
    peer.set_nonblocking(true).expect("a socket can be made non-blocking");
    let protocol = Recorder::new(scene, "U");
    let open = unix_datagram::connect(&scene.handle, folder.join("b"), || protocol);
    let opened = open.local_addr(folder.join("a")).await;
    (opened.expect("a path can be connected to").0, peer)
}

#[test]
fn q05_a_full_queue_pauses_and_a_drained_one_resumes() {
    let folder = Folder::new();
    perform("Q05", async |scene| {
        let (endpoint, peer) = unix_pair(scene, &folder).await;
        let mut limits = endpoint.queue_limits();
        limits.bytes = Limits::new(100, 20).expect("low is below high");
        endpoint.set_queue_limits(limits);
        let mut sent = 0;
        while !scene.trace().iter().any(|line| line.contains("pause_writing")) {
            let before = endpoint.write_buffer_len();
            endpoint.send_to(b"0123456789", None).expect("it is connected");
            sent += 1;
            // What was gathered goes out before the turn ends.
            scene.turn().await;
            let size = endpoint.write_buffer_len();
            if before == 0 && size > 0 {
                scene.value("size counted for one queued 10-byte datagram", size);
            }
        }
        let mut got = 0;
        for _ in 0..20 {
            got += waiting(|buffer| peer.recv(buffer)).len();
            scene.settle().await;
        }
        scene.value("all delivered", got == sent);
        scene.value("buffer size is zero when everything is out", endpoint.write_buffer_len() == 0);
        let resumed = scene.trace().iter().any(|line| line.contains("resume_writing"));
        scene.value("resumed", resumed);
        endpoint.close();
        scene.until("cb U connection_lost").await;
    });
}

#[test]
fn q22_a_missing_address_and_a_send_after_close() {
    perform("Q22", async |scene| {
        let (first, _) = bind(scene, Recorder::new(scene, "U")).await;
        send(scene, "sendto without an address", &first, b"lost", None);
        scene.settle().await;
        scene.value("is_closing", first.is_closing());
        let (second, _) = bind(scene, Recorder::new(scene, "V")).await;
        let (peer, to) = udp_peer();
        second.close();
        scene.did("close");
        send(scene, "sendto after close, same turn", &second, b"x", Some(&to));
        scene.until("cb V connection_lost").await;
        send(scene, "sendto after connection_lost", &second, b"y", Some(&to));
        scene.settle().await;
        scene.line(format!("peer< datagrams {}", list(&waiting(|buffer| peer.recv(buffer)))));
        first.close();
        scene.until("cb U connection_lost").await;
        let (ours, theirs) = UnixDatagram::pair().expect("a socket pair can be made");
        theirs.set_nonblocking(true).expect("a socket can be made non-blocking");
        let protocol = Recorder::new(scene, "W");
        let adopted = udp::adopt(&scene.handle, ours, || protocol).await;
        let (end, _) = adopted.expect("an end of a socket pair is adopted");
        send(scene, "sendto on a socketpair end", &end, b"z", None);
        scene.settle().await;
        scene.line(format!("peer< datagrams {}", list(&waiting(|buffer| theirs.recv(buffer)))));
        end.close();
        scene.until("cb W connection_lost").await;
    });
}

#[test]
fn q23_a_close_flushes_and_a_pause_holds_back() {
    let folder = Folder::new();
    perform("Q23", async |scene| {
        let (endpoint, peer) = unix_pair(scene, &folder).await;
        endpoint.pause_reading();
        scene.did("pause_reading");
        peer.send_to(b"meanwhile", folder.join("a")).expect("the endpoint is there");
        scene.settle().await;
        scene.value("is_reading", endpoint.is_reading());
        endpoint.resume_reading();
        scene.did("resume_reading");
        scene.until("datagram_received").await;
        let mut sent = 0;
        while endpoint.write_buffer_len() == 0 {
            endpoint.send_to(b"filler", None).expect("it is connected");
            sent += 1;
            scene.turn().await;
        }
        endpoint.send_to(b"last", None).expect("it is connected");
        endpoint.close();
        scene.did("close");
        scene.settle().await;
        let lost = scene.trace().iter().any(|line| line.contains("connection_lost"));
        scene.value("connection_lost yet", lost);
        let mut got = Vec::new();
        for _ in 0..20 {
            got.extend(waiting(|buffer| peer.recv(buffer)));
            scene.settle().await;
        }
        scene.value("all delivered", got.len() == sent + 1);
        scene.line(format!("peer< the last {}", got.pop().unwrap_or_default().python()));
    });
}
