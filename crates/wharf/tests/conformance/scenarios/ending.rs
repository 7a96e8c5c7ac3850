//! Scenarios of the end: close, abort, and the half closes of either side.

use super::performance::perform;
use super::recorder::{Callback, Recorder};
use super::scene::Scene;
use std::io::IoSlice;
use wharf::TransportRef;

const CHUNK: usize = 65_536;

/// Queues `count` chunks more; says how many bytes that is.
fn write_chunks(transport: &TransportRef, count: usize) -> usize {
    for _ in 0..count {
        transport.write(&[b'y'; CHUNK]);
    }
    count * CHUNK
}

fn has_lost(scene: &Scene) -> bool {
    scene.trace().iter().any(|line| line.contains("connection_lost"))
}

#[test]
fn s04_a_close_waits_for_the_flush() {
    perform("S04", async |scene| {
        let (transport, peer) = scene.connect_unix(Recorder::new(scene, "A")).await;
        let mut written = scene.fill(&transport, CHUNK).await;
        written += write_chunks(&transport, 4);
        transport.close();
        scene.did("close");
        scene.settle().await;
        scene.value("connection_lost yet", has_lost(scene));
        let (count, end) = peer.drains().await;
        let all = if count == written { "everything" } else { "not everything" };
        scene.line(format!("peer< {all} {end}"));
        scene.settle().await;
    });
}

#[test]
fn s05_a_write_after_close_is_dropped_although_the_buffer_drains() {
    perform("S05", async |scene| {
        let (transport, peer) = scene.connect_unix(Recorder::new(scene, "A")).await;
        let written = scene.fill(&transport, CHUNK).await;
        transport.close();
        scene.did("close");
        transport.write(b"trailer");
        scene.did("write 7 after close");
        let (count, end) = peer.drains().await;
        scene.value("extra bytes at the peer", count - written);
        scene.line(format!("peer< {end}"));
        scene.settle().await;
    });
}

#[test]
fn s06_abort_drops_the_buffer() {
    perform("S06", async |scene| {
        let (transport, peer) = scene.connect_unix(Recorder::new(scene, "A")).await;
        let mut written = scene.fill(&transport, CHUNK).await;
        written += write_chunks(&transport, 8);
        transport.abort();
        scene.did("abort");
        scene.value("is_closing", transport.is_closing());
        scene.value("buffer size", transport.write_buffer_len());
        transport.abort();
        transport.close();
        scene.did("abort and close again");
        let (count, end) = peer.drains().await;
        let what = if count < written { "less than written" } else { "all" };
        scene.line(format!("peer< {what} {end}"));
        scene.settle().await;
    });
}

#[test]
fn s07_the_peers_end_closes_after_what_was_written_in_its_callback() {
    perform("S07", async |scene| {
        let recorder = Recorder::new(scene, "A").on(Callback::Eof, |transport| {
            transport.write(b"last");
        });
        let (transport, peer) = scene.connect(recorder).await;
        peer.send(b"q");
        peer.shutdown();
        scene.until("cb A connection_lost").await;
        scene.value("is_closing", transport.is_closing());
        peer.sees().await;
    });
}

#[test]
fn s08_the_peers_end_can_be_kept_open() {
    perform("S08", async |scene| {
        let (transport, peer) = scene.connect(Recorder::new(scene, "A").keeps_open()).await;
        peer.shutdown();
        scene.until("cb A eof_received").await;
        scene.settle().await;
        scene.value("is_closing", transport.is_closing());
        transport.write(b"answer");
        scene.did("write 6");
        peer.sees().await;
        transport.close();
        scene.did("close");
        scene.until("cb A connection_lost").await;
        peer.sees().await;
    });
}

#[test]
fn s09_after_write_eof_the_answer_is_still_heard() {
    perform("S09", async |scene| {
        let (transport, peer) = scene.connect(Recorder::new(scene, "A")).await;
        scene.value("can_write_eof", transport.can_write_eof());
        transport.write(b"req");
        transport.write_eof();
        scene.did("write 3, write_eof");
        transport.write_eof();
        scene.did("write_eof again");
        let answers = |what: &str, flow| scene.did(format!("{what} answers {flow:?}"));
        answers("write after write_eof", transport.write(b"x"));
        answers("write empty after write_eof", transport.write(b""));
        answers("writelines after write_eof", transport.writelines(&[IoSlice::new(b"x")]));
        scene.value("is_closing", transport.is_closing());
        peer.sees().await;
        peer.send(b"resp");
        scene.until("cb A data_received").await;
        peer.close();
        scene.until("cb A connection_lost").await;
        transport.write_eof();
        scene.did("write_eof after connection_lost");
    });
}

#[test]
fn s10_write_eof_waits_for_the_buffer() {
    perform("S10", async |scene| {
        let (transport, peer) = scene.connect_unix(Recorder::new(scene, "A")).await;
        let written = scene.fill(&transport, CHUNK).await;
        transport.write_eof();
        scene.did("write_eof with data buffered");
        scene.settle().await;
        let (first, end) = peer.reads(1000).await;
        scene.value("eof before the data", end == "eof");
        let (rest, end) = peer.drains().await;
        let what = if first.len() + rest == written { "everything" } else { "short" };
        scene.line(format!("peer< {what} {end}"));
        peer.close();
        scene.until("cb A connection_lost").await;
        scene.settle().await;
    });
}
