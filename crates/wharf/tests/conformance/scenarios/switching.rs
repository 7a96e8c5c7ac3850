//! Scenarios of protocols: switched in the middle, and buffered ones.

use super::performance::perform;
use super::recorder::{BufferedRecorder, Callback, Recorder};
use wharf::{Buffered, IntoProtocol};

#[test]
fn s25_protocols_are_switched_from_plain_to_buffered_and_back() {
    perform("S25", async |scene| {
        let (_, buffered) = Buffered(BufferedRecorder::new(scene, "B", 8)).share();
        let of_the_hook = scene.clone();
        let recorder = Recorder::new(scene, "A").on(Callback::Data, move |transport| {
            transport.set_protocol(buffered.clone(), b"");
            of_the_hook.did("set_protocol(buffered)");
            let is_new = transport.protocol().as_ref() == Some(&buffered);
            of_the_hook.value("get_protocol is the new one", is_new);
        });
        let (transport, peer) = scene.connect(recorder).await;
        peer.send(b"first");
        scene.until("cb A data_received").await;
        peer.send(b"second");
        scene.until("cb B buffer_updated").await;
        transport.set_protocol(Recorder::new(scene, "C"), b"");
        scene.did("set_protocol(plain)");
        peer.send(b"third");
        scene.until("cb C data_received").await;
        peer.close();
        scene.until("cb C connection_lost").await;
        scene.settle().await;
    });
}

#[test]
fn s26_a_buffer_of_four_bytes_receives_ten() {
    perform("S26", async |scene| {
        let protocol = BufferedRecorder::new(scene, "B", 4);
        let received = protocol.received();
        let (_transport, peer) = scene.connect(Buffered(protocol)).await;
        peer.send(b"0123456789");
        scene.until("b'89'").await;
        peer.shutdown();
        scene.until("cb B connection_lost").await;
        scene.value("bytes", received.take());
    });
}

#[test]
fn s27_an_empty_buffer_and_a_panic_instead_of_one_end_the_connection() {
    perform("S27", async |scene| {
        let empty = BufferedRecorder::new(scene, "B", 0);
        let (_first, peer) = scene.connect(Buffered(empty)).await;
        peer.send(b"x");
        scene.until("cb B connection_lost").await;
        let failing = BufferedRecorder::new(scene, "C", 1).fails("LookupError: boom");
        let (_second, second_peer) = scene.connect(Buffered(failing)).await;
        second_peer.send(b"x");
        scene.until("cb C connection_lost").await;
        scene.settle().await;
    });
}
