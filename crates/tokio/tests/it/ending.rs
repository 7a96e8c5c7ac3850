//! Every way in which a connection ends.

use std::cell::Cell;
use std::future::IntoFuture;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::task::spawn_local;
use wharf_core::driver::{Owner, StreamOptions};
use wharf_core::{Flow, Lost, TransportId};
use wharf_tokio::serve;

use crate::support::{Log, pattern, run};

#[test]
fn a_close_ends_after_everything_has_gone_out() {
    run(async {
        let log = Log::default();
        let (ours, mut theirs) = duplex(10);
        let (transport, _, driver) = serve(ours, log.echo()).start();
        let serving = spawn_local(driver);
        log.wait_for("made").await;
        assert_eq!(transport.write(&pattern(1000)), Flow::Open);
        transport.close();
        assert!(transport.is_closing());
        let mut got = Vec::new();
        theirs.read_to_end(&mut got).await.unwrap();
        assert!(got == pattern(1000));
        assert!(serving.await.unwrap().is_ok());
        assert_eq!(log.take(), ["made", "lost: closed by us"]);
        assert_eq!(transport.write(b"x"), Flow::Closed);
    });
}

#[test]
fn a_close_to_a_peer_that_does_not_read_gives_up() {
    run(async {
        let log = Log::default();
        let (ours, _theirs) = duplex(10);
        let (transport, _, driver) = serve(ours, log.echo()).start();
        let serving = spawn_local(driver);
        log.wait_for("made").await;
        transport.write(&pattern(1000));
        transport.close();
        // tokio moves its clock when nothing else is left to do.
        assert!(serving.await.unwrap().is_ok());
        assert_eq!(log.take(), ["made", "lost: timed out"]);
    });
}

#[test]
fn an_abort_ends_at_once() {
    run(async {
        let log = Log::default();
        let (ours, mut theirs) = duplex(10);
        let (transport, _, driver) = serve(ours, log.echo()).start();
        let serving = spawn_local(driver);
        log.wait_for("made").await;
        transport.write(&pattern(1000));
        transport.abort();
        assert!(serving.await.unwrap().is_ok());
        let mut got = Vec::new();
        theirs.read_to_end(&mut got).await.unwrap();
        assert!(got.len() <= 10);
        assert_eq!(log.take(), ["made", "lost: aborted by us"]);
    });
}

#[test]
fn a_half_close_keeps_the_other_half() {
    run(async {
        let log = Log::default();
        log.keep_open();
        let (ours, mut theirs) = duplex(100);
        let (transport, _, driver) = serve(ours, log.echo()).start();
        let serving = spawn_local(driver);
        theirs.shutdown().await.unwrap();
        log.wait_for("eof").await;
        transport.write(b"still here");
        transport.write_eof();
        let mut got = String::new();
        theirs.read_to_string(&mut got).await.unwrap();
        assert_eq!(got, "still here");
        assert!(serving.await.unwrap().is_ok());
        assert_eq!(log.take(), ["made", "eof", "lost: ended by the peer"]);
    });
}

#[test]
fn the_end_of_our_direction_leaves_the_peers() {
    run(async {
        let log = Log::default();
        let (ours, mut theirs) = duplex(100);
        let (transport, _, driver) = serve(ours, log.echo()).start();
        let serving = spawn_local(driver);
        log.wait_for("made").await;
        transport.write(b"bye");
        transport.write_eof();
        let mut got = String::new();
        theirs.read_to_string(&mut got).await.unwrap();
        assert_eq!(got, "bye");
        assert!(!transport.is_closing());
        theirs.write_all(b"close").await.unwrap();
        assert!(serving.await.unwrap().is_ok());
        assert_eq!(log.take(), ["made", "lost: closed by us"]);
    });
}

#[test]
fn dropping_the_driver_tells_the_protocol() {
    run(async {
        let log = Log::default();
        let (ours, mut theirs) = duplex(100);
        let (transport, echo, driver) = serve(ours, log.echo()).start();
        let serving = spawn_local(driver);
        log.wait_for("made").await;
        serving.abort();
        assert!(serving.await.unwrap_err().is_cancelled());
        assert_eq!(log.take(), ["made", "lost: aborted by us"]);
        assert_eq!(Rc::strong_count(&echo), 1, "the transport has let go of its protocol");
        assert_eq!(transport.write(b"x"), Flow::Closed);
        assert_eq!(theirs.read(&mut [0]).await.unwrap(), 0, "and the stream is closed");
    });
}

#[test]
fn a_driver_that_is_never_polled_tells_nothing() {
    run(async {
        let log = Log::default();
        let (ours, mut theirs) = duplex(100);
        drop(serve(ours, log.echo()).into_future());
        assert!(log.take().is_empty());
        assert_eq!(theirs.read(&mut [0]).await.unwrap(), 0);
    });
}

#[test]
fn the_owner_of_the_options_is_told_too() {
    struct Count(Cell<u32>);
    impl Owner for Count {
        fn connection_lost(&self, _: TransportId, why: &Lost) {
            assert!(why.is_clean());
            self.0.set(self.0.get() + 1);
        }
    }
    run(async {
        let count = Rc::new(Count(Cell::new(0)));
        let owner = Rc::downgrade(&count) as std::rc::Weak<dyn Owner>;
        let (ours, theirs) = duplex(100);
        drop(theirs);
        let options = StreamOptions { owner: Some(owner), ..Default::default() };
        assert!(serve(ours, Log::default().echo()).options(options).await.is_ok());
        assert_eq!(count.0.get(), 1);
    });
}

#[test]
fn without_a_close_timeout_a_close_waits() {
    run(async {
        let log = Log::default();
        let (ours, mut theirs) = duplex(10);
        let options = StreamOptions { close_timeout: None, ..Default::default() };
        let (transport, _, driver) = serve(ours, log.echo()).options(options).start();
        let serving = spawn_local(driver);
        log.wait_for("made").await;
        transport.write(&pattern(1000));
        transport.close();
        tokio::time::sleep(Duration::from_secs(1000)).await;
        assert!(!serving.is_finished());
        let mut got = Vec::new();
        theirs.read_to_end(&mut got).await.unwrap();
        assert_eq!(got.len(), 1000);
        assert!(serving.await.unwrap().is_ok());
    });
}
