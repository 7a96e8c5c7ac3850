//! Opening endpoints: where, how, and on whose sockets (rows D-18 to D-22, D-24, D-35 to D-37).

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};

use socket2::SockRef;
use wharf::reactor::stream::SocketView;
use wharf::udp::{DropPolicy, Groups, Interface, Target};
use wharf::{Address, DatagramTransportRef, udp};

use super::bench::{Bench, Over, datagrams_over};
use super::log::{Call, Log};
use crate::support::limits;

/// Opens an endpoint of a logging protocol.
macro_rules! open {
    ($bench:expr, |$handle:ident, $factory:ident| $open:expr) => {{
        let $handle = $bench.event_loop().handle().clone();
        let log = $bench.log();
        let protocol = log.plain();
        let $factory = move || protocol;
        let opened = $bench.event_loop().block_on(($open).into_future());
        opened.map(|(transport, _)| (log, transport))
    }};
}

fn port(transport: &DatagramTransportRef) -> u16 {
    transport.local_addr().unwrap().port().unwrap()
}

fn socket<R>(transport: &DatagramTransportRef, look: impl FnOnce(SockRef<'_>) -> R) -> R {
    let view = transport.extra::<SocketView>().unwrap();
    view.with(|fd| look(SockRef::from(&fd))).unwrap()
}

#[test]
fn d_18_an_endpoint_has_a_local_address_a_remote_one_or_both() {
    let mut bench = Bench::new(Over::Udp4);
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = peer.local_addr().unwrap();
    let (_, local) =
        open!(bench, |handle, factory| udp::bind(&handle, "127.0.0.1:0", factory)).unwrap();
    assert!(port(&local) > 0);
    assert_eq!((local.peer_addr(), local.extra::<Target>()), (None, Some(Target::None)));
    let (_, remote) = open!(bench, |handle, factory| udp::connect(&handle, to, factory)).unwrap();
    assert_eq!(remote.peer_addr(), Some(Address::Ip(to)));
    assert_eq!(remote.local_addr().unwrap().ip().unwrap().ip(), Ipv4Addr::LOCALHOST);
    let both = open!(bench, |handle, factory| {
        udp::connect(&handle, to, factory).local_addr("127.0.0.9:0")
    });
    let (_, both) = both.unwrap();
    assert_eq!(both.local_addr().unwrap().ip().unwrap().ip(), Ipv4Addr::new(127, 0, 0, 9));
    assert_eq!(both.peer_addr(), Some(Address::Ip(to)));
    bench.finish();
}

#[test]
fn d_18_names_are_resolved_by_the_loop() {
    let mut bench = Bench::new(Over::Udp4);
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = ("localhost", peer.local_addr().unwrap().port());
    let opened = open!(bench, |handle, factory| {
        udp::connect(&handle, at, factory).local_addr(("127.0.0.1".to_owned(), 0))
    });
    let (_, transport) = opened.unwrap();
    assert_eq!(transport.peer_addr(), Some(Address::Ip(peer.local_addr().unwrap())));
    let nowhere =
        open!(bench, |handle, factory| udp::bind(&handle, "no.such.host.invalid:1", factory));
    assert!(nowhere.is_err());
    let unreadable = open!(bench, |handle, factory| udp::bind(&handle, "no port", factory));
    assert_eq!(unreadable.unwrap_err().kind(), ErrorKind::InvalidInput);
    bench.finish();
}

#[test]
fn d_18_a_port_that_is_taken_is_an_error_that_names_it() {
    let mut bench = Bench::new(Over::Udp4);
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    let error = open!(bench, |handle, factory| udp::bind(&handle, at, factory)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&at.to_string()), "{error}");
    assert_eq!(bench.sources(), 0);
    bench.finish();
}

#[test]
fn d_19_local_and_remote_addresses_of_no_common_family_are_an_error() {
    let mut bench = Bench::new(Over::Udp4);
    let opened = open!(bench, |handle, factory| {
        udp::connect(&handle, "127.0.0.1:9", factory).local_addr("[::1]:0")
    });
    assert_eq!(opened.unwrap_err().kind(), ErrorKind::InvalidInput);
    bench.finish();
}

