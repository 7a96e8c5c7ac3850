//! The traits of others: what is written for tokio or the futures crates works on a wharf transport.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncBufRead as _, AsyncRead as _, AsyncWrite as _};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio_util::codec::{Decoder, Framed, LinesCodec};
use wharf_core::memory::Seen;
use wharf_streams::Stream;

use crate::support::Ground;

#[test]
fn a_stream_reads_and_writes_as_tokio_wants_it() {
    let ground = Ground::new();
    let (mut stream, wire) = ground.open();
    wire.limit_reads(3);
    wire.send(b"hello\nworld");
    wire.shutdown();
    ground.block_on(async {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        assert_eq!(line, "hello\n");
        let mut two = [0; 2];
        stream.reader.read_exact(2).await.unwrap();
        AsyncReadExt::read_exact(&mut stream, &mut two).await.unwrap();
        assert_eq!(&two, b"rl");
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "d");
        AsyncWriteExt::write_all(&mut stream, b"answer").await.unwrap();
        stream.flush().await.unwrap();
        stream.shutdown().await.unwrap();
        stream.shutdown().await.unwrap();
    });
    ground.run();
    assert_eq!((wire.take(), wire.seen()), (b"answer".to_vec(), Seen::Eof));
}

#[test]
fn halves_are_copied_from_and_to() {
    let ground = Ground::new();
    let (Stream { mut reader, mut writer }, wire) = ground.open();
    let data: Vec<u8> = (0..1_000_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    wire.set_capacity(usize::MAX);
    wire.send(&data);
    wire.shutdown();
    let copied = ground.block_on(async {
        let copied = tokio::io::copy(&mut reader, &mut writer).await.unwrap();
        writer.shutdown().await.unwrap();
        copied
    });
    assert_eq!(copied, 1_000_000);
    ground.run();
    assert!(wire.take() == data);
}

#[test]
fn a_codec_of_tokio_util_frames_a_stream() {
    let ground = Ground::new();
    let (stream, wire) = ground.open();
    wire.limit_reads(2);
    wire.send(b"one\ntwo\nlast");
    wire.shutdown();
    let mut framed = Framed::new(stream, LinesCodec::new());
    let mut next = || ground.block_on(std::future::poll_fn(|cx| poll_next(&mut framed, cx)));
    for line in ["one", "two", "last"] {
        assert_eq!(next().unwrap().unwrap(), line);
    }
    assert!(next().is_none());
}

fn poll_next<C: Decoder>(
    framed: &mut Framed<Stream, C>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<C::Item, C::Error>>> {
    futures_core::Stream::poll_next(Pin::new(framed), cx)
}

#[test]
fn a_stream_reads_and_writes_as_the_futures_crates_want_it() {
    let ground = Ground::new();
    let (mut stream, wire) = ground.open();
    wire.send(b"hello world");
    let mut buffer = [0; 5];
    let read = std::future::poll_fn(|cx| Pin::new(&mut stream).poll_read(cx, &mut buffer));
    assert_eq!(ground.block_on(read).unwrap(), 5);
    assert_eq!(&buffer, b"hello");
    let filled = std::future::poll_fn(|cx| {
        Pin::new(&mut stream.reader).poll_fill_buf(cx).map_ok(<[u8]>::to_vec)
    });
    assert_eq!(ground.block_on(filled).unwrap(), b" world");
    futures_io::AsyncBufRead::consume(Pin::new(&mut stream), 6);
    let write = std::future::poll_fn(|cx| Pin::new(&mut stream).poll_write(cx, b"answer"));
    assert_eq!(ground.block_on(write).unwrap(), 6);
    let flush = std::future::poll_fn(|cx| Pin::new(&mut stream.writer).poll_flush(cx));
    ground.block_on(flush).unwrap();
    let close = std::future::poll_fn(|cx| Pin::new(&mut stream).poll_close(cx));
    ground.block_on(close).unwrap();
    ground.run();
    assert_eq!((wire.take(), wire.seen()), (b"answer".to_vec(), Seen::Eof));
}

#[test]
fn a_polled_write_waits_for_room_and_meets_the_end() {
    let ground = Ground::new();
    let (mut stream, wire) = ground.open();
    wire.set_capacity(0);
    let data = vec![b'x'; 200_000];
    ground
        .block_on_after(AsyncWriteExt::write_all(&mut stream, &data), || {
            wire.set_capacity(1 << 20);
        })
        .unwrap();
    wire.reset();
    ground.run();
    let error = ground.block_on(AsyncWriteExt::write_all(&mut stream, b"x")).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    let error = ground.block_on(stream.flush()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    let mut byte = [0; 1];
    let error = ground.block_on(AsyncReadExt::read(&mut stream, &mut byte)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[test]
fn after_a_clean_end_there_is_nothing_to_flush() {
    let ground = Ground::new();
    let (mut stream, _wire) = ground.open();
    stream.writer.close();
    ground.run();
    ground.block_on(stream.flush()).unwrap();
    ground.block_on(stream.shutdown()).unwrap();
    let error = ground.block_on(AsyncWriteExt::write_all(&mut stream, b"x")).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}
