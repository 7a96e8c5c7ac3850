//! The list of live connections: what is on it, and what it says of each.

use std::net::TcpListener;
use std::rc::Rc;
use std::time::Duration;

use wharf::vitals::{Above, Below, Life, TransportKind};
use wharf::{
    DatagramProtocol, DatagramTransportRef, EventLoop, Flow, KeepOpen, LiveConnection, Protocol,
    SubprocessProtocol, SubprocessTransportRef, TransportRef, subprocess, tcp, tls, udp, unix,
    unix_datagram,
};

use crate::authority::{Authority, NAME};
use crate::folder::Folder;
use crate::support::{event_loop, manual_loop, outcome, run_until, turns};

/// Answers in kind, and keeps its direction open when the peer has ended.
struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        transport.write(data);
    }
    fn eof_received(&mut self, _: &TransportRef) -> KeepOpen {
        KeepOpen::Yes
    }
}

impl DatagramProtocol for Echo {
    fn datagram_received(
        &mut self,
        transport: &DatagramTransportRef,
        data: &[u8],
        from: Option<&wharf::Address>,
    ) {
        let _ = transport.send_to(data, from);
    }
}

impl SubprocessProtocol for Echo {
    fn pipe_data_received(&mut self, _: &SubprocessTransportRef, _: i32, _: &[u8]) {}
}

fn kinds(ev: &EventLoop) -> Vec<String> {
    let mut kinds: Vec<_> =
        ev.connections().iter().map(|connection| connection.kind.to_string()).collect();
    kinds.sort_unstable();
    kinds
}

fn only(ev: &EventLoop) -> LiveConnection {
    let mut list = ev.connections();
    assert_eq!(list.len(), 1, "{list:?}");
    list.remove(0)
}

#[test]
fn each_kind_of_transport_is_listed_until_it_is_lost() {
    let (mut ev, folder, authority) = (event_loop(), Folder::new(), Authority::new());
    let handle = ev.handle().clone();
    assert!(ev.connections().is_empty());
    let (path, post) = (folder.join("door"), folder.join("post"));
    let opened = outcome(&mut ev, async {
        let plain = tcp::listen(&handle, "127.0.0.1:0", || Echo).await.unwrap();
        let at = plain.addresses()[0].ip().unwrap();
        let (client, _) = tcp::connect(&handle, at, || Echo).await.unwrap();
        let local = unix::listen(&handle, path.clone(), || Echo).await.unwrap();
        let (neighbour, _) = unix::connect(&handle, path.clone(), || Echo).await.unwrap();
        let factory = tls::server(authority.server(), || Echo);
        let secure = tcp::listen(&handle, "127.0.0.1:0", factory).await.unwrap();
        let to = secure.addresses()[0].ip().unwrap();
        let factory = tls::client(authority.client(), NAME, || Echo);
        let (secret, _) = tcp::connect(&handle, to, factory).await.unwrap();
        let (datagrams, _) = udp::bind(&handle, "127.0.0.1:0", || Echo).await.unwrap();
        let (letters, _) = unix_datagram::bind(&handle, post.clone(), || Echo).await.unwrap();
        let (child, _) = subprocess::exec(&handle, "cat", [""; 0], || Echo).await.unwrap();
        ([plain, local, secure], [client, neighbour, secret], [datagrams, letters], child)
    });
    let (servers, streams, endpoints, child) = opened;
    run_until(&mut ev, || servers.iter().all(|server| server.connections() == 1));
    let process = format!("process {}", child.pid());
    let expected = [
        "pipe",
        "pipe",
        "pipe",
        &process,
        "tcp",
        "tcp",
        "tls over tcp",
        "tls over tcp",
        "udp",
        "unix",
        "unix",
        "unix datagrams",
    ];
    assert_eq!(kinds(&ev), expected);
    for connection in ev.connections() {
        let kind = connection.kind.to_string();
        let (local, peer) = (connection.local.is_some(), connection.peer.is_some());
        let named = match kind.as_str() {
            "tcp" | "tls over tcp" | "unix" => (true, true),
            "udp" | "unix datagrams" => (true, false),
            _ => (false, false),
        };
        assert_eq!((local, peer), named, "{connection}");
        assert_eq!(connection.vitals.life, Life::Open, "{connection}");
        assert!(connection.to_string().contains(&format!("{} {kind} ", connection.id)));
    }
    let numbers: Vec<_> = ev.connections().iter().map(|connection| connection.id).collect();
    assert!(numbers.is_sorted());
    streams.iter().for_each(|stream| stream.abort());
    endpoints.iter().for_each(|endpoint| endpoint.abort());
    child.kill().unwrap();
    run_until(&mut ev, || ev_is_empty(&handle));
    servers.iter().for_each(wharf::Server::close);
}

