//! Scenarios of failure: resets, a peer that is gone, and callbacks that panic.

use std::cell::RefCell;
use std::rc::Rc;

use super::peer::tcp_pair;
use super::performance::perform;
use super::python::Raised;
use super::recorder::{Callback, Recorder};
use wharf::{Limits, TransportRef};

fn boom(_: &TransportRef) {
    panic!("RuntimeError: boom");
}

#[test]
fn s11_a_reset_ends_an_idle_connection() {
    perform("S11", async |scene| {
        let (transport, peer) = scene.connect(Recorder::new(scene, "A")).await;
        peer.reset();
        scene.until("cb A connection_lost").await;
        scene.value("is_closing", transport.is_closing());
        transport.write(b"x");
        scene.did("write after the loss");
        scene.settle().await;
    });
}

#[test]
fn s12_data_before_a_reset_is_delivered() {
    perform("S12", async |scene| {
        let (transport, peer) = scene.connect(Recorder::new(scene, "A")).await;
        transport.pause_reading();
        scene.did("pause_reading");
        peer.send(b"data");
        scene.settle().await;
        peer.reset();
        scene.settle().await;
        transport.resume_reading();
        scene.did("resume_reading");
        scene.until("cb A connection_lost").await;
        scene.settle().await;
    });
}

#[test]
fn s13_a_peer_that_is_gone_shows_on_the_second_write() {
    perform("S13", async |scene| {
        let (transport, peer) = scene.connect(Recorder::new(scene, "A")).await;
        transport.pause_reading();
        peer.close();
        scene.settle().await;
        for number in 0..3 {
            transport.write(&[b'x'; 10]);
            scene.did(format!("write #{number}"));
            scene.value("is_closing", transport.is_closing());
            scene.settle().await;
        }
        for number in 3..9 {
            transport.write(b"more");
            scene.did(format!("write #{number}"));
        }
        scene.settle().await;
    });
}

#[test]
fn s20_a_panic_in_data_received_ends_the_connection() {
    perform("S20", async |scene| {
        let (_transport, peer) =
            scene.connect(Recorder::new(scene, "A").on(Callback::Data, boom)).await;
        peer.send(b"x");
        peer.send(b"y");
        scene.until("cb A connection_lost").await;
        peer.sees().await;
    });
}

#[test]
fn s21_a_panic_in_connection_made_ends_the_connection() {
    perform("S21", async |scene| {
        let kept = Rc::new(RefCell::new(None));
        let keep = Rc::clone(&kept);
        let recorder = Recorder::new(scene, "A").on(Callback::Made, move |transport| {
            keep.replace(Some(transport.clone()));
            boom(transport);
        });
        let (ours, peer) = tcp_pair(scene);
        match scene.adopt(ours, recorder).await {
            Ok(_) => scene.did("create_connection returned"),
            Err(error) => scene.did(format!("create_connection raised {}", error.raised())),
        }
        let transport: TransportRef = kept.take().expect("connection_made was called");
        peer.send(b"x");
        scene.settle().await;
        scene.value("is_closing", transport.is_closing());
        transport.close();
        scene.did("close");
        scene.settle().await;
    });
}

#[test]
fn s22_panics_at_the_end_are_reported_and_the_socket_is_closed() {
    perform("S22", async |scene| {
        let (_transport, peer) =
            scene.connect(Recorder::new(scene, "A").on(Callback::Eof, boom)).await;
        peer.shutdown();
        scene.until("cb A connection_lost").await;
        let (second, second_peer) =
            scene.connect(Recorder::new(scene, "C").on(Callback::Lost, boom)).await;
        second.close();
        scene.did("close");
        scene.until("cb C connection_lost").await;
        second_peer.sees().await;
    });
}

#[test]
fn s23_a_panic_in_pause_writing_ends_the_connection() {
    perform("S23", async |scene| {
        let recorder =
            Recorder::new(scene, "A").on(Callback::Pause, boom).on(Callback::Resume, boom);
        let (transport, peer) = scene.connect_unix(recorder).await;
        transport.set_write_buffer_limits(Limits::new(10, 0).unwrap());
        let written = scene.fill(&transport, 65_536).await;
        scene.did("writes returned");
        let (count, _) = peer.drains().await;
        scene.value("all bytes out", count == written);
        scene.value("is_closing", transport.is_closing());
        transport.close();
        scene.settle().await;
    });
}