#[test]
fn d_20_broadcast_is_allowed_and_the_address_is_only_the_default_target() {
    let mut bench = Bench::new(Over::Udp4);
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_nonblocking(true).unwrap();
    let to = peer.local_addr().unwrap();
    let opened = open!(bench, |handle, factory| {
        udp::connect(&handle, to, factory).local_addr("127.0.0.1:0").broadcast(true)
    });
    let (log, transport) = opened.unwrap();
    assert!(socket(&transport, |socket| socket.broadcast()).unwrap());
    assert!(socket(&transport, |socket| socket.peer_addr()).is_err(), "it is not connected");
    assert_eq!(transport.peer_addr(), None);
    assert_eq!(transport.extra::<Target>(), Some(Target::Default(Address::Ip(to))));
    transport.send_to(b"to the target", None).unwrap();
    transport.send_to(b"by its name", Some(&Address::Ip(to))).unwrap();
    let other = Address::Ip("127.0.0.1:9".parse().unwrap());
    let refused = transport.send_to(b"elsewhere", Some(&other)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    bench.settle();
    let mut buffer = [0; 32];
    assert_eq!(peer.recv(&mut buffer).unwrap(), 13);
    assert_eq!(peer.recv(&mut buffer).unwrap(), 11);
    // Whoever answers is heard, from whatever address.
    let answers = UdpSocket::bind("127.0.0.1:0").unwrap();
    answers.send_to(b"here", transport.local_addr().unwrap().ip().unwrap()).unwrap();
    bench.run_until(|| log.has(Call::Data));
    bench.finish();
}

#[test]
fn d_20_a_broadcast_reaches_this_machine() {
    let mut bench = Bench::new(Over::Udp4);
    // The broadcast address of the loopback network.
    let everywhere = UdpSocket::bind("0.0.0.0:0").unwrap();
    everywhere.set_nonblocking(true).unwrap();
    let to = SocketAddr::from(([127, 255, 255, 255], everywhere.local_addr().unwrap().port()));
    let (refused, transport) =
        open!(bench, |handle, factory| udp::bind(&handle, "127.0.0.1:0", factory)).unwrap();
    transport.send_to(b"x", Some(&Address::Ip(to))).unwrap();
    bench.settle();
    assert_eq!(refused.story(), ["made", "error EACCES"]);
    let opened = open!(bench, |handle, factory| {
        udp::bind(&handle, "127.0.0.1:0", factory).broadcast(true)
    });
    let (log, transport) = opened.unwrap();
    transport.send_to(b"everybody", Some(&Address::Ip(to))).unwrap();
    bench.settle();
    assert_eq!(log.story(), ["made"]);
    assert_eq!(everywhere.recv(&mut [0; 32]).unwrap(), 9);
    bench.finish();
}

#[test]
fn d_21_ports_are_shared_only_when_asked() {
    let mut bench = Bench::new(Over::Udp4);
    let opened = open!(bench, |handle, factory| {
        udp::bind(&handle, "127.0.0.1:0", factory).reuse_port(true)
    });
    let (_, first) = opened.unwrap();
    let at = first.local_addr().unwrap().ip().unwrap();
    assert!(open!(bench, |handle, factory| udp::bind(&handle, at, factory)).is_err());
    let second = open!(bench, |handle, factory| udp::bind(&handle, at, factory).reuse_port(true));
    let (_, second) = second.unwrap();
    for transport in [first, second] {
        assert!(socket(&transport, |socket| socket.reuse_port()).unwrap());
        assert!(!socket(&transport, |socket| socket.reuse_address()).unwrap());
    }
    bench.finish();
}

#[test]
fn d_22_what_is_no_datagram_socket_is_refused() {
    let mut bench = Bench::new(Over::Udp4);
    let stream = OwnedFd::from(UnixStream::pair().unwrap().0);
    let listener = OwnedFd::from(std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let file = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
    for fd in [stream, listener, file] {
        let handle = bench.event_loop().handle().clone();
        let log = Log::new();
        let protocol = log.plain();
        let adopted =
            bench.event_loop().block_on(udp::adopt(&handle, fd, || protocol).into_future());
        assert_eq!(adopted.unwrap_err().kind(), ErrorKind::InvalidInput);
        assert!(log.story().is_empty());
    }
    assert_eq!(bench.sources(), 0);
    bench.finish();
}

#[test]
fn d_22_an_adopted_socket_is_as_its_maker_left_it() {
    let mut bench = Bench::new(Over::Udp4);
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_nonblocking(true).unwrap();
    for connected in [false, true] {
        let ours = UdpSocket::bind("127.0.0.1:0").unwrap();
        if connected {
            ours.connect(peer.local_addr().unwrap()).unwrap();
        }
        let at = ours.local_addr().unwrap();
        let handle = bench.event_loop().handle().clone();
        let log = bench.log();
        let protocol = log.plain();
        let adopting = udp::adopt(&handle, ours, || protocol).into_future();
        let (transport, _) = bench.event_loop().block_on(adopting).unwrap();
        assert_eq!(transport.local_addr(), Some(Address::Ip(at)));
        let to = Address::Ip(peer.local_addr().unwrap());
        assert_eq!(transport.peer_addr(), connected.then(|| to.clone()));
        transport.send_to(b"hello", (!connected).then_some(&to)).unwrap();
        bench.settle();
        assert_eq!(peer.recv_from(&mut [0; 9]).unwrap(), (5, at));
        peer.send_to(b"hello", at).unwrap();
        bench.run_until(|| log.has(Call::Data));
        assert!(socket(&transport, |socket| socket.nonblocking()).unwrap());
    }
    bench.finish();
}

#[test]
fn d_24_a_stale_socket_file_is_replaced_and_a_live_one_is_not() {
    let mut bench = Bench::new(Over::Unix);
    let path = bench.folder().join("endpoint");
    drop(UnixDatagram::bind(&path).unwrap());
    assert!(path.exists(), "it is left behind");
    let (_, transport) =
        open!(bench, |handle, factory| udp::unix::bind(&handle, &path, factory)).unwrap();
    let live = open!(bench, |handle, factory| udp::unix::bind(&handle, &path, factory));
    let error = live.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains("endpoint"), "{error}");
    transport.close();
    bench.settle();
    assert!(!path.exists(), "its file goes with it");
    std::fs::write(&path, b"mine").unwrap();
    let file = open!(bench, |handle, factory| udp::unix::bind(&handle, &path, factory));
    assert_eq!(file.unwrap_err().kind(), ErrorKind::AddrInUse);
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    bench.finish();
}

#[test]
fn d_24_a_socket_file_is_left_where_that_is_asked_or_it_is_anothers() {
    let mut bench = Bench::new(Over::Unix);
    let path = bench.folder().join("endpoint");
    let opened = open!(bench, |handle, factory| {
        udp::unix::bind(&handle, &path, factory).unlink_on_close(false)
    });
    let (log, transport) = opened.unwrap();
    transport.close();
    bench.run_until(|| log.is_lost());
    assert!(path.exists());
    let (log, transport) =
        open!(bench, |handle, factory| udp::unix::bind(&handle, &path, factory)).unwrap();
    std::fs::remove_file(&path).unwrap();
    let _successor = UnixDatagram::bind(&path).unwrap();
    transport.close();
    bench.run_until(|| log.is_lost());
    assert!(path.exists(), "it is the successor's");
    bench.finish();
}

#[test]
fn d_24_unix_names_that_cannot_be_are_refused() {
    let mut bench = Bench::new(Over::Unix);
    let long = "x".repeat(200);
    for name in ["", &long, "a\0b"] {
        let bound = open!(bench, |handle, factory| udp::unix::bind(&handle, name, factory));
        assert_eq!(bound.unwrap_err().kind(), ErrorKind::InvalidInput, "{name:?}");
    }
    let own = bench.folder().join("own");
    let nobody = bench.folder().join("nobody");
    let connected = open!(bench, |handle, factory| {
        udp::unix::connect(&handle, &nobody, factory).local_addr(&own)
    });
    assert_eq!(connected.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!own.exists(), "nothing is left behind");
    bench.finish();
}

#[test]
fn d_35_an_endpoint_everywhere_speaks_both_families() {
    let mut bench = Bench::new(Over::Udp6);
    for at in ["[::]:0", "*:0"] {
        let (log, transport) =
            open!(bench, |handle, factory| udp::bind(&handle, at, factory)).unwrap();
        log.on_data(|transport, data, from| assert!(transport.send_to(data, from).is_ok()));
        let mut senders = Vec::new();
        for (ip, peer) in [("127.0.0.1", "127.0.0.1:0"), ("::1", "[::1]:0")] {
            let peer = UdpSocket::bind(peer).unwrap();
            peer.set_nonblocking(true).unwrap();
            let to = SocketAddr::new(ip.parse().unwrap(), port(&transport));
            peer.send_to(b"hello", to).unwrap();
            let mut answer = Err(ErrorKind::WouldBlock.into());
            bench.run_until(|| {
                answer = peer.recv_from(&mut [0; 9]);
                answer.is_ok()
            });
            assert_eq!(answer.unwrap(), (5, to));
            senders.push(Some(Address::Ip(peer.local_addr().unwrap())));
        }
        assert_eq!(log.senders(), senders, "an IPv4 peer is an IPv4 address");
    }
    bench.finish();
}

#[test]
fn d_35_an_endpoint_of_one_family_leaves_the_other_to_others() {
    let mut bench = Bench::new(Over::Udp6);
    let opened =
        open!(bench, |handle, factory| udp::bind(&handle, "[::]:0", factory).only_v6(true));
    let (_, transport) = opened.unwrap();
    let at = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port(&transport)));
    assert!(open!(bench, |handle, factory| udp::bind(&handle, at, factory)).is_ok());
    bench.finish();
}

