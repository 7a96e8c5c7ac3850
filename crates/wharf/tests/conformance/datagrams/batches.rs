//! The batch face: bursts, trains, answers, and what becomes of a batch that is cut short (rows D-38 to D-40, D-42 to
//! D-46, P-07).

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use wharf::datagram::Ecn;
use wharf::udp::{self, Abilities};
use wharf::{Address, Outgoing};

use super::bench::{Bench, Over, Settings, datagrams_over};
use super::log::{Call, Log};
use super::peer::Peer;

/// What the batches of a log were, one word for each datagram.
fn words(log: &Log) -> Vec<String> {
    let story = log.story().into_iter();
    story.filter(|line| !line.starts_with("batch") && line != "made").collect()
}

/// A protocol that notes each datagram of its batches.
fn noting(log: &Log) -> super::log::Batched {
    let own = log.clone();
    log.batched(move |_, batch| {
        for one in batch {
            own.note(one.data().escape_ascii().to_string());
        }
    })
}

datagrams_over!(d_38_a_batch_has_the_whole_burst);
fn d_38_a_batch_has_the_whole_burst(bench: &mut Bench) {
    let log = bench.log();
    let (transport, peer) = bench.put(noting(&log), Settings::default());
    let other = bench.another(&peer);
    for word in ["a", "b", "", "c"] {
        peer.send(word.as_bytes());
    }
    other.send(b"d");
    bench.run_until(|| words(&log).len() == 5);
    let expected = ["made", "batch of 5", "a", "b", "", "c", "d"];
    assert_eq!(log.story(), expected);
    let statistics = transport.statistics();
    assert_eq!((statistics.received, statistics.receives), (5, 1));
}

datagrams_over!(d_38_what_a_batch_protocol_does_not_look_at_is_dropped);
fn d_38_what_a_batch_protocol_does_not_look_at_is_dropped(bench: &mut Bench) {
    let log = bench.log();
    let own = log.clone();
    let protocol = log.batched(move |_, batch| {
        let first = batch.iter().next().expect("a batch is never empty");
        own.note(first.data().escape_ascii().to_string());
        let again: Vec<_> = batch.iter().take(1).map(|one| one.data().len()).collect();
        assert_eq!(again, [1], "it can be looked at again");
    });
    let (_transport, peer) = bench.put(protocol, Settings::default());
    peer.send(b"a");
    peer.send(b"b");
    bench.run_until(|| !words(&log).is_empty());
    bench.settle();
    assert_eq!(words(&log), ["a"]);
}

datagrams_over!(d_39_a_pause_within_a_batch_keeps_the_rest_for_the_resumption);
fn d_39_a_pause_within_a_batch_keeps_the_rest_for_the_resumption(bench: &mut Bench) {
    let log = bench.log();
    let own = log.clone();
    let protocol = log.batched(move |transport, batch| {
        for one in batch {
            own.note(one.data().escape_ascii().to_string());
            if one.data() == b"b" {
                transport.pause_reading();
                assert_eq!(batch.iter().count(), 0, "no more is handed out");
            }
        }
    });
    let (transport, peer) = bench.put(protocol, Settings::default());
    for word in ["a", "b", "c", "d"] {
        peer.send(word.as_bytes());
    }
    bench.run_until(|| words(&log).len() == 2);
    peer.send(b"e");
    bench.settle();
    assert_eq!(words(&log), ["a", "b"]);
    transport.resume_reading();
    bench.run_until(|| words(&log).len() == 5);
    assert_eq!(words(&log), ["a", "b", "c", "d", "e"], "what was kept comes first");
}

datagrams_over!(d_39_a_pause_that_is_taken_back_at_once_loses_nothing);
fn d_39_a_pause_that_is_taken_back_at_once_loses_nothing(bench: &mut Bench) {
    let (log, _transport, peer) = bench.open();
    log.on_data(|transport, _, _| {
        transport.pause_reading();
        transport.resume_reading();
    });
    for word in ["a", "b", "c"] {
        peer.send(word.as_bytes());
    }
    bench.run_until(|| log.count(Call::Data) == 3);
    assert_eq!(log.story(), ["made", "data a", "data b", "data c"]);
}

