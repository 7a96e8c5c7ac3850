//! Scenarios of birth: what comes first, and what may be done in `connection_made`.

use super::peer::{client, tcp_pair};
use super::performance::perform;
use super::recorder::{Callback, Recorder};
use wharf::tcp;

#[test]
fn s01_waiting_bytes_come_after_the_birth_and_after_the_caller() {
    perform("S01", async |scene| {
        let (ours, peer) = tcp_pair(scene);
        peer.send(b"early");
        scene.settle().await;
        let factory = || {
            scene.did("factory called");
            Recorder::new(scene, "A")
        };
        let (transport, _) = tcp::adopt(&scene.handle, ours, factory).await.unwrap();
        scene.did("create_connection returned");
        scene.until("cb A data_received").await;
        transport.close();
        scene.did("close");
        scene.value("is_closing", transport.is_closing());
        scene.until("cb A connection_lost").await;
        scene.settle().await;
    });
}

#[test]
fn s02_a_connection_and_its_data_arrive_together() {
    perform("S02", async |scene| {
        let of_the_factory = scene.clone();
        let factory = move || {
            of_the_factory.did("factory called");
            Recorder::new(&of_the_factory, "A").on(Callback::Data, |transport| {
                transport.write(b"HI");
            })
        };
        let server = tcp::listen(&scene.handle, "127.0.0.1:0", factory).await.unwrap();
        let peer = client(scene, server.addresses()[0].ip().unwrap());
        peer.send(b"hi");
        scene.until("cb A data_received").await;
        peer.sees().await;
        peer.close();
        scene.until("cb A connection_lost").await;
        server.close();
        server.wait_closed().await;
        scene.did("wait_closed returned");
    });
}

#[test]
fn s03_a_small_write_goes_out_before_a_close() {
    perform("S03", async |scene| {
        let (transport, peer) = scene.connect(Recorder::new(scene, "A")).await;
        transport.write(b"bye");
        scene.did("write 3");
        transport.close();
        scene.did("close");
        scene.value("is_closing", transport.is_closing());
        transport.close();
        scene.did("close again");
        transport.write(b"late");
        scene.did("write after close");
        scene.until("cb A connection_lost").await;
        peer.sees().await;
        scene.settle().await;
    });
}

#[test]
fn s16_reading_can_be_paused_from_the_first_moment() {
    perform("S16", async |scene| {
        let recorder =
            Recorder::new(scene, "A").on(Callback::Made, |transport| transport.pause_reading());
        let (ours, peer) = tcp_pair(scene);
        peer.send(b"early");
        let transport = scene.adopt(ours, recorder).await.unwrap();
        scene.settle().await;
        scene.value("is_reading", transport.is_reading());
        transport.resume_reading();
        scene.did("resume_reading");
        scene.until("cb A data_received").await;
        transport.close();
        scene.until("cb A connection_lost").await;
        scene.settle().await;
    });
}

#[test]
fn s24_a_close_in_connection_made_sends_what_was_written_and_delivers_nothing() {
    perform("S24", async |scene| {
        let recorder = Recorder::new(scene, "A").on(Callback::Made, |transport| {
            transport.write(b"no");
            transport.close();
        });
        let (ours, peer) = tcp_pair(scene);
        peer.send(b"never seen");
        let transport = scene.adopt(ours, recorder).await.unwrap();
        scene.did("create_connection returned");
        scene.value("is_closing", transport.is_closing());
        scene.settle().await;
        peer.sees().await;
    });
}
