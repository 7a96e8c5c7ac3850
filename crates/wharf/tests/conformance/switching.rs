//! Switching protocols in the middle of a stream (rows P-01 to P-06).

use std::cell::RefCell;
use std::rc::Rc;

use wharf::{Limits, StreamProtocol};

use crate::support::{Bench, Call, Log, over_each, pattern};

// invariant: T8
over_each!(p_01_the_next_callback_goes_to_the_new_protocol_leftover_first);
fn p_01_the_next_callback_goes_to_the_new_protocol_leftover_first(bench: &mut Bench) {
    let (first, second) = (bench.log().switched(), bench.log().switched());
    let (_transport, peer) = bench.open(first.plain());
    let (noting, next) = (first.clone(), second.clone());
    first.on(Call::Data, move |transport| {
        transport.set_protocol(next.plain(), b"leftover ");
        transport.write(b"from the old one");
        noting.note("the old one finishes");
        assert_eq!(next.story(), [""; 0], "the new one was called from inside");
    });
    peer.send(b"upgrade, leftover ");
    bench.run_until(|| second.has(Call::Data));
    bench.settle();
    peer.send(b"and more");
    bench.run_until(|| second.data_len() == 17);
    assert_eq!(first.story(), ["made", "data upgrade, leftover ", "the old one finishes"]);
    assert_eq!(second.story(), ["data leftover and more"]);
    bench.run_until(|| peer.read() == 16);
}

over_each!(p_01_without_leftover_nothing_is_given_again);
fn p_01_without_leftover_nothing_is_given_again(bench: &mut Bench) {
    let (first, second) = (bench.log().switched(), bench.log().switched());
    // One byte at a time, so that the switch comes between two reads of one readiness.
    let (_transport, peer) = bench.open(first.buffered(1));
    let next = second.clone();
    first.on(Call::Data, move |transport| drop(transport.set_protocol(next.plain(), b"")));
    peer.send(b"12345");
    bench.run_until(|| second.data_len() == 4);
    assert_eq!((first.data(), second.data()), (b"1".to_vec(), b"2345".to_vec()));
}

over_each!(p_01_leftover_waits_for_a_paused_reader_and_comes_before_the_end);
fn p_01_leftover_waits_for_a_paused_reader_and_comes_before_the_end(bench: &mut Bench) {
    let (first, second) = (bench.log().switched(), bench.log().switched());
    let (transport, peer) = bench.open(first.plain());
    transport.pause_reading();
    bench.settle();
    peer.send(b"newer");
    peer.shutdown();
    transport.set_protocol(second.plain(), b"older, ");
    bench.settle();
    assert_eq!(second.story(), [""; 0]);
    transport.resume_reading();
    bench.run_until(|| second.is_lost());
    assert_eq!(second.story(), ["data older, newer", "eof", "lost eof"]);
}

over_each!(p_01_leftover_comes_before_what_the_same_readiness_reads);
fn p_01_leftover_comes_before_what_the_same_readiness_reads(bench: &mut Bench) {
    let (first, second) = (bench.log().switched(), bench.log().switched());
    // A full buffer means that there is more to read at once.
    let (_transport, peer) = bench.open(first.buffered(4));
    let next = second.clone();
    first.on(Call::Data, move |transport| drop(transport.set_protocol(next.plain(), b"cd")));
    peer.send(b"abcdefgh");
    bench.run_until(|| second.data_len() == 6);
    assert_eq!((first.data(), second.data()), (b"abcd".to_vec(), b"cdefgh".to_vec()));
}

over_each!(p_01_leftover_comes_before_an_end_that_was_read_already);
fn p_01_leftover_comes_before_an_end_that_was_read_already(bench: &mut Bench) {
    let (first, second) = (bench.log().switched(), bench.log().switched());
    let (_transport, peer) = bench.open(first.buffered(4));
    let next = second.clone();
    // The read that follows finds the end.
    first.on(Call::GetBuffer, move |transport| {
        transport.set_protocol(next.plain(), b"leftover");
    });
    peer.shutdown();
    bench.run_until(|| second.is_lost());
    assert_eq!(second.story(), ["data leftover", "eof", "lost eof"]);
}

over_each!(p_01_a_chain_of_switches_loses_nothing);
fn p_01_a_chain_of_switches_loses_nothing(bench: &mut Bench) {
    // Each protocol takes one byte and hands on the rest.
    let story = Rc::new(RefCell::new(String::new()));
    let log = bench.log().switched();
    let (_transport, peer) =
        bench.open(Taker { place: 0, story: Rc::clone(&story), rest: log.clone() });
    peer.send(b"abcdefgh");
    bench.run_until(|| log.has(Call::Data));
    assert_eq!(*story.borrow(), "0a1b2c3d");
    assert_eq!(log.data(), b"efgh");
}

struct Taker {
    place: usize,
    story: Rc<RefCell<String>>,
    rest: Log,
}

impl wharf::Protocol for Taker {
    fn data_received(&mut self, transport: &wharf::TransportRef, data: &[u8]) {
        let taken = format!("{}{}", self.place, char::from(data[0]));
        self.story.borrow_mut().push_str(&taken);
        if self.place == 3 {
            transport.set_protocol(self.rest.plain(), &data[1..]);
        } else {
            let (story, rest) = (Rc::clone(&self.story), self.rest.clone());
            transport.set_protocol(Self { place: self.place + 1, story, rest }, &data[1..]);
        }
    }
}