#[test]
fn d_36_groups_of_ipv4_are_joined_and_left() {
    let mut bench = Bench::new(Over::Udp4);
    let group = IpAddr::from([239, 255, 77, 1]);
    let on = Interface::Address(Ipv4Addr::LOCALHOST);
    let opened =
        open!(bench, |handle, factory| udp::bind(&handle, "0.0.0.0:0", factory).join(group, on));
    let (log, listener) = opened.unwrap();
    let opened = open!(bench, |handle, factory| {
        udp::bind(&handle, "127.0.0.1:0", factory).multicast_interface(on).multicast_ttl(0).ttl(3)
    });
    let (_, sender) = opened.unwrap();
    assert_eq!(socket(&sender, |socket| socket.multicast_ttl_v4()).unwrap(), 0);
    assert_eq!(socket(&sender, |socket| socket.ttl_v4()).unwrap(), 3);
    let to = Address::Ip(SocketAddr::new(group, port(&listener)));
    sender.send_to(b"one", Some(&to)).unwrap();
    bench.run_until(|| log.count(Call::Data) == 1);
    let groups = listener.extra::<Groups>().unwrap();
    groups.leave(group, on).unwrap();
    sender.send_to(b"nobody hears this", Some(&to)).unwrap();
    bench.settle();
    groups.join(group, on).unwrap();
    let sending = sender.extra::<Groups>().unwrap();
    // What goes out by the loopback interface comes in by it, whatever is set; so only the setting shows.
    for on in [false, true] {
        sending.set_loop(on).unwrap();
        assert_eq!(socket(&sender, |socket| socket.multicast_loop_v4()).unwrap(), on);
    }
    sending.set_ttl(1).unwrap();
    sending.set_interface(on).unwrap();
    sender.send_to(b"two", Some(&to)).unwrap();
    bench.run_until(|| log.count(Call::Data) == 2);
    bench.settle();
    assert_eq!(log.story(), ["made", "data one", "data two"]);
    assert!(groups.leave(IpAddr::from([10, 0, 0, 1]), on).is_err(), "that is no group");
    bench.finish();
}

