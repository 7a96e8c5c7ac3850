//! Moving bytes: in order, whole, with back-pressure, over objects in memory and over sockets.

use std::future::IntoFuture;
use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use wharf_core::driver::StreamOptions;
use wharf_core::{Buffered, BufferedProtocol, Limits, Lost, Protocol, TransportRef};
use wharf_tokio::{Buffers, serve};

use crate::support::{Log, pattern, run, run_in_real_time};

async fn echoes<T>(stream: T, len: usize)
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + 'static,
{
    let data = Rc::new(pattern(len));
    let (mut reader, mut writer) = split(stream);
    let sent = Rc::clone(&data);
    let writing = spawn_local(async move {
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await.unwrap();
    });
    let mut got = Vec::new();
    reader.read_to_end(&mut got).await.unwrap();
    writing.await.unwrap();
    assert!(got == *data, "{} of {len} bytes", got.len());
}

#[test]
fn everything_comes_back_whole_through_any_pipe() {
    for (capacity, len) in [(1, 1000), (7, 10_000), (65_536, 1_000_000), (1 << 20, 5_000_000)] {
        run(async {
            let log = Log::default();
            let (ours, theirs) = duplex(capacity);
            let serving = spawn_local(serve(ours, log.echo()).into_future());
            echoes(theirs, len).await;
            assert!(serving.await.unwrap().is_ok());
            let mut told = log.take();
            told.retain(|entry| entry != "pause" && entry != "resume");
            assert_eq!(told, ["made", "eof", "lost: ended by the peer"]);
        });
    }
}

#[test]
fn everything_comes_back_over_tcp() {
    run_in_real_time(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let log = Log::default();
        let buffers = Buffers::new();
        for _ in 0..3 {
            let theirs = TcpStream::connect(address).await.unwrap();
            let (ours, peer) = listener.accept().await.unwrap();
            let serving = serve(ours, log.echo()).buffers(&buffers).peer_addr(peer);
            let (transport, _, driver) = serving.local_addr(address).start();
            assert_eq!(transport.peer_addr(), Some(peer.into()));
            assert_eq!(transport.local_addr(), Some(address.into()));
            let serving = spawn_local(driver);
            echoes(theirs, 3_000_000).await;
            assert!(serving.await.unwrap().is_ok());
        }
    });
}

#[test]
fn callbacks_keep_their_order_and_pause_and_resume_take_turns() {
    run(async {
        let log = Log::default();
        let (ours, mut theirs) = duplex(10);
        let options = StreamOptions { limits: Limits::new(100, 20).unwrap(), ..Default::default() };
        let (transport, _, driver) = serve(ours, log.echo()).options(options).start();
        assert!(log.take().is_empty(), "nothing is told before the driver is polled");
        spawn_local(driver);
        log.wait_for("made").await;
        transport.write(&pattern(500));
        log.wait_for("pause").await;
        let mut got = vec![0; 500];
        theirs.read_exact(&mut got).await.unwrap();
        log.wait_for("resume").await;
        assert!(got == pattern(500));
        assert_eq!(log.take(), ["made", "pause", "resume"]);
    });
}

#[test]
fn a_paused_transport_lets_its_peer_wait() {
    run(async {
        let log = Log::default();
        let (ours, mut theirs) = duplex(100);
        let (transport, _, driver) = serve(ours, log.echo()).start();
        spawn_local(driver);
        log.wait_for("made").await;
        transport.pause_reading();
        // More than fits: it ends only when somebody reads.
        let writing = spawn_local(async move {
            theirs.write_all(&pattern(150)).await.unwrap();
            theirs
        });
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(!writing.is_finished());
        transport.resume_reading();
        let mut theirs = writing.await.unwrap();
        let mut got = vec![0; 150];
        theirs.read_exact(&mut got).await.unwrap();
        assert!(got == pattern(150));
    });
}

/// Receives into a buffer of its own.
struct Into(Log, [u8; 3]);

impl BufferedProtocol for Into {
    fn get_buffer(&mut self, _: Option<usize>) -> &mut [u8] {
        &mut self.1
    }

    fn buffer_updated(&mut self, transport: &TransportRef, count: usize) {
        transport.write(&self.1[..count]);
    }

    fn connection_lost(&mut self, _: &TransportRef, why: &Lost) {
        self.0.add(format!("lost: {why}"));
    }
}

#[test]
fn a_buffered_protocol_is_served_likewise() {
    run(async {
        let log = Log::default();
        let (ours, theirs) = duplex(64);
        let serving = spawn_local(serve(ours, Buffered(Into(log.clone(), [0; 3]))).into_future());
        echoes(theirs, 10_000).await;
        assert!(serving.await.unwrap().is_ok());
        assert_eq!(log.take(), ["lost: ended by the peer"]);
    });
}

/// Sends what comes to another transport.
struct Forward(Option<TransportRef>);

impl Protocol for Forward {
    fn data_received(&mut self, _: &TransportRef, data: &[u8]) {
        if let Some(other) = &self.0 {
            other.write(data);
        }
    }
}

#[test]
fn a_callback_may_write_to_the_transport_of_another_driver() {
    run(async {
        let (ours, mut first) = duplex(64);
        let (theirs, mut second) = duplex(64);
        let buffers = Buffers::new();
        let (left, forward, driver) = serve(ours, Forward(None)).buffers(&buffers).start();
        spawn_local(driver);
        let (right, _, driver) =
            serve(theirs, Forward(Some(left.clone()))).buffers(&buffers).start();
        spawn_local(driver);
        assert_ne!(left.id(), right.id());
        forward.borrow_mut().0 = Some(right);
        let mut got = [0; 4];
        first.write_all(b"ping").await.unwrap();
        second.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"ping");
        second.write_all(b"pong").await.unwrap();
        first.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"pong");
    });
}
