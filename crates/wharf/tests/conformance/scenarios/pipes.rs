//! Scenarios of pipes: one end on the loop, the other raw.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use wharf::subprocess::pipe::{connect_read, connect_write};
use wharf::subprocess::pty;
use wharf::{
    Buffered, BufferedReadPipeProtocol, Lost, ReadPipeProtocol, ReadTransportRef,
    WritePipeProtocol, WriteTransportRef,
};

use super::performance::perform;
use super::python::{Python, Raised, shown};
use super::scene::Scene;
use crate::pipes::hearing::pipe;
use crate::support::Folder;

const CHUNK: usize = 65_536;

/// A recording protocol of a pipe.
struct Recorder {
    scene: Scene,
    name: &'static str,
    /// Panics with this when data comes.
    fails: Option<&'static str>,
    buffer: [u8; 4],
}

impl Recorder {
    fn new(scene: &Scene, name: &'static str) -> Self {
        Self { scene: scene.clone(), name, fails: None, buffer: [0; 4] }
    }

    fn heard(&self, line: &str) {
        self.scene.line(format!("cb {} {line}", self.name));
    }
}

impl ReadPipeProtocol for Recorder {
    fn connection_made(&mut self, _: &ReadTransportRef) {
        self.heard("connection_made");
    }

    fn data_received(&mut self, _: &ReadTransportRef, data: &[u8]) {
        self.heard(&format!("data_received {}", shown(data)));
        if let Some(message) = self.fails {
            panic!("{message}");
        }
    }

    fn eof_received(&mut self, _: &ReadTransportRef) {
        self.heard("eof_received");
    }

    fn connection_lost(&mut self, _: &ReadTransportRef, why: &Lost) {
        self.heard(&format!("connection_lost {}", why.raised()));
    }
}

impl BufferedReadPipeProtocol for Recorder {
    fn connection_made(&mut self, _: &ReadTransportRef) {
        self.heard("connection_made");
    }

    fn get_buffer(&mut self, size_hint: Option<usize>) -> &mut [u8] {
        self.heard(&format!("get_buffer hint{}", if size_hint.is_none() { "=-1" } else { ">0" }));
        &mut self.buffer
    }

    fn buffer_updated(&mut self, _: &ReadTransportRef, count: usize) {
        self.heard(&format!("buffer_updated {}", shown(&self.buffer[..count])));
    }

    fn eof_received(&mut self, _: &ReadTransportRef) {
        self.heard("eof_received");
    }

    fn connection_lost(&mut self, _: &ReadTransportRef, why: &Lost) {
        self.heard(&format!("connection_lost {}", why.raised()));
    }
}

impl WritePipeProtocol for Recorder {
    fn connection_made(&mut self, _: &WriteTransportRef) {
        self.heard("connection_made");
    }

    fn pause_writing(&mut self, _: &WriteTransportRef) {
        self.heard("pause_writing");
    }

    fn resume_writing(&mut self, _: &WriteTransportRef) {
        self.heard("resume_writing");
    }

    fn connection_lost(&mut self, _: &WriteTransportRef, why: &Lost) {
        self.heard(&format!("connection_lost {}", why.raised()));
    }
}

/// What one read of the raw end gives; there is something, or it is the end.
fn read(mut peer: &File) -> Vec<u8> {
    let mut buffer = [0; 10];
    let count = peer.read(&mut buffer).expect("the raw end can be read");
    buffer[..count].to_vec()
}

async fn reads(
    scene: &Scene,
    fd: impl Into<OwnedFd>,
    recorder: Recorder,
) -> io::Result<ReadTransportRef> {
    Ok(connect_read(&scene.handle, fd, recorder).await?.0)
}

async fn writes(
    scene: &Scene,
    fd: impl Into<OwnedFd>,
    recorder: Recorder,
) -> io::Result<WriteTransportRef> {
    Ok(connect_write(&scene.handle, fd, recorder).await?.0)
}

#[test]
fn s36_a_pipe_is_read_to_its_end() {
    perform("S36", async |scene| {
        let (ours, mut peer) = pipe();
        let transport = reads(scene, ours, Recorder::new(scene, "A")).await.unwrap();
        // By type.
        scene.value("has write", false);
        peer.write_all(b"data").unwrap();
        scene.line("peer> write 4");
        scene.until("cb A data_received").await;
        transport.pause_reading();
        peer.write_all(b"more").unwrap();
        scene.line("peer> write 4 while paused");
        drop(peer);
        scene.line("peer> close write end");
        scene.settle().await;
        transport.resume_reading();
        scene.did("resume_reading");
        scene.until("cb A connection_lost").await;
        scene.value("is_closing", transport.is_closing());
    });
}