#[test]
fn d_36_the_interface_of_an_ipv4_endpoint_may_be_named_by_number() {
    let Ok(number) = nix::net::if_::if_nametoindex("lo") else { return };
    let mut bench = Bench::new(Over::Udp4);
    let (group, on) =
        (IpAddr::from([239, 255, 77, 2]), Interface::Index(number.try_into().unwrap()));
    let opened =
        open!(bench, |handle, factory| udp::bind(&handle, "0.0.0.0:0", factory).join(group, on));
    let (log, listener) = opened.unwrap();
    let opened = open!(bench, |handle, factory| {
        udp::bind(&handle, "0.0.0.0:0", factory).multicast_interface(on)
    });
    let (refused, sender) = opened.unwrap();
    let to = Address::Ip(SocketAddr::new(group, port(&listener)));
    sender.send_to(b"one", Some(&to)).unwrap();
    bench.run_until(|| log.has(Call::Data));
    let groups = sender.extra::<Groups>().unwrap();
    groups.set_interface(Interface::Any).unwrap();
    groups.set_interface(on).unwrap();
    sender.send_to(b"two", Some(&to)).unwrap();
    bench.run_until(|| log.count(Call::Data) == 2);
    for nothing in [i32::MAX as u32, u32::MAX] {
        let nothing = Interface::Index(NonZeroU32::new(nothing).unwrap());
        assert!(groups.set_interface(nothing).is_err(), "there is no such interface");
    }
    assert!(!refused.has(Call::Error));
    bench.finish();
}

