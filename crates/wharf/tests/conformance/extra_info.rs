//! Facts about a connection (rows I-01 to I-07).

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::rc::Rc;

use socket2::SockRef;
use wharf::extra::{LocalAddr, PeerAddr};
use wharf::reactor::stream::SocketView;
use wharf::{Address, TransportRef, UnixAddress, tcp, unix};

use crate::support::{Bench, Call, Folder, Over, Peer, Stubborn, over_each};

over_each!(
    i_01_a_stream_knows_its_addresses_and_nothing_it_was_not_told
    on memory, tcp, unix, tls, tls_over_tcp, tls_over_unix, tls_in_tls:
    "a pipe has no addresses"
);
fn i_01_a_stream_knows_its_addresses_and_nothing_it_was_not_told(bench: &mut Bench) {
    struct Unheard;
    let (_log, transport, peer) = bench.connect();
    let (local, remote) = (transport.local_addr().unwrap(), transport.peer_addr().unwrap());
    if bench.over().lowest() == Over::Tcp {
        let theirs = peer.with_socket(|socket| socket.local_addr().unwrap().as_socket());
        let ours = peer.with_socket(|socket| socket.peer_addr().unwrap().as_socket());
        assert_eq!((remote.ip(), local.ip()), (theirs, ours));
        assert_eq!(local.ip().map(|address| address.ip()), Some(Ipv4Addr::LOCALHOST.into()));
    } else {
        let unnamed = Address::Unix(UnixAddress::Unnamed);
        assert_eq!((&local, &remote), (&unnamed, &unnamed));
    }
    assert_eq!(transport.extra::<LocalAddr>(), Some(LocalAddr(local)));
    assert_eq!(transport.extra::<PeerAddr>(), Some(PeerAddr(remote)));
    assert!(transport.extra::<Unheard>().is_none());
}

over_each!(
    i_02_the_addresses_stay_readable_after_the_loss
    on memory, tcp, unix, tls, tls_over_tcp, tls_over_unix, tls_in_tls:
    "a pipe has no addresses"
);
fn i_02_the_addresses_stay_readable_after_the_loss(bench: &mut Bench) {
    let ends: [fn(&TransportRef); 2] =
        [|transport| transport.close(), |transport| transport.abort()];
    for asked_before in [false, true] {
        for end in ends {
            let (log, transport, peer) = bench.connect();
            let expected = asked_before.then(|| (transport.local_addr(), transport.peer_addr()));
            let port = (bench.over().lowest() == Over::Tcp)
                .then(|| peer.with_socket(|socket| socket.peer_addr().unwrap().as_socket()))
                .flatten()
                .map(|address| address.port());
            let noting = log.clone();
            log.on(Call::Lost, move |transport| {
                noting.note(format!("{:?}", transport.local_addr().is_some()));
            });
            end(&transport);
            bench.run_until(|| log.is_lost());
            assert_eq!(log.story().last().map(String::as_str), Some("true"), "inside the loss");
            let found = (transport.local_addr(), transport.peer_addr());
            assert!(found.0.is_some() && found.1.is_some());
            assert_eq!(found.0.as_ref().and_then(Address::port), port);
            assert!(expected.is_none_or(|expected| expected == found));
        }
    }
}

over_each!(i_03_an_accepted_peer_is_known_though_it_is_gone on tcp: "a Unix client has no name");
fn i_03_an_accepted_peer_is_known_though_it_is_gone(bench: &mut Bench) {
    let log = bench.log();
    let noting = log.clone();
    log.on(Call::Made, move |transport| noting.note(transport.peer_addr().unwrap().to_string()));
    let protocol = log.clone();
    let handle = bench.event_loop().handle().clone();
    let listening = async { tcp::listen(&handle, "127.0.0.1:0", move || protocol.plain()).await };
    let server = bench.event_loop().block_on(listening).unwrap();
    let client = TcpStream::connect(server.addresses()[0].ip().unwrap()).unwrap();
    let name = client.local_addr().unwrap().to_string();
    SockRef::from(&client).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(client);
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story()[..2], ["made", &name]);
    server.close();
}

