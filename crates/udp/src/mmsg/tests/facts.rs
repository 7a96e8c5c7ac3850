//! What the system says about a datagram, and what it is told.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use wharf_core::datagram::{Arrival, Ecn};

use super::*;

const ALL: Facts = Facts { destination: true, ecn: true, timestamp: true };

/// Sends one datagram and gives what its receiver is told about it.
fn tell(from: &mut End, outgoing: &Outgoing<'_>, to: &mut End) -> Arrival {
    let mut outbox = Outbox::new();
    outbox.push(outgoing);
    from.send_all(&mut outbox);
    let mut inbox = inbox();
    to.receive(&mut inbox);
    inbox.arrivals()[0].clone()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Where `end` is reached at `ip`.
fn at(ip_address: &str, end: &End) -> Address {
    SocketAddr::new(ip(ip_address), end.address().port().unwrap()).into()
}

#[test]
fn all_facts_come_over_both_families_and_a_dual_stack_socket() {
    for (bound, at_address, from) in [
        ("0.0.0.0:0", "127.0.0.2", "127.0.0.1:0"),
        ("[::]:0", "::1", "[::1]:0"),
        ("[::]:0", "127.0.0.3", "127.0.0.1:0"),
        ("[::]:0", "127.0.0.3", "[::]:0"),
    ] {
        let (mut a, mut b) =
            (End::bound(from, Missing::default()), End::bound(bound, Missing::default()));
        b.ask_for(ALL);
        let to = at(at_address, &b);
        for ecn in [None, Some(Ecn::Ect0), Some(Ecn::Ect1), Some(Ecn::Ce)] {
            let before = SystemTime::now() - Duration::from_secs(1);
            let outgoing = Outgoing::new(b"x").to(&to);
            let outgoing = ecn.map_or(outgoing, |ecn| outgoing.ecn(ecn));
            let arrival = tell(&mut a, &outgoing, &mut b);
            let told = (arrival.to, arrival.local, arrival.ecn);
            assert_eq!(told, (Some(ip(at_address)), Some(ip(at_address)), ecn), "{bound} {from}");
            assert!(arrival.interface.is_some());
            let came = arrival.timestamp.unwrap();
            assert!(came > before && came < SystemTime::now() + Duration::from_secs(1));
        }
    }
}

#[test]
fn nothing_is_told_that_was_not_asked_for() {
    let (mut a, mut b) = (
        End::bound("127.0.0.1:0", Missing::default()),
        End::bound("0.0.0.0:0", Missing::default()),
    );
    b.ask_for(Facts::default());
    let to = at("127.0.0.1", &b);
    let arrival = tell(&mut a, &Outgoing::new(b"x").to(&to).ecn(Ecn::Ce), &mut b);
    assert_eq!((arrival.to, arrival.local, arrival.ecn), (None, None, None));
    assert_eq!((arrival.interface, arrival.timestamp), (None, None));
}

#[test]
fn a_datagram_leaves_from_the_address_that_it_is_told_to_leave_from() {
    for (bound, local) in [
        ("0.0.0.0:0", "127.0.0.9"),
        ("0.0.0.0:0", "127.1.2.3"),
        ("[::]:0", "127.0.0.9"),
        ("[::]:0", "::1"),
    ] {
        let mut a = End::bound(bound, Missing::default());
        let to_address = if ip(local).is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        let mut b = End::bound(to_address, Missing::default());
        let to = b.address();
        // Alone, with a mark, and as a train.
        for segment in [None, Some(100)] {
            let data = [7; 300];
            let outgoing = Outgoing::new(&data).to(&to).local(ip(local)).ecn(Ecn::Ect0);
            let outgoing = segment.map_or(outgoing, |size| outgoing.segments(size));
            let arrival = tell(&mut a, &outgoing, &mut b);
            assert_eq!(arrival.from, Some(at(local, &a)), "{bound}");
            assert_eq!(arrival.datagrams(), if segment.is_some() { 3 } else { 1 });
        }
    }
}

#[test]
fn several_addresses_of_one_host_are_told_apart_in_one_batch() {
    let mut server = End::bound("0.0.0.0:0", Missing::default());
    server.ask_for(ALL);
    let mut clients: Vec<End> =
        (0..4).map(|_| End::bound("127.0.0.1:0", Missing::default())).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        let to = at(&format!("127.0.0.{}", index + 1), &server);
        let mut outbox = Outbox::new();
        outbox.push(&Outgoing::new(b"hello").to(&to));
        client.send_all(&mut outbox);
    }
    // All of them wait by now: loopback delivers before the send returns.
    let mut inbox = inbox();
    server.receive(&mut inbox);
    assert_eq!(inbox.arrivals().len(), clients.len());
    let mut outbox = Outbox::new();
    for arrival in inbox.arrivals() {
        let outgoing = Outgoing::new(b"answer").to(arrival.from.as_ref().unwrap());
        outbox.push(&outgoing.local(arrival.local.unwrap()));
    }
    assert_eq!(server.send(&mut outbox).unwrap(), clients.len(), "by one call");
    for (index, client) in clients.iter_mut().enumerate() {
        let mut inbox = self::inbox();
        client.receive(&mut inbox);
        let from = at(&format!("127.0.0.{}", index + 1), &server);
        assert_eq!(inbox.arrivals()[0].from, Some(from));
    }
}

#[test]
fn a_train_is_one_arrival_where_the_system_leaves_it_together() {
    let (mut a, mut b) = (
        End::bound("127.0.0.1:0", Missing::default()),
        End::bound("127.0.0.1:0", Missing::default()),
    );
    b.ask_for(ALL);
    let to = b.address();
    let arrival = tell(&mut a, &Outgoing::new(&[9; 6000]).to(&to).segments(1200), &mut b);
    assert_eq!((arrival.len, arrival.segment, arrival.datagrams()), (6000, 1200, 5));
    assert_eq!(arrival.to, Some(ip("127.0.0.1")));
}