/// The numbers of the interfaces that speak IPv6.
fn interfaces() -> Vec<NonZeroU32> {
    let table = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let number = |line: &str| u32::from_str_radix(line.split_whitespace().nth(1)?, 16).ok();
    table.lines().filter_map(number).filter_map(NonZeroU32::new).collect()
}

#[test]
fn d_36_groups_of_ipv6_are_joined_and_left() {
    // Datagrams to a group of this scope never leave the machine.
    let group = IpAddr::V6(Ipv6Addr::new(0xff01, 0, 0, 0, 0, 0, 0x77, 1));
    for index in interfaces() {
        let mut bench = Bench::new(Over::Udp6);
        let on = Interface::Index(index);
        let opened =
            open!(bench, |handle, factory| udp::bind(&handle, "[::]:0", factory).join(group, on));
        let (log, listener) = opened.unwrap();
        let opened = open!(bench, |handle, factory| {
            udp::bind(&handle, "[::]:0", factory)
                .multicast_interface(on)
                .multicast_loop(true)
                .multicast_ttl(0)
                .ttl(3)
        });
        let (refused, sender) = opened.unwrap();
        assert_eq!(socket(&sender, |socket| socket.multicast_hops_v6()).unwrap(), 0);
        assert_eq!(socket(&sender, |socket| socket.unicast_hops_v6()).unwrap(), 3);
        let to = Address::Ip(SocketAddr::new(group, port(&listener)));
        sender.send_to(b"one", Some(&to)).unwrap();
        bench.run_until(|| log.has(Call::Data) || refused.has(Call::Error));
        let groups = listener.extra::<Groups>().unwrap();
        groups.leave(group, on).unwrap();
        assert!(groups.leave(group, on).is_err(), "it was left already");
        sender.send_to(b"nobody hears this", Some(&to)).unwrap();
        bench.settle();
        // An interface without a way to groups refuses; others deliver.
        let heard = if refused.has(Call::Error) { 0 } else { 1 };
        assert_eq!(log.count(Call::Data), heard, "by interface {index}");
        let by_address = Interface::Address(Ipv4Addr::LOCALHOST);
        assert_eq!(groups.join(group, by_address).unwrap_err().kind(), ErrorKind::InvalidInput);
        groups.join(group, on).unwrap();
        bench.finish();
    }
}

#[test]
fn d_36_a_lost_endpoint_and_a_unix_one_have_no_groups() {
    let mut bench = Bench::new(Over::Udp4);
    let (log, transport) =
        open!(bench, |handle, factory| udp::bind(&handle, "127.0.0.1:0", factory)).unwrap();
    let groups = transport.extra::<Groups>().unwrap();
    transport.abort();
    bench.run_until(|| log.is_lost());
    let refused = groups.join(IpAddr::from([239, 255, 77, 1]), Interface::Any).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotConnected);
    let path = bench.folder().join("endpoint");
    let (_, unix) =
        open!(bench, |handle, factory| udp::unix::bind(&handle, &path, factory)).unwrap();
    assert!(unix.extra::<Groups>().is_none());
    bench.finish();
}