over_each!(
    i_04_an_address_that_cannot_be_had_is_absent
    on unix: "the nameless socket is a Unix one"
);
fn i_04_an_address_that_cannot_be_had_is_absent(bench: &mut Bench) {
    let log = bench.log();
    let (transport, _peer, _script) = Stubborn::open(bench, log.plain());
    assert_eq!((transport.local_addr(), transport.peer_addr()), (None, None));
    transport.close();
    bench.run_until(|| log.is_lost());
    assert_eq!((transport.local_addr(), transport.peer_addr()), (None, None));
}

over_each!(i_05_the_socket_is_lent_as_a_view on tcp, unix: "memory has no sockets");
fn i_05_the_socket_is_lent_as_a_view(bench: &mut Bench) {
    let (log, transport, _peer) = bench.connect();
    let view = transport.extra::<SocketView>().unwrap();
    view.with(|fd| SockRef::from(&fd).set_keepalive(true).unwrap()).unwrap();
    assert_eq!(view.with(|fd| SockRef::from(&fd).keepalive().unwrap()), Some(true));
    transport.close();
    assert!(view.with(|fd| fd.as_raw_fd()).is_some(), "it is open until the loss");
    bench.run_until(|| log.is_lost());
    assert!(view.with(|fd| fd.as_raw_fd()).is_none(), "a closed descriptor is lent");
    let later = transport.extra::<SocketView>();
    assert!(later.is_none_or(|view| view.with(|_| ()).is_none()));
}

over_each!(i_05_the_view_may_be_used_beside_the_transport on tcp, unix: "memory has no sockets");
fn i_05_the_view_may_be_used_beside_the_transport(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    let view = transport.extra::<SocketView>().unwrap();
    let open = view.with(|_| {
        transport.write(b"from inside");
        transport.is_closing()
    });
    assert_eq!(open, Some(false));
    bench.run_until(|| peer.read() == 11);
    assert!(!log.is_lost());
}

over_each!(
    i_06_the_descriptor_of_a_transport_cannot_be_watched
    on unix: "the shared socket is a Unix one"
);
fn i_06_the_descriptor_of_a_transport_cannot_be_watched(bench: &mut Bench) {
    let log = bench.log();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (ours, peer) = (Rc::new(ours), Peer::socket(theirs));
    let (_transport, _script) = Stubborn::open_on(bench, &ours, log.plain());
    let handle = bench.event_loop().handle().clone();
    let watch = || unreachable!("the transport reads and writes");
    for error in [handle.add_reader(Rc::clone(&ours), watch), handle.add_writer(ours, watch)] {
        assert_eq!(error.unwrap_err().kind(), ErrorKind::AlreadyExists);
    }
    peer.send(b"x");
    bench.run_until(|| log.has(Call::Data));
    assert_eq!(log.story(), ["made", "data x"], "the transport is untouched");
}

over_each!(
    i_07_a_unix_client_has_no_name_and_knows_its_servers_path
    on unix: "it is about Unix names"
);
fn i_07_a_unix_client_has_no_name_and_knows_its_servers_path(bench: &mut Bench) {
    let folder = Folder::new();
    let path = folder.join("server");
    let listener = UnixListener::bind(&path).unwrap();
    let log = bench.log();
    let handle = bench.event_loop().handle().clone();
    let client = log.plain();
    let connecting = async { unix::connect(&handle, &path, || client).await };
    let (transport, _) = bench.event_loop().block_on(connecting).unwrap();
    assert_eq!(transport.local_addr(), Some(Address::Unix(UnixAddress::Unnamed)));
    assert_eq!(transport.peer_addr(), Some(Address::from(path)));
    drop(listener);
}
