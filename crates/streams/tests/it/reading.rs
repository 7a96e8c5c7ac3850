//! Reading: what each method waits for, where it ends, and what fails it.

use std::io;

use wharf_core::Lost;
use wharf_streams::{Endpoint, StreamError};

use crate::support::{Ground, reads};

const LIMIT: usize = 64 * 1024;

#[test]
fn read_gives_what_is_there_and_nothing_at_the_end() {
    let ground = Ground::new();
    let (mut stream, wire) = ground.open();
    wire.send(b"hello");
    ground.run();
    assert_eq!(ground.block_on(stream.reader.read(0)).unwrap(), "");
    assert_eq!(ground.block_on(stream.reader.read(3)).unwrap(), "hel");
    assert_eq!(ground.block_on(stream.reader.read(100)).unwrap(), "lo");
    let more = ground.block_on_after(stream.reader.read(100), || wire.send(b"more"));
    assert_eq!(more.unwrap(), "more");
    assert!(!stream.reader.at_eof());
    let end = ground.block_on_after(stream.reader.read(100), || wire.shutdown());
    assert_eq!(end.unwrap(), "");
    assert!(stream.reader.at_eof());
    assert_eq!(ground.block_on(stream.reader.read(100)).unwrap(), "", "also when asked again");
}

#[test]
fn read_exact_waits_for_all_and_tells_what_came_before_the_end() {
    let ground = Ground::new();
    let (mut stream, wire) = ground.open();
    wire.limit_reads(1);
    wire.send(b"abcdef");
    assert_eq!(ground.block_on(stream.reader.read_exact(4)).unwrap(), "abcd");
    assert_eq!(ground.block_on(stream.reader.read_exact(0)).unwrap(), "");
    wire.shutdown();
    match ground.block_on(stream.reader.read_exact(4)) {
        Err(StreamError::Incomplete { partial }) => assert_eq!(partial, "ef"),
        other => panic!("{other:?}"),
    }
    assert!(stream.reader.at_eof());
}

#[test]
fn read_exact_is_stronger_than_the_limit() {
    let ground = Ground::new();
    let (mut stream, wire) = ground.open_with(Endpoint::with_limit(10));
    wire.limit_reads(7);
    wire.send(&[b'x'; 1000]);
    assert_eq!(ground.block_on(stream.reader.read_exact(999)).unwrap().len(), 999);
}

#[test]
fn lines_come_with_their_ending_however_bytes_come() {
    for limit in [1, 2, 5, 100] {
        let ground = Ground::new();
        let (mut stream, wire) = ground.open();
        wire.limit_reads(limit);
        wire.send(b"one\r\n\ntwo\nlast");
        wire.shutdown();
        for expected in ["one\r\n", "\n", "two\n", "last", ""] {
            assert_eq!(ground.block_on(stream.reader.read_line()).unwrap(), expected);
        }
    }
}