#[test]
fn d_22_an_adopted_socket_takes_the_settings_of_any_endpoint() {
    let mut bench = Bench::new(Over::Unix);
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let small = limits(100, 50);
    let opened = open!(bench, |handle, factory| {
        udp::adopt(&handle, ours, factory)
            .write_buffer_limits(small)
            .datagram_limits(limits(7, 3))
            .drop_policy(DropPolicy::DropOldest)
            .send_buffer_size(9000)
            .receive_buffer_size(9000)
    });
    let (log, transport) = opened.unwrap();
    let set = transport.queue_limits();
    assert_eq!((set.bytes, set.datagrams), (small, limits(7, 3)));
    assert_eq!(transport.drop_policy(), DropPolicy::DropOldest);
    // The system keeps as much again for itself.
    assert_eq!(socket(&transport, |socket| socket.send_buffer_size()).unwrap(), 18_000);
    assert_eq!(socket(&transport, |socket| socket.recv_buffer_size()).unwrap(), 18_000);
    theirs.send(b"hello").unwrap();
    bench.run_until(|| log.has(Call::Data));
    bench.finish();

    let mut bench = Bench::new(Over::Udp4);
    let ours = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = ours.local_addr().unwrap();
    let seen = std::rc::Rc::new(std::cell::Cell::new(false));
    let (handle, told) = (bench.event_loop().handle().clone(), seen.clone());
    let adopting = udp::adopt(&handle, ours, || Looks(told)).packet_info(true).into_future();
    bench.event_loop().block_on(adopting).unwrap();
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"x", at).unwrap();
    bench.run_until(|| seen.get());
    bench.finish();
}

/// Sees whether a datagram tells where it came to.
struct Looks(std::rc::Rc<std::cell::Cell<bool>>);

impl wharf::DatagramProtocol for Looks {
    fn datagrams_received(&mut self, _: &DatagramTransportRef, batch: &wharf::datagram::Batch<'_>) {
        self.0.set(batch.iter().all(|datagram| datagram.to() == Some(Ipv4Addr::LOCALHOST.into())));
    }
}

#[test]
fn d_37_descriptors_are_non_blocking_and_close_on_exec() {
    use nix::fcntl::{FcntlArg, FdFlag, fcntl};
    let mut bench = Bench::new(Over::Udp4);
    let at = "127.0.0.1:0";
    let (_, made) = open!(bench, |handle, factory| udp::bind(&handle, at, factory)).unwrap();
    let path = bench.folder().join("endpoint");
    let (_, unix) =
        open!(bench, |handle, factory| udp::unix::bind(&handle, &path, factory)).unwrap();
    let theirs = UdpSocket::bind(at).unwrap();
    fcntl(&theirs, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    // A duplicate shares what belongs to the socket; that it is closed on exec belongs to the descriptor.
    let number = std::os::fd::AsRawFd::as_raw_fd(&theirs);
    let handle = bench.event_loop().handle().clone();
    let log = bench.log();
    let protocol = log.plain();
    let adopting = udp::adopt(&handle, theirs, || protocol).into_future();
    let (adopted, _) = bench.event_loop().block_on(adopting).unwrap();
    for transport in [made, unix, adopted] {
        assert!(socket(&transport, |socket| socket.nonblocking()).unwrap());
    }
    if let Ok(info) = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")) {
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
        let flags = i32::from_str_radix(flags, 8).unwrap();
        assert_ne!(flags & nix::libc::O_CLOEXEC, 0, "{info}");
    }
    bench.finish();
}

datagrams_over!(d_37_dropping_the_future_of_an_endpoint_takes_everything_back on udp4, unix: "in memory there is no future");
fn d_37_dropping_the_future_of_an_endpoint_takes_everything_back(bench: &mut Bench) {
    let (handle, at) = (bench.event_loop().handle().clone(), bench.name());
    let log = Log::new();
    let protocol = log.plain();
    let mut opening: std::pin::Pin<Box<dyn Future<Output = bool>>> = if bench.over() == Over::Unix {
        Box::pin(async move { udp::unix::bind(&handle, at, || protocol).await.is_ok() })
    } else {
        Box::pin(async move { udp::bind(&handle, "127.0.0.1:0", || protocol).await.is_ok() })
    };
    assert!(crate::support::poll(&mut opening).is_pending());
    drop(opening);
    bench.settle();
    assert!(log.story().is_empty(), "nothing is told");
    assert_eq!((log.protocols(), bench.sources()), (0, 0));
}
