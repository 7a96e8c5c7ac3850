//! Objects that are harder than a pipe: they buffer, they take no bytes, they fail where nobody looks.

use std::future::IntoFuture;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream, ReadBuf, duplex, join,
};
use tokio::task::spawn_local;
use wharf_tokio::serve;

use crate::support::{Log, run};

#[test]
fn what_an_object_buffers_is_flushed() {
    run(async {
        let log = Log::default();
        let (ours, mut theirs) = duplex(3);
        let serving = spawn_local(serve(BufStream::new(ours), log.echo()).into_future());
        let mut got = [0; 5];
        theirs.write_all(b"hel").await.unwrap();
        theirs.read_exact(&mut got[..3]).await.unwrap();
        theirs.write_all(b"lo").await.unwrap();
        theirs.read_exact(&mut got[3..]).await.unwrap();
        assert_eq!(&got, b"hello");
        theirs.shutdown().await.unwrap();
        assert_eq!(theirs.read(&mut got).await.unwrap(), 0);
        assert!(serving.await.unwrap().is_ok());
    });
}

#[test]
fn what_an_object_buffers_goes_out_before_the_end() {
    run(async {
        let log = Log::default();
        let (ours, mut theirs) = duplex(3);
        let (transport, _, driver) = serve(BufStream::new(ours), log.echo()).start();
        let serving = spawn_local(driver);
        log.wait_for("made").await;
        transport.write(b"a long goodbye");
        transport.close();
        // Our object has taken all of it, so for the transport it has gone out.
        log.wait_for("lost: closed by us").await;
        let mut got = String::new();
        theirs.read_to_string(&mut got).await.unwrap();
        assert_eq!(got, "a long goodbye");
        assert!(serving.await.unwrap().is_ok());
    });
}

#[test]
fn an_object_that_never_flushes_its_last_words_is_given_up() {
    run(async {
        let log = Log::default();
        let (ours, _theirs) = duplex(3);
        let (transport, _, driver) = serve(BufStream::new(ours), log.echo()).start();
        let serving = spawn_local(driver);
        log.wait_for("made").await;
        transport.write(b"a long goodbye");
        transport.close();
        assert!(serving.await.unwrap().is_ok());
        assert_eq!(log.take(), ["made", "lost: closed by us"]);
    });
}

/// Where an object fails.
#[derive(Clone, Copy, PartialEq)]
enum Fails {
    Read,
    Write,
    /// Takes nothing, without a word.
    TakesNothing,
    Flush,
    Shutdown,
}

struct Faulty(Fails);

impl Faulty {
    fn outcome<T>(&self, here: Fails, value: T) -> Poll<io::Result<T>> {
        if self.0 == here {
            return Poll::Ready(Err(io::Error::other("as it was told")));
        }
        Poll::Ready(Ok(value))
    }
}

impl AsyncWrite for Faulty {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.0 {
            Fails::TakesNothing => Poll::Ready(Ok(0)),
            _ => self.outcome(Fails::Write, data.len()),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outcome(Fails::Flush, ())
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outcome(Fails::Shutdown, ())
    }
}

impl AsyncRead for Faulty {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.0 {
            Fails::Read => self.outcome(Fails::Read, ()),
            _ => Poll::Pending,
        }
    }
}

#[test]
fn an_error_of_the_object_is_the_end_wherever_it_comes() {
    for fails in [Fails::Read, Fails::Write, Fails::TakesNothing, Fails::Flush, Fails::Shutdown] {
        run(async {
            let log = Log::default();
            let (transport, _, driver) = serve(Faulty(fails), log.echo()).start();
            let serving = spawn_local(driver);
            log.wait_for("made").await;
            transport.write(b"x");
            transport.write_eof();
            assert!(serving.await.unwrap().is_ok());
            let lost = match fails {
                Fails::TakesNothing => "lost: write zero",
                _ => "lost: as it was told",
            };
            assert_eq!(log.take(), ["made", lost]);
        });
    }
}

#[test]
fn two_objects_that_are_joined_are_one() {
    run(async {
        let log = Log::default();
        let (reads, mut writes_to_us) = duplex(10);
        let (writes, mut reads_from_us) = duplex(10);
        let serving = spawn_local(serve(join(reads, writes), log.echo()).into_future());
        writes_to_us.write_all(b"hello").await.unwrap();
        let mut got = [0; 5];
        reads_from_us.read_exact(&mut got).await.unwrap();
        drop(writes_to_us);
        assert_eq!(reads_from_us.read(&mut got).await.unwrap(), 0);
        assert!(serving.await.unwrap().is_ok());
    });
}

/// Writes down how it ends.
struct Orderly(Log);

impl AsyncRead for Orderly {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Orderly {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.add("shut down");
        Poll::Ready(Ok(()))
    }
}

impl Drop for Orderly {
    fn drop(&mut self) {
        self.0.add("dropped");
    }
}

#[test]
fn a_clean_end_shuts_the_object_down_and_an_abort_does_not() {
    run(async {
        let log = Log::default();
        for abort in [false, true] {
            let (transport, _, driver) = serve(Orderly(log.clone()), log.echo()).start();
            let serving = spawn_local(driver);
            log.wait_for("made").await;
            if abort {
                transport.abort();
            } else {
                transport.close();
            }
            assert!(serving.await.unwrap().is_ok());
            let end: &[&str] = match abort {
                false => &["made", "lost: closed by us", "shut down", "dropped"],
                true => &["made", "lost: aborted by us", "dropped"],
            };
            assert_eq!(log.take(), end);
        }
    });
}