datagrams_over!(d_39_what_a_pause_has_kept_is_dropped_by_a_close);
fn d_39_what_a_pause_has_kept_is_dropped_by_a_close(bench: &mut Bench) {
    let (log, transport, peer) = bench.open();
    log.on_data(|transport, _, _| transport.pause_reading());
    peer.send(b"a");
    peer.send(b"b");
    bench.run_until(|| log.has(Call::Data));
    transport.close();
    transport.resume_reading();
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "data a", "lost closed"]);
}

datagrams_over!(p_07_a_switch_within_a_batch_gives_the_rest_to_the_new_protocol);
fn p_07_a_switch_within_a_batch_gives_the_rest_to_the_new_protocol(bench: &mut Bench) {
    let (first, transport, peer) = bench.open();
    let second = bench.log().switched();
    let new = second.clone();
    let first = first.switched();
    first.on_data(move |transport, _, _| drop(transport.set_protocol(new.plain())));
    for word in ["a", "b", "c"] {
        peer.send(word.as_bytes());
    }
    bench.run_until(|| second.count(Call::Data) == 2);
    assert_eq!(first.story(), ["made", "data a"]);
    assert_eq!(first.protocols(), 0, "it was let go of");
    transport.close();
    bench.run_until(|| second.is_lost());
    assert_eq!(second.story(), ["data b", "data c", "lost closed"]);
    assert!(transport.set_protocol(Log::new().plain()).1.is_none(), "too late");
}

datagrams_over!(p_07_a_paused_writer_is_handed_over on memory: "UDP never blocks on loopback");
fn p_07_a_paused_writer_is_handed_over(bench: &mut Bench) {
    let mut settings = Settings::default();
    settings.limits.bytes = crate::support::limits(10, 5);
    let (first, transport, peer) = bench.open_with(settings);
    peer.wire().endpoint().limit_sends(0);
    transport.send_to(b"0123456789", Some(&peer.address())).unwrap();
    bench.settle();
    let first = first.switched();
    assert_eq!(first.story(), ["made", "pause"]);
    let second = bench.log().switched();
    transport.set_protocol(second.plain());
    bench.settle();
    peer.wire().endpoint().limit_sends(usize::MAX);
    bench.settle();
    assert_eq!(second.story(), ["pause", "resume"]);
}

/// What came to a peer from a callback that sends `batch`.
fn sent_within_a_callback(
    bench: &mut Bench,
    peer: &Peer,
    transport: &wharf::DatagramTransportRef,
    log: &Log,
    send: impl Fn(&wharf::DatagramTransportRef, &Address) + 'static,
) -> (Vec<Vec<u8>>, u64) {
    let before = transport.statistics();
    log.on_data(move |transport, _, from| send(transport, from.expect("a peer has a name")));
    peer.send(b"go");
    let mut received = Vec::new();
    bench.run_until(|| {
        received.extend(peer.take());
        !received.is_empty()
    });
    bench.settle();
    received.extend(peer.take());
    (received, transport.statistics().sends - before.sends)
}

datagrams_over!(d_40_sends_of_one_callback_leave_together_and_in_order);
fn d_40_sends_of_one_callback_leave_together_and_in_order(bench: &mut Bench) {
    let (log, transport, peer) = bench.open();
    let other = bench.another(&peer);
    let to_other = other.address();
    let (received, sends) =
        sent_within_a_callback(bench, &peer, &transport, &log, move |transport, to| {
            for word in ["aa", "bb", "c", "dd", "", "eee"] {
                transport.send_to(word.as_bytes(), Some(to)).unwrap();
                transport.send_to(b"other", Some(&to_other)).unwrap();
            }
        });
    let words: Vec<_> = received.iter().map(|one| one.escape_ascii().to_string()).collect();
    assert_eq!(words, ["aa", "bb", "c", "dd", "", "eee"]);
    assert_eq!(other.take(), vec![b"other".to_vec(); 6]);
    let batches = bench.over() == Over::Memory || abilities(&transport).batches;
    assert_eq!(sends, if batches { 1 } else { 12 });
}

fn abilities(transport: &wharf::DatagramTransportRef) -> Abilities {
    transport.extra::<Abilities>().expect("a socket has abilities")
}

