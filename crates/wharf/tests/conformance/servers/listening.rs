//! Listening: addresses, ports, and the options of listening sockets.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::rc::Rc;

use socket2::{Domain, SockRef, Socket, Type};
use wharf::reactor::stream::SocketView;
use wharf::{LoopHandle, Resolution, Resolver, TransportRef, tcp};

use super::rig::{End, Peer, Story, TestLoop, address, refusing};
use crate::support::loop_builder;

/// Every name is these addresses.
struct Always(Vec<SocketAddr>);

impl Resolver for Always {
    fn resolve(&self, _: &LoopHandle, _: &str, port: u16) -> Resolution {
        let addresses = self.0.iter().map(|address| SocketAddr::new(address.ip(), port)).collect();
        Box::pin(async { Ok(addresses) })
    }
}

fn ask<R>(transport: &TransportRef, question: impl FnOnce(SockRef<'_>) -> R) -> R {
    let view = transport.extra::<SocketView>().unwrap();
    view.with(|fd| question(SockRef::from(&fd))).unwrap()
}

/// Leaves a connection of `port`'s behind in `TIME_WAIT`: the server's side ends first.
fn linger_on_a_port(ev: &mut TestLoop) -> SocketAddr {
    let story = Story::new();
    // An address that no other test uses, so that nobody takes the port meanwhile.
    let server = ev.finish(tcp::listen(ev, "127.4.0.1:0", story.factory())).unwrap();
    let at = address(&server);
    let mut peer = Peer::tcp(at);
    ev.until(|| story.made() == 1);
    server.close_clients();
    ev.until(|| story.lost() == 1 && peer.end() == Some(End::Eof));
    drop(peer);
    server.close();
    at
}

#[test]
fn sv_04_a_port_on_which_connections_linger_may_be_bound_again() {
    let mut ev = TestLoop::new();
    let at = linger_on_a_port(&mut ev);
    let server = ev.finish(tcp::listen(&ev.handle, at, Story::new().factory())).unwrap();
    assert_eq!(address(&server), at);
}

#[test]
fn sv_04_unless_reusing_addresses_is_switched_off() {
    let mut ev = TestLoop::new();
    let at = linger_on_a_port(&mut ev);
    let listen = tcp::listen(&ev.handle, at, Story::new().factory()).reuse_address(false);
    assert_eq!(ev.finish(listen).unwrap_err().kind(), ErrorKind::AddrInUse);
}

#[test]
fn sv_05_servers_share_a_port_when_each_asks_for_it() {
    let mut ev = TestLoop::new();
    let (one, two) = (Story::new(), Story::new());
    let listen = tcp::listen(&ev.handle, "127.0.0.1:0", one.factory()).reuse_port(true);
    let first = ev.finish(listen).unwrap();
    let listen = tcp::listen(&ev.handle, address(&first), two.factory()).reuse_port(true);
    let second = ev.finish(listen).unwrap();
    assert_eq!(first.addresses(), second.addresses());
    let peers: Vec<Peer> = (0..20).map(|_| Peer::tcp(address(&first))).collect();
    ev.until(|| one.made() + two.made() == peers.len());
}

#[test]
fn sv_05_a_port_is_not_shared_unless_asked() {
    let mut ev = TestLoop::new();
    let listen = tcp::listen(&ev.handle, "127.0.0.1:0", Story::new().factory()).reuse_port(true);
    let first = ev.finish(listen).unwrap();
    let second = ev.finish(tcp::listen(&ev.handle, address(&first), Story::new().factory()));
    assert_eq!(second.unwrap_err().kind(), ErrorKind::AddrInUse);
}

#[test]
fn sv_06_keep_alive_shows_on_accepted_sockets() {
    for wanted in [false, true] {
        let mut ev = TestLoop::new();
        let story = Story::new();
        let listen = tcp::listen(&ev.handle, "127.0.0.1:0", story.factory()).keep_alive(wanted);
        let server = ev.finish(listen).unwrap();
        let _peer = Peer::tcp(address(&server));
        ev.until(|| story.made() == 1);
        let found = ask(&story.transport(0), |socket| socket.keepalive().unwrap());
        assert_eq!(found, wanted);
    }
}

#[test]
fn sv_07_everywhere_is_both_families_on_one_port() {
    if TcpListener::bind("[::1]:0").is_err() {
        println!("skipped: this machine has no IPv6 loopback");
        return;
    }
    let mut ev = TestLoop::new();
    let story = Story::new();
    let listen = tcp::listen(&ev.handle, ":0", story.echoes()).same_port(true);
    let server = ev.finish(listen).unwrap();
    let addresses: Vec<SocketAddr> = server.addresses().iter().flat_map(|it| it.ip()).collect();
    let port = addresses[0].port();
    let everywhere: [SocketAddr; 2] =
        [format!("0.0.0.0:{port}").parse().unwrap(), format!("[::]:{port}").parse().unwrap()];
    assert_eq!(addresses, everywhere);
    for (place, host) in ["127.0.0.1", "[::1]"].into_iter().enumerate() {
        let at: SocketAddr = format!("{host}:{port}").parse().unwrap();
        let mut peer = Peer::tcp(at);
        peer.send(b"hello");
        ev.until(|| peer.received() == b"hello");
        // A socket that took both families would show the IPv4 client in IPv6's clothes.
        assert_eq!(story.transport(place).local_addr().unwrap().ip(), Some(at));
        assert_eq!(story.transport(place).peer_addr().unwrap().ip(), Some(peer.local()));
    }
}

#[test]
fn sv_08_each_distinct_address_is_bound_once() {
    let mut ev = TestLoop::new();
    let story = Story::new();
    let places = ["127.0.0.1:0", "127.0.0.2:0", "127.0.0.1:0"];
    let server = ev.finish(tcp::listen(&ev.handle, places, story.factory())).unwrap();
    let addresses: Vec<SocketAddr> = server.addresses().iter().flat_map(|it| it.ip()).collect();
    let ips: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
    assert_eq!(ips, ["127.0.0.1", "127.0.0.2"]);
    let _peers: Vec<Peer> = addresses.into_iter().map(Peer::tcp).collect();
    ev.until(|| story.made() == 2);
}

#[test]
fn sv_08_what_a_name_gives_twice_is_bound_once() {
    let twice = ["127.0.0.1:0", "127.0.0.2:0", "127.0.0.1:0", "127.0.0.2:0"];
    let twice = Always(twice.iter().map(|text| text.parse().unwrap()).collect());
    let mut ev = TestLoop::of(loop_builder().resolver(twice));
    let server = ev.finish(tcp::listen(&ev.handle, "harbour.example:0", Story::new().factory()));
    assert_eq!(server.unwrap().addresses().len(), 2);
}

#[test]
fn sv_08_several_addresses_may_have_one_ephemeral_port() {
    let mut ev = TestLoop::new();
    let places = ["127.0.0.1:0", "127.0.0.2:0", "127.0.0.3:0"];
    let listen = tcp::listen(&ev.handle, places, Story::new().factory()).same_port(true);
    let server = ev.finish(listen).unwrap();
    let ports: Vec<u16> = server.addresses().iter().flat_map(|it| it.port()).collect();
    assert!(ports[0] != 0 && ports.iter().all(|port| *port == ports[0]), "{ports:?}");
    assert_eq!(ports.len(), 3);
}

#[test]
fn sv_09_what_cannot_be_listened_on_is_refused() {
    let mut ev = TestLoop::new();
    let factory = || Story::new().teller();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let refused = ev.finish(tcp::listen_on(&ev.handle, udp, factory)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    let file = std::fs::File::open("/dev/null").unwrap();
    let refused = ev.finish(tcp::listen_on(&ev.handle, file, factory)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    for place in ["", "127.0.0.1", "harbour:http", "::1:80"] {
        let refused = ev.finish(tcp::listen(&ev.handle, place, factory)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{place:?}");
    }
    let nowhere = Vec::<SocketAddr>::new();
    let refused = ev.finish(tcp::listen(&ev.handle, nowhere, factory)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
}

#[test]
fn sv_24_a_listening_socket_is_taken_over() {
    let mut ev = TestLoop::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let story = Story::new();
    let server = ev.finish(tcp::listen_on(&ev.handle, listener, story.echoes())).unwrap();
    assert_eq!(address(&server), at);
    let mut peer = Peer::tcp(at);
    peer.send(b"hello");
    ev.until(|| peer.received() == b"hello");
    server.close();
    assert_eq!(Peer::try_tcp(at).err().unwrap().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn sv_24_a_socket_that_is_only_bound_is_listened_on() {
    let mut ev = TestLoop::new();
    let (socket, at) = refusing([127, 0, 0, 1]);
    let flags = socket.try_clone().unwrap();
    assert!(!flags.nonblocking().unwrap());
    let story = Story::new();
    let server = ev.finish(tcp::listen_on(&ev.handle, socket, story.factory())).unwrap();
    assert!(flags.nonblocking().unwrap(), "the flag belongs to the socket, whoever looks");
    drop(flags);
    let _peer = Peer::tcp(at);
    ev.until(|| story.made() == 1);
    server.close();
    assert_eq!(Peer::try_tcp(at).err().unwrap().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn sv_25_an_address_in_use_is_named_and_the_others_are_let_go() {
    let mut ev = TestLoop::new();
    // Addresses that no other test uses, so that the port is free on the one when it is free on the other.
    let taken = TcpListener::bind("127.25.0.2:0").unwrap();
    let taken_at = taken.local_addr().unwrap();
    let free_at = SocketAddr::from(([127, 25, 0, 1], taken_at.port()));
    let both = [free_at, taken_at];
    let error = ev.finish(tcp::listen(&ev.handle, both, Story::new().factory())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&taken_at.to_string()), "{error}");
    // Without SO_REUSEADDR nobody else may have the port, not even without listening.
    let probe = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    probe.bind(&free_at.into()).expect("what was bound before is closed");
}

#[test]
fn sv_25_an_address_is_named_also_when_listening_finds_it_taken() {
    let mut ev = TestLoop::new();
    let listen = tcp::listen(&ev.handle, "127.0.0.1:0", Story::new().factory());
    let first = ev.finish(listen.start_serving(false)).unwrap();
    // As long as neither listens, both may be bound.
    let listen = tcp::listen(&ev.handle, address(&first), Story::new().factory());
    let second = ev.finish(listen.start_serving(false)).unwrap();
    first.start_serving().unwrap();
    let error = second.start_serving().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&address(&first).to_string()), "{error}");
    assert!(!second.is_serving());
}

/// Addresses that this machine does not have, out of those that are set aside for documentation.
fn elsewhere() -> Vec<SocketAddr> {
    let all = ["192.0.2.77:0", "198.51.100.77:0", "203.0.113.77:0"];
    let missing = |error: io::Error| error.kind() == ErrorKind::AddrNotAvailable;
    all.iter()
        .filter(|text| TcpListener::bind(text).err().is_some_and(missing))
        .map(|text| text.parse().unwrap())
        .collect()
}

#[test]
fn sv_26_an_address_that_is_not_here_is_passed_over_when_another_works() {
    let mut ev = TestLoop::new();
    let here: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let places = [elsewhere()[0], here];
    let server = ev.finish(tcp::listen(&ev.handle, places, Story::new().factory())).unwrap();
    assert_eq!(server.addresses().len(), 1);
    assert_eq!(address(&server).ip(), here.ip());
}

#[test]
fn sv_26_when_no_address_is_here_listening_fails() {
    let mut ev = TestLoop::new();
    let places = elsewhere();
    let listen = tcp::listen(&ev.handle, places.clone(), Story::new().factory());
    let error = ev.finish(listen).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
    assert!(places.iter().any(|it| error.to_string().contains(&it.to_string())), "{error}");
}

#[test]
fn sv_27_port_zero_is_an_ephemeral_one_that_can_be_read() {
    let mut ev = TestLoop::new();
    let story = Story::new();
    let server = ev.finish(tcp::listen(&ev.handle, "127.0.0.1:0", story.factory())).unwrap();
    assert_ne!(address(&server).port(), 0);
    let _peer = Peer::tcp(address(&server));
    ev.until(|| story.made() == 1);
}

/// How many connections the system makes for a server that does not accept.
fn room(ev: &mut TestLoop, backlog: Option<u16>, attempts: usize) -> usize {
    let story = Story::new();
    let listen = tcp::listen(&ev.handle, "127.0.0.1:0", story.factory());
    let listen = match backlog {
        Some(backlog) => listen.backlog(backlog),
        None => listen,
    };
    let server = ev.finish(listen).unwrap();
    server.pause_serving();
    let to = address(&server).into();
    let sockets: Vec<Socket> = (0..attempts)
        .map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&to);
            socket
        })
        .collect();
    ev.quieten();
    let made = sockets.iter().filter(|socket| socket.peer_addr().is_ok()).count();
    assert_eq!(story.made(), 0);
    made
}

#[test]
fn sv_29_the_backlog_is_the_systems() {
    let mut ev = TestLoop::new();
    // Linux lets one more in than was asked for.
    for (backlog, wanted) in [(Some(1), 2), (Some(7), 8), (None, 101)] {
        let found = room(&mut ev, backlog, wanted + 5);
        assert_eq!(found, wanted, "with a backlog of {backlog:?}");
    }
}

#[test]
fn sv_23_the_listener_of_a_server_that_is_not_closed_is_closed_with_its_loop() {
    let mut ev = TestLoop::new();
    let dropped = Rc::new(Cell::new(false));
    let story = Story::new();
    let (factory, mark) = (story.factory(), OnDrop(Rc::clone(&dropped)));
    let make = move || {
        let _ = &mark;
        factory()
    };
    let server = ev.finish(tcp::listen(&ev.handle, "127.0.0.1:0", make)).unwrap();
    let at = address(&server);
    drop(server);
    drop(ev);
    assert_eq!(Peer::try_tcp(at).err().unwrap().kind(), ErrorKind::ConnectionRefused);
    assert!(dropped.get(), "the factory is kept alive by nothing");
}

struct OnDrop(Rc<Cell<bool>>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.set(true);
    }
}