#[test]
fn read_until_finds_a_mark_that_comes_in_pieces() {
    let ground = Ground::new();
    let (mut stream, wire) = ground.open();
    wire.limit_reads(1);
    wire.send(b"a\r\r\n\r\nb\r\n\r");
    wire.shutdown();
    assert_eq!(ground.block_on(stream.reader.read_until(b"\r\n\r\n")).unwrap(), "a\r\r\n\r\n");
    match ground.block_on(stream.reader.read_until(b"\r\n\r\n")) {
        Err(StreamError::Incomplete { partial }) => assert_eq!(partial, "b\r\n\r"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_line_beyond_the_limit_fails_and_stays() {
    for trickle in [1, 3, 1000] {
        let ground = Ground::new();
        let (mut stream, wire) = ground.open_with(Endpoint::with_limit(5));
        wire.limit_reads(trickle);
        wire.send(b"fives\nsixsix\n");
        assert_eq!(ground.block_on(stream.reader.read_line()).unwrap(), "fives\n");
        for _ in 0..2 {
            match ground.block_on(stream.reader.read_line()) {
                Err(StreamError::TooLong { limit: 5 }) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(ground.block_on(stream.reader.read_exact(7)).unwrap(), "sixsix\n");
    }
}

#[test]
#[should_panic(expected = "at least one byte")]
fn an_empty_mark_is_refused() {
    let ground = Ground::new();
    let (mut stream, _wire) = ground.open();
    let _ = ground.block_on(stream.reader.read_until(b""));
}

#[test]
fn read_to_end_has_a_limit() {
    let ground = Ground::new();
    let (mut stream, wire) = ground.open();
    wire.send(&[b'x'; 1001]);
    match ground.block_on(stream.reader.read_to_end(1000)) {
        Err(StreamError::TooLong { limit: 1000 }) => {}
        other => panic!("{other:?}"),
    }
    let all = ground.block_on_after(stream.reader.read_to_end(1001), || wire.shutdown());
    assert_eq!(all.unwrap().len(), 1001);
    assert_eq!(ground.block_on(stream.reader.read_to_end(0)).unwrap(), "");
}

#[test]
fn whoever_does_not_read_slows_the_peer_down() {
    let ground = Ground::new();
    let (mut stream, wire) = ground.open();
    let transport = stream.transport().clone();
    wire.limit_reads(16 * 1024);
    wire.send(&vec![b'x'; 10 * LIMIT]);
    ground.run();
    assert!(!reads(&transport), "reading is paused above twice the limit");
    assert!(stream.reader.unread() > 2 * LIMIT && stream.reader.unread() <= 2 * LIMIT + 16 * 1024);
    // Down to the limit, and not above it, reading resumes.
    let surplus = stream.reader.unread() - LIMIT;
    ground.block_on(stream.reader.read_exact(surplus - 1)).unwrap();
    assert!(!reads(&transport));
    ground.block_on(stream.reader.read_exact(1)).unwrap();
    assert!(reads(&transport));
    let rest = 10 * LIMIT - surplus;
    assert_eq!(ground.block_on(stream.reader.read_exact(rest)).unwrap().len(), rest);
    wire.shutdown();
    assert_eq!(ground.block_on(stream.reader.read(1)).unwrap(), "");
}

#[test]
fn what_came_before_a_reset_is_read_before_it_fails() {
    let ground = Ground::new();
    let (mut stream, wire) = ground.open();
    wire.send(b"last words\nand");
    wire.reset();
    ground.run();
    assert_eq!(ground.block_on(stream.reader.read_line()).unwrap(), "last words\n");
    match ground.block_on(stream.reader.read_line()) {
        Err(StreamError::Lost(Lost::Io(error))) => {
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(ground.block_on(stream.reader.read(100)).unwrap(), "and", "nothing is lost by it");
    let error: io::Error = ground.block_on(stream.reader.read(100)).unwrap_err().into();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[test]
fn a_close_of_ours_is_an_end_and_an_abort_is_none() {
    let ground = Ground::new();
    let (mut stream, wire) = ground.open();
    wire.send(b"unread");
    ground.run();
    stream.writer.close();
    ground.run();
    assert_eq!(ground.block_on(stream.reader.read(100)).unwrap(), "unread");
    assert_eq!(ground.block_on(stream.reader.read(100)).unwrap(), "");
    let (mut stream, _wire) = ground.open();
    stream.writer.abort();
    let error: io::Error = ground.block_on(stream.reader.read_to_end(100)).unwrap_err().into();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
}

#[test]
fn the_end_of_the_loop_wakes_a_reader() {
    let ground = Ground::new();
    let (mut stream, _wire) = ground.open();
    drop(ground);
    let ground = Ground::new();
    match ground.block_on(stream.reader.read(1)) {
        Err(StreamError::Lost(Lost::Aborted)) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_dropped_reader_throws_away_and_still_sees_the_end() {
    let ground = Ground::new();
    let (stream, wire) = ground.open();
    let transport = stream.transport().clone();
    wire.send(&vec![b'x'; 10 * LIMIT]);
    ground.run();
    assert!(!reads(&transport));
    drop(stream.reader);
    assert!(reads(&transport));
    wire.send(&vec![b'x'; 10 * LIMIT]);
    wire.reset();
    match ground.block_on(stream.writer.closed()) {
        Lost::Io(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
        other => panic!("{other:?}"),
    }
}
