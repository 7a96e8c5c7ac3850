//! Probes of corners, and of what looks like a defect in asyncio.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{IoSlice, Seek};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::rc::Rc;

use super::peer::{FullListener, client, dead_port, tcp_pair};
use super::performance::perform;
use super::recorder::{Callback, Recorder};
use crate::support::Folder;
use socket2::SockRef;
use wharf::reactor::stream::SocketView;
use wharf::{Address, Flow, Limits, tcp};

const CHUNK: usize = 65_536;

#[test]
fn q01_an_empty_chunk_in_writelines_is_harmless() {
    perform("Q01", async |scene| {
        let (transport, peer) = scene.connect(Recorder::new(scene, "A")).await;
        transport.writelines(&[IoSlice::new(b"abc"), IoSlice::new(b"")]);
        scene.did("writelines [abc, empty]");
        transport.close();
        scene.did("close");
        scene.settle().await;
        let lost = scene.trace().iter().any(|line| line.contains("connection_lost"));
        scene.value("connection_lost", lost);
        peer.sees().await;
        transport.abort();
        scene.settle().await;
    });
}

#[test]
fn q02_writelines_obeys_the_marks_and_the_close() {
    perform("Q02", async |scene| {
        let (transport, _peer) = scene.connect_unix(Recorder::new(scene, "A")).await;
        transport.set_write_buffer_limits(Limits::new(10, 0).unwrap());
        let chunk = vec![b'x'; 1 << 20];
        let flow = transport.writelines(&[IoSlice::new(&chunk); 4]);
        scene.did("writelines 4 MiB");
        scene.value("buffer above high", transport.write_buffer_len() > 10);
        // The answer of a write is what a nested `pause_writing` is in asyncio.
        scene.value("paused", flow == Flow::Full);
        transport.abort();
        scene.until("cb A connection_lost").await;
        transport.writelines(&[IoSlice::new(b"x")]);
        scene.did("writelines after connection_lost");
        let (transport, _peer) = scene.connect(Recorder::new(scene, "C")).await;
        transport.close();
        transport.writelines(&[IoSlice::new(b"x")]);
        scene.did("writelines after close");
        scene.until("cb C connection_lost").await;
        scene.settle().await;
    });
}

#[test]
fn q03_the_peers_end_is_told_once_whatever_is_paused() {
    perform("Q03", async |scene| {
        let (transport, peer) = scene.connect(Recorder::new(scene, "A").keeps_open()).await;
        peer.shutdown();
        scene.until("cb A eof_received").await;
        scene.value("is_reading after eof", transport.is_reading());
        transport.pause_reading();
        transport.resume_reading();
        scene.did("pause, resume");
        scene.settle().await;
        transport.close();
        scene.until("cb A connection_lost").await;
        scene.settle().await;
    });
}

#[test]
fn q06_a_factory_that_panics_costs_one_client() {
    perform("Q06", async |scene| {
        let of_the_factory = scene.clone();
        let factory = move || -> Recorder {
            of_the_factory.did("factory raises");
            panic!("RuntimeError: boom");
        };
        let server = tcp::listen(&scene.handle, "127.0.0.1:0", factory).await.unwrap();
        let peer = client(scene, server.addresses()[0].ip().unwrap());
        scene.until("> factory raises").await;
        peer.sees().await;
        scene.value("server still serving", server.is_serving());
        server.close();
    });
}

#[test]
fn q07_a_buffer_may_be_changed_after_it_was_written() {
    perform("Q07", async |scene| {
        let (transport, peer) = scene.connect_unix(Recorder::new(scene, "A")).await;
        scene.fill(&transport, CHUNK).await;
        let mut buffer = *b"AAAA";
        transport.write(&buffer);
        buffer.copy_from_slice(b"BBBB");
        scene.did("write(bytearray), then overwrite it");
        let (data, _) = peer.reads(usize::MAX).await;
        scene.value("peer got", data[data.len() - buffer.len()..].to_vec());
        transport.abort();
        scene.until("cb A connection_lost").await;
        scene.settle().await;
    });
}

#[test]
fn q11_an_abort_in_data_received_hides_the_end_behind_it() {
    perform("Q11", async |scene| {
        let of_the_hook = scene.clone();
        let recorder = Recorder::new(scene, "A").on(Callback::Data, move |transport| {
            transport.abort();
            of_the_hook.did("abort in data_received");
        });
        let (_transport, peer) = scene.connect(recorder).await;
        peer.send(b"x");
        peer.shutdown();
        scene.until("cb A connection_lost").await;
        scene.settle().await;
    });
}

#[test]
fn q12_resume_writing_may_write() {
    perform("Q12", async |scene| {
        let resumes = Rc::new(Cell::new(0));
        let (of_the_hook, count) = (scene.clone(), Rc::clone(&resumes));
        let recorder = Recorder::new(scene, "A").on(Callback::Resume, move |transport| {
            count.set(count.get() + 1);
            if count.get() < 3 {
                transport.write(&[b'z'; 400_000]);
                of_the_hook.did("write in resume_writing");
            }
        });
        let (transport, peer) = scene.connect_unix(recorder).await;
        scene.fill(&transport, CHUNK).await;
        transport.write(&[b'y'; 100_000]);
        scene.until("cb A pause_writing").await;
        peer.drains().await;
        scene.value("resumes", resumes.get());
        transport.close();
        scene.until("cb A connection_lost").await;
        scene.settle().await;
    });
}

