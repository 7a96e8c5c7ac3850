//! Who may call whom, and when: methods inside callbacks, callbacks inside nothing (rows BT-13 to BT-15).

use std::error::Error;
use std::fmt;

use wharf::{Flow, Limits, TransportRef};

use crate::support::{Bench, Call, ENDING, Log, METHODS, Peer, over_each, poke};

// invariant: T7
over_each!(bt_13_every_method_is_harmless_after_close_and_after_the_loss);
fn bt_13_every_method_is_harmless_after_close_and_after_the_loss(bench: &mut Bench) {
    let (log, transport, _peer) = bench.connect();
    bench.fill(&transport);
    let left = transport.write_buffer_len();
    transport.close();
    for (name, method) in METHODS.iter().chain(&ENDING[..2]) {
        method(&transport);
        assert_eq!(transport.write(name.as_bytes()), Flow::Closed, "{name} while draining");
        assert_eq!((transport.write_buffer_len(), transport.is_reading()), (left, false), "{name}");
    }
    assert_eq!(log.story(), ["made"]);

    let before: [fn(&TransportRef, &Peer); 4] = [
        |transport, _| transport.close(),
        |transport, _| transport.abort(),
        |_, peer| peer.close(),
        |transport, peer| peer.reset(transport),
    ];
    for end in before {
        let (log, transport, peer) = bench.connect();
        end(&transport, &peer);
        bench.run_until(|| log.is_lost());
        let story = log.story();
        for (name, method) in METHODS.iter().chain(ENDING) {
            method(&transport);
            assert_eq!(transport.write(name.as_bytes()), Flow::Closed);
            assert_eq!(transport.write_bytes(bytes::Bytes::from_static(b"b")), Flow::Closed);
            assert_eq!(transport.writelines(&[std::io::IoSlice::new(b"l")]), Flow::Closed);
            assert!(transport.is_closing() && !transport.is_reading(), "after {name}");
            assert_eq!((transport.write_buffer_len(), transport.protocol().is_none()), (0, true));
        }
        let orphan = Log::new().switched();
        let (_, previous) = transport.set_protocol(orphan.plain(), b"leftover");
        assert!(previous.is_none());
        bench.settle();
        assert_eq!((log.story(), orphan.story()), (story, vec![]));
    }
}

// invariant: T2
over_each!(bt_14_callbacks_come_one_at_a_time_and_in_order_whatever_happens);
fn bt_14_callbacks_come_one_at_a_time_and_in_order_whatever_happens(bench: &mut Bench) {
    // The log itself refuses a callback that nests, comes twice, too early or too late.
    bench.contain_faults();
    let gone = bench.log();
    bench.open_after(gone.plain(), |peer| {
        peer.send(b"last words");
        peer.close();
    });
    bench.run_until(|| gone.is_lost());
    assert_eq!(gone.story(), ["made", "data last words", "eof", "lost eof"]);

    for call in [Call::Made, Call::Data, Call::Eof, Call::Pause, Call::Resume, Call::Lost] {
        let log = bench.log();
        log.on(call, |_| panic!("on purpose"));
        let (outcome, peer) = bench.try_open(log.plain(), |peer| peer.send(b"x"));
        if let Ok((transport, _)) = outcome {
            transport.set_write_buffer_limits(Limits::high(0));
            transport.write(&[0; 1_000_000]);
            bench.run_until(|| log.has(Call::Pause) || log.is_lost());
            bench.run_until(|| {
                peer.read();
                log.has(Call::Resume) || log.is_lost()
            });
        }
        if !log.is_lost() {
            peer.shutdown();
        }
        bench.run_until(|| log.is_lost());
        let story = log.story();
        assert_eq!(story.first().map(String::as_str), Some("made"), "{call:?}");
        let last = if call == Call::Lost { "lost eof" } else { "lost fault" };
        assert_eq!(story.last().map(String::as_str), Some(last), "{call:?}: {story:?}");
    }
    assert!(bench.failed_callbacks().len() == 6, "each of the six panicked once");
}