datagrams_over!(d_42_segments_arrive_as_single_datagrams);
fn d_42_segments_arrive_as_single_datagrams(bench: &mut Bench) {
    let (_log, transport, peer) = bench.open();
    let data = crate::support::pattern(605);
    let to = peer.address();
    transport.send_segments(&data, 100, Some(&to)).unwrap();
    transport.send_segments(&data, 5000, Some(&to)).unwrap();
    transport.send_segments(b"", 100, Some(&to)).unwrap();
    let zero = transport.send_segments(&data, 0, Some(&to)).unwrap_err();
    assert_eq!(zero.kind(), std::io::ErrorKind::InvalidInput);
    let mut received = Vec::new();
    bench.run_until(|| {
        received.extend(peer.take());
        received.len() == 8
    });
    bench.settle();
    assert!(peer.take().is_empty(), "no bytes are no segment");
    let sizes: Vec<usize> = received.iter().map(Vec::len).collect();
    assert_eq!(sizes, [100, 100, 100, 100, 100, 100, 5, 605]);
    assert!(received[..7].concat() == data);
}

datagrams_over!(d_42_a_batch_of_sends_is_taken_as_a_whole_or_not_at_all);
fn d_42_a_batch_of_sends_is_taken_as_a_whole_or_not_at_all(bench: &mut Bench) {
    let (_log, transport, peer) = bench.open();
    let to = peer.address();
    let good = Outgoing::new(b"good").to(&to);
    let wrong = transport.send(&[good, Outgoing::new(b"nowhere")]).unwrap_err();
    assert_eq!(wrong.kind(), std::io::ErrorKind::InvalidInput);
    transport.send(&[]).unwrap();
    assert_eq!(transport.queued_datagrams(), 0);
    transport.send(&[good, Outgoing::new(b"abcde").to(&to).segments(2), good]).unwrap();
    assert_eq!(transport.queued_datagrams(), 5);
    bench.settle();
    let words: Vec<_> = peer.take().iter().map(|one| one.escape_ascii().to_string()).collect();
    assert_eq!(words, ["good", "ab", "cd", "e", "good"]);
}

#[test]
fn d_43_a_train_is_one_message_from_end_to_end() {
    let mut bench = Bench::new(Over::Udp4);
    let (sender_log, receiver) = (bench.log(), bench.log());
    let own = receiver.clone();
    let protocol = receiver.batched(move |_, batch| {
        for train in batch.trains() {
            own.note(format!("{} x {}", train.datagrams(), train.segment()));
        }
    });
    let (at, _peer) = bench.put(protocol, Settings::default());
    let (sender, _other) = bench.put(sender_log.plain(), Settings::default());
    let to = at.local_addr().unwrap();
    for _ in 0..10 {
        sender.send_to(&[7; 100], Some(&to)).unwrap();
    }
    bench.run_until(|| at.statistics().received == 10);
    let found = (abilities(&at), abilities(&sender));
    if found.0.coalescing && found.1.segments == Some(true) {
        assert_eq!(receiver.story(), ["made", "batch of 10", "10 x 100"]);
        assert_eq!((sender.statistics().sends, at.statistics().receives), (1, 1));
    }
    bench.finish();
}

datagrams_over!(d_43_a_train_can_be_passed_on_as_it_is);
fn d_43_a_train_can_be_passed_on_as_it_is(bench: &mut Bench) {
    let log = bench.log();
    let target = bench.log();
    let to = std::rc::Rc::new(std::cell::RefCell::new(None::<Address>));
    let aim = std::rc::Rc::clone(&to);
    let protocol = log.batched(move |transport, batch| {
        let to = aim.borrow();
        let to = to.as_ref().expect("it was set");
        let trains: Vec<_> = batch.trains().map(|train| Outgoing::forward(&train, to)).collect();
        transport.send(&trains).unwrap();
    });
    let (_relay, peer) = bench.put(protocol, Settings::default());
    let last = bench.another(&peer);
    to.replace(Some(last.address()));
    drop(target);
    for word in ["aa", "bb", "", "c"] {
        peer.send(word.as_bytes());
    }
    let mut received = Vec::new();
    bench.run_until(|| {
        received.extend(last.take());
        received.len() == 4
    });
    assert_eq!(received, [&b"aa"[..], b"bb", b"", b"c"]);
}