fn ev_is_empty(handle: &wharf::LoopHandle) -> bool {
    // What has ended our clients ends the server's sides of them, which keep their direction open, too.
    for connection in handle.connections() {
        if let Some(transport) = handle.transport(connection.id) {
            transport.close();
        }
    }
    handle.connections().is_empty()
}

#[test]
fn a_connection_says_what_it_is_doing() {
    let (mut ev, clock) = manual_loop();
    let handle = ev.handle().clone();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let (transport, _) =
        outcome(&mut ev, async { tcp::connect(&handle, at, || Echo).await.unwrap() });
    let peer = listener.accept().unwrap().0;
    let first = only(&ev);
    assert_eq!(first.id, transport.id());
    assert_eq!(first.local, transport.local_addr());
    assert_eq!(first.peer.as_ref().and_then(wharf::Address::ip), Some(at));
    assert_eq!(first.vitals.protocol, Some(std::any::type_name::<Echo>()));
    assert!(first.vitals.reading && !first.vitals.writing_paused);
    assert_eq!((first.vitals.queued, first.age), (0, Duration::ZERO));
    let address = transport.local_addr().unwrap();
    let line = format!(
        "{} tcp {address} <- {at} open, reading, 0 B queued, 0.0 s old, {}",
        transport.id(),
        std::any::type_name::<Echo>()
    );
    assert_eq!(first.to_string(), line);

    clock.advance(Duration::from_secs(90));
    transport.pause_reading();
    while transport.write(&[0; 64 * 1024]) == Flow::Open {}
    turns(&mut ev, 1);
    let busy = only(&ev);
    assert!(!busy.vitals.reading && busy.vitals.writing_paused);
    assert_eq!(busy.vitals.queued, transport.write_buffer_len());
    assert!(busy.vitals.queued > 64 * 1024);
    assert_eq!(busy.age, Duration::from_secs(90));
    assert!(busy.to_string().contains("open, writing paused, "), "{busy}");

    transport.write_eof();
    assert_eq!(only(&ev).vitals.life, Life::Finishing);
    transport.close();
    assert_eq!(only(&ev).vitals.life, Life::Closing);
    drop(peer);
    run_until(&mut ev, || handle.connections().is_empty());
    assert_eq!(handle.transport(transport.id()), None);
}

#[test]
fn layers_are_one_connection_with_what_stands_on_it() {
    let (mut ev, authority) = (event_loop(), Authority::new());
    let handle = ev.handle().clone();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let factory = tls::client(authority.client(), NAME, || Echo);
    let connecting = Rc::new(std::cell::Cell::new(true));
    let done = Rc::clone(&connecting);
    let connect = tcp::connect(&handle, at, factory);
    let _task = handle.spawn(async move {
        assert!(connect.await.is_err());
        done.set(false);
    });
    run_until(&mut ev, || !handle.connections().is_empty());
    // The peer says nothing, so the handshake goes on.
    turns(&mut ev, 3);
    let shaking = only(&ev);
    assert_eq!(shaking.kind, TransportKind("tls over tcp".into()));
    assert_eq!(shaking.vitals.life, Life::Beginning);
    let above = handle.transport(shaking.id).unwrap();
    assert_eq!(above.extra::<Above>(), None);
    let Below(below) = above.extra().unwrap();
    assert_eq!(below.extra::<TransportKind>(), Some(TransportKind("tcp".into())));
    assert_eq!(below.extra(), Some(Above(above)));
    assert_eq!(below.extra::<Below>(), None);
    drop(listener);
    run_until(&mut ev, || !connecting.get());
    assert!(handle.connections().is_empty());
}
