//! Errors, truncation, and peers that mean no good.

use std::io::{IoSlice, Read};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg, setsockopt};
use nix::{setsockopt_impl, sockopt_impl};
use wharf_core::UnixAddress;

use super::*;

sockopt_impl!(NoCheck, SetOnly, libc::SOL_SOCKET, libc::SO_NO_CHECK, bool);

/// An address of this host at which nobody listens.
fn nobody() -> Address {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().into()
}

#[test]
fn a_train_that_the_system_refuses_is_sent_one_by_one() {
    let (mut a, mut b) = (
        End::bound("127.0.0.1:0", Missing::default()),
        End::bound("127.0.0.1:0", Missing::default()),
    );
    // A socket without checksums cannot send trains, which the system answers with EINVAL.
    setsockopt(&a.socket, NoCheck, &true).unwrap();
    let to = b.address();
    let data = [3; 250];
    for round in 0..2 {
        let mut outbox = Outbox::new();
        outbox.push(&Outgoing::new(&data).to(&to).segments(100));
        a.send_all(&mut outbox);
        let mut came = Vec::new();
        let mut inbox = inbox();
        while came.len() < 3 {
            b.receive(&mut inbox);
            came.extend(datagrams(&mut inbox).into_iter().map(|(data, _)| data.len()));
        }
        assert_eq!(came, [100, 100, 50], "{round}");
    }
}

#[test]
fn an_error_is_about_the_first_datagram_and_the_others_go_on() {
    for missing in every_path() {
        let (mut a, mut b) =
            (End::bound("127.0.0.1:0", missing), End::bound("127.0.0.1:0", missing));
        let to = b.address();
        let elsewhere: SocketAddr = "[::1]:9".parse().unwrap();
        let elsewhere = Address::Ip(elsewhere);
        let mut outbox = Outbox::new();
        let too_long = vec![0; 65_508];
        outbox.push(&Outgoing::new(b"one").to(&to));
        outbox.push(&Outgoing::new(&too_long).to(&to));
        outbox.push(&Outgoing::new(b"two").to(&to));
        outbox.push(&Outgoing::new(b"astray").to(&elsewhere));
        outbox.push(&Outgoing::new(&[4; 40]).to(&to).segments(10));
        let mut errors = Vec::new();
        while !outbox.is_empty() {
            if let Err(error) = a.send(&mut outbox) {
                errors.push(error.raw_os_error().unwrap());
                outbox.advance(1);
            }
        }
        assert_eq!(errors, [libc::EMSGSIZE, libc::EAFNOSUPPORT], "{missing:?}");
        let mut came = Vec::new();
        let mut inbox = inbox();
        while came.len() < 6 {
            b.receive(&mut inbox);
            came.extend(datagrams(&mut inbox).into_iter().map(|(data, _)| data));
        }
        assert_eq!(came[..2], [b"one".to_vec(), b"two".to_vec()]);
        assert!(came[2..].iter().all(|data| *data == [4; 10]));
    }
}

#[test]
fn a_refusal_that_was_announced_is_told_once_and_costs_one_datagram_of_a_train() {
    for missing in every_path() {
        let mut a = End::bound("127.0.0.1:0", missing);
        let peer = nobody();
        a.socket.connect(&peer.ip().unwrap().into()).unwrap();
        let mut outbox = Outbox::new();
        outbox.push(&Outgoing::new(b"is anybody there"));
        a.send_all(&mut outbox);
        outbox.push(&Outgoing::new(&[0; 30]).segments(10));
        let error = a.send(&mut outbox).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{missing:?}");
        outbox.advance(1);
        assert_eq!(outbox.len(), 2);
    }
}

/// Each datagram to nobody is announced to be lost, but the system holds one such announcement at a time, and a call for
/// many messages that meets one between two of them forgets it. So it is not told how many were lost, but that some were,
/// because the last announcement has nothing after it to be forgotten by.
#[test]
fn a_refusal_is_told_at_least_once_however_many_are_announced_within_a_call() {
    for missing in every_path() {
        let mut a = End::bound("127.0.0.1:0", missing);
        a.socket.connect(&nobody().ip().unwrap().into()).unwrap();
        let mut outbox = Outbox::new();
        // Each longer than the one before, so that they are no train.
        for len in [10, 20, 30, 40] {
            outbox.push(&Outgoing::new(&[0; 40][..len]));
        }
        let (mut sent, mut told) = (0, 0);
        while !outbox.is_empty() {
            match a.send(&mut outbox) {
                Ok(count) => sent += count,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{missing:?}");
                    outbox.advance(1);
                    told += 1;
                }
            }
        }
        assert_eq!(sent + told, 4, "{missing:?}");
        if told == 0 {
            a.wait();
            let error = a.channel.receive(a.socket.as_fd(), &mut inbox()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{missing:?}");
        }
    }
}