/// Whether this machine answers on other loopback addresses than the first, as Linux does.
// The notice belongs into the output of the test.
#[allow(clippy::print_stdout)]
fn has_loopback_network() -> bool {
    let found = UdpSocket::bind("127.0.0.2:0").is_ok();
    if !found {
        println!("skipped: the loopback network has one address here");
    }
    found
}

/// Asks an endpoint at `at` by each of its addresses; the answers must come from there.
fn answers_leave_from_where_they_were_asked(at: &str, batched: bool) {
    if !has_loopback_network() {
        return;
    }
    let mut bench = Bench::new(Over::Udp4);
    let handle = bench.event_loop().handle().clone();
    let log = bench.log();
    let transport = if batched {
        // All answers after the last datagram was looked at, and by no more than their addresses.
        let protocol = log.batched(|transport, batch| {
            let asked: Vec<_> = batch.iter().map(|one| (one.data().to_vec(), one.from())).collect();
            for (data, from) in asked {
                transport.send_to(&data, from).unwrap();
            }
        });
        bench.event_loop().block_on(udp::bind(&handle, at, || protocol).into_future()).unwrap().0
    } else {
        log.on_data(|transport, data, from| assert!(transport.send_to(data, from).is_ok()));
        let protocol = log.plain();
        bench.event_loop().block_on(udp::bind(&handle, at, || protocol).into_future()).unwrap().0
    };
    let port = transport.local_addr().unwrap().port().unwrap();
    let addresses: Vec<SocketAddr> =
        (1..=5).map(|last| SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), port))).collect();
    let peers: Vec<UdpSocket> = addresses
        .iter()
        .map(|_| {
            let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
            peer.set_nonblocking(true).unwrap();
            peer
        })
        .collect();
    for (peer, to) in peers.iter().zip(&addresses) {
        peer.send_to(b"where are you", to).unwrap();
    }
    for (peer, to) in peers.iter().zip(&addresses) {
        let mut answer = None;
        bench.run_until(|| {
            answer = peer.recv_from(&mut [0; 20]).ok();
            answer.is_some()
        });
        assert_eq!(answer, Some((13, *to)));
    }
    bench.finish();
}

#[test]
fn d_44_answers_leave_from_the_address_that_was_asked() {
    answers_leave_from_where_they_were_asked("0.0.0.0:0", false);
}

#[test]
fn d_44_answers_of_a_batch_leave_from_the_address_that_was_asked() {
    answers_leave_from_where_they_were_asked("0.0.0.0:0", true);
}

#[test]
fn d_44_answers_of_a_dual_stack_endpoint_leave_from_the_address_that_was_asked() {
    answers_leave_from_where_they_were_asked("[::]:0", false);
}

#[test]
fn d_44_a_later_answer_keeps_its_way() {
    if !has_loopback_network() {
        return;
    }
    let mut bench = Bench::new(Over::Udp4);
    let handle = bench.event_loop().handle().clone();
    let log = bench.log();
    let later = handle.clone();
    let protocol = log.batched(move |transport, batch| {
        for one in batch {
            assert_eq!(one.local(), one.to());
            assert!(one.interface().is_some());
            let (from, local) = (one.from().expect("a peer").clone(), one.local().expect("told"));
            let again = transport.clone();
            later.call_soon(move || {
                let answer = Outgoing::new(b"later").to(&from).local(local);
                again.send(&[answer]).unwrap();
            });
            transport.send(&[Outgoing::answer(&one, b"now")]).unwrap();
        }
    });
    let open = udp::bind(&handle, "0.0.0.0:0", || protocol).into_future();
    let (transport, _) = bench.event_loop().block_on(open).unwrap();
    let to = SocketAddr::from(([127, 0, 0, 7], transport.local_addr().unwrap().port().unwrap()));
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_nonblocking(true).unwrap();
    peer.send_to(b"hello", to).unwrap();
    for len in [3, 5] {
        let mut answer = None;
        bench.run_until(|| {
            answer = peer.recv_from(&mut [0; 20]).ok();
            answer.is_some()
        });
        assert_eq!(answer, Some((len, to)));
    }
    bench.finish();
}