#[test]
fn s37_the_reader_of_a_pipe_goes_away() {
    perform("S37", async |scene| {
        let connect = async |name| {
            let (peer, ours) = pipe();
            (writes(scene, ours, Recorder::new(scene, name)).await.unwrap(), peer)
        };
        let (transport, peer) = connect("A").await;
        transport.write(b"abc");
        scene.did("write 3");
        scene.turn().await;
        scene.line(format!("peer< {}", read(&peer).python()));
        drop(peer);
        scene.line("peer> close read end, nothing buffered");
        scene.until("cb A connection_lost").await;

        let (transport, peer) = connect("C").await;
        while transport.write_buffer_len() == 0 {
            transport.write(&[b'x'; CHUNK]);
            scene.turn().await;
        }
        scene.did("fill the pipe and the buffer");
        drop(peer);
        scene.line("peer> close read end");
        scene.until("cb C connection_lost").await;

        let (transport, peer) = connect("E").await;
        transport.write(b"tail");
        transport.write_eof();
        scene.did("write 4, write_eof");
        scene.value("is_closing", transport.is_closing());
        scene.until("cb E connection_lost").await;
        scene.settle().await;
        scene.line(format!("peer< {} {}", read(&peer).python(), read(&peer).python()));
    });
}

#[test]
fn q08_a_pipe_is_read_into_a_buffer() {
    perform("Q08", async |scene| {
        let (ours, mut peer) = pipe();
        let recorder = Buffered(Recorder::new(scene, "B"));
        connect_read(&scene.handle, ours, recorder).await.unwrap();
        peer.write_all(b"abc").unwrap();
        scene.until("cb B buffer_updated").await;
        drop(peer);
        scene.until("cb B connection_lost").await;
        scene.settle().await;
    });
}

#[test]
fn q09_the_other_side_of_a_terminal_closes() {
    perform("Q09", async |scene| {
        let (master, slave) = pty::open().unwrap();
        let _transport = reads(scene, master, Recorder::new(scene, "R")).await.unwrap();
        let mut peer = File::from(slave);
        peer.write_all(b"hi").unwrap();
        scene.until("cb R data_received").await;
        drop(peer);
        scene.line("peer> close slave");
        scene.until("cb R connection_lost").await;

        let (master, slave) = pty::open().unwrap();
        let transport = writes(scene, slave, Recorder::new(scene, "W")).await.unwrap();
        let peer = File::from(master);
        transport.write(b"abc");
        scene.settle().await;
        scene.line(format!("peer< {}", read(&peer).python()));
        drop(peer);
        scene.line("peer> close master");
        scene.settle().await;
        scene.value("is_closing", transport.is_closing());
        transport.write(b"more");
        scene.did("write after the master is gone");
        scene.until("cb W connection_lost").await;
        scene.value("is_closing", transport.is_closing());
        transport.close();
        scene.settle().await;
    });
}

#[test]
fn q10_a_regular_file_is_no_pipe() {
    perform("Q10", async |scene| {
        let folder = Folder::new();
        let path = folder.join("f");
        std::fs::write(&path, b"x").unwrap();
        let reading = File::open(&path).unwrap();
        let refused = reads(scene, reading, Recorder::new(scene, "A")).await;
        scene.attempt("connect_read_pipe(file)", refused);
        let writing = OpenOptions::new().append(true).open(&path).unwrap();
        let refused = writes(scene, writing, Recorder::new(scene, "A")).await;
        scene.attempt("connect_write_pipe(file)", refused);
    });
}

#[test]
fn q21_a_panic_in_data_received_ends_a_pipe() {
    perform("Q21", async |scene| {
        let (ours, mut peer) = pipe();
        let mut recorder = Recorder::new(scene, "A");
        recorder.fails = Some("RuntimeError: boom");
        let transport = reads(scene, ours, recorder).await.unwrap();
        peer.write_all(b"abc").unwrap();
        scene.until("cb A connection_lost").await;
        scene.settle().await;
        scene.value("is_closing", transport.is_closing());
        scene.attempt("peer writes again", peer.write_all(b"def"));
        scene.settle().await;
    });
}