#[test]
fn a_name_that_fits_no_address_is_an_error_of_its_datagram_only() {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let mut a = End::new(ours.into(), Family::Unix, Missing::default());
    let long = UnixAddress::from("x".repeat(200)).into();
    let mut outbox = Outbox::new();
    outbox.push(&Outgoing::new(b"before"));
    outbox.push(&Outgoing::new(b"lost").to(&long));
    outbox.push(&Outgoing::new(b"after"));
    assert_eq!(a.send(&mut outbox).unwrap(), 1);
    assert_eq!(a.send(&mut outbox).unwrap_err().kind(), ErrorKind::InvalidInput);
    outbox.advance(1);
    a.send_all(&mut outbox);
    let mut buffer = [0; 10];
    assert_eq!(theirs.recv(&mut buffer).unwrap(), 6);
    assert_eq!(theirs.recv(&mut buffer).unwrap(), 5);
}

#[test]
fn a_datagram_without_room_enough_says_that_it_was_cut() {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let mut a = End::new(ours.into(), Family::Unix, Missing::default());
    a.socket.set_recv_buffer_size(4 << 20).unwrap();
    let theirs = Socket::from(theirs);
    theirs.set_send_buffer_size(4 << 20).unwrap();
    // What systems let a socket have by itself may be less than what wharf has room for.
    let Ok(sent) = theirs.send(&vec![5; 300_000]) else { return };
    assert_eq!(sent, 300_000);
    theirs.send(b"next").unwrap();
    let mut inbox = inbox();
    a.receive(&mut inbox);
    let seen: Vec<_> =
        inbox.arrivals().iter().map(|arrival| (arrival.len, arrival.truncated)).collect();
    assert_eq!(seen, [(Family::Unix.space(), true), (4, false)]);
}

#[test]
fn descriptors_that_a_peer_passes_are_closed_by_the_system() {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let mut a = End::new(ours.into(), Family::Unix, Missing::default());
    let (mut reader, writer) = std::io::pipe().unwrap();
    let passed = [writer.as_raw_fd()];
    let control = [ControlMessage::ScmRights(&passed)];
    let data = [IoSlice::new(b"take this")];
    sendmsg::<()>(theirs.as_raw_fd(), &data, &control, MsgFlags::empty(), None).unwrap();
    drop(writer);
    let mut inbox = inbox();
    a.receive(&mut inbox);
    assert_eq!(datagrams(&mut inbox), [(b"take this".to_vec(), None)]);
    // Ends, because nobody has the other end of the pipe any more.
    assert_eq!(reader.read(&mut [0]).unwrap(), 0);
}

#[test]
fn unix_senders_are_named_as_they_are() {
    let folder = std::env::temp_dir().join(format!("wharf-udp-names-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("socket");
    let server = UnixDatagram::bind(&path).unwrap();
    let mut server = End::new(server.into(), Family::Unix, Missing::default());
    let mut unnamed =
        End::new(UnixDatagram::unbound().unwrap().into(), Family::Unix, Missing::default());
    let named = UnixDatagram::bind(folder.join("client")).unwrap();
    let mut named = End::new(named.into(), Family::Unix, Missing::default());
    let to = UnixAddress::from(&path).into();
    for end in [&mut unnamed, &mut named] {
        let mut outbox = Outbox::new();
        // Trains are for IP only.
        outbox.push(&Outgoing::new(b"abcd").to(&to).segments(2));
        end.send_all(&mut outbox);
        assert_eq!(end.channel.abilities().segments, Some(false));
    }
    let mut inbox = inbox();
    server.receive(&mut inbox);
    let client = Some(UnixAddress::from(folder.join("client")).into());
    let expected = [("ab", None), ("cd", None), ("ab", client.clone()), ("cd", client)]
        .map(|(data, from)| (data.as_bytes().to_vec(), from));
    assert_eq!(datagrams(&mut inbox), expected);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_small_inbox_is_one_space_and_cuts_what_is_longer() {
    let (mut a, mut b) = (
        End::bound("127.0.0.1:0", Missing::default()),
        End::bound("127.0.0.1:0", Missing::default()),
    );
    let to = b.address();
    let mut outbox = Outbox::new();
    outbox.push(&Outgoing::new(&[1; 10]).to(&to));
    outbox.push(&Outgoing::new(&[2; 300]).to(&to));
    a.send_all(&mut outbox);
    let mut small = Inbox::with_capacity(100);
    for (len, truncated) in [(10, false), (100, true)] {
        b.receive(&mut small);
        let arrival = &small.arrivals()[0];
        assert_eq!((arrival.len, arrival.truncated), (len, truncated));
    }
    small.clear();
    let nothing = b.channel.receive(b.socket.as_fd(), &mut small).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
}