// invariant: T3
over_each!(bt_14_every_callback_may_call_every_method_of_every_transport);
fn bt_14_every_callback_may_call_every_method_of_every_transport(bench: &mut Bench) {
    for buffered in [false, true] {
        let (other_log, other, other_peer) = bench.connect();
        let log = bench.log();
        for call in [
            Call::Made,
            Call::GetBuffer,
            Call::Data,
            Call::Eof,
            Call::Pause,
            Call::Resume,
            Call::Lost,
        ] {
            let other = other.clone();
            log.on(call, move |transport| {
                poke(transport);
                poke(&other);
                // What the protocol asks for from inside, the loop has to take as well.
                transport.scheduler().call_soon(Box::new(|| {}));
                drop(transport.scheduler().call_later(std::time::Duration::ZERO, Box::new(|| {})));
            });
        }
        let (transport, peer) =
            if buffered { bench.open(log.buffered(16)) } else { bench.open(log.plain()) };
        peer.send(b"x");
        bench.run_until(|| log.has(Call::Data));
        transport.set_write_buffer_limits(Limits::high(0));
        bench.settle();
        let read = || {
            other_peer.read();
            peer.read();
        };
        transport.write(&[0; 1_000_000]);
        transport.set_write_buffer_limits(Limits::high(0));
        bench.run_until(|| log.has(Call::Pause));
        bench.run_until(|| {
            read();
            log.has(Call::Resume)
        });
        peer.shutdown();
        bench.run_until(|| {
            read();
            log.is_lost()
        });
        assert!(log.has(Call::Eof) && !other_log.is_lost());
        assert_eq!(log.has(Call::GetBuffer), buffered);
    }
}

/// A cause that calls a transport when it is dropped.
#[derive(Debug)]
struct Meddler(TransportRef);

impl Drop for Meddler {
    fn drop(&mut self) {
        poke(&self.0);
    }
}

impl fmt::Display for Meddler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a cause")
    }
}

impl Error for Meddler {}

over_each!(bt_14_a_cause_that_is_dropped_may_call_every_method and one_way);
fn bt_14_a_cause_that_is_dropped_may_call_every_method(bench: &mut Bench) {
    let (log, transport, _peer) = bench.connect();
    let fail = || transport.fail(Box::new(Meddler(transport.clone())));
    fail();
    fail();
    bench.run_until(|| log.is_lost());
    fail();
    bench.settle();
    assert_eq!(log.story(), ["made", "lost failed"]);
}

// invariant: T1
over_each!(bt_15_no_transport_method_calls_the_protocol);
fn bt_15_no_transport_method_calls_the_protocol(bench: &mut Bench) {
    type State = fn(&mut Bench, &TransportRef, &Peer);
    let states: [(&str, State); 6] = [
        ("idle", |_, _, _| {}),
        ("over its mark", |_, transport, _| {
            transport.write(&[0; 1_000_000]);
        }),
        ("paused, with bytes waiting", |bench, transport, peer| {
            transport.pause_reading();
            peer.send(b"waiting");
            bench.settle();
        }),
        ("hung up on", |_, _, peer| peer.close()),
        ("reset", |_, transport, peer| peer.reset(transport)),
        ("half closed", |_, transport, _| transport.write_eof()),
    ];
    for (state, reach) in states {
        for (name, method) in METHODS.iter().chain(ENDING) {
            let (log, transport, peer) = bench.connect();
            reach(bench, &transport, &peer);
            let before = log.story();
            method(&transport);
            assert_eq!(log.story(), before, "{name} called back, {state}");
        }
    }
}

over_each!(bt_15_a_callback_that_calls_another_transport_calls_no_other_protocol);
fn bt_15_a_callback_that_calls_another_transport_calls_no_other_protocol(bench: &mut Bench) {
    for (name, method) in METHODS.iter().chain(ENDING) {
        let (other_log, other, _other_peer) = bench.connect();
        let (log, _transport, peer) = bench.connect();
        let (watched, written) = (other_log.clone(), other.clone());
        log.on(Call::Data, move |_| {
            let before = watched.story();
            written.write(&[0; 1_000_000]);
            method(&written);
            assert_eq!(watched.story(), before, "{name} called the other protocol");
        });
        peer.send(b"x");
        bench.run_until(|| log.has(Call::Data));
        bench.settle();
        let told = other_log.has(Call::Pause) || other.is_closing();
        assert!(told, "{name}: nothing is told afterwards");
    }
}
