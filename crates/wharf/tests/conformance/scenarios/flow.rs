//! Scenarios of flow control: pausing the reader, and the marks of the write buffer.

use std::cell::Cell;
use std::rc::Rc;

use super::performance::perform;
use super::recorder::{Callback, Recorder};
use wharf::{Limits, TransportRef};

/// The marks as asyncio gives them.
fn limits(transport: &TransportRef) -> (usize, usize) {
    let limits = transport.write_buffer_limits();
    (limits.low_mark(), limits.high_mark())
}

#[test]
fn s14_reading_pauses_and_resumes() {
    perform("S14", async |scene| {
        let (transport, peer) = scene.connect(Recorder::new(scene, "A")).await;
        scene.value("is_reading", transport.is_reading());
        transport.pause_reading();
        transport.pause_reading();
        scene.did("pause twice");
        scene.value("is_reading", transport.is_reading());
        peer.send(b"one");
        peer.send(b"two");
        peer.shutdown();
        scene.settle().await;
        transport.resume_reading();
        transport.resume_reading();
        scene.did("resume twice");
        scene.value("is_reading", transport.is_reading());
        scene.until("cb A connection_lost").await;
        scene.value("is_reading", transport.is_reading());
        transport.pause_reading();
        scene.did("pause after close");
        transport.resume_reading();
        scene.did("resume after close");
    });
}

#[test]
fn s15_a_pause_in_data_received_stops_the_flow_at_once() {
    perform("S15", async |scene| {
        let received = Rc::new(Cell::new(0));
        let (of_the_hook, mut paused) = (scene.clone(), false);
        let recorder =
            Recorder::new(scene, "A").counts(&received).on(Callback::Data, move |transport| {
                if !std::mem::replace(&mut paused, true) {
                    transport.pause_reading();
                    of_the_hook.did("pause_reading in data_received");
                }
            });
        let (transport, peer) = scene.connect_unix(recorder).await;
        let total = peer.fill(2_000_000);
        scene.until("> pause_reading in data_received").await;
        let first = received.get();
        scene.value("something delivered, not all", first > 0 && first <= total);
        scene.settle().await;
        scene.value("more while paused", received.get() - first);
        transport.resume_reading();
        scene.did("resume_reading");
        scene.until_true("the rest", || received.get() >= total).await;
        scene.settle().await;
        scene.value("all delivered", received.get() == total);
        transport.close();
        scene.until("cb A connection_lost").await;
    });
}

#[test]
fn s17_the_high_mark_is_strict_and_the_low_one_is_not() {
    perform("S17", async |scene| {
        let (transport, peer) = scene.connect_unix(Recorder::new(scene, "A")).await;
        scene.value("default limits (low, high)", limits(&transport));
        scene.fill(&transport, 4096).await;
        let size = transport.write_buffer_len();
        let high = size + 100;
        transport.set_write_buffer_limits(Limits::new(high, 50).unwrap());
        scene.did("set limits high=size+100 low=50");
        transport.write(&[b'a'; 100]);
        scene.did("write to exactly high");
        scene.value("size-high", transport.write_buffer_len() - high);
        transport.write(b"b");
        scene.did("write 1 more");
        transport.write(&[b'c'; 100]);
        scene.did("write more while paused");
        // Before the raw end reads: what is told about the writes is told before the turn ends.
        scene.turn().await;
        peer.drains().await;
        scene.value("buffer size", transport.write_buffer_len());
        transport.close();
        scene.until("cb A connection_lost").await;
        scene.settle().await;
    });
}

#[test]
fn s18_a_missing_mark_is_derived_and_a_wrong_one_refused() {
    perform("S18", async |scene| {
        let (transport, _peer) = scene.connect(Recorder::new(scene, "A")).await;
        for (given, wanted) in [
            ("{'high': 0}", Limits::high(0)),
            ("{'high': 100}", Limits::high(100)),
            ("{'low': 10}", Limits::low(10)),
            ("{'high': 8, 'low': 8}", Limits::new(8, 8).unwrap()),
            ("{}", Limits::default()),
        ] {
            transport.set_write_buffer_limits(wanted);
            scene.value(format!("limits after {given}"), limits(&transport));
        }
        scene.attempt("high=1 low=2", Limits::new(1, 2));
        scene.value("limits unchanged", limits(&transport));
        transport.close();
        scene.until("cb A connection_lost").await;
        scene.settle().await;
    });
}

#[test]
fn s19_a_high_mark_of_zero_pauses_on_any_queued_byte() {
    perform("S19", async |scene| {
        let (transport, peer) = scene.connect_unix(Recorder::new(scene, "A")).await;
        scene.fill(&transport, 4096).await;
        scene.did("buffered below the default high mark");
        transport.set_write_buffer_limits(Limits::high(0));
        scene.did("set_write_buffer_limits(0) done");
        scene.until("cb A pause_writing").await;
        peer.drains().await;
        transport.write(b"fits");
        scene.did("write that the kernel takes whole");
        scene.settle().await;
        transport.close();
        scene.until("cb A connection_lost").await;
        scene.settle().await;
    });
}
