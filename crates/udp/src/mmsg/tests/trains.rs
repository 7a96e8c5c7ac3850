//! Every datagram arrives once, unaltered, in order per peer, whatever the system is without.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[test]
fn datagrams_keep_their_bounds_their_order_and_their_sender_on_every_path() {
    for missing in every_path() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (mut a, mut b) = (End::bound(address, missing), End::bound(address, missing));
            let to = b.address();
            let mut outbox = Outbox::new();
            let sent: Vec<Vec<u8>> =
                [5, 5, 5, 2, 0, 0, 1200, 1200, 7, 65_000, 3].map(|len| vec![len as u8; len]).into();
            for one in &sent {
                outbox.push(&Outgoing::new(one).to(&to));
            }
            a.send_all(&mut outbox);
            let mut inbox = inbox();
            let mut came = Vec::new();
            while came.len() < sent.len() {
                b.receive(&mut inbox);
                came.extend(datagrams(&mut inbox));
            }
            let expected: Vec<_> = sent.into_iter().map(|one| (one, Some(a.address()))).collect();
            assert!(came == expected, "{missing:?} {address}");
            let abilities = a.channel.abilities();
            assert_eq!(abilities.batches, !missing.batches);
            assert_eq!(abilities.segments, Some(!missing.segment_option && !missing.segments));
            assert_eq!(abilities.coalescing, !missing.coalescing);
        }
    }
}

/// What one sender has to send: to which receiver, and datagrams of which size; a train where there are several.
#[derive(Debug, Clone)]
struct Burst {
    to: usize,
    size: usize,
    count: usize,
    /// How much shorter the last one is.
    short: usize,
}

/// What is sent before it is received: a receiver's buffer has room for this many bytes.
const ROOM: usize = 200_000;

/// Up to the largest that IPv4 has. Most are small, as most are.
fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![8 => 0..2000_usize, 2 => Just(1200), 1 => 2000..=65_507_usize, 1 => Just(65_507)]
}

fn bursts() -> impl Strategy<Value = Vec<Burst>> {
    let burst = (0..3_usize, sizes(), 1..100_usize, any::<usize>());
    vec(burst, 1..12).prop_map(|bursts| {
        let burst = |(to, size, count, short): (usize, usize, usize, usize)| Burst {
            to,
            size,
            count: count.min(1 + ROOM / 2 / (size + 1)),
            short: short.checked_rem(size).unwrap_or(0),
        };
        bursts.into_iter().map(burst).collect()
    })
}

/// The bytes of a datagram: its number, as far as there is room, and a pattern that depends on it.
fn bytes(number: usize, size: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..size).map(|at| (at ^ (number * 31)) as u8).collect();
    let mark = (number as u32).to_be_bytes();
    let len = mark.len().min(size);
    bytes[..len].copy_from_slice(&mark[4 - len..]);
    bytes
}

/// Receives what waits at `end`, without waiting for it.
fn drain(end: &mut End, inbox: &mut Inbox, came: &mut Vec<Vec<u8>>) {
    loop {
        inbox.clear();
        match end.channel.receive(end.socket.as_fd(), inbox) {
            Ok(_) => came.extend(datagrams(inbox).into_iter().map(|(data, _)| data)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Sends all of it from one socket to three, and compares what arrives at each.
fn run(bursts: &[Burst], missing: Missing, address: &str) {
    let mut sender = End::bound(address, missing);
    let mut ends = [(); 3].map(|()| End::bound(address, missing));
    let addresses = ends.each_ref().map(End::address);
    let mut expected: [Vec<Vec<u8>>; 3] = Default::default();
    let mut came: [Vec<Vec<u8>>; 3] = Default::default();
    let mut inbox = inbox();
    let mut number = 0;
    let mut outbox = Outbox::new();
    for (index, burst) in bursts.iter().enumerate() {
        for at in 0..burst.count {
            let size = burst.size - if at + 1 == burst.count { burst.short } else { 0 };
            let one = bytes(number, size);
            number += 1;
            outbox.push(&Outgoing::new(&one).to(&addresses[burst.to]));
            expected[burst.to].push(one);
        }
        // Several bursts make one queue, but never more than the receivers' buffers have room for.
        let next = bursts.get(index + 1);
        if next.is_some_and(|next| {
            outbox.bytes() + next.size * next.count < ROOM && outbox.len() < 100
        }) {
            continue;
        }
        while !outbox.is_empty() {
            sender.send(&mut outbox).unwrap();
            for (at, end) in ends.iter_mut().enumerate() {
                drain(end, &mut inbox, &mut came[at]);
            }
        }
    }
    assert_eq!(came.each_ref().map(Vec::len), expected.each_ref().map(Vec::len), "{missing:?}");
    assert!(came == expected, "{missing:?}: the bytes differ");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_datagram_arrives_once_unaltered_and_in_order_on_every_path(bursts in bursts(), path in 0..16_usize, v6: bool) {
        let missing = every_path().nth(path).unwrap();
        run(&bursts, missing, if v6 { "[::1]:0" } else { "127.0.0.1:0" });
    }
}
