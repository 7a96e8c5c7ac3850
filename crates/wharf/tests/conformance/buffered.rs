//! Protocols that own the buffer they receive into (rows BP-01 to BP-06, BP-09, BP-10).

use std::cell::Cell;
use std::io::ErrorKind;
use std::rc::Rc;

use crate::support::{Bench, Call, Stubborn, over_each, pattern};

over_each!(bp_01_each_read_asks_for_the_buffer_then_tells_how_much and read);
fn bp_01_each_read_asks_for_the_buffer_then_tells_how_much(bench: &mut Bench) {
    let (log, _transport, peer) = bench.connect_buffered(100);
    for round in 1..=3 {
        peer.send(b"abc");
        bench.run_until(|| log.count(Call::Data) == round);
        assert!(log.count(Call::GetBuffer) >= round);
    }
    assert_eq!(log.story(), ["made", "data abcabcabc"]);
    assert_eq!(log.chunks(), [3, 3, 3]);
}

over_each!(bp_02_the_size_is_not_known_before_a_read);
fn bp_02_the_size_is_not_known_before_a_read(bench: &mut Bench) {
    let (log, _transport, peer) = bench.connect_buffered(100);
    peer.send(b"abc");
    bench.run_until(|| log.has(Call::Data));
    assert!(log.hints().iter().all(Option::is_none), "{:?}", log.hints());
}

over_each!(bp_03_a_small_buffer_is_filled_again_and_again and read);
fn bp_03_a_small_buffer_is_filled_again_and_again(bench: &mut Bench) {
    let (log, _transport, peer) = bench.connect_buffered(4);
    peer.send(b"0123456789");
    peer.shutdown();
    bench.run_until(|| log.is_lost());
    assert_eq!(log.chunks(), [4, 4, 2]);
    assert_eq!(log.story(), ["made", "data 0123456789", "eof", "lost eof"]);
}

over_each!(bp_04_an_empty_buffer_is_a_fault and read);
fn bp_04_an_empty_buffer_is_a_fault(bench: &mut Bench) {
    bench.contain_faults();
    let (log, transport, peer) = bench.connect_buffered(0);
    peer.send(b"x");
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "lost fault"]);
    assert_eq!(log.why().unwrap().text, "get_buffer failed: the buffer is empty");
    assert_eq!(log.count(Call::GetBuffer), 1);
    let faults = bench.faults();
    assert_eq!((faults.len(), faults[0].transport), (1, Some(transport.id())));
}

over_each!(bp_05_the_end_may_follow_a_get_buffer and read);
fn bp_05_the_end_may_follow_a_get_buffer(bench: &mut Bench) {
    let (log, _transport, peer) = bench.connect_buffered(100);
    peer.shutdown();
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "eof", "lost eof"]);
    assert_eq!(log.count(Call::Data), 0);
}

over_each!(
    bp_06_a_read_that_would_block_tells_nothing_more
    on unix: "the failing socket is a Unix one"
);
fn bp_06_a_read_that_would_block_tells_nothing_more(bench: &mut Bench) {
    let log = bench.log();
    let (_transport, peer, script) = Stubborn::open(bench, log.buffered(100));
    script.fail_reads(&[ErrorKind::WouldBlock, ErrorKind::Interrupted]);
    peer.send(b"abc");
    bench.run_until(|| log.has(Call::Data));
    assert!(script.is_done());
    assert_eq!((log.count(Call::GetBuffer), log.count(Call::Data)), (3, 1));
    assert_eq!(log.story(), ["made", "data abc"]);
}

over_each!(bp_09_the_buffer_is_the_protocols_between_the_calls and read);
fn bp_09_the_buffer_is_the_protocols_between_the_calls(bench: &mut Bench) {
    let log = bench.log();
    let (outcome, peer) = bench.try_open(log.buffered(8), |_| {});
    let (transport, shared) = outcome.unwrap();
    log.on(Call::Data, |transport| transport.pause_reading());
    peer.send(b"01234567");
    bench.run_until(|| log.has(Call::Data));
    peer.send(b"ABCDEFGH");
    bench.settle();
    assert_eq!(shared.borrow().0.buffer(), b"01234567", "it was written to while paused");
    transport.resume_reading();
    bench.run_until(|| log.count(Call::Data) == 2);
    assert_eq!(shared.borrow().0.buffer(), b"ABCDEFGH");
}

over_each!(bp_10_leftover_is_fed_in_pieces_of_the_buffer);
fn bp_10_leftover_is_fed_in_pieces_of_the_buffer(bench: &mut Bench) {
    let (first, second) = (bench.log().switched(), bench.log().switched());
    let (transport, peer) = bench.open(first.plain());
    transport.set_protocol(second.buffered(4), b"0123456789");
    bench.run_until(|| second.data_len() == 10);
    assert_eq!(second.chunks(), [4, 4, 2]);
    assert_eq!(second.hints()[..3], [Some(10), Some(6), Some(2)]);
    peer.send(b"abc");
    bench.run_until(|| second.data_len() == 13);
    assert_eq!(second.story(), ["data 0123456789abc"]);
}

over_each!(bp_10_leftover_for_an_empty_buffer_is_a_fault);
fn bp_10_leftover_for_an_empty_buffer_is_a_fault(bench: &mut Bench) {
    bench.contain_faults();
    let (first, second) = (bench.log().switched(), bench.log().switched());
    let (transport, _peer) = bench.open(first.plain());
    transport.set_protocol(second.buffered(0), b"leftover");
    bench.run_until(|| second.is_lost());
    assert_eq!(second.story(), ["lost fault"]);
    assert_eq!(bench.failed_callbacks(), ["get_buffer"]);
}

over_each!(bp_10_a_pause_stops_the_feeding_of_leftover);
fn bp_10_a_pause_stops_the_feeding_of_leftover(bench: &mut Bench) {
    let (first, second) = (bench.log().switched(), bench.log().switched());
    let (transport, _peer) = bench.open(first.plain());
    second.on(Call::Data, |transport| transport.pause_reading());
    transport.set_protocol(second.buffered(4), &pattern(10));
    bench.settle();
    assert_eq!(second.chunks(), [4]);
    transport.resume_reading();
    bench.settle();
    assert_eq!(second.chunks(), [4, 4]);
    transport.resume_reading();
    bench.settle();
    assert_eq!(second.data(), pattern(10));
}

over_each!(bp_10_a_close_ends_the_feeding_of_leftover);
fn bp_10_a_close_ends_the_feeding_of_leftover(bench: &mut Bench) {
    let (first, second) = (bench.log().switched(), bench.log().switched());
    let (transport, _peer) = bench.open(first.plain());
    let calls = Rc::new(Cell::new(0));
    let counter = Rc::clone(&calls);
    second.on(Call::Data, move |transport| {
        counter.set(counter.get() + 1);
        transport.close();
    });
    transport.set_protocol(second.buffered(4), &pattern(10));
    bench.run_until(|| second.is_lost());
    assert_eq!((calls.get(), second.chunks()), (1, vec![4]));
}