datagrams_over!(d_44_in_memory_an_answer_has_its_source_too on memory: "sockets have tests of their own");
fn d_44_in_memory_an_answer_has_its_source_too(bench: &mut Bench) {
    let (log, _transport, peer) = bench.open();
    log.on_data(|transport, data, from| assert!(transport.send_to(data, from).is_ok()));
    peer.wire().send_to_address(b"hello", IpAddr::from([10, 1, 2, 3]));
    bench.settle();
    let letters = peer.wire().take_letters();
    assert_eq!(letters[0].from.ip().unwrap().ip(), Ipv4Addr::new(10, 1, 2, 3));
}

#[test]
fn d_45_congestion_marks_are_sent_and_told() {
    for (over, at) in [(Over::Udp4, "127.0.0.1:0"), (Over::Udp6, "[::1]:0")] {
        let mut bench = Bench::new(over);
        let handle = bench.event_loop().handle().clone();
        let log = bench.log();
        let own = log.clone();
        let protocol = log.batched(move |_, batch| {
            for one in batch {
                own.note(format!("{:?}", one.ecn()));
            }
        });
        let open = udp::bind(&handle, at, || protocol).ecn(true).into_future();
        let (receiver, _) = bench.event_loop().block_on(open).unwrap();
        let to = receiver.local_addr().unwrap();
        let sender_log = bench.log();
        let (sender, _peer) = bench.put(sender_log.plain(), Settings::default());
        let plain = Outgoing::new(b"x").to(&to);
        let marks = [plain, plain.ecn(Ecn::Ect0), plain.ecn(Ecn::Ect1), plain.ecn(Ecn::Ce)];
        sender.send(&marks).unwrap();
        bench.run_until(|| words(&log).len() == 4);
        assert_eq!(words(&log), ["None", "Some(Ect0)", "Some(Ect1)", "Some(Ce)"]);
        bench.finish();
    }
}

#[test]
fn d_45_timestamps_are_told_where_they_are_asked_for() {
    let mut bench = Bench::new(Over::Udp4);
    let handle = bench.event_loop().handle().clone();
    for asked in [false, true] {
        let log = bench.log();
        let own = log.clone();
        let protocol = log.batched(move |_, batch| {
            for one in batch {
                own.note(format!("{}", one.timestamp().is_some()));
            }
        });
        let open = udp::bind(&handle, "127.0.0.1:0", || protocol).timestamps(asked).into_future();
        let (receiver, _) = bench.event_loop().block_on(open).unwrap();
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.send_to(b"x", receiver.local_addr().unwrap().ip().unwrap()).unwrap();
        bench.run_until(|| !words(&log).is_empty());
        assert_eq!(words(&log), [asked.to_string()]);
    }
    bench.finish();
}

#[test]
fn d_46_what_a_system_lacks_changes_nothing_but_the_number_of_calls() {
    for lacks in 0..16 {
        let missing = udp::Missing {
            batches: lacks & 1 > 0,
            segment_option: lacks & 2 > 0,
            segments: lacks & 4 > 0,
            coalescing: lacks & 8 > 0,
        };
        let mut bench = Bench::new(Over::Udp4);
        let handle = bench.event_loop().handle().clone();
        let log = bench.log();
        let (receiving, sending) = (noting(&log), bench.log());
        let open = udp::bind(&handle, "127.0.0.1:0", || receiving).missing(missing).into_future();
        let (receiver, _) = bench.event_loop().block_on(open).unwrap();
        let protocol = sending.plain();
        let open = udp::bind(&handle, "127.0.0.1:0", || protocol).missing(missing).into_future();
        let (sender, _) = bench.event_loop().block_on(open).unwrap();
        let to = receiver.local_addr().unwrap();
        for word in ["aa", "bb", "cc", "d", "", "eeee"] {
            sender.send_to(word.as_bytes(), Some(&to)).unwrap();
        }
        bench.run_until(|| words(&log).len() == 6);
        assert_eq!(words(&log), ["aa", "bb", "cc", "d", "", "eeee"], "{missing:?}");
        assert_eq!(sending.story(), ["made"], "no error is told: {missing:?}");
        let found = abilities(&sender);
        assert_eq!(found.batches, !missing.batches && cfg!(target_os = "linux"));
        if missing.segments || missing.segment_option {
            assert_eq!(found.segments, Some(false), "{missing:?}");
        }
        assert!(!(missing.coalescing && abilities(&receiver).coalescing));
        bench.finish();
    }
}