#[test]
fn q13_facts_are_known_before_and_after_the_loss() {
    perform("Q13", async |scene| {
        let (transport, peer) = scene.connect(Recorder::new(scene, "A")).await;
        let (theirs, ours) = (Address::Ip(peer.local_addr()), Address::Ip(peer.peer_addr()));
        scene.value("peername", transport.peer_addr().as_ref() == Some(&theirs));
        scene.value("sockname", transport.local_addr().as_ref() == Some(&ours));
        // A fact that no transport knows of.
        let unknown = transport.extra::<u16>();
        scene.value("unknown key", unknown);
        scene.value("unknown key with default", unknown.unwrap_or(7));
        let socket = transport.extra::<SocketView>().expect("a socket has a view");
        let kind = std::any::type_name_of_val(&socket).rsplit("::").next().unwrap_or_default();
        scene.value("socket type", kind);
        let nodelay = socket.with(|fd| SockRef::from(&fd).tcp_nodelay().unwrap());
        scene.value("nodelay", nodelay);
        transport.close();
        scene.until("cb A connection_lost").await;
        scene.value("peername after close", transport.peer_addr().as_ref() == Some(&theirs));
        scene.value("sockname after close", transport.local_addr().as_ref() == Some(&ours));
        let descriptor =
            transport.extra::<SocketView>().and_then(|it| it.with(|fd| fd.as_raw_fd()));
        scene.value("socket after close", descriptor.unwrap_or(-1));
    });
}

#[test]
fn q14_a_file_goes_out_in_its_place_between_writes() {
    perform("Q14", async |scene| {
        let folder = Folder::new();
        let path = folder.join("f");
        fs::write(&path, b"0123456789".repeat(2_000_000)).unwrap();
        let (transport, peer) = scene.connect(Recorder::new(scene, "A")).await;
        transport.write(b"pre-");
        let mut file = File::open(&path).unwrap();
        let (handle, over, source) =
            (scene.handle.clone(), transport.clone(), file.try_clone().unwrap());
        let sending = scene
            .start(async move { tcp::sendfile(&handle, &over, &source, 10..15_000_010).await });
        scene.settle().await;
        transport.write(b"x");
        scene.did("write during sendfile");
        transport.writelines(&[IoSlice::new(b"x")]);
        scene.did("writelines during sendfile");
        scene.value("is_reading during", transport.is_reading());
        peer.reads(15_000_004).await;
        scene.value("returned", sending.task.await.unwrap().unwrap());
        scene.value("file position", file.stream_position().unwrap());
        scene.value("is_reading after", transport.is_reading());
        transport.write(b"-post");
        peer.sees().await;
        transport.close();
        let refused = tcp::sendfile(&scene.handle, &transport, &file, ..).await;
        scene.attempt("sendfile on a closing transport", refused);
        scene.until("cb A connection_lost").await;
        scene.settle().await;
    });
}

#[test]
fn q15_connecting_can_be_cancelled() {
    perform("Q15", async |scene| {
        let hole = FullListener::new();
        // An address of its own, that is taken as long as the socket exists; nobody else uses this network.
        let from = SocketAddr::from(([127, 15, 0, 1], dead_port()));
        let is_taken = || TcpListener::bind(from).is_err();
        let of_the_factory = scene.clone();
        let factory = move || Recorder::new(&of_the_factory, "A");
        let connect = tcp::connect(&scene.handle, hole.address, factory).local_addr(from);
        let task = scene.start(async move { connect.await.map(drop) });
        scene.until_true("a connection in the making", is_taken).await;
        scene.cancel(task, "create_connection raises").await;
        scene.value("descriptors leaked", usize::from(is_taken()));

        let (ours, peer) = tcp_pair(scene);
        let (handle, recorder) = (scene.handle.clone(), Recorder::new(scene, "C"));
        let adopt = async move { tcp::adopt(&handle, ours, || recorder).await.map(drop) };
        let task = scene.start(adopt);
        scene.until("cb C connection_made").await;
        scene.cancel(task, "create_connection(sock=) raises").await;
        peer.sees().await;
    });
}

#[test]
fn q16_a_socket_has_one_transport() {
    perform("Q16", async |scene| {
        // The socket moves into its transport; there is nothing left to make a second one of.
        let (transport, _peer) = scene.connect(Recorder::new(scene, "A")).await;
        transport.close();
        scene.until("cb A connection_lost").await;
        scene.settle().await;
    });
}

#[test]
fn q20_dropping_every_handle_closes_nothing() {
    perform("Q20", async |scene| {
        let (transport, peer) = scene.connect(Recorder::new(scene, "A")).await;
        transport.pause_reading();
        scene.settle().await;
        drop(transport);
        scene.settle().await;
        peer.sees().await;
    });
}
