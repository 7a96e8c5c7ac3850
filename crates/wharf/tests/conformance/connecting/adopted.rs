//! Sockets that somebody else has connected, or accepted.

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use socket2::{Domain, Socket, Type};
use wharf::{LoopHandle, TransportRef, tcp, unix};

use crate::servers::rig::{End, Peer, Story, TestLoop};

async fn adopt(handle: LoopHandle, socket: OwnedFd, story: Story) -> std::io::Result<TransportRef> {
    tcp::adopt(&handle, socket, story.echoes()).await.map(|(transport, _)| transport)
}

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

#[test]
fn c_01_a_connected_socket_is_taken_over() {
    let mut ev = TestLoop::new();
    let story = Story::new();
    let (ours, theirs) = tcp_pair();
    let names = (ours.local_addr().unwrap(), ours.peer_addr().unwrap());
    let mut peer = Peer::of(theirs);
    // What waits in the socket already overtakes nothing.
    peer.send(b"early");
    let transport = ev.finish(adopt(ev.handle.clone(), ours.into(), story.clone())).unwrap();
    assert_eq!(transport.local_addr().unwrap().ip(), Some(names.0));
    assert_eq!(transport.peer_addr().unwrap().ip(), Some(names.1));
    ev.until(|| peer.received() == b"early");
    assert_eq!(story.lines(), ["0 made", "0 data"]);
    transport.close();
    ev.until(|| peer.end() == Some(End::Eof));
    assert_eq!(story.count("lost closed"), 1);
}

#[test]
fn c_22_a_unix_socket_may_be_given_to_the_call_for_tcp_and_the_other_way_round() {
    let mut ev = TestLoop::new();
    let story = Story::new();
    let (ours, theirs) = UnixStream::pair().unwrap();
    ev.finish(adopt(ev.handle.clone(), ours.into(), story.clone())).unwrap();
    let mut unix_peer = Peer::of(theirs);
    unix_peer.send(b"unix");
    ev.until(|| unix_peer.received() == b"unix");

    let (ours, theirs) = tcp_pair();
    let (handle, factory) = (ev.handle.clone(), story.echoes());
    ev.finish(async move { unix::adopt(&handle, ours, factory).await.map(|_| ()) }).unwrap();
    let mut tcp_peer = Peer::of(theirs);
    tcp_peer.send(b"tcp");
    ev.until(|| tcp_peer.received() == b"tcp");
}

#[test]
fn c_30_an_accepted_socket_is_served_without_a_server() {
    let mut ev = TestLoop::new();
    let story = Story::new();
    let server_story = Story::new();
    let server = ev.finish(tcp::listen(&ev.handle, "127.0.0.1:0", server_story.factory())).unwrap();
    let (client, accepted) = tcp_pair();
    let _transport = ev.finish(adopt(ev.handle.clone(), accepted.into(), story.clone())).unwrap();
    let mut peer = Peer::of(client);
    // It is no server's: nothing that a server does to its own touches it.
    assert_eq!((server.connections(), server.clients().len()), (0, 0));
    server.abort_clients();
    server.close();
    peer.send(b"hello");
    ev.until(|| peer.received() == b"hello");
    drop(peer);
    ev.until(|| story.count("lost eof") == 1);
}

#[test]
fn c_31_what_is_no_connected_stream_is_refused() {
    let mut ev = TestLoop::new();
    let story = Story::new();
    let unconnected = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let listening = TcpListener::bind("127.0.0.1:0").unwrap();
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let packets = Socket::pair(Domain::UNIX, Type::SEQPACKET, None).unwrap().0;
    let file = std::fs::File::open("/dev/null").unwrap();
    let odd: [(OwnedFd, ErrorKind); 5] = [
        (unconnected.into(), ErrorKind::NotConnected),
        (listening.into(), ErrorKind::NotConnected),
        (datagrams.into(), ErrorKind::InvalidInput),
        (packets.into(), ErrorKind::InvalidInput),
        (file.into(), ErrorKind::InvalidInput),
    ];
    for (place, (socket, wanted)) in odd.into_iter().enumerate() {
        let error = ev.finish(adopt(ev.handle.clone(), socket, story.clone())).unwrap_err();
        assert_eq!(error.kind(), wanted, "socket {place}: {error}");
    }
    assert_eq!((story.born(), ev.statistics().sources), (0, 0));
}