over_each!(p_02_a_switch_is_no_birth_and_no_loss);
fn p_02_a_switch_is_no_birth_and_no_loss(bench: &mut Bench) {
    let (first, second) = (bench.log().switched(), bench.log().switched());
    let (transport, _peer) = bench.open(first.plain());
    let (_, previous) = transport.set_protocol(second.plain(), b"");
    bench.settle();
    assert_eq!((first.story(), second.story()), (vec!["made".to_owned()], vec![]));
    assert_eq!(
        previous.map(|old| old.type_name()),
        Some(std::any::type_name::<crate::support::Plain>())
    );
    assert_eq!(first.protocols(), 0, "the transport has let go of the old one");
    transport.close();
    bench.run_until(|| second.is_lost());
    assert_eq!(
        (first.story(), second.story().join(", ")),
        (vec!["made".to_owned()], "lost closed".into())
    );
}

over_each!(p_03_plain_to_buffered_and_back);
fn p_03_plain_to_buffered_and_back(bench: &mut Bench) {
    let logs: Vec<Log> = (0..3).map(|_| bench.log().switched()).collect();
    let (transport, peer) = bench.open(logs[0].plain());
    let mut shared: Option<StreamProtocol> = None;
    for (index, text) in [&b"first"[..], b"second", b"third"].into_iter().enumerate() {
        match index {
            0 => {}
            1 => drop(transport.set_protocol(logs[1].buffered(100), b"")),
            _ => drop(transport.set_protocol(logs[2].plain(), b"")),
        }
        let now = transport.protocol();
        assert!(now.is_some() && now != shared);
        shared = now;
        peer.send(text);
        bench.run_until(|| logs[index].has(Call::Data));
    }
    drop(shared);
    peer.close();
    bench.run_until(|| logs[2].is_lost());
    assert_eq!(logs[0].story(), ["made", "data first"]);
    assert_eq!(logs[1].story(), ["data second"]);
    assert_eq!(logs[2].story(), ["data third", "eof", "lost eof"]);
    assert!(logs[1].has(Call::GetBuffer));
}

over_each!(p_04_end_and_loss_go_to_the_current_protocol_only);
fn p_04_end_and_loss_go_to_the_current_protocol_only(bench: &mut Bench) {
    let (first, second, third) =
        (bench.log().switched(), bench.log().switched(), bench.log().switched());
    let (transport, peer) = bench.open(first.plain());
    transport.set_protocol(second.plain(), b"");
    let next = third.clone();
    second.on(Call::Eof, move |transport| drop(transport.set_protocol(next.plain(), b"")));
    peer.shutdown();
    bench.run_until(|| third.is_lost());
    assert_eq!(first.story(), ["made"]);
    assert_eq!(second.story(), ["eof"]);
    assert_eq!(third.story(), ["lost eof"]);
}

over_each!(p_05_a_protocol_that_comes_to_a_full_buffer_is_told_to_pause);
fn p_05_a_protocol_that_comes_to_a_full_buffer_is_told_to_pause(bench: &mut Bench) {
    let (first, second) = (bench.log().switched(), bench.log().switched());
    let (transport, peer) = bench.open(first.plain());
    transport.write(&pattern(1_000_000));
    bench.run_until(|| first.has(Call::Pause));
    transport.set_protocol(second.plain(), b"");
    bench.settle();
    assert_eq!(second.story(), ["pause"]);
    bench.run_until(|| {
        peer.read();
        second.has(Call::Resume)
    });
    assert_eq!(first.story(), ["made", "pause"]);
    assert_eq!(second.story(), ["pause", "resume"]);
}

over_each!(p_05_a_protocol_that_comes_to_an_empty_buffer_is_told_nothing);
fn p_05_a_protocol_that_comes_to_an_empty_buffer_is_told_nothing(bench: &mut Bench) {
    let (first, second) = (bench.log().switched(), bench.log().switched());
    let (transport, peer) = bench.open(first.plain());
    transport.write(&pattern(1_000_000));
    bench.run_until(|| {
        peer.read();
        first.has(Call::Resume)
    });
    bench.run_until(|| peer.read() == 1_000_000);
    transport.set_protocol(second.plain(), b"");
    bench.settle();
    assert_eq!(second.story(), [""; 0]);
    assert_eq!(first.story(), ["made", "pause", "resume"]);
}

over_each!(p_05_setting_the_same_protocol_again_tells_nothing_again);
fn p_05_setting_the_same_protocol_again_tells_nothing_again(bench: &mut Bench) {
    // The log refuses a second pause in a row.
    let (log, transport, peer) = bench.connect();
    let again = |transport: &wharf::TransportRef| {
        let same = transport.protocol().expect("an open transport has a protocol");
        transport.set_protocol(same, b"");
    };
    bench.fill(&transport);
    transport.set_write_buffer_limits(Limits::high(0));
    bench.settle();
    assert_eq!(log.story(), ["made", "pause"]);
    again(&transport);
    bench.settle();
    log.on(Call::Resume, again);
    bench.run_until(|| {
        peer.read();
        log.has(Call::Resume)
    });
    assert_eq!(log.story(), ["made", "pause", "resume"]);
}

over_each!(
    p_06_connection_made_goes_to_the_protocol_that_is_set_when_it_runs
    on memory: "elsewhere the transport is known only after connection_made"
);
fn p_06_connection_made_goes_to_the_protocol_that_is_set_when_it_runs(bench: &mut Bench) {
    let (first, second) = (bench.log().switched(), bench.log());
    let (mut starting, peer) = bench.start(first.plain());
    let std::task::Poll::Ready(Ok(transport)) = crate::support::poll(&mut starting) else {
        panic!("a transport in memory is there at once");
    };
    transport.set_protocol(second.plain(), b"leftover");
    bench.settle();
    assert_eq!(second.story(), ["made", "data leftover"]);
    peer.shutdown();
    bench.run_until(|| second.is_lost());
    assert_eq!(first.story(), [""; 0]);
}
