//! Panics in callbacks, and protocols that are held (rows X-07, D-34).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use wharf::IntoDatagramProtocol;

use super::bench::{Bench, Settings, datagrams_over};
use super::log::Call;

datagrams_over!(x_07_a_panic_in_datagram_received_costs_that_datagram_alone);
fn x_07_a_panic_in_datagram_received_costs_that_datagram_alone(bench: &mut Bench) {
    bench.contain_faults();
    let (log, transport, peer) = bench.open();
    log.on_data(|_, _, _| panic!("boom"));
    for word in ["a", "b", "c"] {
        peer.send(word.as_bytes());
    }
    bench.run_until(|| log.count(Call::Data) == 3);
    bench.settle();
    assert_eq!(log.story(), ["made", "data a", "data b", "data c"], "the rest of the batch comes");
    assert_eq!(bench.failed_callbacks(), ["datagrams_received"]);
    assert!(!transport.is_closing());
    transport.close();
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story().last().unwrap(), "lost closed");
}

datagrams_over!(x_07_a_panic_in_error_received_is_survived on memory: "it can fail as told");
fn x_07_a_panic_in_error_received_is_survived(bench: &mut Bench) {
    bench.contain_faults();
    let (log, transport, peer) = bench.open();
    log.on(Call::Error, |_| panic!("boom"));
    peer.wire().endpoint().fail_sends(&[std::io::ErrorKind::OutOfMemory]);
    transport.send_to(b"lost", Some(&peer.address())).unwrap();
    transport.send_to(b"sent", Some(&peer.address())).unwrap();
    bench.settle();
    assert_eq!(bench.failed_callbacks(), ["error_received"]);
    assert_eq!(peer.take(), [b"sent"]);
    assert!(!transport.is_closing());
}

datagrams_over!(x_07_a_panic_in_connection_made_ends_the_endpoint);
fn x_07_a_panic_in_connection_made_ends_the_endpoint(bench: &mut Bench) {
    bench.contain_faults();
    let log = bench.log();
    log.on(Call::Made, |_| panic!("boom"));
    if let super::bench::Over::Memory = bench.over() {
        bench.put(log.plain(), Settings::default());
    } else {
        let handle = bench.event_loop().handle().clone();
        let protocol = log.plain();
        let open = wharf::udp::bind(&handle, "127.0.0.1:0", || protocol).into_future();
        let error = bench.event_loop().block_on(open).unwrap_err();
        assert!(error.to_string().contains("boom"), "{error}");
    }
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "lost fault"]);
    assert_eq!(bench.failed_callbacks(), ["connection_made"]);
    assert_eq!(bench.sources(), 0);
}

datagrams_over!(x_07_a_panic_in_a_batch_costs_what_it_has_looked_at);
fn x_07_a_panic_in_a_batch_costs_what_it_has_looked_at(bench: &mut Bench) {
    bench.contain_faults();
    let log = bench.log();
    let own = log.clone();
    let protocol = log.batched(move |_, batch| {
        for one in batch {
            own.note(one.data().escape_ascii().to_string());
            assert_ne!(one.data(), b"b", "boom");
        }
    });
    let (transport, peer) = bench.put(protocol, Settings::default());
    for word in ["a", "b", "c", "d"] {
        peer.send(word.as_bytes());
    }
    bench.run_until(|| log.story().contains(&"d".to_owned()));
    let words: Vec<_> = log.story().into_iter().filter(|line| line.len() == 1).collect();
    assert_eq!(words, ["a", "b", "c", "d"]);
    assert!(!transport.is_closing());
    bench.failed_callbacks();
}

datagrams_over!(x_07_a_protocol_that_cannot_look_at_its_batch_loses_it);
fn x_07_a_protocol_that_cannot_look_at_its_batch_loses_it(bench: &mut Bench) {
    bench.contain_faults();
    let log = bench.log();
    let protocol = log.batched(|_, _| panic!("boom"));
    let (transport, peer) = bench.put(protocol, Settings::default());
    peer.send(b"a");
    bench.run_until(|| !bench_failed(&log).is_empty());
    bench.settle();
    assert_eq!(log.story(), ["made", "batch of 1"]);
    assert!(!transport.is_closing());
    bench.failed_callbacks();
}

/// The batches that a log was given.
fn bench_failed(log: &super::log::Log) -> Vec<String> {
    log.story().into_iter().filter(|line| line.starts_with("batch")).collect()
}

datagrams_over!(d_34_a_protocol_that_is_held_is_refused_and_nothing_is_lost);
fn d_34_a_protocol_that_is_held_is_refused_and_nothing_is_lost(bench: &mut Bench) {
    let log = bench.log();
    let (shared, _) = log.plain().share();
    let (_transport, peer) = bench.put(Rc::clone(&shared), Settings::default());
    peer.send(b"held");
    let held = shared.borrow_mut();
    let mut refusals = 0;
    for _ in 0..20 {
        let turned = catch_unwind(AssertUnwindSafe(|| bench.turn()));
        if let Err(payload) = turned {
            let message = payload.downcast_ref::<String>().expect("it says why");
            assert!(message.contains("is borrowed while the loop runs"), "{message}");
            refusals += 1;
        }
    }
    assert!(refusals > 0);
    drop(held);
    bench.run_until(|| log.has(Call::Data));
    assert_eq!(log.story(), ["made", "data held"]);
    drop(shared);
}
